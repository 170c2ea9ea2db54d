"""Errors of zero-shot findings by group: who is missed (FNR), who is alarmed for nothing (FPR).

The threshold is chosen beforehand, on another split. Where a group has no positive case its FNR is
not 0 but not assessable.

References
----------
Seyyed-Kalantari et al., Nature Medicine 27:2176, 2021 (underdiagnosis); Hardt, Price and Srebro,
NIPS 2016 (equalized odds); Youden, Cancer 3:32, 1950.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import UNKNOWN
from evaluation.sections.calibration import calibration_error, calibration_gap, known_kinds
from evaluation.sections.group_vs_rest import (
    Contrast,
    against_rest,
    numbers,
    settle,
    suppressed,
    text_groups,
)
from evaluation.stats import Minimum
from evaluation.stats.auc import area_test, patient_area
from evaluation.stats.proportions import join_ends
from medembed.errors import InputError

__all__ = ["Threshold", "assess_zero_shot", "choose_threshold", "error_outcomes"]

Floats = NDArray[np.float64]
Sides = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Cases of the group, and of all others who are known."""
Pairs = list[tuple[Contrast, Contrast]]
"""Rows of both errors, each with the same at half the error rate."""


class Threshold(NamedTuple):
    """A score of ``value`` or more says that the finding is there; what that attains."""

    value: float
    sensitivity: float
    specificity: float


def choose_threshold(scores: ArrayLike, truth: ArrayLike) -> Threshold:
    """Choose the largest sensitivity + specificity (Youden), on the validation split.

    Parameters
    ----------
    scores, truth : float arrays of shape (n,)
        Truth is 1, 0, or NaN where not known.

    Examples
    --------
    >>> choose_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    Threshold(value=0.35, sensitivity=1.0, specificity=0.5)
    """
    values, kind = known_kinds(scores, truth)
    cuts = np.append(np.unique(values), np.inf)
    sensitivity = 1 - np.searchsorted(np.sort(values[kind]), cuts) / kind.sum()
    specificity = np.searchsorted(np.sort(values[~kind]), cuts) / (~kind).sum()
    best = int(np.argmax(np.round(sensitivity + specificity, 12)))
    return Threshold(float(cuts[best]), float(sensitivity[best]), float(specificity[best]))


def error_outcomes(scores: ArrayLike, truth: ArrayLike, threshold: float) -> dict[str, Floats]:
    """Give the columns of errors for :func:`evaluation.audit_outcomes`.

    Parameters
    ----------
    scores, truth : float arrays of shape (n,)
        Truth is 1, 0, or NaN where not known.
    threshold : float

    Returns
    -------
    dict of str to float64 array of shape (n,)
        ``FNR``: 1 missed, 0 found, NaN where the finding is not there (or not known). ``FPR``: 1
        false alarm, 0 rightly silent, NaN where it is there.

    Examples
    --------
    >>> error_outcomes([0.2, 0.9, 0.4], [1, 0, float("nan")], 0.5)
    {'FNR': array([ 1., nan, nan]), 'FPR': array([nan,  1., nan])}
    """
    values, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if values.ndim != 1 or values.shape != y.shape:
        raise InputError("scores and truth of different length")
    known = ~np.isnan(y)
    if not np.isin(y[known], (0.0, 1.0)).all() or np.isnan(values[known]).any():
        raise InputError("a truth that is neither 0 nor 1, or a score that is no number")
    said = values >= threshold
    return {
        "FNR": np.where(y == 1, (~said).astype(np.float64), np.nan),
        "FPR": np.where(y == 0, said.astype(np.float64), np.nan),
    }


