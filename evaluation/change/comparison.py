"""What changed for each group between two runs: model versions, years, before and after a change.

Two audits side by side do not say what changed: each has its own error, and most of it is the same
patients'. Here the queries (or the patients) of both runs are paired, each group's change has an
interval with patients as units, and the tests of a family are adjusted together (Holm). A verdict
is ``improved`` or ``worse`` where the adjusted p is at most alpha and the interval leaves out none;
``no_change_shown`` else: a small archive shows no change however large it is, see ``worst``; and
``not_assessable`` without a number that could be tested, or in a group too small to be reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.change.align_runs import ALL, Pairing, Runs, line_up
from evaluation.change.paired import (
    Changes,
    by_patient,
    correlation,
    paired_changes,
    repeated_changes,
)
from evaluation.stats.multiplicity import holm_by_family
from evaluation.stats.proportions import join_ends
from evaluation.stats.report_fields import TOTALS
from evaluation.stats.suppression import round_count, round_rows
from evaluation.stats.verdict import Minimum, Reason
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare_outcomes"]

_FIGURES = (
    "before", "after", "change", "ci_low", "ci_high", "worst", "p", "p_adjusted",
    "gap_before", "gap_after", "gap_change", "gap_change_ci_low", "gap_change_ci_high",
)  # fmt: skip

_ROUNDED = (
    "So that no small number of patients can be worked out, all counts are rounded to 10 and all "
    "figures to steps; verdicts are those of the figures before rounding."
)


@dataclass(frozen=True)
class Comparison:
    """Each group's change between two runs.

    Parameters
    ----------
    rows : tuple of dict
        By attribute, group and outcome: ``family, primary, n_patients, n_queries, n_unpaired``
        (queries of the group that were not measured in both), ``before, after, change, ci_low,
        ci_high`` (level 1 - alpha), ``worst`` (end of the 1 - 2 alpha interval on the harmful
        side), ``p, p_adjusted, gap_before, gap_after, gap_change, gap_change_ci_low,
        gap_change_ci_high`` (the group against all others, not adjusted), ``precision, verdict,
        reason``, ``step`` (that figures are rounded to, 0 where they are exact). None where there
        is no number or it may not be shown.
    overlap : dict
        ``patients_both, patients_only_before, patients_only_after, queries_both``; None where
        unpaired or too few to be shown.
    settings : dict
        As asked for.
    notes : tuple of str
        What a reader has to know: who is in one run only, what was withheld.
    """

    rows: tuple[dict[str, Any], ...]
    overlap: dict[str, int | None]
    settings: dict[str, Any]
    notes: tuple[str, ...]

    def row(self, attribute: str, group: str, outcome: str) -> dict[str, Any]:
        """Find one row, or raise an InputError."""
        for row in self.rows:
            if (row["attribute"], row["group"], row["outcome"]) == (attribute, group, outcome):
                return row
        raise InputError(f"no group of that name in {attribute!r} with outcome {outcome!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; null where there is no number."""
        return {
            "settings": self.settings,
            "overlap": self.overlap,
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
        }


