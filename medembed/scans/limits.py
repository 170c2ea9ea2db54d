"""The noun :class:`Limits`: resource limits for reading one scan."""

from __future__ import annotations

from dataclasses import dataclass

from medembed.errors import ScanError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Resource limits for reading one scan.

    Parameters
    ----------
    memory_bytes : int
        Address space on top of what an idle worker has (``RLIMIT_AS``); a volume takes about
        seven bytes for each of its 16-bit pixels. Enforced on Linux.
    seconds : float
        Wall-clock time for one file; a volume gets as much for each hundred files.
    """

    memory_bytes: int = 2 * 2**30
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.memory_bytes < 2**20:
            raise ScanError("the memory limit is below 1 MiB")
        if not 0 < self.seconds <= 86_400:
            raise ScanError("the time limit is not between 0 and one day")