def assess_zero_shot(
    scores: Mapping[str, ArrayLike],
    truth: Mapping[str, ArrayLike],
    thresholds: Mapping[str, float],
    patients: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    probabilities: Mapping[str, ArrayLike] | None = None,
    margin: float = 0.05,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
) -> tuple[Contrast, ...]:
    """Compare the errors of each group with the rest's.

    Parameters
    ----------
    scores, truth : mapping of finding to float array of shape (n,)
        As in :func:`error_outcomes`.
    thresholds : mapping of finding to float
        Chosen on another split (:func:`choose_threshold`).
    patients : array of shape (n,)
    groups : mapping of attribute to array of shape (n,)
    probabilities : mapping of finding to float array of shape (n,), optional
        From a curve fitted on another split; without them calibration is not assessed.
    margin, alpha, minimum

    Returns
    -------
    tuple of Contrast
        For each finding and group FNR, FPR, EO (the larger of their gaps in size), AUC and
        calibration. Holm over all of them.

    Notes
    -----
    EO is the size of one of the two gaps. Its interval goes from the larger of their lower ends to
    the larger of their upper ones, and from 0 where neither gap differs from 0 at half the error
    rate (Bonferroni): with no gap either would be above 0 twice as often as one, with gaps each has
    one side to err on. p is twice the lesser of theirs. max − min over groups, resampled, is above
    0 on any fair data.
    """
    least = minimum or Minimum()
    owner = np.asarray(patients)
    labels = {name: text_groups(given, name, len(owner)) for name, given in groups.items()}
    rows: list[Contrast] = []
    for finding, given in scores.items():
        if finding not in truth or finding not in thresholds:
            raise InputError(f"no truth or no threshold for {finding!r}")
        values, y = (np.asarray(x, dtype=np.float64) for x in (given, truth[finding]))
        if not values.shape == y.shape == owner.shape:
            raise InputError(f"scores, truth and patients of {finding!r} of different length")
        p = (probabilities or {}).get(finding)
        held = _Finding(
            values, y, None if p is None else np.asarray(p, dtype=np.float64), owner, least, alpha
        )
        errors = error_outcomes(values, y, thresholds[finding])
        # Equalized odds need the intervals at half the error rate, too.
        whole, half = (
            against_rest(errors, owner, groups, alpha=a, minimum=least) for a in (alpha, alpha / 2)
        )
        made: dict[tuple[str, str], Pairs] = {}
        for row, narrow in zip(whole, half, strict=True):
            told = _error_row(replace(row, finding=finding), least)
            made.setdefault((row.attribute, row.group), []).append((told, narrow))
        for (attribute, name), both in made.items():
            inside = np.asarray(labels[attribute] == name)
            known = np.asarray(~inside & (labels[attribute] != UNKNOWN))
            rows += [row for row, _ in both] + held.rows(both, (inside, known))
    return settle(rows, margin=margin, alpha=alpha)


def _error_row(row: Contrast, minimum: Minimum) -> Contrast:
    """Say of which cases there are too few."""
    what = {"FNR": "positive", "FPR": "negative"}[row.measure]
    empty = Contrast(row.attribute, row.group, row.measure, finding=row.finding)
    if row.estimate is None:
        return replace(empty, reason=f"no patient of this group has a {what} case")
    if (row.n_patients or 0) < minimum.reported:
        why = f"fewer than {minimum.reported} patients with a {what} case"
        return replace(suppressed(empty, minimum), reason=why)
    return row


def _odds(row: Contrast, both: Pairs) -> Contrast:
    """The larger of both gaps in size."""
    for part, _ in both:
        if part.reason:
            return replace(row, reason=part.reason, precision=part.precision)
    parts, narrow = zip(*both, strict=True)
    ends = []
    for names in (("gap_ci_low", "gap_ci_high"), ("inner_low", "inner_high")):
        nearest, farthest = _sizes(numbers(parts, *names))
        ends.append((nearest if _sizes(numbers(narrow, *names))[0] > 0 else 0.0, farthest))
    gap = max(abs(part.gap or 0.0) for part in parts)
    known = [part.p for part in parts if part.p is not None]
    (low, high), (inner_low, inner_high) = ends
    return replace(
        row, estimate=gap, ci_low=low, ci_high=high, gap=gap, gap_ci_low=low, gap_ci_high=high,
        inner_low=min(inner_low, gap), inner_high=max(inner_high, gap),
        p=min(1.0, 2 * min(known)) if known else None,
        precision="low" if "low" in [part.precision for part in parts] else "usual",
    )  # fmt: skip


def _sizes(ends: Floats) -> tuple[float, float]:
    """Largest lower and upper end of the sizes of gaps that lie within ``ends``, (n, 2)."""
    far, near = np.abs(ends).max(axis=1), np.abs(ends).min(axis=1)
    crossing = (ends[:, 0] <= 0) & (ends[:, 1] >= 0)
    return float(np.where(crossing, 0.0, near).max()), float(far.max())


