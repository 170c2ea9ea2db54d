"""Batches in which every group has its share, and no two cases are of one patient.

A group of 3% of an archive is in few batches, and contrastive training hardly ever holds two of its
cases against each other. Drawing groups evenly mitigates that; it shows small groups' cases more
often (they may be learnt by heart) and large groups' less often. What it does to each group has to
be assessed on held-out patients: ``medembed audit --against``, :mod:`evaluation.mitigation.effect`.

References
----------
Idrissi et al., *Simple data balancing achieves competitive worst-group-accuracy*, CLeaR 2022.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medembed.errors import InputError

__all__ = ["BalancedBatches", "balanced_batches", "group_shares"]


@dataclass(frozen=True)
class BalancedBatches:
    """The batches of one epoch, and what was drawn of each group.

    Parameters
    ----------
    batches : tuple of tuple of int
        Indices of cases.
    drawn : dict of group to int
        Cases drawn, repeats counted each time.
    wanted : dict of group to int
        As many as its share asks for; more than ``drawn`` where the group has too few patients to
        fill its places without repeating one in a batch, or more often than allowed.
    repeated : dict of group to int
        Most often that one of its cases was drawn.
    """

    batches: tuple[tuple[int, ...], ...]
    drawn: dict[str, int]
    wanted: dict[str, int]
    repeated: dict[str, int]


def group_shares(groups: Sequence[str], strength: float = 1.0) -> dict[str, float]:
    r"""Share of the draws that each group shall have.

    Parameters
    ----------
    groups : sequence of str
        Of each case; empty is "unknown", a group like any other.
    strength : float
        0 keeps the archive's mix, 1 gives every group the same: shares go with
        :math:`n_g^{1 - s}`.

    Examples
    --------
    >>> group_shares(["F", "F", "F", "M"], 0.0)
    {'F': 0.75, 'M': 0.25}
    >>> group_shares(["F", "F", "F", "M"], 1.0)
    {'F': 0.5, 'M': 0.5}
    """
    if not 0 <= strength <= 1:
        raise InputError("a strength of balancing outside 0 to 1")
    if not len(groups):
        raise InputError("no case to draw from")
    names, counts = np.unique([g or "unknown" for g in groups], return_counts=True)
    weights = counts.astype(np.float64) ** (1 - strength)
    return dict(zip(names.tolist(), (weights / weights.sum()).tolist(), strict=True))


def balanced_batches(
    patients: Sequence[str],
    groups: Sequence[str],
    batch_size: int,
    *,
    related: Sequence[str] | None = None,
    strength: float = 1.0,
    repeats: int = 4,
    seed: int | tuple[int, ...] = 0,
) -> BalancedBatches:
    """Deal one epoch so that each batch holds the groups in their shares.

    Parameters
    ----------
    patients, groups : sequence of str
        One entry for each case.
    batch_size : int
        At least 2.
    related : sequence of str, optional
        Cases of one non-empty name never share a batch either, as those of one patient do not.
    strength : float
        As in :func:`group_shares`.
    repeats : int
        How often a case may be drawn in one epoch.
    seed : int or tuple of int
        Give each epoch another.

    Returns
    -------
    BalancedBatches
        As many batches as the cases fill. A group's places in a batch differ by at most one from
        its share of it, unless ``drawn`` is below ``wanted``: places it cannot fill stay empty, and
        a batch of fewer than two cases is dropped.

    Raises
    ------
    InputError
        Where the lists do not fit each other or a number makes no sense.

    Examples
    --------
    >>> dealt = balanced_batches(list("abcdefgh"), list("FFFFFFMM"), 4)
    >>> dealt.drawn, dealt.repeated
    ({'F': 4, 'M': 4}, {'F': 1, 'M': 2})
    """
    n = len(patients)
    kin = list(related) if related is not None else [""] * n
    if not n == len(groups) == len(kin):
        raise InputError("patients, groups and related cases of different numbers")
    if batch_size < 2 or repeats < 1:
        raise InputError("a batch needs at least 2 cases, and each may be drawn at least once")
    if any(not patient for patient in patients):
        raise InputError("a case without a patient", hint="give each case one")
    shares = group_shares(groups, strength)
    labels = np.array([g or "unknown" for g in groups])
    rng = np.random.default_rng(seed)
    places = _places(list(shares.values()), max(1, n // batch_size), batch_size)
    queues = {name: _queue(np.flatnonzero(labels == name), repeats, rng) for name in shares}
    count = np.zeros(n, dtype=np.int64)
    batches = []
    for row in places.tolist():
        batch: list[int] = []
        taken: set[tuple[str, str]] = set()
        for name, wanted in zip(shares, row, strict=True):
            batch += _take(queues[name], wanted, patients, kin, taken)
        if len(batch) >= 2:
            count[batch] += 1
            batches.append(tuple(rng.permutation(batch).tolist()))
    return BalancedBatches(
        tuple(batches),
        drawn={name: int(count[labels == name].sum()) for name in shares},
        wanted=dict(zip(shares, places.sum(axis=0).tolist(), strict=True)),
        repeated={name: int(count[labels == name].max()) for name in shares},
    )


def _places(shares: list[float], n_batches: int, batch_size: int) -> NDArray[np.int64]:
    """Places of each group in each batch, (batches, groups): rounded so that no share drifts."""
    wanted = np.array(shares) * batch_size
    places = np.empty((n_batches, len(shares)), dtype=np.int64)
    owed = np.zeros(len(shares))
    for number in range(n_batches):
        owed += wanted
        floor = np.clip(np.floor(owed + 1e-9), 0, np.ceil(wanted - 1e-9)).astype(np.int64)
        floor = np.maximum(floor, np.floor(wanted + 1e-9).astype(np.int64))
        left = batch_size - int(floor.sum())
        room = floor < np.ceil(wanted - 1e-9)
        while left > 0:  # largest remainders first
            at = int(np.argmax(np.where(room, owed - floor, -np.inf)))
            floor[at] += 1
            room[at] = False
            left -= 1
        while left < 0:
            at = int(np.argmin(np.where(floor > np.floor(wanted + 1e-9), owed - floor, np.inf)))
            floor[at] -= 1
            left += 1
        places[number] = floor
        owed -= floor
    return places


def _queue(members: NDArray[np.int64], repeats: int, rng: np.random.Generator) -> deque[int]:
    """Every case once, in another order, then again: none is repeated before all were drawn."""
    return deque(int(i) for _ in range(repeats) for i in rng.permutation(members))


def _take(
    queue: deque[int],
    wanted: int,
    patients: Sequence[str],
    kin: Sequence[str],
    taken: set[tuple[str, str]],
) -> list[int]:
    """Take the next cases whose patient is not in the batch; the others keep their turn."""
    found: list[int] = []
    passed: list[int] = []
    while queue and len(found) < wanted:
        case = queue.popleft()
        keys = {("patient", patients[case])} | ({("kin", kin[case])} if kin[case] else set())
        if keys & taken:
            passed.append(case)
        else:
            found.append(case)
            taken |= keys
    queue.extendleft(reversed(passed))
    return found
