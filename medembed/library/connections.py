"""The noun :class:`Connections`: connections to one SQLite file, one for each running thread."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from weakref import ref

__all__ = ["Connections"]

_MOST_FREE = 8
"""Connections that are kept for threads to come: each has a cache of pages."""


@dataclass(eq=False)
class _Open:
    connection: sqlite3.Connection
    process: int
    round: int
    references: int = 0  # to the connection, while nobody reads with it


class _Lent:
    """A connection for as long as its thread lives: the last reference is the thread's own."""

    def __init__(self, pool: Connections, opened: _Open) -> None:
        self._pool, self.opened = ref(pool), opened

    def __del__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool._give_back(self.opened)


class Connections:
    """Opens a connection for a thread, and passes it on when the thread has ended.

    A server runs each request in another thread. A connection for each of them would leave caches
    behind that grow with the number of threads that ever ran. Safe to use from several threads;
    a forked process opens its own and leaves its parent's alone.

    """

    def __init__(self) -> None:
        self._local = threading.local()
        self._open: dict[int, _Open] = {}
        self._free: deque[_Open] = deque()
        self._round = 0
        self._lock = threading.RLock()  # a thread may end, and give back, while it holds the lock

    def __len__(self) -> int:
        """Count the open connections of this process."""
        return sum(one.process == os.getpid() for one in [*self._open.values()])

    def of_thread(self, connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        """Return the connection of the running thread.

        Parameters
        ----------
        connect : callable
            Opens one, for use in any thread.
        """
        lent: _Lent | None = getattr(self._local, "lent", None)
        if lent is None or not self._is_mine(lent.opened):
            lent = self._local.lent = _Lent(self, self._take(connect))
        return lent.opened.connection

    def drop(self) -> None:
        """Close the connection of the running thread; the next use opens another one."""
        lent: _Lent | None = getattr(self._local, "lent", None)
        if lent is not None:
            self._close(lent.opened)
            del self._local.lent

    def close(self) -> bool:
        """Close every connection of this process; return whether there were any."""
        with self._lock:
            own = [one for one in [*self._open.values()] if one.process == os.getpid()]
            self._round += 1
            for one in own:
                self._close(one)
            self._open.clear()
            self._free.clear()
        return bool(own)

    def _is_mine(self, one: _Open) -> bool:
        return one.process == os.getpid() and one.round == self._round and id(one) in self._open

    def _take(self, connect: Callable[[], sqlite3.Connection]) -> _Open:
        with suppress(IndexError):
            while True:
                one = self._free.pop()  # the last one: its cache is warm
                if self._is_mine(one):
                    return one
        while True:
            at = self._round
            one = _Open(connect(), os.getpid(), at)
            one.references = sys.getrefcount(one.connection)
            with self._lock:
                if one.round == self._round:
                    self._open[id(one)] = one
                    return one
            one.connection.close()  # all were closed meanwhile

    def _give_back(self, one: _Open) -> None:
        if not self._is_mine(one):
            return
        with suppress(sqlite3.Error), self._lock:
            if sys.getrefcount(one.connection) > one.references:
                self._open.pop(id(one), None)
                return  # a cursor outlives its thread, and keeps the connection
            if len(self._free) < _MOST_FREE and not one.connection.in_transaction:
                self._free.append(one)
                return
        self._close(one)

    def _close(self, one: _Open) -> None:
        with self._lock:
            self._open.pop(id(one), None)
        with suppress(sqlite3.Error):
            one.connection.close()
