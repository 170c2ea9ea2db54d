"""What changed for each group between two runs: model versions, years, before and after a change.

Two audits side by side do not say what changed: each has its own error, and most of it is the same
patients'. Here the queries (or the patients) of both runs are paired, each group's change has an
interval with patients as units, and the tests of a family are adjusted together (Holm).

==================  ===============================================================================
``improved``        a change for the better is established: adjusted p at most alpha, and the
                    interval leaves out none
``worse``           the same for the worse
``no_change_shown`` neither; a small archive shows no change however large it is: see ``worst``
``not_assessable``  no number that could be tested, or a group too small to be reported
==================  ===============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.change.align_runs import Overlap, Pairing, Runs, line_up
from evaluation.change.paired import (
    Changes,
    by_patient,
    correlation,
    paired_changes,
    repeated_changes,
)
from evaluation.stats.multiplicity import holm_by_family
from evaluation.stats.proportions import join_ends
from evaluation.stats.suppression import round_rows
from evaluation.stats.verdict import Minimum, Reason
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChangeVerdict", "Comparison", "compare_outcomes"]

ChangeVerdict = Literal["improved", "worse", "no_change_shown", "not_assessable"]

ALL = "all"
"""Attribute and group of the row over all patients."""

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
    overlap : Overlap
        Patients and queries in both runs and in one alone.
    settings : dict
        As asked for.
    notes : tuple of str
        What a reader has to know: who is in one run only, what was withheld.
    """

    rows: tuple[dict[str, Any], ...]
    overlap: Overlap
    settings: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a data frame, NaN for what there is no number of."""
        import pandas as pd

        frame = pd.DataFrame(list(self.rows))
        counts = dict.fromkeys(("n_patients", "n_queries", "n_unpaired"), "Int64")
        return frame.astype(counts | dict.fromkeys(_FIGURES, "float64"))

    def row(self, attribute: str, group: str, outcome: str) -> dict[str, Any]:
        """Find one row.

        Raises
        ------
        InputError
            Where there is none.
        """
        for row in self.rows:
            if (row["attribute"], row["group"], row["outcome"]) == (attribute, group, outcome):
                return row
        raise InputError(f"no group of that name in {attribute!r} with outcome {outcome!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; null where there is no number."""
        plain: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "settings": self.settings,
                    "overlap": self.overlap.to_json(),
                    "rows": list(self.rows),
                    "notes": list(self.notes),
                },
                allow_nan=False,
            )
        )
        return plain


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
        "unknown". Paired by queries, the groups are those of ``before``; a query whose group is
        another in ``after`` is refused.
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

    Returns
    -------
    Comparison

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
    better = _directions(outcomes, higher_is_better)
    runs = line_up(before, after, list(outcomes), list(attributes), patient, query, pairing)
    drawn = {"alpha": alpha, "repetitions": repetitions, "seed": seed}
    wanted = {tuple(map(str, test)) for test in primary}
    rows = []
    for attribute, labels in {ALL: None, **runs.groups}.items():
        for group in [ALL] if labels is None else np.unique(labels).tolist():
            member = np.ones(runs.size, dtype=bool) if labels is None else labels == group
            numbers = _numbers(runs, member, minimum, drawn)
            for outcome, its in zip(outcomes, numbers, strict=True):
                row: dict[str, Any] = {"attribute": attribute, "group": group, "outcome": outcome}
                named = (attribute, group, outcome) in wanted
                row |= {"family": "primary" if named else "other", "primary": named}
                row |= {"higher_is_better": better[outcome]}
                rows.append(row | its)
    missing = wanted - {(r["attribute"], r["group"], r["outcome"]) for r in rows}
    if missing:
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
    if rounded:
        round_rows(rows, minimum, section="comparison", units=_units(runs, outcomes))
    overlap = runs.overlap.shown(minimum, rounded=rounded)
    return Comparison(
        tuple(rows),
        overlap,
        {
            "outcomes": list(outcomes), "attributes": list(attributes), "pairing": pairing,
            "primary": [list(test) for test in primary], "margin": margin, "alpha": alpha,
            "minimum": {"reported": minimum.reported, "precise": minimum.precise},
            "rounded": rounded, "repetitions": repetitions, "seed": seed,
        },
        (*runs.overlap.sentences(pairing), *([_ROUNDED] if rounded else [])),
    )  # fmt: skip


