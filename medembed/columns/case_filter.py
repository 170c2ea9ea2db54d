"""The noun :class:`CaseFilter`: conditions as a mask over the rows of an index."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary, proxy

import numpy as np
import numpy.typing as npt

from medembed.columns.case_columns import CaseColumns
from medembed.columns.column import Mask, Positions
from medembed.columns.conditions import meeting
from medembed.columns.library_columns import Held, LibraryColumns
from medembed.columns.reading import consistent, read_stamp
from medembed.library.filters import Where, compile_conditions, parse_where

if TYPE_CHECKING:
    from medembed.index import CaseIndex
    from medembed.library import CaseLibrary, Condition

__all__ = ["CaseFilter"]

_MOST_KEPT = 64
"""Conditions whose answers are kept, a bit for each case."""

_MOST_INDEXES = 3
"""Of scans, of notes, of both."""


class CaseFilter:
    """Answers conditions on the cases of one library; can be used from several threads.

    The answers are those of :meth:`medembed.library.CaseLibrary.find`, without reading a row for
    each case. What the columns cannot tell, such as the words of reports, SQL answers.

    Parameters
    ----------
    library : CaseLibrary
    """

    def __init__(self, library: CaseLibrary) -> None:
        self._library = library
        self._columns = LibraryColumns(library)
        self._answers: OrderedDict[Condition, npt.NDArray[np.uint8]] = OrderedDict()
        self._answered: object = None
        self._rows = _RowNumbers(library)
        self._lock = threading.Lock()

    def mask(self, index: CaseIndex, where: Where) -> Mask:
        """Return which rows of an index are of cases that meet all conditions, shape ``(n,)``.

        Parameters
        ----------
        index : CaseIndex
            Of the library's cases. A case that is no longer in the library meets no condition.
        where : condition or several
            As in :meth:`medembed.library.CaseLibrary.find`.

        Raises
        ------
        ConditionError
            If a condition is not valid.
        """
        met, columns = self._met(where)
        at = self._rows.positions(index.case_ids, columns)
        # -1 is the place behind the last: a case that the library does not have
        found: Mask = np.append(met, False)[at]
        return found

    @classmethod
    def of(cls, library: CaseLibrary) -> CaseFilter:
        """Return the filter of a library that is open, the same one each time."""
        with _SHARED_LOCK:
            kept = _SHARED.get(library)
            if kept is None:
                # a filter that held its library would keep it from ever being freed
                kept = _SHARED[library] = cls(proxy(library))
            return kept

    def placed(self, case_ids: tuple[str, ...]) -> tuple[CaseColumns, Positions]:
        """Return the columns of the library as it is now, and the places of some cases in them.

        Parameters
        ----------
        case_ids : tuple of str
            Of an index, in its order.

        Returns
        -------
        columns : CaseColumns
        places : int array, shape ``(n,)``
            -1 for a case that the library does not have.
        """
        columns = self._columns.current().columns
        return columns, self._rows.positions(case_ids, columns)

    def numbers(self, where: Where) -> npt.NDArray[np.int64]:
        """Return the numbers in ``library.sqlite`` of the cases that meet all conditions."""
        met, columns = self._met(where)
        return columns.rows[met]

    def _met(self, where: Where) -> tuple[Mask, CaseColumns]:
        conditions = parse_where(where)
        db = self._library.database.read()
        while True:
            held = self._columns.current()
            with consistent(db):
                if read_stamp(db) != held.stamp:  # a case has changed in between
                    continue
                met = np.full(-(-len(held.columns) // 8), 255, np.uint8)
                for condition in conditions:
                    met &= self._bits(condition, held)
            return np.unpackbits(met, count=len(held.columns)).view(np.bool_), held.columns

    def _bits(self, condition: Condition, held: Held) -> npt.NDArray[np.uint8]:
        """Return the packed answer to one condition, kept for as long as no case changes."""
        with self._lock:
            if self._answered != held.stamp:
                self._answers.clear()
                self._answered = held.stamp
            kept = self._answers.get(condition)
            if kept is not None:
                self._answers.move_to_end(condition)
                return kept
        found = meeting(held.columns, condition)
        bits = np.packbits(self._by_sql(condition, held.columns) if found is None else found)
        with self._lock:
            if self._answered == held.stamp:
                self._answers[condition] = bits
                while len(self._answers) > _MOST_KEPT:
                    self._answers.popitem(last=False)
        return bits

    def _by_sql(self, condition: Condition, columns: CaseColumns) -> Mask:
        sql, params = compile_conditions([condition], columns.attributes)
        rows = self._library.database.read().execute(
            f"SELECT c.id FROM cases c WHERE {sql}",  # noqa: S608  bound
            params,
        )
        at = columns.positions_of(np.fromiter((row for (row,) in rows), np.int64))
        found = np.zeros(len(columns), np.bool_)
        found[at[at >= 0]] = True
        return found


_SHARED: WeakKeyDictionary[CaseLibrary, CaseFilter] = WeakKeyDictionary()
_SHARED_LOCK = threading.Lock()


class _RowNumbers:
    """Where the rows of indexes are in the columns of the library.

    Looked up once for each case: an index that has grown costs what is new.
    """

    def __init__(self, library: CaseLibrary) -> None:
        self._library = library
        self._placed: list[_Placed] = []
        self._lock = threading.Lock()

    def positions(self, ids: tuple[str, ...], columns: CaseColumns) -> Positions:
        """Return the place of each row's case in the columns, -1 if it is not there."""
        with self._lock:
            kept = next((one for one in self._placed if one.ids is ids), None)
            if kept is not None and kept.columns is columns:
                return kept.at
            # the index that this one came from, else any: they have most cases in common
            start = kept or next((one for one in self._placed if one.begins(ids)), None)
            start = start or next(iter(self._placed), None)
            numbers = np.full(len(ids), -1, np.int64) if start is None else start.numbers_of(ids)
            at = columns.positions_of(numbers)
            missing = np.flatnonzero(at < 0)  # new, or removed and added again under a new number
            if missing.size:
                numbers[missing] = self._look_up([ids[row] for row in missing.tolist()])
                at[missing] = columns.positions_of(numbers[missing])
            others = [one for one in self._placed if one is not kept and not one.begins(ids)]
            self._placed = [_Placed(ids, numbers, columns, at), *others][:_MOST_INDEXES]
            return at

    def _look_up(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        db = self._library.database.read()
        (total,) = db.execute("SELECT max(id) FROM cases").fetchone()
        if len(ids) > (total or 0) // 8:  # reading all in order is faster
            rows = db.execute("SELECT case_id, id FROM cases")
        else:
            rows = db.execute(
                "SELECT case_id, id FROM cases WHERE case_id IN (SELECT value FROM json_each(?))",
                (json.dumps(ids),),
            )
        number_of = dict(rows.fetchall())
        return np.fromiter((number_of.get(name, -1) for name in ids), np.int64, len(ids))


class _Placed(NamedTuple):
    """The rows of one index in the columns."""

    ids: tuple[str, ...]
    numbers: npt.NDArray[np.int64]
    columns: CaseColumns
    at: Positions

    def numbers_of(self, ids: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the numbers of the cases of another index, -1 for those that are not here."""
        numbers = np.full(len(ids), -1, np.int64)
        if self.begins(ids):
            numbers[: len(self.ids)] = self.numbers
            return numbers
        number_of = dict(zip(self.ids, self.numbers.tolist(), strict=True))
        numbers[:] = np.fromiter((number_of.get(name, -1) for name in ids), np.int64, len(ids))
        return numbers

    def begins(self, ids: tuple[str, ...]) -> bool:
        """Return whether an index has these rows first."""
        return bool(self.ids) and ids[: len(self.ids)] == self.ids
