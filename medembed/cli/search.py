"""The verb ``search``."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, verb
from medembed.cli.recording import record_search
from medembed.counted import counted
from medembed.errors import QueryError

if TYPE_CHECKING:
    from medembed.attribution.why import HitWhy
    from medembed.cases import Case
    from medembed.lookup import LookupHit, Result
    from medembed.lookup.hit_groups import PatientHits

__all__ = ["search", "show_hits"]

_WIDTH = 100


@verb
def search(
    library: LibraryPath,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Words, a sentence or a full report; repeatable."),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="DICOM, PNG, JPEG or NIfTI file, or the folder of a series; repeatable. Several "
            "DICOM files are one series.",
        ),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(
            "--case", metavar="ID", help="Use a case from the library as the query; repeatable."
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="[PART:]TOP,LEFT,BOTTOM,RIGHT",
            help="Search by a part of the query's image, in fractions from 0 to 1 as displayed: "
            "0.1,0.2,0.4,0.5. Append slice=30 for a slice of a volume, image=2 for the second "
            "image of a case. With several images, name one, as in image2:…; repeatable.",
        ),
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option(
            "--vector",
            metavar="FILE.npy",
            help="A vector made elsewhere by the same model; no patient is excluded for it.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="COND",
            help="Filter: sex=F, age>=60, finding=effusion:right, view in PA,AP, kind=image. "
            "Repeat to AND conditions.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Maximum number of hits.")] = 10,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="PART=W,…",
            help="Weights of the query's parts, such as text=0.6,image=0.4; the second text is "
            "text2. Default: equal.",
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="scans|notes|both",
            help="Compare the query with the cases' images, with their notes, or with both.",
        ),
    ] = "scans",
    like: Annotated[
        list[str] | None,
        typer.Option("--like", metavar="ID", help="Find cases more like this one; repeatable."),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--unlike", metavar="ID", help="Find cases less like this one; repeatable."),
    ] = None,
    literal: Annotated[
        bool,
        typer.Option(
            "--literal",
            help="Compare the text as written: read no findings, denials or attributes in it, and "
            "match no words.",
        ),
    ] = False,
    per_patient: Annotated[
        bool,
        typer.Option(
            "--per-patient", help="List only the best case of each patient; -k counts patients."
        ),
    ] = False,
    diversity: Annotated[
        float,
        typer.Option(
            "--diversity", metavar="0…1", help="Prefer hits that differ from each other, as 0.3."
        ),
    ] = 0.0,
    bm25: Annotated[
        bool,
        typer.Option(
            "--bm25/--no-bm25",
            help="Whether the words of the text count in the cases' notes, rare words most.",
        ),
    ] = True,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            metavar="TERM",
            help="Leave out one thing that the text was read as, such as 'sex F'; repeatable.",
        ),
    ] = None,
    rerank: Annotated[
        bool | None,
        typer.Option(
            "--rerank/--no-rerank",
            help="Read the first 50 hits together with the text and reorder them. Default: as the "
            "model says, by what its reranker gained.",
        ),
    ] = None,
    why: Annotated[
        int | None,
        typer.Option(
            "--why",
            metavar="RANK",
            help="Also show which regions of the images and sentences of the report carry the hit "
            "of this rank. Takes some seconds.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or folder of a model. Default: the active one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find past cases similar to an image, a text, a case, a vector, or a combination of these.

    Cases of the query's own patient are excluded. What a short text denies
    ("no effusion", "without cardiomegaly") and the side, degree, modality,
    view, sex and age that it names count in the score; the output says how
    the text was read.

    Example: medembed search demo-library --text "right pleural effusion" --where "age>=60"
    """
    from medembed.library import CaseLibrary
    from medembed.lookup import CaseLookup
    from medembed.vector_files import read_vector

    with CaseLibrary.open(library) as opened, CaseLookup(opened, model) as lookup:
        result = lookup.search(
            text=text or None,
            image=image or None,
            case=case or None,
            vector=None if vector is None else read_vector(vector),
            weights=_weights(weights),
            where=where,
            k=k,
            literal=literal,
            ignore=ignore or (),
            rerank=rerank,
            bm25=bm25,
            against=against,
            like=like or None,
            unlike=unlike or None,
            region=_regions(region),
            per_patient=per_patient,
            diversity=diversity,
        )
        explained = None if why is None else lookup.why(result, why)
        data = result.to_json()
        parts = {"text": text, "image": image, "case": case, "vector": vector, "where": where}
        record_search(opened, parts, case or (), data["hits"])
    if explained is not None:
        data["explained"] = {"rank": why, **explained.to_json()}
    emit(data, as_json, lambda: show_hits(result, explained, why))


