r"""A threshold for each group, so that a finding is missed as often in one as in another.

The decision then depends on the patient's group by design: whether that is wanted, and lawful, is
the hospital's to say beforehand. Two ways: fairlearn's, which reaches equal rates exactly on the
cases it is fitted on by deciding some cases **by lot**; and one threshold for each group at a
declared sensitivity, without lots and with equal rates only as far as scores allow. A group with
too few patients to set a threshold by has the common one, and that is said.

References
----------
Hardt, Price and Srebro, *Equality of opportunity in supervised learning*, NeurIPS 2016; fairlearn
``ThresholdOptimizer``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

__all__ = ["GroupThresholds", "Rule", "equal_rates", "equal_sensitivity"]

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """Chance of calling a finding present, by score.

    It is ``constant`` and the weights of all ``steps`` (weight, threshold, above) that the score is
    above (or below, where ``above`` is False).
    """

    constant: float
    steps: tuple[tuple[float, float, bool], ...]

    def probability(self, scores: Scores) -> Scores:
        """Chance for each score, 0 to 1."""
        total = np.full(scores.shape, self.constant)
        for weight, threshold, above in self.steps:
            total = total + weight * (scores > threshold if above else scores < threshold)
        return np.clip(np.where(np.abs(total - 1) < 1e-12, 1.0, total), 0.0, 1.0)


@dataclass(frozen=True)
class GroupThresholds:
    """Rules by group, why a group has the common one, and whether a lot decides some cases."""

    rules: dict[str, Rule]
    common: Rule
    reasons: dict[str, str]
    by_lot: bool

    def probability(self, scores: ArrayLike, groups: ArrayLike) -> Scores:
        """Chance of calling the finding present for each case, shape ``(n,)``; 0 or 1 if no lot."""
        x, names = _cases(scores, groups)
        out = self.common.probability(x)
        for name, rule in self.rules.items():
            out = np.where(names == name, rule.probability(x), out)
        return out

    def share_by_lot(self, scores: ArrayLike, groups: ArrayLike) -> float:
        """Share of cases that a lot decides: two equal patients may be treated otherwise."""
        p = self.probability(scores, groups)
        return float(((p > 0) & (p < 1)).mean())


def equal_rates(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    constraint: str = "equalized_odds",
    minimum: Minimum | None = None,
) -> GroupThresholds:
    """Fit fairlearn's ``ThresholdOptimizer`` on scores, for the best balanced accuracy.

    Parameters
    ----------
    scores : float array of shape (n,)
        The higher, the likelier the finding; of cases that are not held out.
    truth : array of shape (n,)
        0 or 1.
    groups : text array of shape (n,)
        Missing is "unknown".
    patients : text array of shape (n,)
    constraint : str
        Which rates are made equal: a word of ``ThresholdOptimizer``.
    minimum : Minimum, optional
        A group needs ``minimum.reported`` patients with the finding, and as many without.

    Raises
    ------
    InputError
        Where arrays do not fit, no two groups are large enough, or fairlearn is not installed.
    """
    x, names, y, reasons = _material(scores, truth, groups, patients, minimum or Minimum(), True)
    kept = ~np.isin(names, list(reasons))
    if len(np.unique(names[kept])) < 2:
        raise InputError("fewer than two groups with patients enough to set thresholds by")
    found = _optimise(x[kept], y[kept], names[kept], constraint)
    rules = {str(name): _rule(its) for name, its in found.items()}
    return GroupThresholds(rules, _balanced(x, y), reasons, by_lot=True)


def equal_sensitivity(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    sensitivity: float = 0.9,
    minimum: Minimum | None = None,
) -> GroupThresholds:
    """Choose for each group the highest threshold that reaches a declared sensitivity; no lots.

    Parameters
    ----------
    scores, truth, groups, patients
        As in :func:`equal_rates`.
    sensitivity : float
        Above 0, at most 1: share of cases with the finding to be called.
    minimum : Minimum, optional
        A group needs ``minimum.reported`` patients with the finding.

    Examples
    --------
    >>> fit = equal_sensitivity([0.9, 0.7, 0.4, 0.2, 0.5, 0.3, 0.2, 0.1], [1, 1, 0, 0] * 2,
    ...     list("FFFFMMMM"), list("abcdefgh"), sensitivity=1.0, minimum=Minimum(2, 4))
    >>> fit.probability([0.6, 0.6, 0.28, 0.2], ["F", "M", "M", "M"])
    array([1., 1., 1., 0.])
    """
    if not 0 < sensitivity <= 1:
        raise InputError("a sensitivity outside 0 to 1")
    x, names, y, reasons = _material(scores, truth, groups, patients, minimum or Minimum(), False)
    rules = {
        str(name): _at(x[names == name], y[names == name], sensitivity)
        for name in np.unique(names)
        if name not in reasons
    }
    return GroupThresholds(rules, _at(x, y, sensitivity), reasons, by_lot=False)


def _cases(scores: ArrayLike, groups: ArrayLike) -> tuple[Scores, NDArray[np.str_]]:
    x, names = np.asarray(scores, dtype=np.float64), group_labels(groups)
    if x.ndim != 1 or x.shape != names.shape or np.isnan(x).any():
        raise InputError("scores and groups that are not one value for each case")
    return x, names


def _material(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    minimum: Minimum,
    both: bool,
) -> tuple[Scores, NDArray[np.str_], NDArray[np.bool_], dict[str, str]]:
    x, names = _cases(scores, groups)
    y, owner = np.asarray(truth, dtype=np.float64), np.asarray(patients, dtype=str)
    if not x.shape == y.shape == owner.shape or not np.isin(y, (0, 1)).all():
        raise InputError("truths that are not 0 or 1 for each case")
    present = y > 0
    if present.all() or not present.any():
        raise InputError("cases that all have the finding, or none of them")
    reasons: dict[str, str] = {}
    for kind, member in (("with", present), ("without", ~present))[: 2 if both else 1]:
        for name in np.unique(names).tolist():
            if len(np.unique(owner[member & (names == name)])) < minimum.reported:
                why = f"fewer than {minimum.reported} patients {kind} the finding"
                reasons.setdefault(name, why)
    return x, names, present, reasons


def _at(x: Scores, present: NDArray[np.bool_], sensitivity: float) -> Rule:
    positive = np.sort(x[present])[::-1]
    last = positive[int(np.ceil(sensitivity * len(positive) - 1e-9)) - 1]
    below = x[x < last]
    threshold = (last + below.max()) / 2 if len(below) else -np.inf
    return Rule(0.0, ((1.0, float(threshold), True),))


def _balanced(x: Scores, present: NDArray[np.bool_]) -> Rule:
    """The threshold of the best balanced accuracy."""
    values = np.unique(x)
    cuts = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    positive, negative = np.sort(x[present]), np.sort(x[~present])
    hit = 1 - np.searchsorted(positive, cuts, side="right") / len(positive)
    false = 1 - np.searchsorted(negative, cuts, side="right") / len(negative)
    return Rule(0.0, ((1.0, float(cuts[int(np.argmax(hit - false))]), True),))


def _optimise(
    x: Scores, present: NDArray[np.bool_], names: NDArray[np.str_], constraint: str
) -> dict[Any, Any]:
    """What fairlearn does with scores, by group."""
    try:
        from fairlearn.postprocessing import (  # type: ignore[import-untyped, unused-ignore]
            ThresholdOptimizer,
        )
        from sklearn.base import BaseEstimator
    except ImportError:
        raise InputError(
            "thresholds with equal rates need fairlearn", hint="pip install 'medembed[audit]'"
        ) from None

    class AsTheyAre(BaseEstimator):  # type: ignore[misc, unused-ignore]
        def fit(self, rows: Scores, truth: object = None) -> AsTheyAre:
            return self

        def predict(self, rows: Scores) -> Scores:
            return np.asarray(rows)[:, 0]

        def __sklearn_is_fitted__(self) -> bool:
            return True

    fitted = ThresholdOptimizer(
        estimator=AsTheyAre(), constraints=constraint, objective="balanced_accuracy_score",
        prefit=True, predict_method="predict",
    )  # fmt: skip
    try:
        fitted.fit(x[:, None], present.astype(int), sensitive_features=names)
    except ValueError:
        raise InputError(f"thresholds could not be fitted for {constraint!r}") from None
    return dict(fitted.interpolated_thresholder_.interpolation_dict)


def _rule(found: Any) -> Rule:
    ignored = float(found.get("p_ignore", 0.0))
    constant = ignored * float(found.get("prediction_constant", 0.0))
    steps = tuple(
        ((1 - ignored) * float(weight), float(step.threshold), step.operator == ">")
        for weight, step in ((found.p0, found.operation0), (found.p1, found.operation1))
        if weight > 0
    )
    return Rule(constant, steps)
