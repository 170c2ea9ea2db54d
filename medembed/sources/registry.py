"""Registry of sources, and detection of the kind of a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from medembed.errors import SourceError
from medembed.registry import Registry
from medembed.sources.source import Source
from medembed.sources.tabular import TABLE_SUFFIXES, is_table_name, shown

__all__ = ["SOURCES", "open_source"]

SOURCES: Registry[Callable[..., Source]] = Registry("source", "medembed.sources")
"""Sources by name; called with a path, and with ``notes`` and ``keep_columns`` if set."""

_PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")
_ZIPPED_TABLES = (".csv.gz", ".tsv.gz", ".txt.gz")
_OTHER_TABLES = (".xlsx", ".xlsm", ".xls", ".ods", ".json", ".jsonl", ".feather", ".arrow")

SOURCES.register(
    "table",
    "medembed.sources.table:TableSource",
    "csv or parquet table of image files, or a folder with cases.csv",
)
SOURCES.register(
    "dicom",
    "medembed.sources.dicom_folder:DicomFolderSource",
    "folder of DICOM files, or one file, optionally with a table of notes",
)


def open_source(
    path: str | Path,
    format: str = "auto",
    *,
    notes: str | Path | None = None,
    keep_columns: Sequence[str] = (),
) -> Source:
    """Open a source.

    Parameters
    ----------
    path : path-like
        Table, folder or file.
    format : str
        One of :data:`SOURCES`; ``"auto"`` takes a csv, tsv, txt (each also as ``.gz``) or parquet
        file, or a folder with ``cases.csv`` or ``cases.parquet``, as a table, and everything else
        as DICOM.
    notes : path-like, optional
        Table of reports to join with DICOM studies.
    keep_columns : sequence of str
        Columns of the table to keep as attributes.

    Raises
    ------
    SourceError
        If the path does not exist or cannot be read in this format.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError("file or folder not found", where=path.name or str(path))
    packed = path.suffix.lower() in _PACKED and Path(path.stem).suffix.lower() in TABLE_SUFFIXES
    if packed and not is_table_name(path):
        raise SourceError("a compressed table", where=shown(path.name), hint="decompress it first")
    tables = [path / f"cases{suffix}" for suffix in (*TABLE_SUFFIXES, *_ZIPPED_TABLES)]
    inside = next((table for table in tables if table.is_file()), None) if path.is_dir() else None
    _refuse_other_table(path, inside)
    if format == "auto":
        is_table = inside is not None or is_table_name(path)
        format = "table" if is_table and notes is None else "dicom"
    options: dict[str, object] = {}
    if keep_columns:
        options["keep_columns"] = tuple(keep_columns)
    if notes is not None:
        if format == "table":
            raise SourceError(
                "--notes is for DICOM folders; a table has its notes in the column note",
                where=path.name,
            )
        options["notes"] = notes
    if format == "table" and path.is_dir():
        if inside is None:
            raise SourceError("no cases.csv in this folder", where=path.name)
        path = inside
    return SOURCES[format](path, **options)


def _refuse_other_table(path: Path, inside: Path | None) -> None:
    """Refuse a spreadsheet or another format of tables, also as the table of a folder."""
    other = path
    if path.is_dir() and inside is None:
        there = (path / f"cases{suffix}" for suffix in _OTHER_TABLES)
        other = next((file for file in there if file.is_file()), path)
    if other.is_file() and other.suffix.lower() in _OTHER_TABLES:
        raise SourceError(
            f"{other.suffix.lower()} is not read as a table",
            where=shown(other.name),
            hint="save it as CSV UTF-8 or parquet",
        )
