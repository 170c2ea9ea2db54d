"""Rows of a csv or parquet file as text, with row numbers for messages."""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from medembed.counted import counted
from medembed.errors import SourceError
from medembed.sources.cell_faults import cell_fault, plain_text
from medembed.sources.cell_parsers import RESERVED
from medembed.sources.csv_records import Dialect, RowShape, learn_shape, read_records
from medembed.sources.table_text import find_encoding, open_text

__all__ = ["TABLE_SUFFIXES", "Row", "Table", "is_table_name", "shown"]

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")  # .txt: "Unicode text" of Excel

_ALSO_NAMED: dict[str, tuple[str, ...]] = {
    "case_id": ("id", "case", "accession", "accessionnumber", "imageid", "dicomid"),
    "patient_id": ("patient", "subject", "subjectid", "pid", "mrn"),
    "image_path": ("path", "image", "images", "file", "filename", "filepath", "imagefile",
                   "imagepaths", "img", "dicompath", "paths"),
    "note": ("report", "reporttext", "text", "notes", "notetext", "radiologyreport", "caption"),
    "findings": ("finding", "labels", "label", "findinglabels"),
    "view": ("viewposition", "projection"),
    "sex": ("gender", "patientsex", "patientgender"),
    "age": ("patientage", "ageyears"),
    "study_date": ("date", "studydate"),
}  # fmt: skip
"""Names that other tables use, without signs; proposed in messages, never assumed."""

_DELIMITERS = (",", ";", "\t", "|")
_BATCH = 1024
_SEPARATOR_LINE = re.compile(
    r'"?sep=(.)"?[,;\t|]*\s*', re.IGNORECASE
)  # first line written by Excel
_UNDEFINED = re.compile(r"[\x81\x8d\x8f\x90\x9d]")
_MOST_NAMED = 5
_MOST_TITLES = 20


@dataclass(frozen=True)
class Row:
    """One row: its number and its cells by column.

    Parameters
    ----------
    number : int
        As in a spreadsheet: the header is row 1.
    cells : dict of str to str
    fault : str
        Why the row cannot be used; empty if it can.
    """

    number: int
    cells: dict[str, str]
    fault: str = ""