def compare_outcomes(
    before: pd.DataFrame | Mapping[str, Any],
    after: pd.DataFrame | Mapping[str, Any],
    outcomes: Sequence[str],
    attributes: Sequence[str],
    *,
    patient: str = "patient_id",
    query: str | None = None,
    pairing: Pairing = "queries",
    higher_is_better: bool | Mapping[str, bool] = True,
    primary: Sequence[tuple[str, str, str]] = (),
    margin: float = 0.05,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two runs, group by group.

    Parameters
    ----------
    before, after : data frame or mapping of columns
        One row per query, as for ``audit_outcomes``; outcomes are numbers, NaN where not measured.
    outcomes, attributes : sequence of str
        Columns. ``"sex*age_band"`` crosses two of them. A patient's missing attribute is the group
        "unknown". A query of other groups in ``after`` than in ``before`` is refused.
    patient : str
        Column of patients; its values are in no output.
    query : str, optional
        Column that names a query in both tables, with ``pairing="queries"``. Without it the rows
        of both tables have to be the same queries in the same order.
    pairing : {"queries", "patients", "all"}
        ``queries``: those in both tables. ``patients``: all queries of the patients in both.
        ``all``: everyone; patients in both make the runs alike, which is counted.
    higher_is_better : bool or mapping of outcome to bool
        False for outcomes such as a rate of missed findings.
    primary : sequence of (attribute, group, outcome)
        Named before the data was looked at: a family of their own.
    margin : float
        Largest loss that was declared to be of no consequence; not part of a verdict here.
    alpha : float
    minimum : Minimum, optional
        Patients that a group needs.
    repetitions, seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        Where a column is missing or not a number, a query occurs twice, or nothing is in both.

    Examples
    --------
    >>> old = {"patient_id": [str(i) for i in range(40)], "sex": ["F", "M"] * 20, "hit": [0.0] * 40}
    >>> new = old | {"hit": [1.0, 0.0] * 20}
    >>> found = compare_outcomes(old, new, ["hit"], ["sex"])
    >>> found.row("sex", "F", "hit")["verdict"], found.row("sex", "M", "hit")["verdict"]
    ('improved', 'no_change_shown')
    """
    minimum = minimum or Minimum()
    if not margin > 0 or not 0 < alpha < 0.5:
        raise InputError("a margin has to be above 0 and alpha between 0 and 0.5")
    if isinstance(higher_is_better, bool):
        higher_is_better = dict.fromkeys(outcomes, higher_is_better)
    if set(higher_is_better) - set(outcomes):
        raise InputError("a direction of an outcome that is not compared")
    better = {name: bool(higher_is_better.get(name, True)) for name in outcomes}
    runs = line_up(before, after, outcomes, attributes, patient, query, pairing)
    drawn = {"alpha": alpha, "repetitions": repetitions, "seed": seed}
    wanted = {tuple(map(str, test)) for test in primary}
    rows = []
    for attribute, labels in runs.groups.items():
        for group in np.unique(labels).tolist():
            figures = _figures(runs, labels == group, better, minimum, drawn)
            for outcome, its in zip(outcomes, figures, strict=True):
                named = (attribute, group, outcome) in wanted
                row: dict[str, Any] = {"attribute": attribute, "group": group, "outcome": outcome}
                row |= {"family": "primary" if named else "other", "primary": named}
                rows.append(row | {"higher_is_better": better[outcome]} | its)
    if wanted - {(r["attribute"], r["group"], r["outcome"]) for r in rows}:
        raise InputError("a primary test of a group or outcome that is not there")
    adjusted = holm_by_family(
        [np.nan if row["p"] is None else row["p"] for row in rows], [r["family"] for r in rows]
    )
    for row, p in zip(rows, adjusted.tolist(), strict=True):
        row["p_adjusted"] = None if np.isnan(p) else p
        row["verdict"], row["reason"] = _verdict(row, alpha, minimum)
    rounded = runs.tells_small(rows, minimum)
    for row in rows:
        row["step"] = 0.0
        if 0 < row["n_patients"] < minimum.reported:
            row["n_patients"] = row["n_queries"] = row["n_unpaired"] = None
    n_queries = len(runs.owner) if runs.later is None else None
    counts = (*runs.alone[ALL, ALL], n_queries)
    overlap = dict(zip(TOTALS["comparison", "overlap"], counts, strict=True))
    part = "are part of" if pairing == "all" else "are left out of"
    notes = [
        f"Patients in the {run} run only {part} the comparison."
        for run, name in (("earlier", "before"), ("later", "after"))
        if overlap[f"patients_only_{name}"]
    ]
    if rounded:
        notes.append(_ROUNDED)
        units = dict(zip(outcomes, runs.scale.tolist(), strict=True))
        round_rows(rows, minimum, section="comparison", units=units)
        overlap = {
            name: None if n and n < minimum.reported else round_count(n)
            for name, n in overlap.items()
        }
    return Comparison(
        tuple(rows),
        overlap,
        {
            "outcomes": list(outcomes), "attributes": list(attributes), "pairing": pairing,
            "primary": [list(test) for test in primary], "margin": margin, "alpha": alpha,
            "minimum": asdict(minimum), "rounded": rounded, "repetitions": repetitions,
            "seed": seed,
        },
        tuple(notes),
    )  # fmt: skip


def _figures(
    runs: Runs,
    member: NDArray[np.bool_],
    better: Mapping[str, bool],
    minimum: Minimum,
    drawn: dict[str, Any],
) -> list[dict[str, Any]]:
    """A group's sizes and figures, outcome by outcome."""
    found = _changes(runs, member, drawn)
    (low, high), inner = found.ends
    figures = {
        "before": found.before, "after": found.after, "change": found.change, "ci_low": low,
        "ci_high": high, "worst": np.where(list(better.values()), *inner), "p": found.p,
    }  # fmt: skip
    if not member.all():
        figures |= _beside(runs, member, found, minimum, drawn)
    unpaired = np.isnan(runs.differences[member]).sum(axis=0)
    rows = []
    for number, k in enumerate(found.n_patients.tolist()):
        row: dict[str, Any] = {
            "n_patients": k,
            "n_queries": int(found.n_queries[number]),
            "n_unpaired": int(unpaired[number]),
            "precision": minimum.precision(k),
        }
        row |= dict.fromkeys(_FIGURES)
        if k >= minimum.reported:
            values = {name: float(column[number]) for name, column in figures.items()}
            row |= {name: None if np.isnan(value) else value for name, value in values.items()}
        rows.append(row)
    return rows


def _changes(runs: Runs, member: NDArray[np.bool_], drawn: dict[str, Any]) -> Changes:
    owner, after = runs.owner[member], runs.after[member]
    if runs.later is None:
        return paired_changes(runs.before[member], after, owner, **drawn)
    return repeated_changes(after, runs.later[member], owner, **drawn)


def _beside(
    runs: Runs,
    member: NDArray[np.bool_],
    found: Changes,
    minimum: Minimum,
    drawn: dict[str, Any],
) -> dict[str, NDArray[np.float64]]:
    """The group against all others; patients who are in both make the changes correlated."""
    rest = _changes(runs, ~member, drawn)
    (s, n), (other_s, other_n) = (
        by_patient(np.where(side[:, None], runs.differences, np.nan), runs.owner)
        for side in (member, ~member)
    )
    related = correlation(s, n, other_s, other_n)
    (low, high), (other_low, other_high) = found.ends[0], rest.ends[0]
    low, high = join_ends(found.change, low, high, rest.change, other_low, other_high, related)
    gaps = {
        "gap_before": found.before - rest.before,
        "gap_after": found.after - rest.after,
        "gap_change": found.change - rest.change,
        "gap_change_ci_low": low,
        "gap_change_ci_high": high,
    }
    enough = rest.n_patients >= minimum.reported
    return {name: np.where(enough, column, np.nan) for name, column in gaps.items()}


def _verdict(row: Mapping[str, Any], alpha: float, minimum: Minimum) -> tuple[str, str]:
    if row["precision"] == "suppressed":
        few = Reason.FEW.text(minimum) if row["n_patients"] else "not measured"
        return "not_assessable", few
    if row["worst"] is None:
        return "not_assessable", "the change has no interval"
    p = row["p_adjusted"]
    if p is not None and p <= alpha and not row["ci_low"] <= 0 <= row["ci_high"]:
        good = (row["change"] > 0) == row["higher_is_better"]
        return ("improved" if good else "worse"), "a change is established"
    if row["before"] == row["after"] and p is None:
        return "no_change_shown", "no patient changed"
    return "no_change_shown", "no change could be established"
