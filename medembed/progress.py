"""The signature of a progress callback, shared by all long-running work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "no_progress"]

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the number of steps done and the total, None if the total is unknown."""


def no_progress(done: int, total: int | None) -> None:
    """Ignore progress."""
    del done, total
