"""Intervals by drawing patients, not images.

Images of one patient are alike, so an interval that draws images is too narrow (it covers 67 to
87% instead of 95%). The patients of the queries are drawn with replacement; the gallery stays as
it is, since drawing it with replacement would put copies of an item beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from medembed.errors import InputError

__all__ = ["Interval", "PatientResampler", "drawn_patients"]

Interval = tuple[float, float]

_CELLS = 4_000_000
_ROUNDING = 1e-12


def drawn_patients(n_patients: int, repetitions: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of draws, shape ``(n_patients, n_draws)``: how often each patient was drawn."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n_patients)
    for start in range(0, repetitions, step):
        size = min(step, repetitions - start)
        drawn = rng.integers(0, n_patients, size=(size, n_patients))
        drawn *= size
        drawn += np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_patients)
        yield counts.reshape(n_patients, size).astype(np.float64)


@dataclass(frozen=True)
class PatientResampler:
    """Draws patients with replacement, the same draws for every measure.

    Parameters
    ----------
    patients : array of shape (n_queries,)
        Whose query it is; whole numbers or text.
    repetitions, seed, level
        Draws, at least 100; level of the interval.

    Examples
    --------
    >>> resampler = PatientResampler(["a", "a", "b", "c"], repetitions=200)
    >>> resampler.n_patients
    3
    >>> resampler.means([[1.0], [1.0], [1.0], [1.0]]).shape
    (200, 1)
    """

    patients: ArrayLike
    repetitions: int = 2000
    seed: int = 0
    level: float = 0.95
    _codes: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbered = codes(self.patients)
        if (numbered < 0).any():
            raise InputError("a query without a patient", hint="give each query one")
        if self.repetitions < 100:
            raise InputError("an interval from fewer than 100 draws", hint="give 2000 or more")
        if not 0 < self.level < 1:
            raise InputError("a level outside 0 to 1")
        object.__setattr__(self, "_codes", numbered)

    @property
    def n_patients(self) -> int:
        """Number of patients that are drawn from."""
        return int(self._codes.max(initial=-1)) + 1

    def weights(self) -> Iterator[NDArray[np.float64]]:
        """Blocks of draws, shape ``(n_draws, n_patients)``: how often each patient was drawn."""
        for block in drawn_patients(self.n_patients, self.repetitions, self.seed):
            yield np.ascontiguousarray(block.T)

    def means(self, values: ArrayLike) -> NDArray[np.float64]:
        """Means of (n_queries, n_measures) over the drawn patients: (repetitions, n_measures)."""
        table = np.asarray(values, dtype=np.float64)
        sums = np.stack(
            [np.bincount(self._codes, column, self.n_patients) for column in table.T], axis=1
        )
        sizes = np.bincount(self._codes, minlength=self.n_patients).astype(np.float64)
        return np.concatenate([(w @ sums) / (w @ sizes)[:, None] for w in self.weights()])

    def medians(self, values: ArrayLike) -> NDArray[np.float64]:
        """Medians of (n_queries,) over the drawn patients, shape ``(repetitions,)``."""
        column = np.asarray(values, dtype=np.float64)
        order = np.argsort(column, kind="stable")
        ranked, owner = column[order], self._codes[order]
        step = max(1, _CELLS // len(column))
        found = []
        for block in self.weights():
            for start in range(0, len(block), step):
                upto = np.cumsum(block[start : start + step][:, owner], axis=1)
                total = upto[:, -1:]
                lower = (upto <= (total - 1) // 2).sum(axis=1)
                upper = (upto <= total // 2).sum(axis=1)
                found.append((ranked[lower] + ranked[upper]) / 2)
        return np.concatenate(found)

    def interval(
        self, draws: NDArray[np.float64], *, bounds: tuple[float, float] | None = None
    ) -> Interval | None:
        r"""Percentile interval, widened for few patients; None with fewer than two.

        Parameters
        ----------
        draws : float64 array of shape (repetitions,)
        bounds : (low, high), optional
            Values that the measure cannot leave. If every draw is one of them, the end is the exact
            binomial one for n patients that agree: ``low + (high - low) (1 - (alpha/2)^{1/n})``.

        Notes
        -----
        The percentiles are taken at :math:`\Phi(\pm\sqrt{n/(n-1)}\, t_{n-1, 1-\alpha/2})`, since
        few patients make the plain interval too narrow by that factor (Hesterberg 2015, The
        American Statistician 69:371, §5.2).
        """
        n = self.n_patients
        if n < 2 or not np.isfinite(draws).all():
            return None
        from scipy.special import stdtrit  # not at import: the command line starts without scipy

        alpha = 1 - self.level
        low, high = bounds or (np.nan, np.nan)
        reach = (high - low) * (1 - (alpha / 2) ** (1 / n))
        if np.abs(draws - low).max() < _ROUNDING:
            return low, low + reach
        if np.abs(draws - high).max() < _ROUNDING:
            return high - reach, high
        reach = np.sqrt(n / (n - 1)) * float(stdtrit(n - 1, 1 - alpha / 2))
        tail = NormalDist().cdf(-reach)
        low, high = np.quantile(draws, [tail, 1 - tail])
        return float(low), float(high)
