"""Groups against the rest for any outcome of a case, with patients as units.

The smallest common part of this room: one row for each attribute, group and measure, with its
interval, its gap to everyone else, Holm's adjusted p over all rows of the call, and a verdict. Rows
of groups too small to be shown hold no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from evaluation.stats import (
    Minimum,
    bootstrap_t_gap,
    bootstrap_t_mean,
    decide,
    gap_interval,
    holm,
    korn_graubard,
    score_test,
)
from evaluation.stats.clusters import cluster_sums
from evaluation.stats.report_fields import Reason
from evaluation.stats.verdict import Precision, Verdict
from medembed.errors import InputError

__all__ = [
    "Contrast",
    "compare_one",
    "contrast_groups",
    "plain",
    "settle",
    "small_groups",
    "suppressed",
    "text_groups",
]


@dataclass(frozen=True)
class Contrast:
    """A group against the rest.

    Parameters
    ----------
    attribute, group, measure : str
    estimate, ci_low, ci_high : float or None
        95% interval over patients; None where not assessable or suppressed.
    rest_estimate : float or None
    gap, gap_ci_low, gap_ci_high : float or None
        Group less rest.
    p, p_adjusted : float or None
        Of no gap; Holm over all rows made together.
    n_patients, n_queries, n_events : int or None
        None where suppressed; events are what the measure counts, for a proportion.
    precision : {"usual", "low", "suppressed"}
    verdict : {"within", "exceeds", "inconclusive", "not_assessable"}
    reason : str
    inner_low, inner_high : float or None
        Ends of the gap at 1 - 2 alpha, which the verdict is taken from.
    """

    attribute: str
    group: str
    measure: str
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    rest_estimate: float | None = None
    gap: float | None = None
    gap_ci_low: float | None = None
    gap_ci_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_patients: int | None = None
    n_queries: int | None = None
    n_events: int | None = None
    precision: Precision = "usual"
    verdict: Verdict = "not_assessable"
    reason: str = ""
    inner_low: float | None = None
    inner_high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names above; what is no finite number becomes None."""
        return plain(asdict(self))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a row to values that JSON knows: Python's own numbers, and None for NaN.

    Examples
    --------
    >>> plain({"n": np.int64(3), "gap": float("nan"), "ratio": np.float32(0.5)})
    {'n': 3, 'gap': None, 'ratio': 0.5}
    """
    out: dict[str, Any] = {}
    for name, value in row.items():
        kept = value.item() if isinstance(value, np.generic) else value
        out[name] = None if isinstance(kept, float) and not isfinite(kept) else kept
    return out


def text_groups(values: ArrayLike, name: str, n: int) -> NDArray[np.str_]:
    """Groups as text by :func:`evaluation.labels.group_label`; ``"unknown"`` is one like any other.

    Parameters
    ----------
    values : array of shape (n,)
    name : str
        Of the attribute, for the message.
    n : int
        Cases that there are.

    Examples
    --------
    >>> text_groups(["F", "", None, float("nan")], "sex", 4).tolist()
    ['F', 'unknown', 'unknown', 'unknown']
    """
    given = np.asarray(values, dtype=object)
    if given.shape != (n,):
        raise InputError(f"attribute {name!r} has {given.size} values for {n} cases")
    return group_labels(given)


def small_groups(n_patients: Mapping[str, int], minimum: Minimum) -> frozenset[str]:
    """Groups of one attribute that are too small to show.

    Examples
    --------
    >>> sorted(small_groups({"F": 60, "M": 35, "O": 5, "none": 0}, Minimum()))
    ['O']
    """
    return frozenset(g for g, n in n_patients.items() if 0 < n < minimum.reported)


def contrast_groups(
    outcomes: Mapping[str, ArrayLike],
    patients: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    only: str | None = None,
    margin: float = 0.05,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> tuple[Contrast, ...]:
    """Compare each group with the rest on every outcome.

    Parameters
    ----------
    outcomes : mapping of str to float array of shape (n,)
        NaN where not measured. Of 0 and 1 only: Korn–Graubard with MOVER; else bootstrap-t.
    patients : array of shape (n,)
    groups : mapping of str to array of shape (n,)
        By attribute.
    only : str, optional
        The one group to compare (``"unknown"``); all by default.
    margin, alpha : float
        Of the verdict.
    minimum : Minimum, optional
    repetitions, seed : int
        Of the bootstrap.

    Returns
    -------
    tuple of Contrast
        Sorted as given; Holm over all of them.

    Examples
    --------
    >>> rows = contrast_groups({"hit": [1, 0] * 40}, range(80), {"sex": ["F", "F", "M", "M"] * 20})
    >>> [(r.group, r.estimate, r.gap, r.verdict) for r in rows]
    [('F', 0.5, 0.0, 'inconclusive'), ('M', 0.5, 0.0, 'inconclusive')]
    """
    least = minimum or Minimum()
    owner = np.asarray(patients)
    rows: list[Contrast] = []
    for attribute, given in groups.items():
        labels = text_groups(given, attribute, len(owner))
        for measure, outcome in outcomes.items():
            values = np.asarray(outcome, dtype=np.float64)
            if values.shape != labels.shape:
                raise InputError(f"outcome {measure!r} has {values.size} values, not {len(labels)}")
            names = np.unique(labels).tolist()
            counts = {g: len(cluster_sums(values, owner, labels == g).sizes) for g in names}
            small = small_groups(counts, least)
            for group in names:
                if only is not None and group != only:
                    continue
                row = Contrast(attribute, group, measure)
                if group in small:
                    rows.append(suppressed(row, least))
                    continue
                row = compare_one(
                    row, values, owner, labels == group, least, alpha, repetitions, seed
                )
                rows.append(row)
    return settle(rows, margin=margin, alpha=alpha)


def settle(rows: list[Contrast], *, margin: float, alpha: float) -> tuple[Contrast, ...]:
    """Adjust the rows' p-values together (Holm) and give each its verdict."""
    adjusted = holm([np.nan if row.p is None else row.p for row in rows])
    done = []
    for row, p in zip(rows, adjusted.tolist(), strict=True):
        known = p if isfinite(p) else None
        if row.reason:
            done.append(replace(row, p_adjusted=known, verdict="not_assessable"))
            continue
        inner = None
        if row.inner_low is not None and row.inner_high is not None:
            inner = (row.inner_low, row.inner_high)
        found = decide(row.gap, inner, known, margin=margin, alpha=alpha)
        done.append(replace(row, p_adjusted=known, verdict=found.verdict, reason=found.reason))
    return tuple(done)


