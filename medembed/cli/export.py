"""The verb ``export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.cli.recording import record_export
from medembed.counted import counted

__all__ = ["export"]


@verb
def export(
    library: LibraryPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="Only cases that meet this condition; can be repeated."),
    ] = None,
    with_notes: Annotated[
        bool,
        typer.Option("--with-notes", help="Also the reports, unchanged: they may name patients."),
    ] = False,
    keep_columns: Annotated[
        list[str] | None,
        typer.Option("--keep-column", help="Also this kept column, unchanged; can be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a part of a library as a new library, under new pseudonyms and shifted dates.

    The new library has a key of its own: patients, cases, groups and sites get other names, each
    patient's dates shift by another secret number of days, ages over 89 become 90. Images become
    PNG files without a header. Volumes, and images of modalities that often have text in their
    pixels (ultrasound, secondary captures, unknown ones), are left out and counted. Vectors,
    models and paths stay behind.

    Text that is burned into an image is not removed: look through the images before you pass
    them on.

    Example: medembed export demo-library shared-library --where split=test
    """
    from medembed.library import CaseLibrary
    from medembed.library.exporting import export_library

    with CaseLibrary.open(library) as opened, progress_bar("export") as progress:
        report = export_library(
            opened,
            out,
            where,
            with_notes=with_notes,
            keep_columns=keep_columns or (),
            progress=progress,
        )
        record_export(opened, "library", report.n_cases)

    def human() -> None:
        sys.stdout.write(
            f"{out.name}: {counted(report.n_cases, 'case')} of "
            f"{counted(report.n_patients, 'patient')}, {counted(report.n_scans, 'image')}, "
            f"{counted(report.n_notes, 'report')}\n"
        )
        for reason, count in report.scans_left_out.items():
            sys.stdout.write(f"  left out: {counted(count, 'scan')} ({reason})\n")
        if report.cases_left_out:
            sys.stdout.write(f"  left out: {counted(report.cases_left_out, 'case')} without one\n")

    emit(report.to_json(), as_json, human)
    if report.n_notes:
        note("the reports were copied unchanged; they may name patients, physicians and places")
    note("look through the images: text in their pixels was not removed")
