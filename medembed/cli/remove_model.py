"""The verb ``remove-model``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, verb
from medembed.counted import counted

__all__ = ["remove_model"]


@verb
def remove_model(
    library: LibraryPath,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model or imported vectors of the library, or a fingerprint."
        ),
    ],
    vectors_only: Annotated[
        bool,
        typer.Option(
            "--vectors-only", help="Keep the model itself, so that it can be embedded with again."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a model that is no longer needed: its vectors, its index and its folder.

    The active model and the one before it, to which medembed use --back returns, are refused. A
    removed model comes back only by training or importing it again.

    Example: medembed remove-model demo-library demo-int8
    """
    from medembed.library import CaseLibrary
    from medembed.model.removal import remove_model as remove

    with CaseLibrary.open(library) as opened:
        report = remove(opened, model, vectors_only=vectors_only)

    def human() -> None:
        what = "and its folder" if report.folder else "and its index"
        sys.stdout.write(f"{report.name}: removed {counted(report.vectors, 'vector')} {what}\n")

    emit(report.to_json(), as_json, human)