def suppressed(row: Contrast, minimum: Minimum) -> Contrast:
    """A group too small to be shown: no number at all."""
    return replace(row, precision="suppressed", reason=Reason.FEW.text(minimum))


def compare_one(
    row: Contrast,
    values: NDArray[np.float64],
    owner: NDArray[Any],
    inside: NDArray[np.bool_],
    minimum: Minimum,
    alpha: float,
    repetitions: int,
    seed: int,
) -> Contrast:
    """Fill in a row: the group's estimate and interval, its gap to the rest, and p.

    Parameters
    ----------
    row : Contrast
        With its names.
    values : float64 array of shape (n,)
        Outcomes; NaN where not measured.
    owner : array of shape (n,)
        Patients.
    inside : bool array of shape (n,)
        The group; all others that were measured are the rest.
    minimum, alpha, repetitions, seed
    """
    held = cluster_sums(values, owner, inside)
    rest = cluster_sums(values, owner, ~inside)
    known = values[~np.isnan(values)]
    binary = bool(np.isin(known, (0.0, 1.0)).all())
    row = replace(
        row,
        n_patients=len(held.sizes),
        n_queries=int(held.sizes.sum()),
        n_events=int(held.sums.sum()) if binary else None,
        precision=minimum.precision(len(held.sizes)) if len(held.sizes) else "usual",
    )
    if not len(held.sizes):
        return replace(row, reason="nothing of this group was measured")
    if binary:
        mine = korn_graubard(values, owner, inside)
        row = replace(row, estimate=mine.estimate, ci_low=mine.low, ci_high=mine.high)
    else:
        own = bootstrap_t_mean(values, owner, inside, repetitions=repetitions, seed=seed)
        row = replace(row, estimate=own.estimate, ci_low=own.low, ci_high=own.high)
    if len(rest.sizes) < minimum.reported:
        return replace(row, reason="too few patients outside the group to compare with")
    if binary:
        gap, low, high = gap_interval(values, owner, inside, ~inside)
        _, inner_low, inner_high = gap_interval(values, owner, inside, ~inside, level=1 - 2 * alpha)
        ends: list[float | None] = [low, high, inner_low, inner_high]
    else:
        wide, inner = (
            bootstrap_t_gap(
                values, owner, inside, ~inside, level=level, repetitions=repetitions, seed=seed
            )
            for level in (0.95, 1 - 2 * alpha)
        )
        gap, ends = wide.estimate, [wide.low, wide.high, inner.low, inner.high]
    # The bootstrap-t interval of a skewed outcome may leave the estimate out: then it says nothing.
    if ends[2] is not None and ends[3] is not None and not ends[2] <= gap <= ends[3]:
        ends = [None] * 4
    test = score_test(values, owner, inside, ~inside)
    row = replace(
        row,
        rest_estimate=float(rest.sums.sum() / rest.sizes.sum()),
        gap=gap,
        gap_ci_low=ends[0],
        gap_ci_high=ends[1],
        inner_low=ends[2],
        inner_high=ends[3],
        p=test.p if isfinite(test.p) else None,
    )
    if ends[2] is None:
        return replace(row, reason="outcomes that do not vary enough for an interval")
    return row
