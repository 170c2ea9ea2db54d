"""Errors of zero-shot findings by group: who is missed, who is alarmed for nothing.

A missed finding (FNR) is underdiagnosis: a patient of that group goes untreated (Seyyed-Kalantari
2021). The threshold is chosen beforehand, on another split. Where a group has no positive case its
FNR is not 0 but not assessable.

References
----------
Seyyed-Kalantari et al., Nature Medicine 27:2176, 2021; Hardt, Price and Srebro, NIPS 2016
(equalized odds); Youden, Cancer 3:32, 1950.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import UNKNOWN
from evaluation.sections.calibration import calibration_error, calibration_gap, known_kinds
from evaluation.sections.group_vs_rest import (
    Contrast,
    against_rest,
    settle,
    suppressed,
    text_groups,
)
from evaluation.stats import Minimum
from evaluation.stats.auc import area_test, patient_area
from evaluation.stats.proportions import join_ends
from medembed.errors import InputError

__all__ = [
    "FindingContrast",
    "Threshold",
    "assess_zero_shot",
    "choose_threshold",
    "error_outcomes",
]

Floats = NDArray[np.float64]
Rule = Literal["youden", "sensitivity", "specificity"]


@dataclass(frozen=True)
class Threshold:
    """An operating point, chosen on other cases than those assessed.

    Parameters
    ----------
    value : float
        A score of it or more says that the finding is there.
    rule : {"youden", "sensitivity", "specificity"}
    level : float or None
        Sensitivity or specificity that was asked for.
    sensitivity, specificity : float
        There.
    """

    value: float
    rule: Rule
    level: float | None
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class FindingContrast:
    """A group against the rest on one finding.

    Parameters
    ----------
    finding : str
    row : Contrast
        ``measure`` is FNR, FPR, EO, AUC or calibration.
    """

    finding: str
    row: Contrast

    def to_json(self) -> dict[str, Any]:
        """The row's plain values, and the finding."""
        return {"finding": self.finding, **self.row.to_json()}


def choose_threshold(
    scores: ArrayLike, truth: ArrayLike, *, rule: Rule = "youden", level: float | None = None
) -> Threshold:
    """Choose an operating point, on the validation split.

    Parameters
    ----------
    scores : float array of shape (n,)
    truth : float array of shape (n,)
        1, 0, or NaN where not known.
    rule : {"youden", "sensitivity", "specificity"}
        Largest sensitivity + specificity; or the highest (lowest) threshold whose sensitivity
        (specificity) is at least ``level``.
    level : float, optional

    Examples
    --------
    >>> choose_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], rule="sensitivity", level=1.0).value
    0.35
    """
    values, kind = known_kinds(scores, truth)
    if (rule == "youden") != (level is None) or (level is not None and not 0 < level <= 1):
        raise InputError("a level from 0 to 1 goes with sensitivity or specificity, and only there")
    cuts = np.append(np.unique(values), np.inf)
    sensitivity = 1 - np.searchsorted(np.sort(values[kind]), cuts) / kind.sum()
    specificity = np.searchsorted(np.sort(values[~kind]), cuts) / (~kind).sum()
    if rule == "youden":
        best = int(np.argmax(np.round(sensitivity + specificity, 12)))
    elif rule == "sensitivity":
        best = int(np.flatnonzero(sensitivity >= (level or 0) - 1e-12)[-1])
    elif rule == "specificity":
        best = int(np.flatnonzero(specificity >= (level or 0) - 1e-12)[0])
    else:
        raise InputError("an operating point is chosen by youden, sensitivity or specificity")
    return Threshold(
        float(cuts[best]), rule, level, float(sensitivity[best]), float(specificity[best])
    )


