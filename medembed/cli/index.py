"""The verb ``index``."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, verb

__all__ = ["index"]


@verb
def index(
    library: LibraryPath,
    kind: Annotated[
        Literal["auto", "exact", "hnsw"] | None,
        typer.Option(
            "--kind",
            help="exact compares every case; hnsw walks an approximate graph where nearly all may "
            "answer; auto is exact up to 200,000 cases. Without it the kind there is stays.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or folder of a model; the active one without it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the search index of a library, or bring it up to date.

    `search` does so by itself; this does it beforehand, or changes the kind.

    Example: medembed index demo-library --kind exact
    """
    from medembed.index import open_index
    from medembed.library import CaseLibrary
    from medembed.model.resolve import choose_model

    opened = CaseLibrary.open(library)
    made = open_index(opened, choose_model(opened, model).fingerprint, kind)
    payload = {
        "model": made.index.fingerprint,
        "state": made.state,
        "kind": made.index.kind,
        "cases": len(made.index),
        "dim": made.index.dim,
        "novelty": made.novelty.to_json(),
    }

    def human() -> None:
        said = made.message or f"the index is up to date: {len(made.index)} cases"
        sys.stdout.write(f"{said} ({made.index.kind}, {made.index.dim} dimensions)\n")

    emit(payload, as_json, human)
