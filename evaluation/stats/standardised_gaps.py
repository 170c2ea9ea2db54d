"""One standardised gap at a time, from queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evaluation.labels import codes
from evaluation.stats.standardise import (
    adjusted_contrast,
    layers_of,
    proportion_ends,
    score_ends,
)
from medembed.errors import InputError

__all__ = ["StandardisedGap", "standardised_gap"]


@dataclass(frozen=True)
class StandardisedGap:
    """A standardised gap with test and interval; NaN where not assessable.

    Parameters
    ----------
    gap, low, high, t, df, p : float
    overlap : float
        Share of the first group's queries in strata where the second has some.
    """

    gap: float
    low: float
    high: float
    t: float
    df: float
    p: float
    overlap: float


def standardised_gap(
    outcomes: ArrayLike,
    patients: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    strata: ArrayLike,
    *,
    level: float = 0.95,
) -> StandardisedGap:
    """Compare two groups of queries at the same mix of strata.

    Parameters
    ----------
    outcomes : float array of shape (n_queries,)
        NaN where not measured. Only 0 and 1 is a proportion (Korn–Graubard and MOVER); else the
        interval is the gaps that the test does not refuse.
    patients, strata : arrays of shape (n_queries,)
        Whole numbers or text.
    first, second : bool arrays of shape (n_queries,)
        The groups; no query in both.
    level : float

    Raises
    ------
    InputError
        Where arrays do not fit or a query is in both groups.

    Examples
    --------
    >>> hit = [1, 1, 0, 1, 0, 0, 1, 0]
    >>> view = ["PA", "PA", "AP", "PA", "AP", "AP", "PA", "AP"]
    >>> group = np.array([True, True, True, False, False, False, True, False])
    >>> standardised_gap(hit, list("abcdefgh"), group, ~group, view).gap  # all of it is the mix
    0.0
    """
    values = np.asarray(outcomes, dtype=np.float64)
    one, two = np.asarray(first), np.asarray(second)
    owner, stratum = codes(patients), codes(strata)
    if not values.shape == one.shape == two.shape == owner.shape == stratum.shape:
        raise InputError("outcomes, patients, groups and strata of different numbers of queries")
    if (one & two).any() or (owner < 0).any() or (stratum < 0).any() or np.isinf(values).any():
        raise InputError("a query in both groups, without patient or stratum, or infinite")
    side = np.where(one, 0, np.where(two, 1, 2)).astype(np.int64)
    layers = layers_of(values[:, None], owner, side, stratum)
    found = adjusted_contrast(layers, layers.group == 0, layers.group == 1)
    known = values[~np.isnan(values)]
    only = np.zeros(1, dtype=np.int64)
    way = proportion_ends if np.isin(known, (0, 1)).all() else score_ends
    ends = [float(end[0]) for end in way(found, only, level)]
    return StandardisedGap(
        float(found.gap[0]),
        *ends,
        *(float(x[0]) for x in (found.t, found.df, found.p, found.overlap)),
    )
