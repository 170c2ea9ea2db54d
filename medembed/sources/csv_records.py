"""Strict reader of csv records: an unclosed quotation mark never joins two rows.

An unclosed quotation mark extends a cell over the next rows, which belong to other patients.
It shows in one of three ways: text follows the closing mark, no mark closes the cell, or the cell
contains what looks like rows of the table. Then every row that the cell touches is refused, and
reading continues at the next line that is certainly a row: it has as many cells as the header, and
its keys have the same form as the keys of the other rows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Dialect", "Record", "RowShape", "learn_shape", "read_records"]

LONGEST_CELL = 2**24
_MOST_SHAPES = 10  # keys with more forms than this are compared more coarsely
_MOST_COUNTED = 1000
_LEVELS = (0, 1, 2)
_COARSE = 2
_FEW_ROWS = 20
_DIGITS = re.compile(r"[0-9]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")

TEXT_BEHIND_QUOTE = "text follows the closing quotation mark of a cell"
NEVER_CLOSED = "a quotation mark is never closed"
HOLDS_ROWS = "a quoted cell seems to contain further rows"
_INSIDE = "inside the broken quotation of an earlier row"
_AND_REST = "; the following rows cannot be separated and are refused too"


@dataclass(frozen=True)
class Record:
    """One row as written.

    Parameters
    ----------
    cells : tuple of str
    fault : str
        Why it cannot be used; empty if it can.
    """

    cells: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class Dialect:
    """How cells are separated.

    Parameters
    ----------
    delimiter : str
    is_spaced : bool
        Whether blanks precede opening quotation marks.
    """

    delimiter: str
    is_spaced: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Read records strictly; :class:`csv.Error` on a broken quotation."""
        return csv.reader(
            lines, delimiter=self.delimiter, skipinitialspace=self.is_spaced, strict=True
        )

    def cells(self, line: str) -> list[str]:
        """Return the cells of a single line; none if it is too long."""
        if len(line) >= LONGEST_CELL:
            return []
        return next(csv.reader([line], delimiter=self.delimiter), [])


@dataclass(frozen=True)
class RowShape:
    """How the rows of a table look.

    Parameters
    ----------
    dialect : Dialect
    n_columns : int
        Without blank ones after the last.
    width : int
        Cells per row; those after the last column are blank.
    keys : tuple of int
        Columns whose cells identify a row.
    levels : tuple of int
        How closely the cells of each key are compared.
    shapes : tuple of frozenset of str
        Forms of the cells of each key.
    loose : tuple of frozenset of str
        The same at the coarsest level, used if few rows are known; else empty.
    n_least : int
        Number of mandatory keys.
    """

    dialect: Dialect
    n_columns: int
    width: int
    keys: tuple[int, ...]
    levels: tuple[int, ...]
    shapes: tuple[frozenset[str], ...]
    loose: tuple[frozenset[str], ...]
    n_least: int

    def fits(self, cells: Sequence[str]) -> bool:
        """Return whether the number of cells is right and none is after the last column."""
        return len(cells) == self.width and not any(c.strip() for c in cells[self.n_columns :])

    def seems_row(self, cells: Sequence[str]) -> bool:
        """Return whether ``cells`` may be a row: most keys look like keys."""
        return self.fits(cells) and self.seems_keyed(cells)

    def seems_keyed(self, cells: Sequence[str], first_column: int = 0) -> bool:
        """Return whether most keys among ``cells``, from a given column on, look like keys."""
        end = first_column + len(cells)
        missing = len(self.keys) - sum(first_column <= key < end for key in self.keys)
        least = max(1, self.n_least - missing)
        likely = [
            _shape(cell, self.levels[i]) in self.shapes[i] or _shape(cell, _COARSE) in self.loose[i]
            for i, cell in self._keys_of(cells, first_column)
        ]
        return len(likely) >= least and 2 * sum(likely) >= len(likely)

    def is_row(self, cells: Sequence[str]) -> bool:
        """Return whether ``cells`` are certainly a row: all keys look like keys."""
        keys = list(self._keys_of(cells, 0)) if self.fits(cells) else []
        return len(keys) >= self.n_least and all(
            _shape(c, self.levels[i]) in self.shapes[i] for i, c in keys
        )

    def _keys_of(self, cells: Sequence[str], first_column: int) -> Iterator[tuple[int, str]]:
        for i, key in enumerate(self.keys):
            place = key - first_column
            cell = cells[place].strip() if 0 <= place < len(cells) else ""
            if cell:
                yield i, cell


def _shape(cell: str, level: int) -> str:
    """Return the form of a key: without digits, without letters too, or its character set."""
    if level == 0:
        return _DIGITS.sub("9", cell).upper()
    if level == 1:
        return _DIGITS.sub("9", _LETTERS.sub("a", cell))
    signs = {
        "9" if c.isdigit() else "a" if c.isalpha() else " " if c.isspace() else "." for c in cell
    }
    return "".join(sorted(signs))


@dataclass
class _Lines:
    """The lines of a file, with those of the current record."""

    lines: Iterator[str]
    taken: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)  # to be read again, in reverse order
    length: int = 0
    ended: bool = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.back:
            line = self.back.pop()
        else:
            try:
                line = next(self.lines)
            except StopIteration:
                self.ended = True
                raise
        self.taken.append(line)
        self.length += len(line)
        return line

    def begin(self) -> None:
        """Start a new record."""
        self.taken.clear()
        self.length = 0
        self.ended = False

    @property
    def unclosed(self) -> bool:
        """Whether a cell extends to the end of the file or is too long."""
        return self.ended or self.length > LONGEST_CELL

    def give_back(self, lines: Sequence[str]) -> None:
        """Push these lines back to be read again."""
        self.back.extend(reversed(lines))


