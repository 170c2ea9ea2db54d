"""The case ids of an index's rows: mapped from a file, found by binary search.

A million ids as Python strings and a dict take 200 MB and a second to read. Here the ids are one
array of bytes of equal width, sorted once when it is written, so that nothing is read before it is
asked for. Rows that are added later, the *tail*, have their ids in a list and a dict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.index.sealed_files import Buffer

__all__ = ["CaseIds"]

Rows = npt.NDArray[np.intp]

_MOST_BYTES = 1024
_BLOCK = 1 << 16
_ERRORS = "surrogatepass"  # a lone surrogate is a character like any other; the order stays


class CaseIds:
    """One id for each row, immutable. A removed row keeps its id; the index knows that it is gone.

    Create it by :meth:`build` or :meth:`from_buffer`.

    Parameters
    ----------
    base : array of bytes, shape ``(n,)``
        UTF-8, padded with NUL.
    order : int32 array, shape ``(n,)``
        Rows in the order of their ids.
    rank : int32 array, shape ``(n,)``
        Position of each row in that order.
    tail : list of str
        Ids of later rows; shared by all objects that came from each other by :meth:`appended`.
    rows : dict of str to tuple of int
        The later rows of an id, the newest last; shared as well.
    n_tail : int
        How many of the later rows this object has.
    """

    def __init__(
        self,
        base: npt.NDArray[Any],
        order: npt.NDArray[np.int32],
        rank: npt.NDArray[np.int32],
        tail: list[str],
        rows: dict[str, tuple[int, ...]],
        n_tail: int,
    ) -> None:
        self._base = base
        self._order = order
        self._rank = rank
        self._tail = tail
        self._rows = rows
        self._n_tail = n_tail
        self._all: tuple[str, ...] | None = None

    @classmethod
    def build(cls, names: Sequence[str]) -> CaseIds:
        """Sort ids; InputError if two are equal, or one is too long or has a NUL."""
        width, blocks = 1, range(0, len(names), _BLOCK)
        for at in blocks:
            coded = _encoded(names[at : at + _BLOCK])
            width = max(width, *map(len, coded))
        base = np.zeros(len(names), dtype=f"S{width}")
        for at in blocks:
            base[at : at + _BLOCK] = _encoded(names[at : at + _BLOCK])
        return cls.of_bytes(base)

    @classmethod
    def of_bytes(cls, base: npt.NDArray[Any]) -> CaseIds:
        """Sort ids that are bytes already, shape ``(n,)``."""
        order = np.argsort(base, kind="stable").astype(np.int32)
        for at in range(0, len(base) - 1, _BLOCK):
            ordered = base[order[at : at + _BLOCK + 1]]
            if (ordered[1:] == ordered[:-1]).any():
                raise InputError("duplicate case id")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return cls(base, order, rank, [], {}, 0)

    def appended(self, names: Sequence[str]) -> CaseIds:
        """Return these ids with more behind them, which must not be those of present rows."""
        _encoded(names)  # refuses those that a file cannot hold
        tail, rows = self._tail, self._rows
        if len(tail) != self._n_tail:  # somebody else has appended to it
            tail, rows = tail[: self._n_tail], {}
            for at, name in enumerate(tail, len(self._base)):
                rows[name] = (*rows.get(name, ()), at)
        for at, name in enumerate(names, len(self)):
            rows[name] = (*rows.get(name, ()), at)
        tail.extend(names)
        grown = CaseIds(self._base, self._order, self._rank, tail, rows, len(tail))
        if self._all is not None:  # the same strings: who compares them need not read them
            grown._all = (*self._all, *names)
        return grown

    def __len__(self) -> int:
        return len(self._base) + self._n_tail

    @property
    def n_tail(self) -> int:
        """Number of rows behind the base."""
        return self._n_tail

    def rows_of(self, names: Sequence[str]) -> Rows:
        """Return the newest row of each id, removed or not; -1 where there is none."""
        found = np.full(len(names), -1, dtype=np.intp)
        if len(self._base):
            width = self._base.dtype.itemsize
            coded = np.array([name.encode(errors=_ERRORS) for name in names], dtype=bytes)
            # an id with a NUL would look like the one before it; there are none in here
            fit = np.array([0 < len(c) <= width for c in coded.tolist()], dtype=bool)
            fit &= np.array(["\0" not in name for name in names], dtype=bool)
            asked = coded[fit].astype(self._base.dtype)
            at = np.searchsorted(self._base, asked, sorter=self._order)
            rows = self._order[np.minimum(at, len(self._base) - 1)]
            found[fit] = np.where(self._base[rows] == asked, rows, -1)
        if self._n_tail:
            for place, name in enumerate(names):
                for row in reversed(self._rows.get(name, ())):
                    if row < len(self):  # else added after this object was made
                        found[place] = row
                        break
        return found

    def names(self, rows: Rows) -> npt.NDArray[np.object_]:
        """Return the ids of rows, in an array of the same shape."""
        flat = rows.ravel()
        out = np.empty(flat.size, dtype=object)
        if not self._n_tail or not flat.size or int(flat.max()) < len(self._base):
            out[:] = [name.decode(errors=_ERRORS) for name in self._base[flat].tolist()]
        else:
            out[:] = [self._name(row) for row in flat.tolist()]
        return out.reshape(rows.shape)

    def _name(self, row: int) -> str:
        if row >= len(self._base):
            return self._tail[row - len(self._base)]
        return bytes(self._base[row]).decode(errors=_ERRORS)

    def tail_names(self, first: int) -> list[str]:
        """Return the ids of the rows from ``first`` on, all of them behind the base."""
        return self._tail[first - len(self._base) : self._n_tail]

    def all_names(self) -> tuple[str, ...]:
        """Return the ids of all rows."""
        if self._all is None:
            base = (name.decode(errors=_ERRORS) for name in self._base.tolist())
            self._all = (*base, *self._tail[: self._n_tail])
        return self._all

    def __getitem__(self, rows: Rows) -> Rows:
        """Return numbers that order these rows among each other as their ids do."""
        if not self._n_tail or not rows.size or int(rows.max()) < len(self._base):
            ranks: Rows = self._rank[rows].astype(np.intp)
            return ranks
        names = [name.encode(errors=_ERRORS) for name in self.names(rows).tolist()]
        place = np.empty(len(names), dtype=np.intp)
        place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        return place

    def bytes_of(self, rows: Rows | slice) -> npt.NDArray[Any]:
        """Return the ids of rows as bytes of equal width, to build from."""
        if not self._n_tail:
            return self._base[rows]
        coded = _encoded(self._tail[: self._n_tail])
        width = max(self._base.dtype.itemsize, *map(len, coded))
        every = np.concatenate([self._base.astype(f"S{width}"), np.array(coded, f"S{width}")])
        return every[rows]

    def check_order(self) -> None:
        """Raise ValueError unless order and rank of the base are permutations of its rows."""
        n = len(self._base)
        if n and not (int(self._order.min()) >= 0 and int(self._order.max()) < n):
            raise ValueError("ids in an impossible order")
        if not np.array_equal(self._rank[self._order], np.arange(n)):
            raise ValueError("ids in an impossible order")

    def to_buffers(self) -> list[Buffer]:
        """Serialize an object without a tail."""
        head = np.array([len(self._base), self._base.dtype.itemsize], dtype="<i8")
        names = np.ascontiguousarray(self._base).view(np.uint8).reshape(-1)
        pad = bytes(-names.size % 4)
        return [
            head.tobytes(),
            names.data,
            pad,
            np.ascontiguousarray(self._order, "<i4").data.cast("B"),
            np.ascontiguousarray(self._rank, "<i4").data.cast("B"),
        ]

    @classmethod
    def from_buffer(cls, data: Buffer) -> CaseIds:
        """Read what :meth:`to_buffers` wrote, where it is mapped; ValueError if it does not fit."""
        n, width = map(int, np.frombuffer(data, "<i8", 2))
        size = n * width
        if n < 0 or width < 1 or len(data) != 16 + size + -size % 4 + 8 * n:
            raise ValueError("ids that do not fit their file")
        base = np.frombuffer(data, f"S{width}", n, 16)
        at = 16 + size + -size % 4
        order = np.frombuffer(data, "<i4", n, at)
        rank = np.frombuffer(data, "<i4", n, at + 4 * n)
        return cls(base, order, rank, [], {}, 0)


def _encoded(names: Sequence[str]) -> list[bytes]:
    coded = [name.encode(errors=_ERRORS) for name in names]
    if any(len(name) > _MOST_BYTES or b"\0" in name for name in coded):
        raise InputError(
            f"a case id is longer than {_MOST_BYTES} bytes, or has a NUL character in it"
        )
    return coded
