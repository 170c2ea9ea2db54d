"""How many things run at a time, how many wait, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from apps.service.problems import Problem, ProblemKind

__all__ = ["Slots"]

T = TypeVar("T")


class Slots:
    """Runs calls in threads: a few at a time, some waiting, the rest refused.

    A call that takes too long goes on in its thread, which nothing can end, and holds its slot
    until it is done: answers that nobody waits for any more cannot pile up.

    Parameters
    ----------
    slots : int
        Calls at a time.
    queue : int
        Calls that may wait.
    seconds : float
        Longest time of a call, its wait included.
    name : str
        Of the threads.
    """

    def __init__(self, slots: int, queue: int, seconds: float, name: str) -> None:
        self._threads = ThreadPoolExecutor(slots, name)
        self._free = asyncio.Semaphore(slots)
        self._queue = queue
        self._seconds = seconds
        self.waiting = 0
        self.running = 0

    def close(self) -> None:
        """Wait for the calls that run."""
        self._threads.shutdown(cancel_futures=True)

    async def run(self, call: Callable[[], T], *, patient: bool = False) -> T:
        """Run a call and return what it returns.

        Parameters
        ----------
        call : callable
        patient : bool
            Wait however long the queue is, as the lines of a batch do: of a batch only a few are
            asked for at a time.

        Raises
        ------
        Problem
            BUSY if the queue is full or does not move, LATE if the call takes too long.
        """
        if not patient and self._free.locked() and self.waiting >= self._queue:
            raise Problem(ProblemKind.BUSY, "too many searches wait already", retry_after=1)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        self.waiting += 1
        try:
            async with asyncio.timeout_at(None if patient else deadline):
                await self._free.acquire()
        except TimeoutError:
            raise Problem(
                ProblemKind.BUSY, "no search has ended in time", retry_after=round(self._seconds)
            ) from None
        finally:
            self.waiting -= 1
        if patient:
            deadline = loop.time() + self._seconds
        self.running += 1
        running = loop.run_in_executor(self._threads, call)
        running.add_done_callback(self._end)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(running)
        except TimeoutError:
            if running.done():  # the call's own
                raise
            raise Problem(
                ProblemKind.LATE,
                f"it takes longer than {self._seconds:g} s",
                retry_after=round(self._seconds),
            ) from None

    def _end(self, running: asyncio.Future[T]) -> None:
        self.running -= 1
        self._free.release()
        if not running.cancelled():
            running.exception()  # else one that nobody waited for would be logged, message included
