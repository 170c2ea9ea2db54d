"""Rows of a csv or parquet file, as text, with their place for messages."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from medembed.errors import SourceError
from medembed.sources.columns import RESERVED

__all__ = ["TABLE_SUFFIXES", "Row", "Table"]

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")

_DELIMITERS = (",", ";", "\t")
_BATCH = 1024
_LONGEST_CELL = 2**27


@dataclass(frozen=True)
class Row:
    """One row: its cells by column, and where it stands.

    Parameters
    ----------
    number : int
        As a spreadsheet counts: the header is row 1.
    cells : dict of str to str
    fault : str
        Why the row is none; empty where it is one.
    """

    number: int
    cells: dict[str, str]
    fault: str = ""


class Table:
    """A csv or parquet file with a header.

    csv is read as UTF-8 with or without a mark, else as Latin-1, which is said; the separator is
    the comma, semicolon or tab that the header shows.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that have to be there.
    known : sequence of str
        Columns that are understood.
    keep : sequence of str
        Further columns to keep; the others are left out, and said.

    Raises
    ------
    SourceError
        Where it is missing, empty, cannot be read, or lacks a column.
    """

    def __init__(
        self,
        path: Path,
        required: Sequence[str],
        known: Sequence[str],
        keep: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.keep = tuple(name for name in dict.fromkeys(keep) if name not in known)
        if not path.is_file():
            raise SourceError("no such file", where=path.name)
        if path.stat().st_size == 0:
            raise SourceError("an empty file, not a table", where=path.name)
        self._encoding = "utf-8"
        self.columns = self._columns()
        doubled = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if doubled:
            raise SourceError(f"columns named twice: {', '.join(doubled)}", where=path.name)
        missing = [name for name in required if name not in self.columns]
        if missing:
            raise SourceError(
                f"columns missing: {', '.join(missing)}",
                where=path.name,
                hint="docs/reference/table-source.md lists them",
            )
        lost = [name for name in self.keep if name not in self.columns]
        if lost:
            raise SourceError(f"no columns to keep: {', '.join(lost)}", where=path.name)
        taken = [name for name in self.keep if name.lower() in RESERVED]
        if taken:
            raise SourceError(
                f"conditions use these names for themselves: {', '.join(taken)}",
                where=path.name,
                hint="rename the columns",
            )
        self.ignored = tuple(n for n in self.columns if n and n not in (*known, *self.keep))

    def say(self, say: Callable[[str], None]) -> None:
        """Say what was noticed on opening: the encoding, and columns left out."""
        if self._encoding == "latin-1":
            say(f"{self.path.name} is not UTF-8 and was read as Latin-1")
        if self.ignored:
            say(
                f"{self.path.name}: columns left out: {', '.join(self.ignored)} "
                "(--keep-columns keeps some)"
            )

    def rows(self) -> Iterator[Row]:
        """Give the rows that are not blank, in order."""
        return self._parquet_rows() if self._is_parquet else self._csv_rows()

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix.lower() == ".parquet"

    def _columns(self) -> list[str]:
        if self._is_parquet:
            return [str(name).strip() for name in self._parquet().schema_arrow.names]
        self._encoding = self._find_encoding()
        with self._open() as file:
            header = file.readline()
        self._delimiter = max(_DELIMITERS, key=header.count)
        try:
            with self._open() as file:
                return [name.strip() for name in next(self._reader(file), [])]
        except csv.Error as error:
            raise SourceError("the header cannot be read as csv", where=self.path.name) from error

    def _find_encoding(self) -> str:
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                while file.read(2**20):
                    pass
        except UnicodeDecodeError:
            return "latin-1"
        return "utf-8-sig"

    def _open(self) -> io.TextIOWrapper:
        return self.path.open(encoding=self._encoding, newline="")

    def _reader(self, file: io.TextIOWrapper) -> Iterator[list[str]]:
        csv.field_size_limit(_LONGEST_CELL)
        return csv.reader(file, delimiter=self._delimiter)

    def _csv_rows(self) -> Iterator[Row]:
        number, wanted = 1, len(self.columns)
        with self._open() as file:
            reader = self._reader(file)
            next(reader, None)
            try:
                for cells in reader:
                    number += 1
                    if not any(cell.strip() for cell in cells):
                        continue
                    if len(cells) != wanted:
                        yield Row(number, {}, f"{len(cells)} cells under {wanted} columns")
                        continue
                    yield Row(number, dict(zip(self.columns, cells, strict=True)))
            except csv.Error:
                yield Row(number + 1, {}, "the rest of the file cannot be read as csv")

    def _parquet(self) -> Any:  # pyarrow has no types
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise SourceError("not a readable parquet file", where=self.path.name) from error

    def _parquet_rows(self) -> Iterator[Row]:
        import pyarrow

        number = 1
        try:
            for batch in self._parquet().iter_batches(_BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(number, {str(k).strip(): _plain(v) for k, v in record.items()})
        except (pyarrow.ArrowInvalid, OSError):
            yield Row(number + 1, {}, "the rest of the file cannot be read as parquet")


def _plain(value: object) -> str:
    """Write a parquet cell as the text that csv would have."""
    if value is None or value != value:  # noqa: PLR0124  only NaN differs from itself
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ";".join(_plain(part) for part in value)
    return str(value)
