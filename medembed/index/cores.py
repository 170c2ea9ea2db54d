"""Work on parts of the rows side by side, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["n_cores", "side_by_side"]

Part = TypeVar("Part")
Found = TypeVar("Found")


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(one: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """Return ``one(part)`` of each part, in order.

    FAISS runs one query on one core, and releases Python's lock meanwhile.
    """
    cores = n_cores()
    if len(parts) < 2 or cores == 1:
        return [one(part) for part in parts]
    with ThreadPoolExecutor(min(cores, len(parts)), "medembed-search") as threads:
        return list(threads.map(one, parts))