def _units(runs: Runs, outcomes: Sequence[str]) -> dict[str, float]:
    """Range of each outcome, 1 or a power of two above its values."""
    found = {}
    for number, outcome in enumerate(outcomes):
        largest = max(
            float(np.nanmax(np.abs(side[:, number]), initial=0.0))
            for side in (runs.before, runs.after)
        )
        found[outcome] = 2.0 ** max(np.ceil(np.log2(largest)), 0.0) if largest > 0 else 1.0
    return found


def _directions(
    outcomes: Sequence[str], higher_is_better: bool | Mapping[str, bool]
) -> dict[str, bool]:
    if isinstance(higher_is_better, bool):
        return dict.fromkeys(outcomes, higher_is_better)
    unknown = set(higher_is_better) - set(outcomes)
    if unknown:
        raise InputError(f"a direction for {sorted(unknown)[0]!r}, which is not an outcome")
    return {name: bool(higher_is_better.get(name, True)) for name in outcomes}


def _changes(runs: Runs, member: NDArray[np.bool_], drawn: dict[str, Any]) -> Changes | None:
    if not member.any():
        return None
    if runs.later is None:
        return paired_changes(runs.before[member], runs.after[member], runs.owner[member], **drawn)
    return repeated_changes(runs.after[member], runs.later[member], runs.owner[member], **drawn)


def _numbers(
    runs: Runs, member: NDArray[np.bool_], minimum: Minimum, drawn: dict[str, Any]
) -> list[dict[str, Any]]:
    """A group's figures, outcome by outcome."""
    found, rest = (_changes(runs, side, drawn) for side in (member, ~member))
    assert found is not None  # a group is one for its queries
    beside = None if rest is None else _beside(runs, member, found, rest)
    rows = []
    for number in range(len(found.change)):
        k = int(found.n_patients[number])
        row: dict[str, Any] = {
            "n_patients": k,
            "n_queries": int(found.n_queries[number]),
            "n_unpaired": runs.unpaired(number, member),
            "precision": minimum.precision(k),
        }
        rows.append(row | dict.fromkeys(_FIGURES))
        if k < minimum.reported:
            continue
        figures = {name: getattr(found, name) for name in ("before", "after", "change", "p")}
        figures |= {"ci_low": found.ends[0, 0], "ci_high": found.ends[0, 1]}
        if rest is not None and beside and rest.n_patients[number] >= minimum.reported:
            figures |= beside
        for name, column in figures.items():
            rows[-1][name] = None if np.isnan(column[number]) else float(column[number])
        if rows[-1]["ci_low"] is not None:
            rows[-1]["inner"] = tuple(found.ends[1, :, number].tolist())
    return rows


def _beside(
    runs: Runs, member: NDArray[np.bool_], found: Changes, rest: Changes
) -> dict[str, NDArray[np.float64]]:
    """The group against all others; patients who are in both make the changes correlated."""
    if runs.later is None:
        values = runs.after - runs.before
    else:
        values = np.where(runs.later[:, None], runs.after, -runs.after)
    sides = [
        sums
        for side in (member, ~member)
        for sums in by_patient(np.where(side[:, None], values, np.nan), runs.owner)
    ]
    (one, two), (other, another) = found.ends[0], rest.ends[0]
    related = correlation(*sides)
    low, high = join_ends(found.change, one, two, rest.change, other, another, related)
    return {
        "gap_before": found.before - rest.before,
        "gap_after": found.after - rest.after,
        "gap_change": found.change - rest.change,
        "gap_change_ci_low": low,
        "gap_change_ci_high": high,
    }


def _verdict(row: dict[str, Any], alpha: float, minimum: Minimum) -> tuple[ChangeVerdict, str]:
    inner = row.pop("inner", None)
    if row["precision"] == "suppressed":
        few = Reason.FEW.text(minimum) if row["n_patients"] else "not measured"
        return "not_assessable", few
    if inner is None:
        return "not_assessable", "the change has no interval"
    row["worst"] = inner[0] if row["higher_is_better"] else inner[1]
    low, high, p = row["ci_low"], row["ci_high"], row["p_adjusted"]
    if p is not None and p <= alpha and not low <= 0 <= high:
        good = (row["change"] > 0) == row["higher_is_better"]
        return ("improved" if good else "worse"), "a change is established"
    if row["before"] == row["after"] and p is None:
        return "no_change_shown", "no patient changed"
    return "no_change_shown", "no change could be established"
