"""A limit on failed attempts, for each source of them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["FailureLimit"]

_MOST = 10_000


class FailureLimit:
    """Refuse a source for a while after too many failures.

    Parameters
    ----------
    failures : int
        So many are allowed within the time.
    seconds : float
        How long a failure counts.
    clock : callable
    """

    def __init__(
        self,
        failures: int = 10,
        seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._times: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()

    def add(self, *source: str) -> None:
        """Count a failure of this source."""
        times = self._recent(source)
        times.append(self._clock())
        self._times[source] = times[-self._failures :]
        self._times.move_to_end(source)
        while len(self._times) > _MOST:
            self._times.popitem(last=False)

    def seconds_left(self, *source: str) -> float:
        """Give how long this source is refused; 0 if it is not."""
        times = self._recent(source)
        if len(times) < self._failures:
            return 0.0
        return max(0.0, times[0] + self._seconds - self._clock())

    def _recent(self, source: tuple[str, ...]) -> list[float]:
        since = self._clock() - self._seconds
        return [moment for moment in self._times.get(source, []) if moment > since]
