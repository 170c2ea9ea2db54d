"""The verb ``embed``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from medembed.cli.frame import AsJson, LibraryPath, emit, progress_bar, verb

__all__ = ["embed"]


@verb
def embed(
    library: LibraryPath,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or folder of a model; the active one without it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write vectors of scans and notes for the cases that lack them.

    Stopped, the same command goes on where it was.

    Example: medembed embed demo-library
    """
    from medembed.library import CaseLibrary

    with CaseLibrary.open(library) as opened:
        from medembed.model import DualEncoder, embed_library, find_model

        loaded = DualEncoder.load(find_model(opened, model))
        with progress_bar("embed") as progress:
            report = embed_library(opened, loaded, progress)

    def human() -> None:
        sys.stdout.write(f"{report.images} image vectors and {report.notes} note vectors written\n")
        if report.refused:
            refused = ", ".join(f"{n} {why}" for why, n in sorted(report.refused.items()))
            sys.stdout.write(f"cases whose scans could not be read: {refused}\n")
        sys.stdout.write(f'next: medembed search {library} --text "right pleural effusion"\n')

    emit(report.to_json(), as_json, human)
