"""What a score is worth: its percentile among an archive's scores, and a calibrated share of hits.

The curve assumes one thing only: that a higher score is worth no less. Hits are pooled into steps
of equal size, and the shares of the steps made monotone (isotonic regression). Hits of one patient
are alike, so the interval draws patients with replacement and fits each draw again.

References
----------
Ayer, Brunk, Ewing, Reid, Silverman: An Empirical Distribution Function for Sampling with Incomplete
Information, Annals of Mathematical Statistics 26:641, 1955 (pooling adjacent violators).
Hesterberg: What Teachers Should Know About the Bootstrap, The American Statistician 69:371, 2015,
section 5.2 (wider percentiles for few patients).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_PATIENTS", "Percentiles", "ShareCurve", "Step"]

FEWEST_PATIENTS = 50
"""Fewest patients whose queries make a curve: at half, an interval is then some 14 points wide on
either side if a patient's hits are all alike."""

LEVEL = 0.95

_MOST_STEPS = 20
_PATIENTS_PER_STEP = 5
_DRAWS = 1000
_FEWEST_ABOVE = 20
_ROUNDING = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Percentiles:
    """How the scores of an archive are spread, finer towards the top.

    Parameters
    ----------
    shares : float64 array, shape ``(m,)``, rising
    scores : float64 array, shape ``(m,)``
        At least this share of the pairs score no more than that.
    """

    shares: Floats = field(default_factory=lambda: np.empty(0))
    scores: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, scores: npt.ArrayLike) -> Percentiles:
        """Summarize the scores of pairs of a query and a case, shape ``(n,)``.

        Steps of 1% up to 99%, of 0.1% up to 99.9%, of 0.01% up to 99.99%, as far as at least 20
        pairs are above.
        """
        ordered = np.sort(np.asarray(scores, dtype=np.float64))
        n = len(ordered)
        grid = np.unique(np.round([i / 10**d for d in (2, 3, 4) for i in _steps(d)], 4))
        grid = grid[n * (1 - grid) >= _FEWEST_ABOVE - _ROUNDING]
        at = np.ceil(grid * n - _ROUNDING).astype(np.int64) - 1
        return cls(grid, ordered[at])

    def of_score(self, score: float) -> float | None:
        """Return the percentile of a score, rounded down to a step, in percent.

        At least this percentage of the pairs score lower. None without a table, 0 to 99.99 else.
        """
        if not len(self.shares):
            return None
        at = int(np.searchsorted(self.scores, score, side="left"))
        return round(100 * float(self.shares[at - 1]), 2) if at else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"shares": self.shares.tolist(), "scores": self.scores.tolist()}


def _steps(digits: int) -> range:
    """Return the steps of the last unit below 1: of 100 all, of 1,000 and more the last ten."""
    top = int(10**digits)
    return range(1 if digits == 2 else top - 9, top)


