"""From arrays to the table of an audit: adjusted p, verdicts, reasons, and what is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.contrasts import Block
from evaluation.audit.hypotheses import Plan, holm_of_questions, question
from evaluation.audit.result import CELL_COLUMNS, COLUMNS, frame
from evaluation.audit.standardised import Adjusted
from evaluation.audit.table_input import Queries
from evaluation.stats import Decision, Minimum, decide
from evaluation.stats.cluster_sums import add_up, centred_on
from evaluation.stats.multiplicity import max_t
from evaluation.stats.report_fields import Reason
from evaluation.stats.suppression import round_count, round_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell_table", "row_table"]

Array = NDArray[np.float64]
_NAIVE = ("gap_naive", "gap_naive_ci_low", "gap_naive_ci_high", "p_naive", "verdict_naive")


def row_table(
    queries: Queries,
    blocks: list[Block],
    adjusted: list[Adjusted] | None,
    plan: Plan,
    *,
    rounded: bool,
    margin: float,
    alpha: float,
    minimum: Minimum,
    overlap: float,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """All rows, the shown numbers alone; of a rounded report after their verdicts are made."""
    rows: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        found = None if adjusted is None else adjusted[number]
        rows += _rows(queries, block, found, plan, minimum)
    _adjust_p(rows)
    checks = _max_t(queries, blocks, rows, permutations, seed) if permutations else None
    for number, row in enumerate(rows):
        row["p_max_t"] = np.nan if checks is None else checks[number]
        _decide(row, margin, alpha, minimum, overlap, adjusted is not None)
        _hide(row, minimum)
    if rounded:
        units = dict(zip(queries.outcomes, queries.scale.tolist(), strict=True))
        round_rows(rows, minimum, units=units)
    rows += _unanswered(queries, plan, rows, minimum)
    return frame({name: [row[name] for row in rows] for name in COLUMNS}, COLUMNS)


def cell_table(queries: Queries, minimum: Minimum, *, rounded: bool) -> pd.DataFrame:
    """Patients and queries of each group, as far as they may be shown."""
    show = round_count if rounded else int
    rows = []
    for grouping in queries.groupings:
        n_groups = len(grouping.names)
        n = np.bincount(grouping.of_query, minlength=n_groups)
        pairs = np.unique(grouping.of_query * queries.n_patients + queries.owner)
        k = np.bincount(pairs // queries.n_patients, minlength=n_groups)
        for group, label in enumerate(grouping.names):
            shown = label not in grouping.small
            rows.append(
                {
                    "attribute": grouping.attribute,
                    "group": label,
                    "n_patients": show(int(k[group])) if shown else np.nan,
                    "n_queries": show(int(n[group])) if shown else np.nan,
                    "precision": minimum.precision(int(k[group])),
                }
            )
    return frame({name: [row[name] for row in rows] for name in CELL_COLUMNS}, CELL_COLUMNS)


def _rows(
    queries: Queries, block: Block, adjusted: Adjusted | None, plan: Plan, minimum: Minimum
) -> list[dict[str, Any]]:
    """Numbers of a block, outcome by outcome; what may not be shown is still in them."""
    grouping, measure = block.grouping, block.measure
    total = np.bincount(grouping.of_query, minlength=len(grouping.names))
    rows = []
    for column, outcome in enumerate(queries.outcomes):
        unit = float(queries.scale[column])
        proportion = queries.kinds[column] == "proportion"
        for at in range(len(block.first)):
            group, other = int(block.first[at]), int(block.second[at])
            label = grouping.names[group]
            rest = block.comparison == "rest"
            k, n = int(measure.k[group, column]), int(measure.n[group, column])
            mean = float(measure.mean[group, column]) * unit
            other_mean = float(block.other_mean[at, column]) * unit
            if proportion:
                mean, other_mean = (float(np.clip(x, 0.0, 1.0)) for x in (mean, other_mean))
            tested = bool(block.tested[at, column])
            ends = block.ends[:, :, at, column] * unit
            gap = float(block.gap[at, column]) * unit
            row: dict[str, Any] = {
                "attribute": grouping.attribute,
                "group": label,
                "outcome": outcome,
                "comparison": {"pair": f"pair:{grouping.names[other]}"}.get(
                    block.comparison, block.comparison
                ),
                "family": plan.family(grouping.attribute, label, outcome)
                if rest
                else {"pair": "pairs"}.get(block.comparison, block.comparison),
                "primary": rest and plan.is_primary(grouping.attribute, label, outcome),
                "n_patients": k,
                "n_queries": n,
                "n_events": round(float(measure.events[group, column])) if proportion else np.nan,
                "n_unmeasured": int(total[group]) - n,
                "precision": minimum.precision(k),
                "estimate": mean,
                "ci_low": min(float(measure.low[group, column]) * unit, mean),
                "ci_high": max(float(measure.high[group, column]) * unit, mean),
                "rest_estimate": other_mean,
                "design_effect": float(measure.design_effect[group, column]),
                "icc": float(measure.icc[group, column]),
                "overlap": np.nan,
                "step": 0.0,
                "step_rest": 0.0,
                "_other_k": int(block.other_k[at, column]),
                "_question": question(grouping, outcome, block.comparison, group, other),
                "_tested": tested,
                "_naive_tested": tested,
                "_carried": np.inf,
            }
            row |= _gap("gap_naive", gap, ends)
            row["p_naive"] = float(block.p[at, column]) if tested else np.nan
            if adjusted is not None:
                gap = float(adjusted.gap[at, column]) * unit
                ends = adjusted.ends[:, :, at, column] * unit
                row["overlap"] = float(adjusted.overlap[at, column])
                row["_tested"] = bool(adjusted.tested[at, column])
                row["_carried"] = float(adjusted.carried[at, column])
                row["p_value"] = float(adjusted.p[at, column]) if row["_tested"] else np.nan
            else:
                row["p_value"] = row["p_naive"]
            row |= _gap("gap", gap, ends)
            rows.append(row)
    return rows


def _gap(name: str, gap: float, ends: Array) -> dict[str, Any]:
    """Gap and its two intervals, each made to hold it."""
    if np.isnan(ends).any():  # an end at one level alone bounds nothing that is shown
        ends = np.full_like(ends, np.nan)
    (low, high), (inner_low, inner_high) = ends.tolist()
    return {
        name: gap,
        f"{name}_ci_low": min(low, gap),  # NaN stays NaN: it comes first
        f"{name}_ci_high": max(high, gap),
        f"_{name}_inner": (min(inner_low, gap), max(inner_high, gap)),
    }


def _adjust_p(rows: list[dict[str, Any]]) -> None:
    families = [row["family"] for row in rows]
    questions = [row["_question"] for row in rows]
    for raw, name in (("p_value", "p_adjusted"), ("p_naive", "p_naive")):
        adjusted = holm_of_questions([row[raw] for row in rows], families, questions)
        for row, p in zip(rows, adjusted.tolist(), strict=True):
            row[name] = p


def _max_t(
    queries: Queries, blocks: list[Block], rows: list[dict[str, Any]], permutations: int, seed: int
) -> list[float]:
    """Adjusted p by permutation for comparisons with the rest, NaN for others.

    With strata the outcomes are taken less their stratum's mean.
    """
    usable = [b for b in blocks if b.comparison == "rest" and not b.grouping.varies]
    found = [np.nan] * len(rows)
    if not usable:
        return found
    values = queries.values
    if queries.strata is not None:
        values = _within(values, queries.strata, queries.n_strata)
    size = add_up(queries.owner, (~np.isnan(values)).astype(np.float64), queries.n_patients)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.nansum(values, axis=0) / size.sum(axis=0)
    u = add_up(queries.owner, centred_on(values, centre), queries.n_patients)
    groups: list[NDArray[np.int64]] = []
    names: dict[tuple[str, str], int] = {}
    for block in usable:
        of_patient = np.zeros(queries.n_patients, dtype=np.int64)
        of_patient[queries.owner] = block.grouping.of_query
        groups.append(of_patient)
        for label in block.grouping.names:
            names[block.grouping.attribute, label] = len(names)
    column = {outcome: number for number, outcome in enumerate(queries.outcomes)}
    places: dict[int, tuple[int, int]] = {}
    family = np.full((len(names), len(column)), -1)
    known = sorted({row["family"] for row in rows})
    for number, row in enumerate(rows):
        place = names.get((row["attribute"], row["group"]))
        if row["comparison"] == "rest" and place is not None and row["_tested"]:
            places[number] = (place, column[row["outcome"]])
            family[places[number]] = known.index(row["family"])
    _, adjusted = max_t(u, size, groups, families=family, permutations=permutations, seed=seed)
    for number, at in places.items():
        found[number] = float(adjusted[at])
    return found


def _within(values: Array, strata: NDArray[np.int64], n_strata: int) -> Array:
    measured = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = add_up(strata, np.where(measured, values, 0.0), n_strata) / add_up(
            strata, measured.astype(np.float64), n_strata
        )
    return values - means[strata]


def _decide(
    row: dict[str, Any],
    margin: float,
    alpha: float,
    minimum: Minimum,
    overlap: float,
    adjusted: bool,
) -> None:
    naive = _sizes(row, minimum) or _verdict(row, "gap_naive", "p_naive", margin, alpha)
    found = naive
    if adjusted:
        found = (
            _sizes(row, minimum)
            or _strata(row, minimum, overlap)
            or _verdict(row, "gap", "p_adjusted", margin, alpha)
        )
    row["verdict_naive"], row["verdict"], row["reason"] = naive.verdict, found.verdict, found.reason


def _sizes(row: dict[str, Any], minimum: Minimum) -> Decision | None:
    if row["n_patients"] == 0:
        return Decision("not_assessable", "nothing was measured for this group")
    if row["n_patients"] < minimum.reported:
        return Decision("not_assessable", Reason.FEW.text(minimum))
    if row["_other_k"] == 0:
        return Decision("not_assessable", "no other group to compare with")
    if row["_other_k"] < minimum.reported:
        return Decision("not_assessable", f"fewer than {minimum.reported} patients to compare with")
    return None


def _strata(row: dict[str, Any], minimum: Minimum, overlap: float) -> Decision | None:
    if not row["overlap"] >= overlap:
        return Decision(
            "not_assessable", "too few of its queries are in strata that both sides have"
        )
    if row["_carried"] < minimum.reported:
        return Decision(
            "not_assessable",
            f"the adjusted gap would rest on fewer than {minimum.reported} patients",
        )
    return None


def _verdict(row: dict[str, Any], gap: str, p: str, margin: float, alpha: float) -> Decision:
    low, high = row[f"_{gap}_inner"]
    ends = None if np.isnan(low) or np.isnan(high) else (low, high)
    found = decide(row[gap], ends, row[p], margin=margin, alpha=alpha)
    if found.verdict == "not_assessable":
        return Decision("not_assessable", "the outcome varies too little for an interval")
    return found


def _hide(row: dict[str, Any], minimum: Minimum) -> None:
    """Take away what rests on too few patients, or could not be tested."""
    few = row["n_patients"] < minimum.reported
    if few:
        _clear(row, ("estimate", "ci_low", "ci_high", "n_events", "n_unmeasured", "design_effect"))
        _clear(row, ("icc", *(("n_patients", "n_queries") if row["n_patients"] else ())))
    if few or row["_other_k"] < minimum.reported:  # the other side's mean is a small cell's too
        _clear(row, ("rest_estimate", "gap", "gap_ci_low", "gap_ci_high", "overlap", *_NAIVE[:4]))
    elif not row["_tested"]:
        _clear(row, ("gap", "gap_ci_low", "gap_ci_high"))
    for name in ("gap", "gap_naive"):  # no interval, no gap: a bare number says too much
        if np.isnan(row[f"{name}_ci_low"]) or np.isnan(row[f"{name}_ci_high"]):
            _clear(row, (name, f"{name}_ci_low", f"{name}_ci_high"))
    if row["verdict"] == "not_assessable":
        _clear(row, ("p_value", "p_adjusted", "p_max_t"))
    if row["verdict_naive"] == "not_assessable":
        _clear(row, ("p_naive",))


def _clear(row: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        row[name] = np.nan


def _unanswered(
    queries: Queries, plan: Plan, rows: list[dict[str, Any]], minimum: Minimum
) -> list[dict[str, Any]]:
    """Primary hypotheses that no row answers: not assessable, so that the gate fails closed."""
    there = [(row["attribute"], row["group"], row["outcome"]) for row in rows if row["primary"]]
    merged = {(g.attribute, name) for g in queries.groupings for name in g.merged}
    found = []
    for hypothesis in plan.primary:
        if any(hypothesis.holds(*name) for name in there):
            continue
        gone = (hypothesis.attribute, hypothesis.group) in merged
        row: dict[str, Any] = dict.fromkeys(COLUMNS, np.nan)
        row |= {
            "attribute": hypothesis.attribute,
            "group": hypothesis.group or "(any)",
            "outcome": hypothesis.outcome,
            "comparison": "rest",
            "family": plan.family(hypothesis.attribute, hypothesis.group or "", hypothesis.outcome),
            "primary": True,
            "n_patients": np.nan if gone else 0,
            "n_queries": np.nan if gone else 0,
            "precision": "suppressed",
            "verdict": "not_assessable",
            "verdict_naive": "not_assessable",
            "reason": (Reason.MERGED if gone else Reason.NO_GROUP).text(minimum),
        }
        found.append(row)
    return found
