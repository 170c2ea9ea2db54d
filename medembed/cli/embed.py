"""The verb ``embed``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb

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
            help="Name or folder of a model. Without it: the newest trained one that has no "
            "vectors yet, else the active one.",
        ),
    ] = None,
    activate: Annotated[
        bool,
        typer.Option("--activate", help="Search with this model from then on, whatever it lacks."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write vectors of scans and notes for the cases that lack them.

    A newly trained model becomes the active one when this is done. If interrupted, run the same
    command to resume.

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
    """Print what was embedded, which model is active, and what to do next."""
    write = sys.stdout.write
    write(f"{report.images} image vectors and {report.notes} note vectors written\n")
    if report.refused:
        refused = ", ".join(f"{n} {why}" for why, n in sorted(report.refused.items()))
        write(f"cases whose scans could not be read: {refused}\n")
    if report.dropped:
        n = f"{report.dropped} {'case' if report.dropped == 1 else 'cases'}"
        if report.activated:
            write(f"{n} of the model before have no vector now and are no longer found\n")
        else:
            write(
                f"not active: {n} of the active model cannot be read now and would no longer be "
                "found; --activate makes it active all the same\n"
            )
    if report.activated:
        write("searches use this model from now on\n")
    elif not report.active:
        write("searches do not use this model unless --model names it\n")
    write(f'next: medembed search {library} --text "right pleural effusion"\n')