@dataclass(frozen=True)
class Step:
    """Share of the hits of about one score that share a finding, with its 95% interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ShareCurve:
    """The share of hits that share a finding, by their score; it never falls.

    Parameters
    ----------
    floors : float64 array, shape ``(m,)``, rising
        The lowest score of each step.
    shares, lows, highs : float64 arrays, shape ``(m,)``
    """

    floors: Floats = field(default_factory=lambda: np.empty(0))
    shares: Floats = field(default_factory=lambda: np.empty(0))
    lows: Floats = field(default_factory=lambda: np.empty(0))
    highs: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def fit(
        cls, scores: npt.ArrayLike, shared: npt.ArrayLike, owners: npt.ArrayLike, *, seed: int = 0
    ) -> ShareCurve:
        """Calibrate scores of hits; an empty curve if they are of fewer than 50 patients.

        Parameters
        ----------
        scores : float array, shape ``(n,)``
        shared : bool array, shape ``(n,)``
            Whether the hit shares a finding with its query.
        owners : array, shape ``(n,)``
            The query's patient.
        seed : int
            Of the draws of patients.
        """
        values = np.asarray(scores, dtype=np.float64)
        names, patient = np.unique(np.asarray(owners), return_inverse=True)
        if len(names) < FEWEST_PATIENTS:
            return cls()
        floors = _floors(values, min(_MOST_STEPS, len(names) // _PATIENTS_PER_STEP))
        step = np.searchsorted(floors, values, side="right") - 1
        cell, size = patient * len(floors) + step, len(names) * len(floors)
        shape = len(names), len(floors)
        n = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
        hits = np.bincount(cell, np.asarray(shared, dtype=np.float64), size).reshape(shape)
        shares = _monotone(hits.sum(0)[None], n.sum(0)[None])[0]
        chance = np.full(len(names), 1 / len(names))
        counts = np.random.default_rng(seed).multinomial(len(names), chance, size=_DRAWS)
        drawn = np.asarray(counts, dtype=np.float64)
        lows, highs = _ends(_monotone(drawn @ hits, drawn @ n), shares, n)
        return cls(floors, shares, lows, highs)

    def at(self, score: float) -> Step | None:
        """Return the step of a score; None below the lowest score that was measured.

        A score above all measured ones is worth what the highest step is.
        """
        at = int(np.searchsorted(self.floors, score, side="right")) - 1
        if at < 0:
            return None
        return Step(float(self.shares[at]), float(self.lows[at]), float(self.highs[at]))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            name: np.round(getattr(self, name), 6).tolist()
            for name in ("floors", "shares", "lows", "highs")
        }


def _floors(scores: Floats, n_steps: int) -> Floats:
    """Cut scores into steps of about equal size; equal scores are in one step."""
    quantiles = np.quantile(scores, np.arange(n_steps) / n_steps, method="lower")
    floors: Floats = np.unique(quantiles)
    return floors


def _monotone(hits: Floats, n: Floats) -> Floats:
    """Return rising shares, each a maximum of minima of pooled shares.

    That is the isotonic regression in closed form (Robertson, Wright, Dykstra: Order Restricted
    Statistical Inference, 1988, theorem 1.4.4), for many draws at a time.

    Parameters
    ----------
    hits, n : float64 arrays, shape ``(draws, steps)``
        Hits that share a finding, and all. A step without hits gets its neighbors' share.
    """
    steps = hits.shape[1]
    sums = [np.pad(each.cumsum(1), ((0, 0), (1, 0))) for each in (hits, n)]
    # Axes: draw, first step of the pool, last step of the pool.
    above, below = (each[:, None, 1:] - each[:, :-1, None] for each in sums)
    pooled = np.divide(above, below, out=np.full_like(above, np.inf), where=below > 0)
    fitted = np.empty_like(hits)
    for at in range(steps):
        least = pooled[:, : at + 1, at:].min(2)
        fitted[:, at] = np.where(np.isinf(least), -np.inf, least).max(1)
    return np.clip(fitted, 0.0, 1.0)


def _ends(fits: Floats, shares: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the interval of each step from the fits of all draws.

    Where all patients of a step agree, so do all draws: the end is then the exact binomial one for
    as many patients as have hits there.
    """
    from scipy.special import stdtrit

    k, tail = len(n), (1 - LEVEL) / 2
    reach = NormalDist().cdf(-np.sqrt(k / (k - 1)) * float(stdtrit(k - 1, 1 - tail)))
    lows, highs = np.quantile(fits, [reach, 1 - reach], axis=0)
    for at, share in enumerate(shares):
        same = np.abs(shares - share) < _ROUNDING
        patients = np.count_nonzero(n[:, same].sum(1))
        gap = 1 - tail ** (1 / patients)
        if fits[:, at].min() > 1 - _ROUNDING:
            lows[at] = 1 - gap
        if fits[:, at].max() < _ROUNDING:
            highs[at] = gap
    # An exact end above the bootstrap's end of a higher step would let the interval fall.
    lows = np.minimum.accumulate(np.minimum(lows, shares)[::-1])[::-1]
    highs = np.maximum.accumulate(np.maximum(highs, shares))
    return lows, highs
