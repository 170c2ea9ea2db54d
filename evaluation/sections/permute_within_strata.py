"""Hand the groups of patients around among patients of like expectation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hand_around"]

_CELLS = 2_000_000

Floats = NDArray[np.float64]


def hand_around(
    residual: Floats,
    due: Floats,
    group: NDArray[np.int64],
    n_groups: int,
    strata: NDArray[np.int64],
    permutations: int,
    seed: int,
) -> tuple[Floats, Floats, Floats]:
    """Test each group's sum of residuals by handing the groups around within strata.

    Parameters
    ----------
    residual, due : float64 arrays of shape (n_cells,)
        Given less due, and due, of each patient (of each of its groups).
    group : int array of shape (n_cells,)
    n_groups : int
    strata : int array of shape (n_cells,)
        Refined to tenths of ``due`` among all cells, 20 cells or more to a tenth.
    permutations, seed : int

    Returns
    -------
    p, low, high : float64 arrays of shape (n_groups,)
        Two-sided p, and where 95% of the permuted ratios of given to due lie.
    """
    bins = max(1, min(10, len(due) // 20))
    edges = np.unique(np.quantile(due, np.linspace(0, 1, bins + 1)[1:-1]))
    stratum = np.unique(strata * (bins + 1) + np.searchsorted(edges, due), return_inverse=True)[1]
    member = np.eye(n_groups)[group]  # (cells, groups)
    places = [np.flatnonzero(stratum == s) for s in range(int(stratum.max()) + 1)]
    centre = np.zeros(n_groups)
    for place in places:
        centre += residual[place].mean() * member[place].sum(axis=0)
    rng = np.random.default_rng([seed, 0x657870])
    step = max(1, _CELLS // len(residual))
    drawn = []
    for start in range(0, permutations, step):
        sums = np.zeros((min(step, permutations - start), n_groups))
        for place in places:
            table = np.broadcast_to(residual[place], (len(sums), len(place)))
            sums += rng.permuted(table, axis=1) @ member[place]
        drawn.append(sums)
    draws = np.concatenate(drawn)
    seen = np.abs(residual @ member - centre)
    beyond = (np.abs(draws - centre) >= seen - 1e-9 * np.abs(residual).sum()).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = 1 + np.quantile(draws, [0.025, 0.975], axis=0) / (due @ member)
    return (1 + beyond) / (1 + permutations), low, high
