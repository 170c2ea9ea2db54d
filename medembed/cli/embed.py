"""The verb ``embed``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.cli.suggestion import suggested_search
from medembed.counted import counted

if TYPE_CHECKING:
    from medembed.model import EmbedReport

__all__ = ["embed", "show_embedded"]


@verb
def embed(
    library: LibraryPath,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Name or folder of a model. Default: the newly trained one that has no vectors "
            "yet, else the active one.",
        ),
    ] = None,
    activate: Annotated[
        bool,
        typer.Option(
            "--activate", help="Make this model the active one, even if it lacks vectors."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Embed the scans and reports of the cases that have no vectors yet.

    A newly trained model becomes the active one at the end. If interrupted, run the same command to
    resume.

    Example: medembed embed demo-library
    """
    from medembed.library import CaseLibrary

    with CaseLibrary.open(library) as opened:
        from medembed.model import DualEncoder, embed_library, find_model

        loaded = DualEncoder.load(find_model(opened, model, newest=True))
        with progress_bar("embed") as progress:
            report = embed_library(
                opened, loaded, progress, make_active=True if activate else None, waiting=note
            )

    emit(report.to_json(), as_json, lambda: show_embedded(report, str(library)))


def show_embedded(report: EmbedReport, library: str) -> None:
    """Print what was embedded, whether the model is active, and the next command."""
    write = sys.stdout.write
    images, notes = counted(report.images, "image vector"), counted(report.notes, "note vector")
    write(f"wrote {images} and {notes}\n")
    if report.refused:
        refused = ", ".join(f"{n} {why}" for why, n in sorted(report.refused.items()))
        write(f"cases with unreadable scans: {refused}\n")
    if report.dropped:
        n = counted(report.dropped, "case")
        if report.activated:
            write(f"{n} found with the previous model can no longer be found\n")
        else:
            write(
                f"not activated: {n} could not be found with it; "
                "use --activate to activate it anyway\n"
            )
    if report.activated:
        write("this model is now the active one\n")
    elif not report.active:
        write("this model is not active; use --model to search with it\n")
        return
    from medembed.library import CaseLibrary

    with CaseLibrary.open(library) as opened:
        write(f"next: {suggested_search(opened, library)}\n")