class Table:
    """A csv or parquet file with a header.

    csv may be packed with gzip. It is read in the encoding of its byte order mark, else as UTF-8,
    else as Windows-1252 with a warning. The separator is the comma, semicolon, tab or bar that
    gives the known columns, or the one stated by a first line ``sep=;``. Column names ignore case
    and surrounding blanks.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Mandatory columns.
    known : sequence of str
        Supported columns.
    ids : sequence of str
        Supported columns that hold identifiers.
    keys : sequence of str
        Supported columns that distinguish a row from text.
    keep : sequence of str
        Additional columns to keep; the others are ignored with a warning.

    Raises
    ------
    SourceError
        If the file is missing, empty or unreadable, or lacks a column.
    """

    def __init__(
        self,
        path: Path,
        required: Sequence[str],
        known: Sequence[str],
        *,
        ids: Sequence[str],
        keys: Sequence[str],
        keep: Sequence[str] = (),
    ) -> None:
        self.path, self.name = path, shown(path.name)
        self._known, self._ids, self._keys = tuple(known), frozenset(ids), tuple(keys)
        self._n_least = max(1, len(set(keys).intersection(required)))
        self._shape: RowShape | None = None
        if not path.is_file():
            raise SourceError("file not found", where=self.name)
        if path.stat().st_size == 0:
            raise SourceError("the file is empty", where=self.name)
        self._encoding = None if self._is_parquet else find_encoding(path)
        self._skip_lines = 0
        written = self._parquet_header() if self._is_parquet else self._csv_header()
        self.columns = [_bare(name, self._known) for name in written]
        self.keep = self._kept(keep)
        self._check_columns(required)
        used = (*known, *self.keep)
        self.ignored = tuple(shown(n) for n in self.columns if n and n not in used)
        self._odd_rows: list[int] = []

    def _kept(self, keep: Sequence[str]) -> tuple[str, ...]:
        """Return the columns to keep, spelled as in the header."""
        folded = {name.casefold(): name for name in self.columns}
        names = dict.fromkeys(
            name if name in self.columns else folded.get(name.casefold(), name) for name in keep
        )
        return tuple(name for name in names if name not in self._known)

    def _check_columns(self, required: Sequence[str]) -> None:
        counts = Counter(self.columns)
        doubled = sorted(n for n in {*self._known, *self.keep} if counts[n] > 1)
        if doubled:
            raise SourceError(f"duplicate columns: {', '.join(doubled)}", where=self.name)
        missing = [name for name in required if name not in self.columns]
        if missing:
            near = near_misses(missing, self.columns, self._known)
            below = self._header_below(required)
            hint = "see docs/reference/table-source.md"
            if below:
                hint = f"line {below} looks like the header: remove the lines above it"
            elif near:
                hint = f"rename {near}"
            raise SourceError(f"missing columns: {', '.join(missing)}", where=self.name, hint=hint)
        lost = [name for name in self.keep if name not in self.columns]
        if lost:
            raise SourceError(f"columns to keep not found: {', '.join(lost)}", where=self.name)
        taken = [name for name in self.keep if name.lower() in RESERVED]
        if taken:
            raise SourceError(
                f"reserved column names: {', '.join(taken)}",
                where=self.name,
                hint="rename the columns",
            )

    def warn(self, warn: Callable[[str], None]) -> None:
        """Report the encoding, if it was guessed, and ignored columns."""
        if self._encoding == "cp1252":
            warn(f"{self.name}: not UTF-8; read as Windows-1252")
        if self.ignored:
            absent = [name for name in self._known if name not in self.columns]
            near = near_misses(absent, self.ignored, self._known)
            warn(
                f"{self.name}: ignored columns: {', '.join(self.ignored)} "
                f"(keep them with --keep-columns{f', or rename {near}' if near else ''})"
            )

    def warn_rows(self, warn: Callable[[str], None]) -> None:
        """Report observations on the rows, once all are read."""
        if self._odd_rows:
            named = ", ".join(map(str, self._odd_rows[:_MOST_NAMED]))
            more = len(self._odd_rows) - _MOST_NAMED
            warn(
                f"{self.name}: bytes undefined in Windows-1252; letters may "
                f"be wrong: rows {named}{f' and {more} more' if more > 0 else ''}"
            )

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are not blank, in order."""
        self._odd_rows = []
        return self._parquet_rows() if self._is_parquet else self._csv_rows()

    def _row(self, number: int, cells: Mapping[str, str]) -> Row:
        used = {name: cells[name] for name in (*self._known, *self.keep) if name in cells}
        fault = cell_fault(used, self._ids)
        if self._encoding == "cp1252" and any(map(_UNDEFINED.search, used.values())):
            self._odd_rows.append(number)
        return Row(number, {} if fault else dict(cells), fault)

    # csv

    def _csv_header(self) -> list[str]:
        with self._open() as file:
            line = self._first_line(file)
            stated = _SEPARATOR_LINE.fullmatch(line)
            if stated:
                self._skip_lines += 1
                line = self._first_line(file)
        if stated:
            self._delimiter = stated[1]
        else:
            headers = {mark: _cells(line, mark) for mark in _DELIMITERS}
            self._delimiter = max(headers, key=lambda mark: self._score(headers[mark]))
        try:
            with self._open() as file:
                header = next(
                    csv.reader(self._lines(file), delimiter=self._delimiter, strict=True), []
                )
        except csv.Error as error:
            raise SourceError("the header cannot be read as csv", where=self.name) from error
        return header

    def _first_line(self, file: Any) -> str:
        """Return the next line that is not blank."""
        line: str = file.readline()
        while line and not line.strip():
            self._skip_lines += 1
            line = file.readline()
        return line

    def _header_below(self, required: Sequence[str]) -> int:
        """Return the number of a later line that has the columns; 0 if none of the first does."""
        if self._is_parquet:
            return 0
        with self._open() as file:
            for number, line in enumerate(islice(file, _MOST_TITLES), 1):
                for mark in _DELIMITERS:
                    names = {_bare(name, self._known) for name in _cells(line, mark)}
                    if names.issuperset(required):
                        return number
        return 0

    def _score(self, header: Sequence[str]) -> tuple[int, int]:
        names = {_bare(name, self._known) for name in header}
        return len(names.intersection(self._known)), len(header)

    def _open(self) -> Any:
        return open_text(self.path, self._encoding or "utf-8-sig")

    def _lines(self, file: Iterator[str]) -> Iterator[str]:
        for _ in range(self._skip_lines):
            next(file, "")
        return file

    def _below_header(self, file: Iterator[str]) -> Iterator[str]:
        lines = self._lines(file)
        next(csv.reader(lines, delimiter=self._delimiter, strict=True), None)
        return lines

    def _dialect(self) -> Dialect:
        """Detect whether blanks precede the quotation marks of cells."""
        spaced = re.compile(re.escape(self._delimiter) + ' +"')
        with self._open() as file:
            return Dialect(self._delimiter, any(map(spaced.search, file)))

    def _csv_rows(self) -> Iterator[Row]:
        if self._shape is None:
            keys = [self.columns.index(name) for name in self._keys if name in self.columns]
            dialect = self._dialect()
            with self._open() as file:
                lines = self._below_header(file)
                self._shape = learn_shape(lines, dialect, self.columns, keys, self._n_least)
        shape, number = self._shape, 1
        with self._open() as file:
            for record in read_records(self._below_header(file), shape):
                number += 1
                if record.fault:
                    yield Row(number, {}, record.fault)
                elif not any(cell.strip() for cell in record.cells):
                    continue
                elif not shape.fits(record.cells):
                    fault = (
                        f"{counted(len(record.cells), 'cell')} under "
                        f"{counted(len(self.columns), 'column')}"
                    )
                    yield Row(number, {}, fault)
                else:
                    yield self._row(number, dict(zip(self.columns, record.cells, strict=False)))

    # parquet

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix.lower() == ".parquet"

    def _parquet(self) -> Any:  # pyarrow has no types
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise SourceError("not a readable parquet file", where=self.name) from error

    def _parquet_header(self) -> list[str]:
        return [str(name) for name in self._parquet().schema_arrow.names]

    def _parquet_rows(self) -> Iterator[Row]:
        import pyarrow

        number = 1
        try:
            for batch in self._parquet().iter_batches(_BATCH):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield self._parquet_row(number, values)
        except (pyarrow.ArrowInvalid, OSError):
            yield Row(number + 1, {}, "the rest of the parquet file cannot be read")

    def _parquet_row(self, number: int, values: Sequence[object]) -> Row:
        cells: dict[str, str] = {}
        for name, value in zip(self.columns, values, strict=True):
            cells[name], fault = plain_text(value, name in self._ids)
            if fault and (name in self._known or name in self.keep):
                return Row(number, {}, f"column {name} {fault}")
        return self._row(number, cells)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _bare(name: str, known: Sequence[str]) -> str:
    """Strip a column name; known names get their standard spelling."""
    visible = "".join(c for c in name if unicodedata.category(c) != "Cf")
    name = " ".join(unicodedata.normalize("NFKC", visible).split())
    return name.casefold() if name.casefold() in known else name


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def near_misses(wanted: Sequence[str], columns: Sequence[str], known: Sequence[str]) -> str:
    """List columns with nearly the right name: ``'"Patient ID" to patient_id'``."""
    found = []
    free = {_plain(name): name for name in columns if name and name not in known}
    for name in wanted:
        near = difflib.get_close_matches(_plain(name), free, n=1, cutoff=0.85)
        near = near or [also for also in _ALSO_NAMED.get(name, ()) if also in free][:1]
        if near:
            found.append(f'"{shown(free.pop(near[0]))}" to {name}')
    return ", ".join(found)


def is_table_name(path: Path) -> bool:
    """Return whether a file is named like a table: ``cases.csv``, ``cases.csv.gz``."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
        return suffix in TABLE_SUFFIXES and suffix != ".parquet"
    return suffix in TABLE_SUFFIXES


def shown(name: str) -> str:
    """Return a foreign name in printable form."""
    plain = "".join(c if c.isprintable() else "\ufffd" for c in name)
    return plain if len(plain) <= 60 else plain[:57] + "..."