def error_outcomes(
    scores: ArrayLike, truth: ArrayLike, threshold: float
) -> dict[str, NDArray[np.float64]]:
    """Give the columns of errors for :func:`evaluation.audit_outcomes`.

    Parameters
    ----------
    scores : float array of shape (n,)
    truth : float array of shape (n,)
        1, 0, or NaN where not known.
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
) -> tuple[FindingContrast, ...]:
    """Compare the errors of each group with the rest's.

    Parameters
    ----------
    scores, truth : mapping of finding to float array of shape (n,)
        As in :func:`error_outcomes`.
    thresholds : mapping of finding to float
        Chosen on another split (:func:`choose_threshold`).
    patients : array of shape (n,)
    groups : mapping of str to array of shape (n,)
        By attribute.
    probabilities : mapping of finding to float array of shape (n,), optional
        From a curve fitted on another split; without them calibration is not assessed.
    margin, alpha, minimum

    Returns
    -------
    tuple of FindingContrast
        FNR, FPR, EO (the larger of their gaps in size), AUC and calibration for each group. Holm
        over all of them.

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
    cases: dict[str, _Finding] = {}
    for finding, given in scores.items():
        if finding not in truth or finding not in thresholds:
            raise InputError(f"no truth or no threshold for {finding!r}")
        values = np.asarray(given, dtype=np.float64)
        y = np.asarray(truth[finding], dtype=np.float64)
        if not values.shape == y.shape == owner.shape:
            raise InputError(f"scores, truth and patients of {finding!r} of different length")
        p = None
        if probabilities is not None and finding in probabilities:
            p = np.asarray(probabilities[finding], dtype=np.float64)
        cases[finding] = _Finding(values, y, p, owner)
    errors = {
        f"{measure} {finding}": column
        for finding, held in cases.items()
        for measure, column in error_outcomes(held.scores, held.truth, thresholds[finding]).items()
    }
    # Equalized odds need the intervals at half the error rate, too.
    whole, half = (
        {
            (row.measure, row.attribute, row.group): row
            for row in against_rest(errors, owner, groups, alpha=a, minimum=least)
        }
        for a in (alpha, alpha / 2)
    )
    labels = {name: text_groups(given, name, len(owner)) for name, given in groups.items()}
    rows: list[Contrast] = []
    found: list[str] = []
    for finding, held in cases.items():
        for attribute, of in labels.items():
            names = np.unique(of).tolist()
            for name in names:
                both, narrow = (
                    [made[f"{measure} {finding}", attribute, name] for measure in _KINDS]
                    for made in (whole, half)
                )
                both = [
                    _error_row(replace(row, measure=measure), least)
                    for row, measure in zip(both, _KINDS, strict=True)
                ]
                inside = np.asarray(of == name)
                sides = inside, np.asarray(~inside & (of != UNKNOWN))  # known ones to compare with
                rows += both + held.rows(attribute, name, sides, both, narrow, least, alpha)
                found += [finding] * (len(rows) - len(found))
    done = settle(rows, margin=margin, alpha=alpha, parts=found)
    return tuple(FindingContrast(f, row) for f, row in zip(found, done, strict=True))


_KINDS = {"FNR": "positive", "FPR": "negative"}
"""Errors, and of which cases they are."""


def _error_row(row: Contrast, minimum: Minimum) -> Contrast:
    """Say of which cases there are too few."""
    what, empty = _KINDS[row.measure], Contrast(row.attribute, row.group, row.measure)
    if row.estimate is None:
        return replace(empty, reason=f"no patient of this group has a {what} case")
    if (row.n_patients or 0) < minimum.reported:
        why = f"fewer than {minimum.reported} patients with a {what} case"
        return replace(suppressed(empty, minimum), reason=why)
    return row


def _odds(both: list[Contrast], narrow: list[Contrast]) -> Contrast:
    """The larger of both gaps in size; ``narrow`` are their rows at half the error rate."""
    row = Contrast(both[0].attribute, both[0].group, "EO")
    for part in both:
        if part.reason:
            return replace(row, reason=part.reason, precision=part.precision)
    ends = []
    for name in ("gap_ci", "inner"):
        (first, second), (other, another) = (
            [_size(getattr(row, f"{name}_low"), getattr(row, f"{name}_high")) for row in rows]
            for rows in (both, narrow)
        )
        low = max(first[0], second[0]) if max(other[0], another[0]) > 0 else 0.0
        ends.append((low, max(first[1], second[1])))
    gap = max(abs(part.gap or 0.0) for part in both)
    known = [part.p for part in both if part.p is not None]
    low, high = ends[0]
    return replace(
        row, estimate=gap, ci_low=low, ci_high=high, gap=gap, gap_ci_low=low, gap_ci_high=high,
        inner_low=min(ends[1][0], gap), inner_high=max(ends[1][1], gap),
        p=min(1.0, 2 * min(known)) if known else None,
        precision="low" if "low" in [part.precision for part in both] else "usual",
    )  # fmt: skip


