"""How to ask a Milvus server for the nearest eligible cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.index.milvus_collection import MOST_HITS
from medembed.index.milvus_content import Content

__all__ = ["Ask", "ways"]

_SPARE = 16
_MOST_NAMED = 8192
"""Most cases that one filter names."""
_MOST_PARTS = 16
"""Most searches into which a long list of eligible cases is split."""


@dataclass(frozen=True)
class Ask:
    """One way to ask: searches whose hits are merged.

    Parameters
    ----------
    partitions : tuple of str
    filters : tuple of str
        One search for each, in Milvus's language; empty for none.
    first_limit : int
        Hits to ask for at first.
    """

    partitions: tuple[str, ...]
    filters: tuple[str, ...]
    first_limit: int


def ways(content: Content, mask: npt.NDArray[np.bool_] | None, take: int) -> Iterator[Ask]:
    """Yield ways to ask for the ``take`` nearest rows of a mask, the cheapest first.

    A site of which nobody is eligible is not asked. A filter names the eligible cases or the
    excluded ones, whichever are fewer. If both are many, the server is asked without a filter for
    more, of which the excluded ones are left out here, and then part by part.
    """
    n_all = np.bincount(content.partition_of, minlength=len(content.partitions))
    own = content.partition_of if mask is None else content.partition_of[mask]
    n_own = np.bincount(own, minlength=len(content.partitions))
    touched = np.flatnonzero(n_own)
    names = tuple(content.partitions[i] for i in touched)
    n_in, n_out = int(n_own.sum()), int((n_all - n_own)[touched].sum())
    first = take + _SPARE
    if mask is None or not n_out:
        yield Ask(names, ("",), first)
        return
    eligible = content.keys[mask]
    if min(n_in, n_out) <= _MOST_NAMED:
        if n_in <= n_out:
            where = f"case in {eligible.tolist()}"
        else:
            others = ~mask & np.isin(content.partition_of, touched)
            where = f"case not in {content.keys[others].tolist()}"
        yield Ask(names, (where,), first)
        return
    deep = first * -(-2 * (n_in + n_out) // n_in)
    if deep <= MOST_HITS:
        yield Ask(names, ("",), deep)
    n_parts = -(-n_in // _MOST_NAMED)
    if n_parts <= _MOST_PARTS:
        parts = np.array_split(np.sort(eligible), n_parts)
        yield Ask(names, tuple(f"case in {part.tolist()}" for part in parts), first)
