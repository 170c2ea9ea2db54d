"""Verbs of the command line that live in ``evaluation``: ``evaluate`` and ``compare-models``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.retrieval.library import LibraryScores
    from evaluation.retrieval.runs import RunScores
    from evaluation.retrieval.tasks import Relevance
    from medembed.lookup.score_tables import ScoreTables

__all__ = ["compare_models", "evaluate"]


@verb
def evaluate(
    library: Annotated[
        Path | None,
        typer.Argument(
            metavar="LIBRARY",
            show_default=False,
            help="Folder of the case library; optional with --run and --qrels.",
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            help="Cases to use as queries and as gallery: test, val or train; with --run also all.",
        ),
    ] = "test",
    pool: Annotated[
        int | None,
        typer.Option(
            "--pool",
            min=2,
            help="Use a random sample of this many cases, drawn patient by patient.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name, folder or fingerprint of a model; default: active."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="FILE",
            help="Measure these hits of another system: a TREC run, or csv or parquet with the "
            "columns query, case, score.",
        ),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(
            "--qrels",
            metavar="FILE",
            help="Relevance of the run's cases: TREC qrels, or csv or parquet with the columns "
            "query, case, grade.",
        ),
    ] = None,
    min_grade: Annotated[
        float | None,
        typer.Option("--min-grade", min=0, help="Smallest grade of --qrels that is relevant."),
    ] = None,
    relevant: Annotated[
        str | None,
        typer.Option(
            "--relevant",
            metavar="finding|own",
            help="What is relevant without --qrels: finding, other patients' cases with the same "
            "finding (default); own, the query's own case.",
        ),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Measure the cases that have vectors even if others of the split have none.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure retrieval, with intervals over patients and chance beside each measure.

    With a LIBRARY alone, its model searches its held-out cases: by report, by scan, and for the
    same finding, with null controls. With --run, the hits of any system are measured instead, in
    the order of their scores; relevance comes from --qrels or from the library's findings. A query
    without hits counts as 0. Hits of the query's own patient are excluded if patients are known.
    A split of which only some cases have vectors is refused, unless --allow-partial is given.

    Held-out patients (val and test) also ask the whole library, to measure what a score is worth:
    search says so beside each hit from then on.

    Example: medembed evaluate demo-library --split test --pool 300

    Example: medembed evaluate --run hits.trec --qrels qrels.csv
    """
    result: LibraryScores | RunScores
    worth: ScoreTables | None = None
    if run is None:
        if library is None:
            raise InputError("nothing to evaluate", hint="give a LIBRARY, or --run FILE")
        _refuse({"--qrels": qrels, "--relevant": relevant, "--min-grade": min_grade}, "needs --run")
        result, worth = _of_library(library, split, pool, model, seed, allow_partial)
    else:
        _refuse(
            {"--pool": pool, "--model": model, "--allow-partial": allow_partial or None},
            "does not go with --run",
        )
        if qrels is not None:
            _refuse({"--relevant": relevant}, "does not go with --qrels")
        else:
            _refuse({"--min-grade": min_grade}, "needs --qrels")
        if relevant not in (None, "own", "finding"):
            raise InputError("not a kind of relevance", where="--relevant", hint="finding or own")
        result = _of_run(
            run, qrels, library, split=split, relevant=cast("Relevance", relevant or "finding"),
            min_grade=min_grade or 0.0, seed=seed,
        )  # fmt: skip
    from evaluation.retrieval.text_report import print_scores, print_worth

    def human() -> None:
        print_scores(result)
        if worth is not None:
            print_worth(worth)

    payload = result.to_json()
    emit({**payload, "score_worth": worth.to_json()} if worth else payload, as_json, human)


def _refuse(given: dict[str, object], why: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise InputError(why, where=option)


def _of_library(
    library: Path, split: str, pool: int | None, model: str | None, seed: int, partial: bool
) -> tuple[LibraryScores, ScoreTables]:
    from evaluation.retrieval.library import evaluate_library
    from medembed.library import CaseLibrary
    from medembed.lookup.score_evaluation import evaluate_scores
    from medembed.model.resolve import choose_model

    with CaseLibrary.open(library) as opened:
        choice = choose_model(opened, model)
        with progress_bar("evaluating") as progress:
            result = evaluate_library(
                opened,
                split,
                choice.fingerprint,
                pool,
                allow_partial=partial,
                seed=seed,
                progress=progress,
            )
        with progress_bar("measure scores") as progress:
            worth = evaluate_scores(opened, choice, progress=progress)
    if split == "train":
        note("medembed: the model was trained on these cases; the scores measure memorization")
    return result, worth


def _of_run(run: Path, qrels: Path | None, library: Path | None, **options: Any) -> RunScores:
    from evaluation.retrieval.runs import evaluate_run, read_qrels, read_run
    from medembed.library import CaseLibrary

    hits = read_run(run)
    judged = None if qrels is None else read_qrels(qrels)
    with nullcontext() if library is None else CaseLibrary.open(library) as opened:
        return evaluate_run(hits, judged, opened, **options)


@verb
def compare_models(
    library: LibraryPath,
    candidate: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name, folder or fingerprint of the candidate.")
    ],
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="MODEL", help="Compare with this model; default: the active one."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Hits of each query.")] = 10,
    queries: Annotated[
        int, typer.Option("--queries", min=1, help="Most cases of the library to use as queries.")
    ] = 500,
    by: Annotated[
        str,
        typer.Option("--by", metavar="A,B,…", help="Groups, by these attributes; empty for none."),
    ] = "sex,age_band",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Also write comparison.json and comparison.md, which name no case, and "
            "most-changed.csv, which does.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare a model that is not active yet with the active one, before the library changes over.

    Cases of the library are the queries: by image, by report, and by the words for their findings.
    Shown are the share of hits that stay, and the share with the query's finding under both models,
    with intervals over patients, by group, and the cases whose hits change most. If one of the
    models was trained on this library, only held-out cases are queries. Both need vectors: medembed
    embed LIBRARY --model MODEL --no-activate.

    Example: medembed compare-models demo-library demo-int8 --by sex,age_band --out change
    """
    from evaluation.shadow.compare import compare_library_models
    from evaluation.shadow.models import compared_model
    from evaluation.shadow.text import lines, write_comparison
    from medembed.library import CaseLibrary
    from medembed.model.resolve import choose_model

    with CaseLibrary.open(library) as opened, progress_bar("comparing") as progress:
        found = compare_library_models(
            opened,
            compared_model(opened, choose_model(opened, candidate)),
            compared_model(opened, choose_model(opened, against)),
            k=k,
            queries=queries,
            by=[name.strip() for name in by.split(",") if name.strip()],
            seed=seed,
            progress=progress,
        )
    written = {} if out is None else write_comparison(found, out)
    payload: dict[str, Any] = {
        **found.report,
        "most_changed": [asdict(one) for one in found.most_changed],
        "files": {name: str(path) for name, path in written.items()},
    }

    def human() -> None:
        shown = [*lines(found), *(f"{name}: {path}" for name, path in written.items())]
        sys.stdout.write("\n".join(shown) + "\n")

    emit(payload, as_json, human)
