"""The verb ``import-vectors``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, verb
from medembed.counted import counted

if TYPE_CHECKING:
    from medembed.vector_exchange import ImportReport

__all__ = ["import_vectors"]


@verb
def import_vectors(
    library: LibraryPath,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A .npy array with its case ids beside it (.csv or .txt), or a .parquet table.",
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            "--fingerprint",
            metavar="NAME",
            help="The model that made the vectors, with its version, such as medsiglip-448.",
        ),
    ],
    kind: Annotated[
        Literal["image", "note"],
        typer.Option("--kind", help="Whether the vectors are of images or of reports."),
    ] = "image",
    ids: Annotated[
        Path | None,
        typer.Option("--ids", metavar="FILE", help="Case ids of a .npy file, if elsewhere."),
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out cases that the library lacks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add vectors that another model made elsewhere: all of a file or, if it has a fault, none.

    They can be searched by case and by vector, evaluated and audited: choose them with --model
    NAME. Vectors of one name are compared with each other, so another model needs another name.

    Example: medembed import-vectors demo-library vectors.parquet --name medsiglip-448
    """
    from medembed.library import CaseLibrary
    from medembed.vector_exchange import import_vectors as take

    with CaseLibrary.open(library) as opened:
        report = take(opened, file, name, kind, ids=ids, skip_unknown=skip_unknown)
    emit(report.to_json(), as_json, lambda: _print(report, library, name))


def _print(report: ImportReport, library: Path, name: str) -> None:
    write = sys.stdout.write
    vectors = counted(report.added, f"{report.kind} vector")
    write(f"added {vectors}, {counted(report.dimensions, 'dimension')}")
    write(f"; {report.replaced} replaced, {report.unchanged} unchanged\n")
    if report.skipped:
        write(f"skipped {report.skipped} that the library lacks\n")
    lacking = report.n_cases - report.n_vectors
    if lacking:
        of = "cases" if report.kind == "image" else "reports"
        write(f"{lacking} of the {report.n_cases} {of} have no vector of this name\n")
    if report.kind == "image":
        place = shlex.quote(str(library))
        write(f"next: medembed evaluate {place} --model {name}\n")
