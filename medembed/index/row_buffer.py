"""Rows of float32 that grow without being copied, in memory or behind those of a mapped file.

The file of an index has room behind its last row (a hole that takes no space on disk), and is
mapped copy-on-write. So the rows of the file and those that were added since lie behind each other
in one array; the file itself never changes.
"""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

from medembed.index.sealed_files import Buffer

__all__ = ["RowBuffer", "roomy"]

Floats = npt.NDArray[np.float32]

_FEWEST_SPARE = 256
_SPARE_SHARE = 4


def roomy(n: int) -> int:
    """Return for how many rows to make room if there are ``n``."""
    return n + max(_FEWEST_SPARE, n // _SPARE_SHARE)


class _Room:
    """Memory for rows, and how many of them are in use."""

    def __init__(self, rows: Floats, used: int) -> None:
        self.rows = rows
        self.used = used


class RowBuffer:
    """The first ``n`` rows of a room that several objects share. Immutable.

    Parameters
    ----------
    room : _Room
    n : int
    """

    def __init__(self, room: _Room, n: int) -> None:
        self._room = room
        self._n = n
        self.view: Floats = room.rows[:n]
        """The rows, shape ``(n, d)``, read-only."""
        self.view.setflags(write=False)

    @classmethod
    def of(cls, rows: Floats) -> RowBuffer:
        """Take over an array, without room for more."""
        return cls(_Room(rows, len(rows)), len(rows))

    @classmethod
    def mapped(cls, data: Buffer, n: int, dim: int) -> RowBuffer:
        """Use the rows of a writable private mapping, with the room behind them.

        Raises
        ------
        ValueError
            If it is too short.
        """
        if not n * dim:
            return cls.of(np.empty((n, dim), dtype=np.float32))
        whole = len(data) // (4 * dim)
        rows = np.frombuffer(data, dtype="<f4", count=whole * dim).reshape(whole, dim)
        if whole < n:
            raise ValueError("fewer rows than there should be")
        return cls(_Room(rows.astype(np.float32, copy=False), n), n)

    def __len__(self) -> int:
        return self._n

    def is_part_of(self, other: RowBuffer) -> bool:
        """Return whether these rows are the first ones of another object of the same room."""
        return self._room is other._room and len(self) <= len(other)

    def appended(self, new: Floats) -> RowBuffer:
        """Return these rows with ``new`` behind them, which costs nothing while there is room."""
        end = self._n + len(new)
        room = self._room
        if room.used != self._n or end > len(room.rows) or not room.rows.flags.writeable:
            rows = _anonymous(roomy(end), new.shape[1])
            if self._n:
                rows[: self._n] = self.view
            room = _Room(rows, self._n)
        room.rows[self._n : end] = new
        room.used = end
        return RowBuffer(room, end)


def _anonymous(n: int, dim: int) -> Floats:
    """Return zeros that take memory only where they are written."""
    memory = mmap.mmap(-1, 4 * n * dim)
    rows: Floats = np.frombuffer(memory, dtype=np.float32).reshape(n, dim)
    return rows
