"""The verb ``restore``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medembed.cli.command import AsJson, emit, note, verb
from medembed.counted import counted

__all__ = ["restore"]


@verb
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that backup wrote.")],
    library: Annotated[Path, typer.Argument(metavar="LIBRARY", help="New folder.")],
    as_json: AsJson = False,
) -> None:
    """Make a library from a backup; an existing one is never overwritten.

    Everything is compared with its digest before anything is written. Patients who were erased
    after the backup was made are in the restored library: erase them again.

    Example: medembed restore demo-library.zip restored-library
    """
    from medembed.library.backup import restore as unpack

    report = unpack(file, library)

    def human() -> None:
        sys.stdout.write(
            f"{library.name}: {counted(report.n_cases, 'case')} and "
            f"{counted(report.n_models, 'model')}, as of {report.made}\n"
        )

    emit(report.to_json(), as_json, human)
    note("patients erased since the backup was made are in this library again: erase them again")
