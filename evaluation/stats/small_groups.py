"""Small groups merged at the input, before anything is computed, and whether any are left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.verdict import Minimum

__all__ = ["Merge", "any_few", "has_few", "merge_groups", "merge_labels"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Merge:
    """An attribute whose small groups are put together."""

    names: tuple[str, ...]
    """Groups afterwards, sorted."""
    of_case: Ints
    """Each case's place in ``names``."""
    merged: tuple[str, ...] = ()
    """Groups that became :data:`OTHER_GROUPS`."""
    small: tuple[str, ...] = ()
    """Of ``names``, the one that still has too few patients: it shows no number."""


def merge_groups(names: Sequence[str], of_case: Ints, owner: Ints, minimum: Minimum) -> Merge:
    """Merge an attribute's groups of 1 to ``minimum.reported - 1`` patients.

    ``of_case`` and ``owner`` (n_cases,) are each case's place in ``names`` and its patient, from 0.
    A next smallest group joins only while it has fewer than ``minimum.precise`` patients and
    another group is left to compare with: an archive of 1,460 women, 1,702 men and 5 of unknown
    sex keeps its women. A single small group that nothing joins keeps its name.

    Examples
    --------
    >>> of_case = np.repeat([0, 1, 2, 3], [60, 30, 6, 7])
    >>> found = merge_groups("abcd", of_case, np.arange(103), Minimum())
    >>> found.names, found.merged, np.bincount(found.of_case).tolist()
    (('a', 'b', 'other (small groups)'), ('c', 'd'), [60, 30, 13])
    >>> merge_groups("ab", np.repeat([0, 1], [97, 6]), np.arange(103), Minimum()).small
    ('b',)
    """
    span = int(owner.max()) + 1 if len(owner) else 1
    pairs = np.unique(of_case * span + owner)
    size = np.bincount(pairs // span, minlength=len(names))
    joined = {at for at in range(len(names)) if 0 < size[at] < minimum.reported}
    if not joined:
        return Merge(tuple(names), of_case)
    if OTHER_GROUPS in names:
        joined.add(list(names).index(OTHER_GROUPS))

    def patients() -> int:
        return len(np.unique(pairs[np.isin(pairs // span, list(joined))] % span))

    rest = sorted(
        (int(size[at]), name, at) for at, name in enumerate(names) if at not in joined and size[at]
    )
    while patients() < minimum.reported and len(rest) > 1 and rest[0][0] < minimum.precise:
        joined.add(rest.pop(0)[2])
    too_few = patients() < minimum.reported
    if len(joined) == 1:
        return Merge(tuple(names), of_case, small=(names[joined.pop()],))
    labels = [OTHER_GROUPS if at in joined else name for at, name in enumerate(names)]
    kept = sorted(set(labels))
    place = np.array([kept.index(label) for label in labels], dtype=np.int64)
    merged = tuple(sorted({names[at] for at in joined} - {OTHER_GROUPS}))
    return Merge(tuple(kept), place[of_case], merged, (OTHER_GROUPS,) if too_few else ())


def merge_labels(
    labels: NDArray[np.str_], owner: Ints, minimum: Minimum
) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Merge the small groups of an array of names (n_cases,): the names, and what was merged."""
    names, of_case = np.unique(labels, return_inverse=True)
    found = merge_groups(names.tolist(), of_case.astype(np.int64), owner, minimum)
    return np.array(found.names, dtype=np.str_)[found.of_case], found.merged


def any_few(
    owner: Ints, groupings: Iterable[Ints], sets: Iterable[Bools], minimum: Minimum
) -> bool:
    """Whether a group has 1 to ``minimum.reported - 1`` patients in a set, or in one less another.

    Patient of each case, groupings (int arrays) and sets (bool arrays) of cases that something was
    measured on are of shape (n_cases,); all cases are always one of the sets.
    """
    distinct = {one.tobytes(): one for one in (np.ones(len(owner), dtype=np.bool_), *sets)}
    masks = list(distinct.values())
    masks += [one & ~other for one, other in permutations(distinct.values(), 2)]
    span = int(owner.max()) + 1
    for of_case in (np.zeros(len(owner), dtype=np.int64), *groupings):
        pairs, pair_of = np.unique(of_case * span + owner, return_inverse=True)
        sizes = []
        for number, mask in enumerate(masks):
            there = np.zeros(len(pairs), dtype=np.bool_)
            there[pair_of[mask]] = True
            held = np.bincount(pairs[there] // span, minlength=int(of_case.max()) + 1)
            absent = len(np.unique(pairs[there] % span)) - held  # who has nothing in the group
            if has_few([held, absent], minimum):
                return True
            sizes += [held] if number < len(distinct) else []
        if any(has_few(np.abs(a - b), minimum) for a, b in combinations(sizes, 2)):
            return True
    return False


def has_few(counts: Any, minimum: Minimum) -> bool:
    """Whether a count is 1 to ``minimum.reported - 1``."""
    held = np.asarray(counts)
    return bool(((held > 0) & (held < minimum.reported)).any())
