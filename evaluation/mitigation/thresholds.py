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
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

__all__ = ["Constraint", "GroupThresholds", "Rule", "equal_rates", "equal_sensitivity"]

Constraint = Literal[
    "equalized_odds",
    "false_negative_rate_parity",
    "false_positive_rate_parity",
    "true_positive_rate_parity",
    "true_negative_rate_parity",
]


@dataclass(frozen=True)
class Rule:
    r"""Chance of calling a finding present, by score.

    Parameters
    ----------
    constant : float
    steps : tuple of (weight, threshold, above)
        The chance is ``constant`` and the weights of all steps that the score is above (or below,
        where ``above`` is False).
    """

    constant: float
    steps: tuple[tuple[float, float, bool], ...]

    def probability(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Chance for each score, 0 to 1."""
        total = np.full(scores.shape, self.constant)
        for weight, threshold, above in self.steps:
            total = total + weight * (scores > threshold if above else scores < threshold)
        return np.clip(np.where(np.abs(total - 1) < 1e-12, 1.0, total), 0.0, 1.0)


@dataclass(frozen=True)
class GroupThresholds:
    """Rules by group.

    Parameters
    ----------
    rules : dict of group to Rule
    common : Rule
        For groups without a rule of their own.
    reasons : dict of group to str
        Why a group has none.
    by_lot : bool
        Whether some cases are decided by lot.
    aim : str
        What is made equal.
    """

    rules: dict[str, Rule]
    common: Rule
    reasons: dict[str, str]
    by_lot: bool
    aim: str

    def probability(self, scores: ArrayLike, groups: ArrayLike) -> NDArray[np.float64]:
        """Chance of calling the finding present for each case, shape ``(n,)``."""
        x, names = _cases(scores, groups)
        out = self.common.probability(x)
        for name, rule in self.rules.items():
            out = np.where(names == name, rule.probability(x), out)
        return out

    def share_by_lot(self, scores: ArrayLike, groups: ArrayLike) -> float:
        """Share of cases that a lot decides: two equal patients may be treated otherwise."""
        p = self.probability(scores, groups)
        return float(((p > 0) & (p < 1)).mean())

    def decide(
        self, scores: ArrayLike, groups: ArrayLike, *, seed: int | None = None
    ) -> NDArray[np.bool_]:
        """Call the finding present or not.

        Parameters
        ----------
        scores : float array of shape (n,)
        groups : text array of shape (n,)
        seed : int, optional
            Needed where some cases are decided by lot.

        Raises
        ------
        InputError
            Where a lot is needed and no seed was given.
        """
        p = self.probability(scores, groups)
        if seed is None:
            if ((p > 0) & (p < 1)).any():
                raise InputError(
                    "some cases are decided by lot", hint="give a seed, or use equal_sensitivity"
                )
            return p > 0.5
        return np.asarray(np.random.default_rng(seed).random(len(p)) < p)

    def to_json(self) -> dict[str, Any]:
        """Plain values; thresholds at infinity are null."""
        return {
            "aim": self.aim,
            "by_lot": self.by_lot,
            "rules": {name: _plain(rule) for name, rule in self.rules.items()},
            "common": _plain(self.common),
            "reasons": self.reasons,
        }


def equal_rates(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    constraint: Constraint = "equalized_odds",
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
    patients : array of shape (n,)
    constraint : str
        Which rates are made equal.
    minimum : Minimum, optional
        A group needs ``minimum.reported`` patients with the finding, and as many without.

    Returns
    -------
    GroupThresholds
        Randomised: ``by_lot`` is True.

    Raises
    ------
    InputError
        Where arrays do not fit, no two groups are large enough, or fairlearn is not installed.
    """
    x, names, y, reasons = _material(scores, truth, groups, patients, minimum or Minimum(), True)
    kept = ~np.isin(names, list(reasons))
    if len(np.unique(names[kept])) < 2:
        raise InputError("fewer than two groups with patients enough to set thresholds by")
    fitted = _optimise(x[kept], y[kept], names[kept], constraint)
    rules = {
        str(name): _rule(found)
        for name, found in fitted.interpolated_thresholder_.interpolation_dict.items()
    }
    return GroupThresholds(rules, _balanced(x, y), reasons, True, constraint)


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

    Returns
    -------
    GroupThresholds

    Examples
    --------
    >>> fit = equal_sensitivity([0.9, 0.7, 0.4, 0.2, 0.5, 0.3, 0.2, 0.1], [1, 1, 0, 0] * 2,
    ...     list("FFFFMMMM"), list("abcdefgh"), sensitivity=1.0, minimum=Minimum(2, 4))
    >>> fit.decide([0.6, 0.6, 0.28, 0.2], ["F", "M", "M", "M"]).tolist()
    [True, True, True, False]
    """
    if not 0 < sensitivity <= 1:
        raise InputError("a sensitivity outside 0 to 1")
    x, names, y, reasons = _material(scores, truth, groups, patients, minimum or Minimum(), False)
    rules = {
        str(name): _at(x[names == name], y[names == name], sensitivity)
        for name in np.unique(names)
        if name not in reasons
    }
    return GroupThresholds(
        rules, _at(x, y, sensitivity), reasons, False, f"sensitivity of {sensitivity:g}"
    )


def _cases(scores: ArrayLike, groups: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
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
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.bool_], dict[str, str]]:
    x, names = _cases(scores, groups)
    y, owner = np.asarray(truth, dtype=np.float64), np.asarray(patients, dtype=str)
    if not x.shape == y.shape == owner.shape or not np.isin(y, (0, 1)).all():
        raise InputError("truths that are not 0 or 1 for each case")
    present = y > 0
    if present.all() or not present.any():
        raise InputError("cases that all have the finding, or none of them")
    reasons = {}
    for name in np.unique(names).tolist():
        for wanted, kind in ((True, "with"), (False, "without")) if both else ((True, "with"),):
            if len(np.unique(owner[(names == name) & (present == wanted)])) < minimum.reported:
                reasons[name] = f"fewer than {minimum.reported} patients {kind} the finding"
                break
    return x, names, present, reasons


def _at(x: NDArray[np.float64], present: NDArray[np.bool_], sensitivity: float) -> Rule:
    positive = np.sort(x[present])[::-1]
    last = positive[int(np.ceil(sensitivity * len(positive) - 1e-9)) - 1]
    below = x[x < last]
    threshold = (last + below.max()) / 2 if len(below) else -np.inf
    return Rule(0.0, ((1.0, float(threshold), True),))


def _balanced(x: NDArray[np.float64], present: NDArray[np.bool_]) -> Rule:
    """The threshold of the best balanced accuracy."""
    values = np.unique(x)
    cuts = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    positive, negative = np.sort(x[present]), np.sort(x[~present])
    hit = 1 - np.searchsorted(positive, cuts, side="right") / len(positive)
    false = 1 - np.searchsorted(negative, cuts, side="right") / len(negative)
    return Rule(0.0, ((1.0, float(cuts[int(np.argmax(hit - false))]), True),))


def _optimise(
    x: NDArray[np.float64], present: NDArray[np.bool_], names: NDArray[np.str_], constraint: str
) -> Any:
    try:
        from fairlearn.postprocessing import (  # type: ignore[import-untyped, unused-ignore]
            ThresholdOptimizer,
        )
        from sklearn.base import BaseEstimator
    except ImportError:
        raise InputError(
            "thresholds with equal rates need fairlearn", hint="pip install 'medembed[audit]'"
        ) from None

    class Scores(BaseEstimator):  # type: ignore[misc, unused-ignore]
        """Hands the scores on as they are."""

        def fit(self, rows: NDArray[np.float64], truth: object = None) -> Scores:
            return self

        def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(rows)[:, 0]

        def __sklearn_is_fitted__(self) -> bool:
            return True

    fitted = ThresholdOptimizer(
        estimator=Scores(), constraints=constraint, objective="balanced_accuracy_score",
        prefit=True, predict_method="predict",
    )  # fmt: skip
    try:
        fitted.fit(x[:, None], present.astype(int), sensitive_features=names)
    except ValueError:
        raise InputError(f"thresholds could not be fitted for {constraint!r}") from None
    return fitted


def _rule(found: Any) -> Rule:
    ignored = float(found.get("p_ignore", 0.0))
    constant = ignored * float(found.get("prediction_constant", 0.0))
    steps = tuple(
        ((1 - ignored) * float(weight), float(step.threshold), step.operator == ">")
        for weight, step in ((found.p0, found.operation0), (found.p1, found.operation1))
        if weight > 0
    )
    return Rule(constant, steps)


def _plain(rule: Rule) -> dict[str, Any]:
    return {
        "constant": rule.constant,
        "steps": [
            {"weight": w, "threshold": t if np.isfinite(t) else None, "above": above}
            for w, t, above in rule.steps
        ],
    }