def _size(low: float, high: float) -> tuple[float, float]:
    """Ends of a gap's size."""
    far, near = max(abs(low), abs(high)), min(abs(low), abs(high))
    return (0.0 if low <= 0 <= high else near), far


@dataclass(frozen=True)
class _Finding:
    scores: Floats
    truth: Floats
    probabilities: Floats | None
    owner: NDArray[Any]

    def rows(
        self,
        attribute: str,
        name: str,
        sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        both: list[Contrast],
        narrow: list[Contrast],
        minimum: Minimum,
        alpha: float,
    ) -> list[Contrast]:
        """Rows of what follows from both errors: equalized odds, area and calibration."""
        names = ("EO", "AUC", "calibration")[: 2 if self.probabilities is None else 3]
        for part in both:
            if part.estimate is None:
                return [replace(part, measure=measure) for measure in names]
        odds, precision = _odds(both, narrow), both[0].precision
        area, *more = (Contrast(attribute, name, m, precision=precision) for m in names[1:])
        rows = [odds, self._area(area, sides, minimum, alpha)]
        return rows + [self._calibration(row, sides, minimum, alpha) for row in more]

    def _area(
        self,
        row: Contrast,
        sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        minimum: Minimum,
        alpha: float,
    ) -> Contrast:
        known = ~np.isnan(self.truth)
        kind = self.truth == 1
        inside, outside = (side & known for side in sides)
        n = len(np.unique(self.owner[inside]))
        row = replace(
            row, n_patients=n, n_queries=int(inside.sum()), n_events=int((inside & kind).sum())
        )
        if not np.isfinite(self.scores[known]).all():
            return replace(row, reason="some scores are infinite")
        areas = []
        for level in (0.95, 1 - 2 * alpha):
            for here in (inside, outside):
                least = max(2, minimum.reported)
                if any(len(np.unique(self.owner[here & k])) < least for k in (kind, ~kind)):
                    return replace(
                        row, reason="too few patients with, or without, the finding to compare"
                    )
                scores, owner = self.scores[here], self.owner[here]
                areas.append(patient_area(scores, kind[here], owner, level=level))
        a, b = (
            np.array([[x.auc, x.low, x.high] for x in areas[side::2]], dtype=np.float64).T
            for side in (0, 1)
        )
        (low, inner_low), (high, inner_high) = (
            end.tolist() for end in join_ends(a[0], a[1], a[2], b[0], b[1], b[2], np.zeros(2))
        )
        test = area_test(self.scores, kind, self.owner, inside, outside)
        return replace(
            row, estimate=areas[0].auc, ci_low=areas[0].low, ci_high=areas[0].high,
            rest_estimate=areas[1].auc, gap=areas[0].auc - areas[1].auc, gap_ci_low=low,
            gap_ci_high=high, inner_low=inner_low, inner_high=inner_high,
            p=test.p if isfinite(test.p) else None,
        )  # fmt: skip

    def _calibration(
        self,
        row: Contrast,
        sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        minimum: Minimum,
        alpha: float,
    ) -> Contrast:
        from scipy.special import stdtr  # the command line starts without scipy

        assert self.probabilities is not None  # else there is no such row
        found = [
            calibration_error(self.probabilities, self.truth, self.owner, here, level=level)
            for level in (0.95, 1 - 2 * alpha)
            for here in sides
            if (here & ~np.isnan(self.truth)).any()
        ]
        row = replace(row, n_patients=found[0].n_patients, n_queries=found[0].n_cases)
        if len(found) < 4 or min(side.n_patients for side in found) < max(2, minimum.reported):
            return replace(row, reason="too few patients outside the group to compare with")
        ends = [calibration_gap(a, b) for a, b in (found[:2], found[2:])]
        mine, other = found[:2]
        n = mine.n_cases + other.n_cases
        pooled = (mine.squared * mine.n_cases + other.squared * other.n_cases) / n
        variance = mine.variance(pooled) + other.variance(pooled)  # if both were alike
        p = None
        if variance > 0:
            t = (mine.squared - other.squared) / variance**0.5
            p = float(2 * stdtr(min(mine.n_patients, other.n_patients) - 1, -abs(t)))
        return replace(
            row, estimate=mine.error, ci_low=mine.low, ci_high=mine.high,
            rest_estimate=other.error, gap=mine.error - other.error, gap_ci_low=ends[0][0],
            gap_ci_high=ends[0][1], inner_low=ends[1][0], inner_high=ends[1][1], p=p,
        )  # fmt: skip