@dataclass(frozen=True)
class _Finding:
    scores: Floats
    truth: Floats
    probabilities: Floats | None
    owner: NDArray[Any]
    minimum: Minimum
    alpha: float

    def rows(self, both: Pairs, sides: Sides) -> list[Contrast]:
        """What follows from both errors: equalized odds, area and calibration."""
        names = ("EO", "AUC", "calibration")[: 2 if self.probabilities is None else 3]
        for part, _ in both:
            if part.estimate is None:
                return [replace(part, measure=measure) for measure in names]
        inside, outside = (np.asarray(side & ~np.isnan(self.truth)) for side in sides)
        first = both[0][0]
        row = Contrast(first.attribute, first.group, "EO", finding=first.finding)
        rows = [_odds(row, both)]
        row = replace(
            row, precision=first.precision, n_patients=self._patients(inside),
            n_queries=int(inside.sum()),
        )  # fmt: skip
        rows.append(self._area(replace(row, measure="AUC"), (inside, outside)))
        if self.probabilities is not None:
            rows.append(self._calibration(replace(row, measure="calibration"), (inside, outside)))
        return rows

    def _patients(self, *among: NDArray[np.bool_]) -> int:
        """Patients of the smallest of these sets of cases."""
        return min(len(np.unique(self.owner[cases])) for cases in among)

    def _area(self, row: Contrast, sides: Sides) -> Contrast:
        kind = self.truth == 1
        row = replace(row, n_events=int((sides[0] & kind).sum()))
        if not np.isfinite(self.scores[~np.isnan(self.truth)]).all():
            return replace(row, reason="some scores are infinite")
        cells = (side & of for side in sides for of in (kind, ~kind))
        if self._patients(*cells) < max(2, self.minimum.reported):
            return replace(row, reason="too few patients with, or without, the finding to compare")
        areas = [
            [
                patient_area(self.scores[here], kind[here], self.owner[here], level=level)
                for level in (0.95, 1 - 2 * self.alpha)
            ]
            for here in sides
        ]
        mine, other = (of[0] for of in areas)
        ends = np.array([[(x.auc, x.low, x.high) for x in of] for of in areas], dtype=np.float64)
        a, b = ends.transpose(0, 2, 1)
        joined = join_ends(a[0], a[1], a[2], b[0], b[1], b[2], np.zeros(2))
        low, high = (end.tolist() for end in joined)
        test = area_test(self.scores, kind, self.owner, *sides)
        return replace(
            row, estimate=mine.auc, ci_low=mine.low, ci_high=mine.high, rest_estimate=other.auc,
            gap=mine.auc - other.auc, gap_ci_low=low[0], gap_ci_high=high[0], inner_low=low[1],
            inner_high=high[1], p=test.p if isfinite(test.p) else None,
        )  # fmt: skip

    def _calibration(self, row: Contrast, sides: Sides) -> Contrast:
        from scipy.special import stdtr  # the command line starts without scipy

        if self._patients(*sides) < max(2, self.minimum.reported):
            return replace(row, reason="too few patients outside the group to compare with")
        assert self.probabilities is not None  # else there is no such row
        (mine, other), inner = (
            [
                calibration_error(
                    self.probabilities[here], self.truth[here], self.owner[here], level=level
                )
                for here in sides
            ]
            for level in (0.95, 1 - 2 * self.alpha)
        )
        low, high = calibration_gap(mine, other)
        inner_low, inner_high = calibration_gap(*inner)
        n = mine.n_cases + other.n_cases
        pooled = (mine.squared * mine.n_cases + other.squared * other.n_cases) / n
        variance = mine.variance(pooled) + other.variance(pooled)  # if both were alike
        p = None
        if variance > 0:
            t = (mine.squared - other.squared) / variance**0.5
            p = float(2 * stdtr(min(mine.n_patients, other.n_patients) - 1, -abs(t)))
        return replace(
            row, estimate=mine.error, ci_low=mine.low, ci_high=mine.high,
            rest_estimate=other.error, gap=mine.error - other.error, gap_ci_low=low,
            gap_ci_high=high, inner_low=inner_low, inner_high=inner_high, p=p,
        )  # fmt: skip
