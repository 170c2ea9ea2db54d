"""The verb ``export-vectors``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, verb
from medembed.cli.recording import record_export
from medembed.counted import counted

__all__ = ["export_vectors"]


@verb
def export_vectors(
    library: LibraryPath,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A .parquet table, or a .npy array; its case ids go beside it as .csv.",
        ),
    ],
    kind: Annotated[
        Literal["image", "note"],
        typer.Option("--kind", help="Whether to write the vectors of images or of reports."),
    ] = "image",
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name, folder or fingerprint of a model; default: active."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the vectors of the library's cases to a file for other programs.

    The file holds case ids as in the library and vectors of length 1; no patient, no report. It is
    readable by you only. Vectors can tell of the patient: treat the file like the library.

    Example: medembed export-vectors demo-library vectors.parquet
    """
    from medembed.library import CaseLibrary
    from medembed.model.resolve import choose_model
    from medembed.vector_exchange import export_vectors as write

    with CaseLibrary.open(library) as opened:
        fingerprint = choose_model(opened, model).fingerprint
        report = write(opened, file, fingerprint, kind, overwrite=overwrite)
        record_export(opened, "vectors", report.n_vectors)

    def human() -> None:
        sys.stdout.write(
            f"wrote {counted(report.n_vectors, f'{kind} vector')}, "
            f"{counted(report.dimensions, 'dimension')}: {', '.join(report.files)}\n"
        )

    emit(report.to_json(), as_json, human)
