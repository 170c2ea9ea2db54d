"""The verb ``demo``: the whole way on the embedded cohort, then the reading room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import AsJson, emit, note, progress_bar, verb
from medembed.progress import Progress

if TYPE_CHECKING:
    from evaluation.retrieval.library import LibraryScores
    from medembed.library import CaseLibrary
    from medembed.lookup import Result

__all__ = ["demo"]

POOL = 300
SEED = 2
MODEL = "demo"


@verb
def demo(
    library: Annotated[
        Path, typer.Argument(metavar="[LIBRARY]", help="Folder that the demonstration builds.")
    ] = Path("demo-library"),
    cases: Annotated[int, typer.Option(min=100, help="Studies in the embedded cohort.")] = 1500,
    no_app: Annotated[bool, typer.Option("--no-app", help="Stop before the reading room.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go the whole way on simulated chests: make, read, align, index, measure, search.

    Then the reading room opens on what was built. With --json it does not. Stopped, the same
    command continues where it was.

    Example: medembed demo my-demo --no-app
    """
    way = _Way(library, cases)
    way.go()
    emit(way.to_json(), as_json, way.tell)
    if not no_app and not as_json:
        from apps.commands import open_reading_room

        open_reading_room(library)


@dataclass
class _Way:
    """What the demonstration does, in order, and what came of it."""

    folder: Path
    n_cases: int
    seconds: dict[str, float] = field(default_factory=dict)
    figures: LibraryScores | None = None
    plain: list[dict[str, Any]] = field(default_factory=list)
    searches: list[tuple[str, Result]] = field(default_factory=list)

    def go(self) -> None:
        from medembed.library import CaseLibrary

        started = time.monotonic()
        with CaseLibrary.open(self.folder, create=True) as library:
            self._make_and_read(library)
            self._align(library)
            self._measure(library)
            self._search(library)
        self.seconds["all"] = time.monotonic() - started

    @contextmanager
    def _step(self, name: str, what: str) -> Iterator[Progress]:
        started = time.monotonic()
        with progress_bar(what) as progress:
            yield progress
        self.seconds[name] = time.monotonic() - started

    def _make_and_read(self, library: CaseLibrary) -> None:
        from medembed.library import ingest
        from medembed.sources import open_source
        from medembed.sources.synthetic import CohortConfig, write_cohort

        config = CohortConfig(n_studies=self.n_cases, seed=SEED, views={"PA": 0.7, "AP": 0.3})
        with self._step("cohort", "Simulating chest studies  ") as progress:
            cohort = write_cohort(
                self.folder / "cohort", config, progress=progress, workers=os.cpu_count() or 1
            )
        with self._step("ingest", "Reading DICOM and reports ") as progress:
            source = open_source(cohort.dicom, "dicom", notes=cohort.reports)
            report = ingest(library, source, progress=progress)
        if report.refusals:
            note(f"{len(report.refusals)} refused, first: {report.refusals[0].reason}")

    def _align(self, library: CaseLibrary) -> None:
        from medembed.config import load_config
        from medembed.index import open_index
        from medembed.model import DualEncoder, embed_library
        from medembed.training import train

        with self._step("train", "Aligning scans and notes  ") as progress:
            trained = train(library, load_config(MODEL), progress=progress)
        with self._step("embed", "Embedding every case      ") as progress:
            model = DualEncoder.load(trained.folder)
            embed_library(library, model, progress=progress)
        with self._step("index", "Building the index        "):
            open_index(library, model.fingerprint)

    def _measure(self, library: CaseLibrary) -> None:
        from apps.text_prompts import plain_words
        from evaluation.retrieval.library import evaluate_library

        pool = min(POOL, len(library.split("test")))
        with self._step("evaluate", "Measuring on unseen people") as progress:
            self.figures = evaluate_library(library, "test", pool=pool, progress=progress)
            self.plain = plain_words(library, "test")

    def _search(self, library: CaseLibrary) -> None:
        from medembed.lookup import CaseLookup

        asking = next(
            case
            for case in library.cases(["split=test", "finding=effusion"])
            if len(case.findings) <= 2
        )
        image = library.scan_files(asking)[0]
        said = ", ".join(map(str, asking.findings))
        with CaseLookup(library) as lookup:
            for title, question in (
                ('words: "left pneumothorax"', {"text": "left pneumothorax"}),
                (f"a radiograph that shows {said}", {"image": list(image)}),
                (
                    f'that radiograph and the words "enlarged heart" ({said}; cardiomegaly wanted)',
                    {"image": list(image), "text": "enlarged heart"},
                ),
            ):
                self.searches.append((title, lookup.search(**question, k=5)))

    def to_json(self) -> dict[str, Any]:
        from evaluation.retrieval.zero_shot import zero_shot_means

        assert self.figures is not None
        return {
            "library": str(self.folder),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "evaluation": self.figures.to_json(),
            "plain_words": {"means": zero_shot_means(self.plain), "rows": self.plain},
            "searches": [
                {"title": title, "result": result.to_json()} for title, result in self.searches
            ],
        }

    def tell(self) -> None:
        from rich.console import Console
        from rich.text import Text

        from evaluation.retrieval.text_report import score_table, summary_lines, title
        from evaluation.retrieval.zero_shot import zero_shot_means
        from medembed.cli.search import show_hits

        assert self.figures is not None
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 110
        console.print(
            f"\n[bold]How well it finds[/bold]: {self.figures.n_cases} studies of "
            f"{self.figures.n_patients} simulated patients that the model never saw"
        )
        for name, task in self.figures.tasks.items():
            console.print(Text(f"\n{title(name)}", style="bold"))
            console.print(score_table(task.scores, task.nulls))
        for sentence in summary_lines(self.figures):
            console.print(Text(sentence))
        means = zero_shot_means(self.plain)
        console.print(
            Text(
                'Plain words such as "right pleural effusion" (area under the ROC curve, 0.5 is '
                f"chance): that side above the other {_mean(means['auc_side'])}, the finding above "
                f"its absence {_mean(means['auc_presence'])}, on average over the findings that "
                "have a side."
            )
        )
        for number, (asked, result) in enumerate(self.searches, start=1):
            console.print(Text(f"\nSearch {number}, {asked}", style="bold"))
            show_hits(result)
        spent = ", ".join(
            f"{name} {value:.0f}" for name, value in self.seconds.items() if name != "all"
        )
        console.print(f"\n{self.seconds['all']:.0f} s in all ({spent}).")
        console.print(
            f"""
[bold]Where to go next[/bold]
  medembed search {self.folder} --text "enlarged heart with pulmonary oedema" --where "age>=70"
  medembed app {self.folder}            the reading room, in the browser
  medembed ingest my-library DICOM-FOLDER --notes reports.csv       your own cases
  docs/guides, docs/reference and every verb's --help
(medembed is in .venv/bin; the people in {self.folder} are simulated)""",
        )


def _mean(value: float | None) -> str:
    return "not assessable, too few patients" if value is None else f"{value:.2f}"
