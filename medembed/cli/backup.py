"""The verb ``backup``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, verb
from medembed.cli.recording import record_export
from medembed.counted import counted

__all__ = ["backup"]


@verb
def backup(
    library: LibraryPath,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file, such as archive.zip.")],
    derived: Annotated[
        bool,
        typer.Option(
            "--derived", help="Also index files, caches and thumbnails, which can be made again."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a library that may be in use to one file: the record as of one moment, and the models.

    Scans outside the library's folder are not in it. The file has the library's secret key and
    its reports: keep it as you keep the library. A patient erased later is still in it: delete
    older backups after an erasure.

    Example: medembed backup demo-library demo-library.zip
    """
    from medembed.library import CaseLibrary
    from medembed.library.backup import back_up

    with CaseLibrary.open(library) as opened:
        report = back_up(opened, file, derived=derived)
        record_export(opened, "backup", report.n_cases)

    def human() -> None:
        sys.stdout.write(
            f"{report.file}: {counted(report.n_cases, 'case')}, "
            f"{counted(report.n_models, 'model')}, {counted(report.n_files, 'file')} "
            f"({report.n_bytes / 2**20:.1f} MiB unpacked)\n"
        )

    emit(report.to_json(), as_json, human)
