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
            help="exact, auto: compare all cases. hnsw: approximate search, used when few cases "
            "are filtered out. Default: keep the current kind.",
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

    Example: medembed index demo-library --kind exact
    """
    from medembed.columns import LibraryColumns
    from medembed.index import compact_index, index_backend, set_index_backend
    from medembed.index.backend import SERVER_KEEPS
    from medembed.library import CaseLibrary
    from medembed.lookup.novelty_calibration import calibrate_novelty
    from medembed.lookup.score_evaluation import evaluate_if_due
    from medembed.model.resolve import choose_model

    opened = CaseLibrary.open(library)
    if backend is not None and not set_index_backend(opened, backend):
        note(SERVER_KEEPS)
    choice = choose_model(opened, model)
    made = compact_index(opened, choice.fingerprint, kind)
    LibraryColumns(opened).current()
    with progress_bar("calibrate") as progress:
        novelty = calibrate_novelty(opened, progress=progress)
    with progress_bar("measure scores") as progress:
        scores = evaluate_if_due(opened, choice, after_any_change=True, progress=progress)
    payload = {
        "model": made.index.fingerprint,
        "state": made.state,
        "kind": made.index.kind,
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

    emit(payload, as_json, human)
