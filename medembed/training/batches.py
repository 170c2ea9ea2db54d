"""Batches that never contrast two cases of one patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medembed.training.balanced_sampler import balanced_batches

if TYPE_CHECKING:
    from medembed.training.cohort import TrainingCohort
    from medembed.training.settings import TrainingConfig

__all__ = ["epoch_batches", "patient_aware_batches"]


def epoch_batches(config: TrainingConfig, train: TrainingCohort, epoch: int) -> list[list[int]]:
    """Form the batches of one epoch; deterministic for each epoch.

    Parameters
    ----------
    config : TrainingConfig
        ``balance`` selects balanced batches.
    train : TrainingCohort
    epoch : int

    Returns
    -------
    list of list of int
        Indices of cases.
    """
    seed = (config.seed, 0, epoch)
    if config.balance is None:
        return patient_aware_batches(train.patients, train.groups, config.batch_size, seed=seed)
    dealt = balanced_batches(
        train.patients,
        train.balanced_by,
        config.batch_size,
        related=train.groups,
        strength=config.balance.strength,
        repeats=config.balance.repeats,
        seed=seed,
    )
    return [list(batch) for batch in dealt.batches]


def patient_aware_batches(
    patients: Sequence[str], groups: Sequence[str], batch_size: int, *, seed: tuple[int, ...]
) -> list[list[int]]:
    """Distribute the cases of one epoch to batches.

    No two cases of one patient or group share a batch, so that similarity to another study of the
    same patient never counts as an error. Cases without a place (a patient with more studies than
    there are batches) and a last batch below half the size (or half the largest batch, if patients
    are too few to fill one) are skipped in this epoch; the order changes with each epoch.

    Parameters
    ----------
    patients, groups : sequence of str
        One entry for each case; an empty group is the patient's own.
    batch_size : int
    seed : tuple of int
        The same seed gives the same batches.

    Returns
    -------
    list of list of int
        Indices of cases. Empty if all cases belong to one patient or group.
    """
    n = len(patients)
    if n == 0:
        return []
    order = np.random.default_rng(seed).permutation(n)
    n_batches = max(1, -(-n // batch_size))
    batches: list[list[int]] = [[] for _ in range(n_batches)]
    taken: list[set[tuple[str, str]]] = [set() for _ in range(n_batches)]
    start = 0
    for index in (int(i) for i in order):
        keys = {("patient", patients[index])}
        if groups[index]:
            keys.add(("group", groups[index]))
        while start < n_batches and len(batches[start]) >= batch_size:
            start += 1
        for at in range(start, n_batches):
            if len(batches[at]) < batch_size and not keys & taken[at]:
                batches[at].append(index)
                taken[at] |= keys
                break
    smallest = min(batch_size, n, max(map(len, batches))) // 2
    return [batch for batch in batches if len(batch) >= max(2, smallest)]
