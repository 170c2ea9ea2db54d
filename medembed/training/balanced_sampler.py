"""Balanced batches: each group has its share, and no two cases come from one patient.

A group with 3% of an archive is in few batches, and contrastive training rarely contrasts two of
its cases. Drawing groups evenly mitigates that; small groups' cases are then seen more often (and
may be memorized), large groups' less often. Assess the effect on each group on held-out patients:
``medembed audit --against``, :mod:`evaluation.mitigation.effect`.

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
    """The batches of one epoch, and the number of cases drawn from each group.

    Parameters
    ----------
    batches : tuple of tuple of int
        Indices of cases.
    drawn : dict of group to int
        Cases drawn, counting repeats.
    wanted : dict of group to int
        Cases required by its share; more than ``drawn`` if the group has too few patients to fill
        its places within the limits.
    repeated : dict of group to int
        Maximum number of times one of its cases was drawn.
    """

    batches: tuple[tuple[int, ...], ...]
    drawn: dict[str, int]
    wanted: dict[str, int]
    repeated: dict[str, int]


def group_shares(groups: Sequence[str], strength: float = 1.0) -> dict[str, float]:
    r"""Return the target share of each group.

    Parameters
    ----------
    groups : sequence of str
        Group of each case; empty is "unknown", a group like any other.
    strength : float
        0 keeps the archive's mix, 1 gives every group the same share; shares are proportional to
        :math:`n_g^{1 - s}`.

    Examples
    --------
    >>> group_shares(["F", "F", "F", "M"], 0.0)
    {'F': 0.75, 'M': 0.25}
    >>> group_shares(["F", "F", "F", "M"], 1.0)
    {'F': 0.5, 'M': 0.5}
    """
    if not 0 <= strength <= 1:
        raise InputError("balance strength must be between 0 and 1")
    if not len(groups):
        raise InputError("no cases to draw from")
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
    """Form the batches of one epoch, each with the groups in their shares.

    Parameters
    ----------
    patients, groups : sequence of str
        One entry for each case.
    batch_size : int
        At least 2.
    related : sequence of str, optional
        Cases with the same non-empty name never share a batch, like cases of one patient.
    strength : float
        As in :func:`group_shares`.
    repeats : int
        Maximum number of times a case is drawn per epoch.
    seed : int or tuple of int
        Use a different one for each epoch.

    Returns
    -------
    BalancedBatches
        As many batches as the cases fill. A group's places in a batch differ by at most one from
        its share, unless ``drawn`` is below ``wanted``: unfilled places stay empty, and a batch of
        fewer than two cases is dropped.

    Raises
    ------
    InputError
        If the lists differ in length or a number is not valid.

    Examples
    --------
    >>> dealt = balanced_batches(list("abcdefgh"), list("FFFFFFMM"), 4)
    >>> dealt.drawn, dealt.repeated
    ({'F': 4, 'M': 4}, {'F': 1, 'M': 2})
    """
    n = len(patients)
    kin = list(related) if related is not None else [""] * n
    if not n == len(groups) == len(kin):
        raise InputError("patients, groups and related differ in length")
    if batch_size < 2 or repeats < 1:
        raise InputError("batch_size must be at least 2 and repeats at least 1")
    if any(not patient for patient in patients):
        raise InputError("a case has no patient", hint="give each case a patient")
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
    """Return the places of each group in each batch, rounded so that no share drifts."""
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
    """Queue every case once in random order, then again: none repeats before all were drawn."""
    return deque(int(i) for _ in range(repeats) for i in rng.permutation(members))


def _take(
    queue: deque[int],
    wanted: int,
    patients: Sequence[str],
    kin: Sequence[str],
    taken: set[tuple[str, str]],
) -> list[int]:
    """Take the next cases whose patient is not in the batch; skipped ones keep their turn."""
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
