"""Null controls: the same measure on vectors that carry no information on their cases.

The vectors stay as they are; which case each belongs to is shuffled. A score within the range of
its null controls is luck, a leak, or a property of the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.rank_statistics import RankStatistics, measure
from medembed.errors import InputError

__all__ = ["NullControl", "null_control"]


@dataclass(frozen=True)
class NullControl:
    """Measures over several shuffles.

    Parameters
    ----------
    mean, range95 : dict of str to float, and to (low, high)
        By the measure's name; the range holds 95% of the shuffles.
    repetitions : int
    n_queries : float
        Queries per shuffle that had a relevant item, on average.
    """

    mean: dict[str, float]
    range95: dict[str, tuple[float, float]]
    repetitions: int
    n_queries: float

    def to_json(self) -> dict[str, object]:
        """Plain values: the means at the top, the ranges under ``range95``."""
        rest = {name: value for name, value in vars(self).items() if name != "mean"}
        return {**self.mean, **rest}


def null_control(
    shuffled: Callable[[NDArray[np.int64]], RankStatistics],
    n: int,
    measures: Sequence[str],
    *,
    repetitions: int = 100,
    seed: int = 0,
) -> NullControl:
    """Measure repeatedly while the cases of the vectors are shuffled.

    Parameters
    ----------
    shuffled : callable of an int array of shape (n,)
        Takes a permutation, returns the rank statistics of the queries under it: case i has the
        vector of case ``permutation[i]``.
    n, repetitions : int
        Cases to shuffle; shuffles, at least 2.
    measures : sequence of str
    seed : int

    Raises
    ------
    InputError
        With fewer than two shuffles, or if no query of a shuffle has a relevant item.
    """
    if repetitions < 2:
        raise InputError("a null control from fewer than 2 shuffles")
    rng = np.random.default_rng([seed, 0x6E756C6C])
    found: dict[str, list[float]] = {name: [] for name in measures}
    sizes = []
    for _ in range(repetitions):
        kept, measured = shuffled(rng.permutation(n).astype(np.int64)).of_answerable()
        sizes.append(len(kept))
        for name, values in found.items():
            centre = np.median if name == "median_rank" else np.mean
            values.append(float(centre(measure(name, measured))))
    ends = {name: np.quantile(values, [0.025, 0.975]) for name, values in found.items()}
    return NullControl(
        mean={name: float(np.mean(values)) for name, values in found.items()},
        range95={name: (float(low), float(high)) for name, (low, high) in ends.items()},
        repetitions=repetitions,
        n_queries=float(np.mean(sizes)),
    )
