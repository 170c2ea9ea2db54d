"""Sums on one thread, so that a rerun gives the same bits wherever it may use more of them.

How many threads add up a product of matrices decides in what order, and so how, it is rounded. One
is as fast for what an audit adds up (``docs/results/audit.md``, cost).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra on one thread meanwhile; a decorator, too."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    with threadpool_limits(limits=1, user_api="blas"):
        yield