def learn_shape(
    lines: Iterable[str],
    dialect: Dialect,
    columns: Sequence[str],
    keys: Sequence[int],
    n_least: int = 1,
) -> RowShape:
    """Learn the number of cells and the form of the keys from all rows.

    Parameters
    ----------
    lines : iterable of str
        Lines below the header, with line ends.
    dialect : Dialect
    columns : sequence of str
        The header, blank names included.
    keys : sequence of int
        Columns whose cells identify a row.
    n_least : int
        Number of mandatory keys.
    """
    n_columns = len(columns)
    while n_columns and not columns[n_columns - 1]:
        n_columns -= 1
    widths: set[int] = set()
    n_rows = 0
    seen = [[_Shapes() for _ in _LEVELS] for _ in keys]
    for cells, is_clean in _readable(lines, dialect):
        if len(cells) < n_columns or not any(cells) or any(c.strip() for c in cells[n_columns:]):
            continue
        widths.add(len(cells))
        n_rows += 1
        for levels, key in zip(seen, keys, strict=True):
            cell = cells[key].strip()
            if cell and not _LINE_ENDS.search(cell):
                for level, shapes in zip(_LEVELS, levels, strict=True):
                    shapes.count(_shape(cell, level), is_clean)
    taken = [
        next(i for i in _LEVELS if levels[i].is_distinctive or i == _COARSE) for levels in seen
    ]
    return RowShape(
        dialect,
        n_columns,
        # all rows may end with the same blank cells; a single one may have lost a quote
        widths.pop() if len(widths) == 1 else len(columns),
        tuple(keys),
        tuple(taken),
        tuple(levels[level].trusted for levels, level in zip(seen, taken, strict=True)),
        tuple(levels[_COARSE].trusted if n_rows < _FEW_ROWS else frozenset() for levels in seen),
        n_least,
    )


@dataclass
class _Shapes:
    """Forms of the keys of a column, counted before and after the first broken quotation."""

    clean: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)

    def count(self, shape: str, is_clean: bool) -> None:
        """Count one more key."""
        counter = self.clean if is_clean else self.later
        if shape in counter or len(counter) < _MOST_COUNTED:
            counter[shape] += 1
        else:
            counter[""] += 1

    @property
    def trusted(self) -> frozenset[str]:
        """Reliable forms; after a broken quotation a line of a report may look like a row."""
        least = max(3 if self.clean else 1, self.later.total() // 20)
        later = {shape for shape, count in self.later.items() if count >= least}
        return frozenset({*self.clean, *later} - {""})

    @property
    def is_distinctive(self) -> bool:
        """Whether most keys have one of few forms."""
        trusted = self.trusted
        counts = self.clean + self.later
        covered = sum(counts[shape] for shape in trusted)
        return len(trusted) <= _MOST_SHAPES and 2 * covered >= counts.total()


def _readable(lines: Iterable[str], dialect: Dialect) -> Iterator[tuple[list[str], bool]]:
    """Yield readable records, and whether everything before was readable."""
    csv.field_size_limit(LONGEST_CELL)
    source, is_clean = _Lines(iter(lines)), True
    while True:
        source.begin()
        try:
            yield next(dialect.reader(source)), is_clean
        except StopIteration:
            return
        except csv.Error:
            is_clean = False
            if source.unclosed:
                source.give_back(source.taken[1:])


def read_records(lines: Iterable[str], shape: RowShape) -> Iterator[Record]:
    """Read the rows below the header.

    Parameters
    ----------
    lines : iterable of str
        Lines with line ends.
    shape : RowShape

    Yields
    ------
    Record
        One per row, in order, including blank rows, so that rows can be counted.
    """
    csv.field_size_limit(LONGEST_CELL)
    source = _Lines(iter(lines))
    while True:
        source.begin()
        try:
            cells = next(shape.dialect.reader(source))
        except StopIteration:
            return
        except csv.Error:
            if source.unclosed:
                # nothing closes it, so the other rows are independent
                source.give_back(source.taken[1:])
                del source.taken[1:]
                yield from _broken(source, shape, NEVER_CLOSED)
            else:
                yield from _broken(source, shape, TEXT_BEHIND_QUOTE)
            continue
        if len(source.taken) > 1 and _holds_rows(cells, shape):
            yield from _broken(source, shape, HOLDS_ROWS)
        else:
            yield Record(tuple(cells))


def _broken(source: _Lines, shape: RowShape, fault: str) -> Iterator[Record]:
    """Refuse the rows of the current lines and continue at the next certain row."""
    rows = sum(shape.is_row(shape.dialect.cells(line)) for line in source.taken[1:])
    lost = False
    for line in source:
        if shape.is_row(shape.dialect.cells(line)):
            source.give_back([line])
            break
        lost = lost or bool(line.strip())
        source.taken.clear()
    else:
        if lost:
            fault += _AND_REST
    yield Record(fault=fault)
    for _ in range(rows):
        yield Record(fault=f"{_INSIDE}: {fault}")


def _holds_rows(cells: Sequence[str], shape: RowShape) -> bool:
    """Return whether a cell contains the end of a row, whole rows, or the start of a row."""
    for column, cell in enumerate(cells):
        pieces = _LINE_ENDS.split(cell)
        if len(pieces) == 1:
            continue
        first, *others = (shape.dialect.cells(piece) for piece in pieces)
        last = others[-1]
        ends = len(first) == shape.width - column and shape.seems_keyed(first[1:], column + 1)
        starts = len(last) == column + 1 and shape.seems_keyed(last[:column])
        if ends or starts or any(map(shape.seems_row, others)):
            return True
    return False
