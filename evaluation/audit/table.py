"""From arrays to the table of an audit: rows, and what of them is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.claims import Claims, claims_of
from evaluation.audit.contrasts import Block
from evaluation.audit.decisions import Rules, adjust_families, decide_row, refer, unanswered
from evaluation.audit.hypotheses import Plan, asked_of, question, reference_of
from evaluation.audit.result import CELL_COLUMNS, COLUMNS, frame
from evaluation.audit.standardised import Adjusted
from evaluation.audit.table_input import Queries
from evaluation.stats import Minimum
from evaluation.stats.cluster_sums import add_up, centred_on
from evaluation.stats.multiplicity import max_t
from evaluation.stats.suppression import round_count, round_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell_table", "row_table"]

Array = NDArray[np.float64]
_NAIVE = ("gap_naive", "gap_naive_ci_low", "gap_naive_ci_high", "p_naive", "verdict_naive")
_DERIVED = ("ratio", "ratio_ci_low", "ratio_ci_high", "gap_missing_low", "gap_missing_high")


def row_table(
    queries: Queries,
    blocks: list[Block],
    adjusted: list[Adjusted] | None,
    plan: Plan,
    rules: Rules,
    *,
    rounded: bool,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """All rows, the shown numbers alone; of a rounded report after their verdicts are made."""
    minimum = rules.minimum
    rows: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        found = None if adjusted is None else adjusted[number]
        rows += _rows(queries, block, found, plan, rules)
    adjust_families(rows)
    checks = _max_t(queries, blocks, rows, permutations, seed) if permutations else None
    for number, row in enumerate(rows):
        row["p_max_t"] = np.nan if checks is None else checks[number]
        decide_row(row, rules)
        _hide(row, minimum)
    if rounded:
        units = dict(zip(queries.outcomes, queries.scale.tolist(), strict=True))
        round_rows(rows, minimum, units=units)
    rows += unanswered(queries, plan, rows)
    for row in rows:
        if row.get("_refer"):
            refer(row)
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
    queries: Queries, block: Block, adjusted: Adjusted | None, plan: Plan, rules: Rules
) -> list[dict[str, Any]]:
    """Numbers of a block, outcome by outcome; what may not be shown is still in them."""
    grouping, measure, minimum = block.grouping, block.measure, rules.minimum
    claims = _claims(queries, block, None, rules)
    judged = claims if adjusted is None else _claims(queries, block, adjusted, rules)
    unknown = _bounds(block, minimum)
    total = np.bincount(grouping.of_query, minlength=len(grouping.names))
    patients = np.bincount(block.cells.group, minlength=len(grouping.names))
    rows = []
    for column, outcome in enumerate(queries.outcomes):
        unit = float(queries.scale[column])
        proportion = queries.kinds[column] == "proportion"
        reference = reference_of(grouping, outcome, plan, patients)
        for at in range(len(block.first)):
            group, other = int(block.first[at]), int(block.second[at])
            label = grouping.names[group]
            rest = block.comparison == "rest"
            asked = asked_of(grouping, group)
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
                "family": plan.family(grouping.attribute, asked, outcome)
                if rest
                else {"pair": "pairs"}.get(block.comparison, block.comparison),
                "primary": rest
                and any(plan.is_primary(grouping.attribute, one, outcome) for one in asked),
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
                "ratio": float(judged.ratio[at, column]),
                "ratio_ci_low": float(judged.ratio_low[at, column]),
                "ratio_ci_high": float(judged.ratio_high[at, column]),
                "ratio_of": _ratio_of(judged, at, column),
                "p_heterogeneity": np.nan,
                "gap_missing_low": float(unknown[0, at, column]) * unit,
                "gap_missing_high": float(unknown[1, at, column]) * unit,
                "_asked_of": asked,
                "_refer": rest and group == reference,
                "_dominated": tuple(block.dominated[:, at, column].tolist()),
                "_other": None if rest else grouping.names[other],
                "_other_k": int(block.other_k[at, column]),
                "_question": question(grouping, outcome, block.comparison, group, other),
                "_tested": tested,
                "_naive_tested": tested,
                "_carried": np.inf,
            }
            row |= _gap("gap_naive", gap, ends) | _claim("_naive_", claims, at, column, tested)
            row["p_naive"] = float(block.p[at, column]) if tested else np.nan
            if adjusted is not None:
                gap = float(adjusted.gap[at, column]) * unit
                ends = adjusted.ends[:, :, at, column] * unit
                row["overlap"] = float(adjusted.overlap[at, column])
                row["_tested"] = bool(adjusted.tested[at, column])
                row["_carried"] = float(adjusted.carried[at, column])
                if row["_tested"]:
                    row["p_heterogeneity"] = float(adjusted.p_heterogeneity[at, column])
                row["p_value"] = float(adjusted.p[at, column]) if row["_tested"] else np.nan
            else:
                row["p_value"] = row["p_naive"]
            row |= _gap("gap", gap, ends) | _claim("_", judged, at, column, row["_tested"])
            rows.append(row)
    return rows


def _claims(queries: Queries, block: Block, adjusted: Adjusted | None, rules: Rules) -> Claims:
    sides = np.stack([block.measure.mean[block.first], block.other_mean])
    gap, ends, limits, correlation = block.gap, block.ends[0], block.limits, block.correlation
    patients = np.minimum(block.measure.k[block.first], block.other_k)
    if adjusted is not None:
        sides, gap, ends, limits = adjusted.means, adjusted.gap, adjusted.ends[0], adjusted.limits
        correlation, patients = adjusted.correlation, adjusted.carried
    return claims_of(
        gap, ends, patients, sides, limits, correlation, margin=rules.margin / queries.scale,
        ratio_margin=rules.ratio_margin, alpha=rules.alpha,
    )  # fmt: skip


def _claim(name: str, claims: Claims, at: int, column: int, tested: bool) -> dict[str, Any]:
    return {
        f"{name}p_within": float(claims.p_within[at, column]) if tested else np.nan,
        f"{name}p_exceeds": float(claims.p_exceeds[at, column]) if tested else np.nan,
        f"{name}alike": bool(claims.alike[at, column]),
        f"{name}unlike": bool(claims.unlike[at, column]),
    }


def _ratio_of(claims: Claims, at: int, column: int) -> str | None:
    if np.isnan(claims.ratio[at, column]):
        return None
    return "misses" if claims.of_misses[at, column] else "hits"


def _bounds(block: Block, minimum: Minimum) -> Array:
    """Gaps (2, n_rows, n_outcomes) if the unknown all belonged to the group, or to the rest.

    NaN where nobody is unknown, or so few that nothing may be shown of them.
    """
    found = np.full((2, *block.gap.shape), np.nan)
    known, measure = block.grouping.known, block.measure
    n, total = measure.n, np.where(measure.n > 0, measure.mean * measure.n, 0.0)
    lost, patients = n[~known].sum(axis=0), measure.k[~known].sum(axis=0)
    if block.comparison != "rest" or not (patients >= minimum.reported).any():
        return found
    rows = known[block.first]
    own, own_sum = n[block.first], total[block.first]
    rest, rest_sum = n[known].sum(axis=0) - own, total[known].sum(axis=0) - own_sum
    lost_sum = total[~known].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (own_sum + lost_sum) / (own + lost) - rest_sum / rest
        outside = own_sum / own - (rest_sum + lost_sum) / (rest + lost)
    shown = rows[:, None] & (patients >= minimum.reported) & (own > 0) & (rest > 0)
    found[0] = np.where(shown, np.minimum(inside, outside), np.nan)
    found[1] = np.where(shown, np.maximum(inside, outside), np.nan)
    return found


def _gap(name: str, gap: float, ends: Array) -> dict[str, Any]:
    """Gap and its interval, made to hold it."""
    if np.isnan(ends).any():  # an end at one level alone bounds nothing that is shown
        ends = np.full_like(ends, np.nan)
    low, high = ends[0].tolist()
    return {
        name: gap,
        f"{name}_ci_low": min(low, gap),  # NaN stays NaN: it comes first
        f"{name}_ci_high": max(high, gap),
    }


def _max_t(
    queries: Queries, blocks: list[Block], rows: list[dict[str, Any]], permutations: int, seed: int
) -> list[float]:
    """Adjusted p by permutation for comparisons with the rest, NaN for others.

    With strata the outcomes are taken less their stratum's mean.
    """
    usable = [
        b
        for b in blocks
        if b.comparison == "rest"
        and not b.grouping.varies
        and queries.strata_of(b.grouping) is queries.strata
    ]
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


def _hide(row: dict[str, Any], minimum: Minimum) -> None:
    """Take away what rests on too few patients, or could not be tested."""
    few = row["n_patients"] < minimum.reported
    if few:
        _clear(row, ("estimate", "ci_low", "ci_high", "n_events", "n_unmeasured", "design_effect"))
        _clear(row, _DERIVED)
        _clear(row, ("icc", *(("n_patients", "n_queries") if row["n_patients"] else ())))
    if few or row["_other_k"] < minimum.reported:  # the other side's mean is a small cell's too
        _clear(row, ("rest_estimate", "gap", "gap_ci_low", "gap_ci_high", "overlap", *_NAIVE[:4]))
    elif not row["_tested"]:
        _clear(row, ("gap", "gap_ci_low", "gap_ci_high"))
    for name in ("gap", "gap_naive"):  # no interval, no gap: a bare number says too much
        if np.isnan(row[f"{name}_ci_low"]) or np.isnan(row[f"{name}_ci_high"]):
            _clear(row, (name, f"{name}_ci_low", f"{name}_ci_high"))
    if row["verdict"] == "not_assessable":
        _clear(row, ("p_value", "p_adjusted", "p_max_t", "p_heterogeneity", *_DERIVED))
        row["ratio_of"] = None
    if row["verdict_naive"] == "not_assessable":
        _clear(row, ("p_naive",))
    row["overlap"] = round(row["overlap"], 1)  # its complement is a few queries' strata


def _clear(row: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        row[name] = np.nan