def _regions(given: list[str] | None) -> dict[str, str] | str | None:
    if not given or (len(given) == 1 and ":" not in given[0]):
        return given[0] if given else None
    found: dict[str, str] = {}
    for one in given:
        part, sign, region = one.partition(":")
        if not sign or part.strip() in found:
            raise QueryError(
                "several regions need the name of the image each belongs to, each once",
                where="--region",
                hint="for example image:0.1,0.2,0.4,0.5 and image2:0.3,0.3,0.6,0.6",
            )
        found[part.strip()] = region
    return found


def _weights(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            sign = ""
        if not sign or name.strip() in found:
            raise QueryError(
                "weights must be part=number, each part once",
                where="--weights",
                hint="for example text=0.6,image=0.4",
            )
        found[name.strip()] = number
    return found


def show_hits(result: Result, explained: HitWhy | None = None, rank: int | None = None) -> None:
    """Print the hits as a table of at most 100 columns, how they were found, and why one was."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from medembed.lookup.result_table import impression, score_lines

    console = Console(width=_WIDTH if not sys.stdout.isatty() else None, highlight=False)
    console.width = min(console.width, _WIDTH)
    if result.hits:
        table = Table(
            box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False, expand=True
        )
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("case, age sex, view", overflow="fold", min_width=22, max_width=22)
        table.add_column("findings", overflow="fold", max_width=18)
        table.add_column("impression", overflow="fold", ratio=3)
        table.add_column("why", overflow="fold", ratio=2)
        groups = {patient.best: patient for patient in result.patients}
        for hit in result.hits:
            case = hit.case
            beside = _beside(hit, groups.get(hit.case_id))
            cells = (
                str(hit.rank),
                "\n".join(score_lines(hit)),
                f"{case.case_id}\n{_who(case)}{beside}",
                "\n".join(map(str, case.findings)) or "–",
                impression(case),
                str(hit.evidence),
            )
            table.add_row(*(Text(_plain(cell)) for cell in cells))
        console.print(table)
    else:
        console.print("No cases match.")
    plan = result.plan
    if plan.matching:
        console.print(Text(f"{plan}."))
    if result.hits:
        for said in _about_scores(result):
            console.print(Text(_sentence(said)))
    console.print(Text(_sentence(result.novelty_line), style="bold" if result.novel else ""))
    for line in plan.notes:
        console.print(Text(_sentence(str(line)), style="dim"))
    if explained is not None:
        console.print(Text(f"What carries hit {rank}:"))
        for said in explained.lines():
            console.print(Text(f"  {_plain(said)}"))


def _about_scores(result: Result) -> Iterator[str]:
    """Say what stands under the scores, and what it rests on or why it is missing."""
    best = result.hits[0]
    if best.percentile is not None:
        under = "under a score: the share of the archive's scores for such queries that are lower"
        if best.worth.share is None:
            yield under
        else:
            yield (
                f"{under}, and how many of 100 such hits share a finding with the query (95% "
                f"interval). Hit 1 {best.worth}"
            )
    yield str(result.score_basis)


def _who(case: Case) -> str:
    age = "?" if case.age_years is None else f"{case.age_years:.0f}"
    sex = "?" if case.sex == "unknown" else case.sex
    view = case.view if case.view != "unknown" else case.modality
    return f"{age} {sex}, {view}"


def _beside(hit: LookupHit, patient: PatientHits | None) -> str:
    """Name what is listed apart: the same image, and other studies of a patient's best hit."""
    lines = []
    if hit.same_image:
        lines.append(f"same image: {counted(len(hit.same_image), 'case')}")
    if patient and patient.others:
        lines.append(
            f"same patient: {counted(len(patient.others), 'other match', 'other matches')}"
        )
    if patient and patient.priors:
        lines.append(counted(len(patient.priors), "earlier study", "earlier studies"))
    return "".join(f"\n{line}" for line in lines)


def _plain(text: str) -> str:
    """Remove control characters: a report must not control the terminal."""
    return "".join(
        " " if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n" else c for c in text
    )


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."
