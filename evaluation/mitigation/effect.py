"""Did a mitigation help those it was meant for, and whom did it cost?

The same held-out patients before and after, every group's change with its interval, and a
recommendation that has to be earned: each target that was declared beforehand improved, and no
group lost more than the margin. A target picked because its figure was the worst *on these
patients* tends to improve by chance alone (its figure returns to the mean): pick it on others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.change.comparison import Comparison, compare_outcomes
from evaluation.labels import group_labels
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MitigationEffect", "assess_mitigation", "mitigation_section"]

_KEPT = (
    "n_patients", "before", "after", "change", "ci_low", "ci_high", "worst", "p_adjusted",
    "higher_is_better", "precision", "step", "verdict",
)  # fmt: skip
_CHANGES = {
    "improved": "improved",
    "worse": "worse",
    "no_change_shown": "no improvement could be shown",
}


@dataclass(frozen=True)
class MitigationEffect:
    """What a mitigation did to each group; the targets are the comparison's primary family.

    ``reasons`` are those for the recommendation or against it, and what has to be known beside it.
    """

    name: str
    comparison: Comparison
    recommended: bool
    reasons: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each group and outcome, as the report takes them."""
        margin = self.comparison.settings["margin"]
        return [
            {
                "name": self.name,
                "attribute": row["attribute"],
                "group": row["group"],
                "measure": row["outcome"],
                "target": row["primary"],
                **{name: row[name] for name in _KEPT},
                "recommended": self.recommended,
                "reason": _words(row, margin),
            }
            for row in self.comparison.rows
        ]


def assess_mitigation(
    name: str,
    before: pd.DataFrame | Mapping[str, Any],
    after: pd.DataFrame | Mapping[str, Any],
    outcomes: Sequence[str],
    attributes: Sequence[str],
    *,
    targets: Sequence[tuple[str, str, str]],
    fitted_on: Collection[str],
    patient: str = "patient_id",
    query: str | None = None,
    higher_is_better: bool | Mapping[str, bool] = True,
    margin: float = 0.05,
    alpha: float = 0.05,
    tried: int = 1,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> MitigationEffect:
    """Compare held-out patients before and after, and say whether it can be recommended.

    Parameters
    ----------
    name : str
    before, after, outcomes, attributes, patient, query, higher_is_better
    alpha, minimum, repetitions, seed
        As in :func:`~evaluation.change.comparison.compare_outcomes`, paired by queries.
    targets : sequence of (attribute, group, outcome)
        Whom it is meant to help, declared before these patients were looked at; each has to
        improve.
    fitted_on : collection of str
        Patients that anything was fitted or chosen on (training, thresholds, erasure, settings);
        empty where nothing was.
    margin : float
        Largest loss of a group that was declared to be of no consequence.
    tried : int
        Mitigations, or settings of one, that are assessed on these patients: each is held to
        ``alpha / tried``, in its intervals too.

    Raises
    ------
    InputError
        Where a patient it was fitted on is among these, there is no target, or the tables do not
        fit each other.

    Notes
    -----
    Not recommended where a target's interval includes none or its adjusted p is above the level,
    where a group's loss is estimated to be above the margin, or where such a loss is not excluded
    (by the one-sided bound) in a group of usual precision. Smaller groups cannot exclude it; they,
    and those that could not be assessed, are named among the reasons.

    References
    ----------
    Barnett, van der Pols and Dobson, *Regression to the mean: what it is and how to deal with it*,
    Int. J. Epidemiology 34:215, 2005; Piaggio et al., JAMA 308:2594, 2012 (non-inferiority).

    Examples
    --------
    >>> old = {"patient_id": [str(i) for i in range(400)], "sex": ["F", "M"] * 200,
    ...        "hit": [0.0, 1.0] * 200}
    >>> new = old | {"hit": [1.0] * 400}
    >>> found = assess_mitigation("example", old, new, ["hit"], ["sex"],
    ...                           targets=[("sex", "F", "hit")], fitted_on=())
    >>> found.recommended
    True
    """
    if not targets:
        raise InputError("a mitigation without a target", hint="name whom it is meant to help")
    if tried < 1:
        raise InputError("fewer than 1 mitigation tried")
    compared = compare_outcomes(
        before, after, outcomes, attributes, patient=patient, query=query, pairing="queries",
        higher_is_better=higher_is_better, primary=targets, margin=margin, alpha=alpha / tried,
        minimum=minimum, repetitions=repetitions, seed=seed,
    )  # fmt: skip
    assessed = np.concatenate([group_labels(table[patient]) for table in (before, after)])
    if np.isin(assessed, group_labels(list(fitted_on))).any():
        raise InputError(
            "patients that the mitigation was fitted on are among those it is assessed on",
            hint="assess it on held-out patients",
        )
    against = [
        f"{_named(row)}: {_words(row, margin)}"
        for row in compared.rows
        if (row["primary"] and row["verdict"] != "improved") or _costs(row, margin)
    ]
    reasons = against or ["each target improved and no group lost more than the margin"]
    return MitigationEffect(name, compared, not against, (*reasons, *_beside(compared, margin)))


def mitigation_section(effects: Sequence[MitigationEffect]) -> dict[str, Any]:
    """Bring assessed mitigations into the form that the report takes: rows, summary and notes."""
    return {
        "rows": [row for one in effects for row in one.rows()],
        "summary": [
            {"name": one.name, "recommended": one.recommended, "reasons": list(one.reasons)}
            for one in effects
        ],
        "notes": list(dict.fromkeys(note for one in effects for note in one.comparison.notes)),
    }


def _loss(row: Mapping[str, Any], field: str) -> float:
    """Loss in the outcome's units, above 0 where things got worse; 0 where there is no number."""
    value = row[field] or 0.0
    return float(-value if row["higher_is_better"] else value)


def _costs(row: Mapping[str, Any], margin: float) -> bool:
    """Whether what the group lost, or may have lost, forbids a recommendation."""
    may_be = row["precision"] == "usual" and _loss(row, "worst") > margin
    return may_be or _loss(row, "change") > margin


def _words(row: Mapping[str, Any], margin: float) -> str:
    if row["verdict"] == "not_assessable":
        return f"not assessable: {row['reason']}"
    if _loss(row, "change") > margin:
        return f"a loss of more than {margin:g}"
    may_be = "is not excluded" if _loss(row, "worst") > margin else "is excluded"
    return f"{_CHANGES[row['verdict']]}; a loss of more than {margin:g} {may_be}"


def _named(row: Mapping[str, Any]) -> str:
    if row["attribute"] == "all":
        return f"all patients, {row['outcome']}"
    return f"{row['attribute']} {row['group']}, {row['outcome']}"


def _beside(compared: Comparison, margin: float) -> list[str]:
    """What a reader has to know, whether it is recommended or not."""
    rows = [row for row in compared.rows if not _costs(row, margin)]
    beside = {
        "Worse, by no more than the margin": [r for r in rows if r["verdict"] == "worse"],
        "Too few patients to exclude a loss of more than the margin": [
            r for r in rows if r["precision"] == "low" and _loss(r, "worst") > margin
        ],
        "Not assessable": [r for r in rows if r["verdict"] == "not_assessable"],
    }
    return [f"{title}: {'; '.join(map(_named, its))}." for title, its in beside.items() if its]
