"""The command ``medembed demo``: the full pipeline on simulated patients, then the reading room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import AsJson, ProgressBars, emit, note, progress_bar, verb
from medembed.counted import counted
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
        Path, typer.Argument(metavar="[LIBRARY]", help="Folder for the demonstration's library.")
    ] = Path("demo-library"),
    cases: Annotated[int, typer.Option(min=100, help="Number of simulated studies.")] = 1500,
    no_app: Annotated[bool, typer.Option("--no-app", help="Do not open the reading room.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the full pipeline on simulated chest X-rays, then open the reading room.

    Simulate, ingest, train, index, evaluate and search. With --json, the reading room does not
    open. If interrupted, run the same command again to resume.

    Example: medembed demo my-demo --no-app
    """
    demonstration = _Demo(library, cases)
    demonstration.run()
    emit(demonstration.to_json(), as_json, demonstration.report)
    if not no_app and not as_json:
        from apps.commands import open_reading_room

        open_reading_room(library)


@dataclass
class _Demo:
    """The steps of the demonstration and their results."""

    folder: Path
    n_cases: int
    seconds: dict[str, float] = field(default_factory=dict)
    scores: LibraryScores | None = None
    prompts: list[dict[str, Any]] = field(default_factory=list)
    searches: list[tuple[str, Result]] = field(default_factory=list)

    def run(self) -> None:
        from medembed.library import CaseLibrary

        started = time.monotonic()
        with CaseLibrary.open(self.folder, create=True) as library:
            self._ingest(library)
            self._train(library)
            self._evaluate(library)
            self._search(library)
        self.seconds["all"] = time.monotonic() - started

    @contextmanager
    def _step(self, name: str, title: str) -> Iterator[Progress]:
        started = time.monotonic()
        with progress_bar(title) as progress:
            yield progress
        self.seconds[name] = time.monotonic() - started

    def _ingest(self, library: CaseLibrary) -> None:
        from medembed.library import ingest
        from medembed.sources import open_source
        from medembed.sources.synthetic import CohortConfig, write_cohort

        config = CohortConfig(n_studies=self.n_cases, seed=SEED, views={"PA": 0.7, "AP": 0.3})
        with self._step("cohort", "Simulating chest studies    ") as progress:
            cohort = write_cohort(
                self.folder / "cohort", config, progress=progress, workers=os.cpu_count() or 1
            )
        with self._step("ingest", "Ingesting images and reports") as progress:
            source = open_source(cohort.dicom, "dicom", notes=cohort.reports)
            report = ingest(library, source, progress=progress)
        if report.refusals:
            note(f"{len(report.refusals)} refused; first reason: {report.refusals[0].reason}")

    def _train(self, library: CaseLibrary) -> None:
        from medembed.config import load_config
        from medembed.index import open_index
        from medembed.lookup.novelty_calibration import calibrate_novelty
        from medembed.lookup.score_evaluation import evaluate_if_due
        from medembed.model import DualEncoder, embed_library
        from medembed.model.resolve import choose_model
        from medembed.training import train

        started = time.monotonic()
        with ProgressBars() as bars:
            trained = train(
                library,
                load_config(MODEL),
                bars.named("Training the model          "),
                encoding=bars.named("Reading the images          "),
            )
        self.seconds["train"] = time.monotonic() - started
        with self._step("embed", "Embedding all cases         ") as progress:
            model = DualEncoder.load(trained.folder)
            embed_library(library, model, progress=progress)
        with self._step("index", "Building the index          "):
            open_index(library, model.fingerprint)
            calibrate_novelty(library)
            evaluate_if_due(library, choose_model(library, model))

    def _evaluate(self, library: CaseLibrary) -> None:
        from apps.text_prompts import score_text_prompts
        from evaluation.retrieval.library import evaluate_library

        pool = min(POOL, len(library.split("test")))
        with self._step("evaluate", "Evaluating on test patients ") as progress:
            self.scores = evaluate_library(library, "test", pool=pool, progress=progress)
            self.prompts = score_text_prompts(library, "test")

    def _search(self, library: CaseLibrary) -> None:
        from medembed.lookup import CaseLookup

        query = next(
            case
            for case in library.cases(["split=test", "finding=effusion"])
            if len(case.findings) <= 2
        )
        image = library.scan_files(query)[0]
        findings = ", ".join(map(str, query.findings))
        with CaseLookup(library) as lookup:
            for title, parts in (
                ('text: "left pneumothorax"', {"text": "left pneumothorax"}),
                (f"image: a radiograph with {findings}", {"image": list(image)}),
                (
                    f'the same image ({findings}) and the text "enlarged heart"',
                    {"image": list(image), "text": "enlarged heart"},
                ),
            ):
                self.searches.append((title, lookup.search(**parts, k=5)))

    def to_json(self) -> dict[str, Any]:
        from evaluation.retrieval.zero_shot import zero_shot_means

        assert self.scores is not None
        return {
            "library": str(self.folder),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "evaluation": self.scores.to_json(),
            "text_prompts": {"means": zero_shot_means(self.prompts), "rows": self.prompts},
            "searches": [
                {"title": title, "result": result.to_json()} for title, result in self.searches
            ],
        }

    def report(self) -> None:
        from rich.console import Console
        from rich.text import Text

        from evaluation.retrieval.text_report import score_table, summary_lines, title
        from evaluation.retrieval.zero_shot import zero_shot_means
        from medembed.cli.search import show_hits

        assert self.scores is not None
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 110
        console.print(
            f"\n[bold]Retrieval quality[/bold] on "
            f"{counted(self.scores.n_cases, 'study', 'studies')} of "
            f"{counted(self.scores.n_patients, 'simulated patient')} that the model never saw"
        )
        for name, task in self.scores.tasks.items():
            console.print(Text(f"\n{title(name)}", style="bold"))
            console.print(score_table(task.scores, task.nulls))
        for sentence in summary_lines(self.scores):
            console.print(Text(sentence))
        means = zero_shot_means(self.prompts)
        console.print(
            Text(
                'Text prompts such as "right pleural effusion", mean AUC over the findings with a '
                f"side (0.5 is chance): named side vs. other side {_mean(means['auc_side'])}, "
                f"finding vs. no finding {_mean(means['auc_presence'])}."
            )
        )
        for number, (query, result) in enumerate(self.searches, start=1):
            console.print(Text(f"\nSearch {number}, {query}", style="bold"))
            show_hits(result)
        steps = ", ".join(
            f"{name} {value:.0f}" for name, value in self.seconds.items() if name != "all"
        )
        console.print(f"\nTotal time: {self.seconds['all']:.0f} s ({steps}).")
        console.print(
            f"""
[bold]Next steps[/bold]
  medembed search {self.folder} --text "enlarged heart with pulmonary edema" --where "age>=70"
  medembed app {self.folder}            open the reading room
  medembed ingest my-library DICOM-FOLDER --notes reports.csv       add your own cases
  See docs/guides, docs/reference and the --help of each command.
(medembed is in .venv/bin; the patients in {self.folder} are simulated)""",
        )


def _mean(value: float | None) -> str:
    return "not assessable (too few patients)" if value is None else f"{value:.2f}"
