"""The verb ``index``."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.counted import counted

__all__ = ["index"]


@verb
def index(
    library: LibraryPath,
    kind: Annotated[
        Literal["auto", "exact", "hnsw"] | None,
        typer.Option(
            "--kind",
            help="exact: compare all cases. auto: the same, except in very large libraries where "
            "--min-recall and --max-latency-ms allow less. hnsw: approximate search, used when few "
            "cases are filtered out. Default: keep the current kind.",
        ),
    ] = None,
    max_memory: Annotated[
        float | None,
        typer.Option(
            "--max-memory",
            metavar="MIB",
            help="Memory that vectors, codes and graph may take. Codes, a quarter of the vectors "
            "more, make exact search faster and are left out where they do not fit.",
        ),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(
            "--max-latency-ms",
            metavar="MS",
            help="Time that one search may take, without encoding. Measured here, now.",
        ),
    ] = None,
    min_recall: Annotated[
        float | None,
        typer.Option(
            "--min-recall",
            metavar="SHARE",
            help="Share of the ten nearest cases that an approximate search must find, as .99; "
            "measured on the library's own vectors. Default: 1, which is exact.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or folder of a model. Default: the active one."),
    ] = None,
    backend: Annotated[
        Literal["local", "gpu", "milvus"] | None,
        typer.Option(
            "--backend",
            help="Where searches run, a setting of the library (index.backend). gpu: on a GPU of "
            "each machine that has one. milvus: on the server that MEDEMBED_MILVUS_URI and "
            "MEDEMBED_MILVUS_TOKEN name. Default: keep it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build or update the search index of a library.

    search does so when needed; use index to do it in advance, or to change the kind. It also
    calibrates the check whether the library has anything like a query, and measures what scores are
    worth; search only uses both.

    --max-memory, --max-latency-ms and --min-recall stay until any of them, or --kind, is given
    again. The output says what was chosen and why.

    Example: medembed index demo-library --kind auto --max-latency-ms 50 --min-recall .99
    """
    from medembed.columns import LibraryColumns
    from medembed.index import (
        Budget,
        CaseIndex,
        compact_index,
        index_backend,
        set_index_backend,
    )
    from medembed.index.backend import SERVER_KEEPS
    from medembed.library import CaseLibrary
    from medembed.lookup.novelty_calibration import calibrate_novelty
    from medembed.lookup.score_evaluation import evaluate_if_due
    from medembed.model.resolve import choose_model

    limits = (max_memory, max_latency, min_recall)
    budget = None if limits == (None, None, None) else Budget(*limits)
    opened = CaseLibrary.open(library)
    if backend is not None and not set_index_backend(opened, backend):
        note(SERVER_KEEPS)
    choice = choose_model(opened, model)
    made = compact_index(opened, choice.fingerprint, kind, budget=budget)
    searches = made.index.choice if isinstance(made.index, CaseIndex) else None
    LibraryColumns(opened).current()
    with progress_bar("calibrate") as progress:
        novelty = calibrate_novelty(opened, progress=progress)
    with progress_bar("measure scores") as progress:
        scores = evaluate_if_due(opened, choice, after_any_change=True, progress=progress)
    payload = {
        "model": made.index.fingerprint,
        "state": made.state,
        "kind": made.index.kind,
        "choice": None if searches is None else searches.to_json(),
        "backend": index_backend(opened),
        "cases": len(made.index),
        "dim": made.index.dim,
        "novelty": novelty.to_json(),
        "scores": scores.to_json(),
    }

    def human() -> None:
        current = f"the index is up to date: {counted(len(made.index), 'case')}"
        done = "; ".join(map(str, made.notes)) or current
        sys.stdout.write(f"{done} ({made.index.kind}, {counted(made.index.dim, 'dimension')})\n")
        if searches is not None:
            sys.stdout.write(f"{searches}\n")

    emit(payload, as_json, human)
