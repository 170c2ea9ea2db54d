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

from evaluation.sections.calibration import calibration_error, calibration_gap, known_kinds
from evaluation.sections.group_vs_rest import (
    Contrast,
    compare_one,
    settle,
    small_groups,
    suppressed,
    text_groups,
)
from evaluation.stats import Minimum, gap_interval, mover
from evaluation.stats.auc import area_test, patient_area
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
    found: list[str] = []
    rows: list[Contrast] = []
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
        held = _Finding(values, y, error_outcomes(values, y, thresholds[finding]), p, owner)
        for attribute, of in groups.items():
            labels = text_groups(of, attribute, len(owner))
            made = held.rows(attribute, labels, least, alpha)
            rows += made
            found += [finding] * len(made)
    done = settle(rows, margin=margin, alpha=alpha)
    return tuple(FindingContrast(f, row) for f, row in zip(found, done, strict=True))


@dataclass(frozen=True)
class _Finding:
    scores: Floats
    truth: Floats
    errors: Mapping[str, Floats]
    probabilities: Floats | None
    owner: NDArray[Any]

    def rows(
        self, attribute: str, labels: NDArray[np.str_], minimum: Minimum, alpha: float
    ) -> list[Contrast]:
        positive, negative = self.truth == 1, self.truth == 0
        names = np.unique(labels).tolist()
        hidden = {
            measure: small_groups(
                {g: len(np.unique(self.owner[(labels == g) & kind])) for g in names}, minimum
            )
            for measure, kind in (("FNR", positive), ("FPR", negative))
        }
        out = []
        for name in names:
            inside = np.asarray(labels == name)
            both = []
            for measure, what in (("FNR", "positive"), ("FPR", "negative")):
                row = Contrast(attribute, name, measure)
                values = self.errors[measure]
                if name in hidden[measure]:
                    why = f"fewer than {minimum.reported} patients with a {what} case"
                    row = replace(suppressed(row, minimum), reason=why)
                elif np.isnan(values[inside]).all():
                    row = replace(row, reason=f"no patient of this group has a {what} case")
                else:
                    row = compare_one(row, values, self.owner, inside, minimum, alpha, 200, 0)
                both.append(row)
            rest = [
                self._odds(both, inside, alpha),
                self._area(Contrast(attribute, name, "AUC"), both, inside, minimum, alpha),
            ]
            if self.probabilities is not None:
                row = Contrast(attribute, name, "calibration")
                rest.append(
                    self._calibration(row, self.probabilities, both, inside, minimum, alpha)
                )
            out += both + rest
        return out

    def _odds(self, both: list[Contrast], inside: NDArray[np.bool_], alpha: float) -> Contrast:
        row = Contrast(both[0].attribute, both[0].group, "EO")
        for part in both:
            if part.reason:
                return replace(row, reason=part.reason, precision=part.precision)
        ends = []
        for level in (0.95, 1 - 2 * alpha):
            lows, highs = zip(*self._sizes(inside, level), strict=True)
            some = any(low > 0 for low, _ in self._sizes(inside, (1 + level) / 2))
            ends.append((max(lows) if some else 0.0, max(highs)))
        gap = max(abs(part.gap or 0.0) for part in both)
        known = [part.p for part in both if part.p is not None]
        low, high = ends[0]
        return replace(
            row, estimate=gap, ci_low=low, ci_high=high, gap=gap, gap_ci_low=low, gap_ci_high=high,
            inner_low=min(ends[1][0], gap), inner_high=max(ends[1][1], gap),
            p=min(1.0, 2 * min(known)) if known else None,
            precision="low" if "low" in [part.precision for part in both] else "usual",
        )  # fmt: skip

    def _sizes(self, inside: NDArray[np.bool_], level: float) -> list[tuple[float, float]]:
        """Ends of the sizes of both gaps."""
        found = []
        for measure in ("FNR", "FPR"):
            _, low, high = gap_interval(
                self.errors[measure], self.owner, inside, ~inside, level=level
            )
            far, near = max(abs(low), abs(high)), min(abs(low), abs(high))
            found.append((0.0 if low <= 0 <= high else near, far))
        return found

    def _area(
        self,
        row: Contrast,
        both: list[Contrast],
        inside: NDArray[np.bool_],
        minimum: Minimum,
        alpha: float,
    ) -> Contrast:
        known = ~np.isnan(self.truth)
        kind = self.truth == 1
        for part in both:
            if part.estimate is None:
                return replace(row, reason=part.reason, precision=part.precision)
        n = len(np.unique(self.owner[inside & known]))
        row = replace(
            row, n_patients=n, n_queries=int((inside & known).sum()),
            n_events=int((inside & kind).sum()), precision=both[0].precision,
        )  # fmt: skip
        if not np.isfinite(self.scores[known]).all():
            return replace(row, reason="scores that are infinite")
        sides = []
        for level in (0.95, 1 - 2 * alpha):
            for here in (inside & known, ~inside & known):
                least = max(2, minimum.reported)
                if any(len(np.unique(self.owner[here & k])) < least for k in (kind, ~kind)):
                    return replace(row, reason="too few patients of a kind to compare with")
                sides.append(
                    patient_area(self.scores[here], kind[here], self.owner[here], level=level)
                )
        ends = [
            mover(a.auc, (a.low, a.high), b.auc, (b.low, b.high))
            for a, b in (sides[:2], sides[2:])
            if a.low is not None and a.high is not None and b.low is not None and b.high is not None
        ]
        test = area_test(self.scores, kind, self.owner, inside & known, ~inside & known)
        return replace(
            row, estimate=sides[0].auc, ci_low=sides[0].low, ci_high=sides[0].high,
            rest_estimate=sides[1].auc, gap=sides[0].auc - sides[1].auc, gap_ci_low=ends[0][0],
            gap_ci_high=ends[0][1], inner_low=ends[1][0], inner_high=ends[1][1],
            p=test.p if isfinite(test.p) else None,
        )  # fmt: skip

    def _calibration(
        self,
        row: Contrast,
        probabilities: Floats,
        both: list[Contrast],
        inside: NDArray[np.bool_],
        minimum: Minimum,
        alpha: float,
    ) -> Contrast:
        from scipy.special import stdtr  # the command line starts without scipy

        for part in both:
            if part.estimate is None:
                return replace(row, reason=part.reason, precision=part.precision)
        row = replace(row, precision=both[0].precision)
        sides = [
            calibration_error(probabilities, self.truth, self.owner, here, level=level)
            for level in (0.95, 1 - 2 * alpha)
            for here in (inside, ~inside)
            if (here & ~np.isnan(self.truth)).any()
        ]
        row = replace(row, n_patients=sides[0].n_patients, n_queries=sides[0].n_cases)
        if len(sides) < 4 or min(side.n_patients for side in sides) < max(2, minimum.reported):
            return replace(row, reason="too few patients outside the group to compare with")
        ends = [calibration_gap(a, b) for a, b in (sides[:2], sides[2:])]
        mine, other = sides[:2]
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
