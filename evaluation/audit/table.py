"""From arrays to the table of an audit: rows, and what of them is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.claims import Claims, claims_of
from evaluation.audit.contrasts import Block
from evaluation.audit.decisions import Rules, adjust_families, decide_row, hide, refer, unanswered
from evaluation.audit.hypotheses import Plan, asked_of, question, reference_of
from evaluation.audit.result import CELL_COLUMNS, COLUMNS, frame
from evaluation.audit.table_input import Queries
from evaluation.stats import Minimum
from evaluation.stats.cluster_sums import add_up, centred_on
from evaluation.stats.multiplicity import max_t
from evaluation.stats.suppression import round_count, round_rows
from evaluation.stats.verdict import AGAINST, decides

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell_table", "row_table"]

Array = NDArray[np.float64]
Row = dict[str, Any]


def row_table(
    queries: Queries,
    blocks: list[Block],
    adjusted: list[Block],
    plan: Plan,
    rules: Rules,
    *,
    rounded: bool,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """All rows, the shown numbers alone; of a rounded report after their verdicts are made.

    ``adjusted`` are ``blocks`` themselves where nothing is adjusted.
    """
    minimum = rules.minimum
    rows: list[Row] = []
    for block, judged in zip(blocks, adjusted, strict=True):
        rows += _rows(queries, block, judged, plan, rules)
    adjust_families(rows)
    checks = _max_t(queries, blocks, rows, permutations, seed) if permutations else {}
    for number, row in enumerate(rows):
        row["p_max_t"] = checks.get(number, np.nan)
        decide_row(row, rules)
        hide(row, minimum)
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
        k = queries.patients_of(grouping)
        for group, label in enumerate(grouping.names):
            sizes = (int(k[group]), int(n[group]))
            shown = [np.nan if label in grouping.small else show(size) for size in sizes]
            rows.append([grouping.attribute, label, *shown, minimum.precision(sizes[0])])
    return frame(rows, CELL_COLUMNS)


def _rows(queries: Queries, block: Block, judged: Block, plan: Plan, rules: Rules) -> list[Row]:
    """Rows of a block, outcome by outcome; what may not be shown is still in them.

    ``judged`` holds the figures of the verdict. Names that begin with "_" are no columns.
    """
    grouping, measure, unit = block.grouping, block.measure, queries.scale
    proportion = np.array([kind == "proportion" for kind in queries.kinds])
    naive = _claims(queries, block, rules)
    claims = naive if judged is block else _claims(queries, judged, rules)
    group = block.first
    mean, other = measure.mean[group] * unit, block.other_mean * unit
    mean, other = (np.where(proportion, np.clip(x, 0.0, 1.0), x) for x in (mean, other))
    total = np.bincount(grouping.of_query, minlength=len(grouping.names))[group][:, None]
    nothing = np.full(block.gap.shape, np.nan)
    missing = _bounds(block, rules.minimum) * unit
    figures: dict[str, Any] = {
        **dict.fromkeys(COLUMNS, nothing),
        "n_patients": measure.k[group].astype(np.int64),
        "n_queries": measure.n[group].astype(np.int64),
        "n_events": np.where(proportion, np.round(measure.events[group]), np.nan),
        "n_unmeasured": total - measure.n[group].astype(np.int64),
        "estimate": mean,
        "ci_low": np.minimum(measure.low[group] * unit, mean),
        "ci_high": np.maximum(measure.high[group] * unit, mean),
        "rest_estimate": other,
        "design_effect": measure.design_effect[group],
        "icc": measure.icc[group],
        "overlap": nothing if judged.overlap is None else judged.overlap,
        **dict.fromkeys(("step", "step_rest"), np.zeros(block.gap.shape)),
        **{name: getattr(claims, name) for name in ("ratio", "ratio_ci_low", "ratio_ci_high")},
        "_of_misses": claims.of_misses,
        "gap_missing_low": missing[0],
        "gap_missing_high": missing[1],
        **_gap("gap_naive", block, unit),
        "p_naive": np.where(block.tested, block.p, np.nan),
        **_gap("gap", judged, unit),
        "p_value": np.where(judged.tested, judged.p, np.nan),
        "_other_k": block.other_k.astype(np.int64),
        "_few": block.few,
        "_dominated": block.dominated[0],
        "_others_dominated": block.dominated[1],
        "_tested": judged.tested,
        "_carried": judged.carried,
    }
    if judged.p_heterogeneity is not None:
        figures["p_heterogeneity"] = np.where(judged.tested, judged.p_heterogeneity, np.nan)
    for kind, found, tested in (("", claims, judged.tested), ("naive_", naive, block.tested)):
        for name in ("p_within", "p_exceeds"):
            figures[f"_{kind}{name}"] = np.where(tested, getattr(found, name), np.nan)
        figures |= {f"_{kind}alike": found.alike, f"_{kind}unlike": found.unlike}
    patients = queries.patients_of(grouping)
    plain = [figures[name].T.ravel().tolist() for name in figures]
    places = [(outcome, at) for outcome in queries.outcomes for at in range(len(group))]
    rows = []
    for (outcome, at), values in zip(places, zip(*plain, strict=True), strict=True):
        row = dict(zip(figures, values, strict=True))
        row |= _asked(block, plan, rules, outcome, at, patients)
        row["precision"] = rules.minimum.precision(row["n_patients"])
        if not np.isnan(row["ratio"]):
            row["ratio_of"] = "misses" if row["_of_misses"] else "hits"
        rows.append(row)
    return rows


def _asked(
    block: Block, plan: Plan, rules: Rules, outcome: str, at: int, patients: NDArray[np.int64]
) -> Row:
    """The words of a row: what is compared, and in which family of tests."""
    grouping, group, other = block.grouping, int(block.first[at]), int(block.second[at])
    asked = asked_of(grouping, group)
    row: Row = {
        "attribute": grouping.attribute,
        "group": grouping.names[group],
        "outcome": outcome,
        "comparison": block.comparison,
        "family": block.comparison,
        "primary": False,
        "ratio_of": None,
        "_asked_of": asked,
        "_question": question(grouping, outcome, block.comparison, group, other),
        "_refer": False,
    }
    if block.comparison == "pair":
        row |= {"comparison": f"pair:{grouping.names[other]}", "family": "pairs"}
    if block.comparison == "rest":
        if grouping.reference is not None:
            row["comparison"] = f"{AGAINST}{grouping.reference}"
        row["family"] = plan.family(grouping.attribute, asked, outcome)
        row["primary"] = plan.is_primary(grouping.attribute, asked, outcome)
        row["_refer"] = group == reference_of(grouping, outcome, plan, patients)
    return row


def _claims(queries: Queries, block: Block, rules: Rules) -> Claims:
    return claims_of(
        block.gap, block.ends[0], block.carried, block.means, block.limits, block.correlation,
        margin=rules.margin / queries.scale, ratio_margin=rules.ratio_margin, alpha=rules.alpha,
    )  # fmt: skip


def _gap(name: str, block: Block, unit: Array) -> dict[str, Array]:
    """Gaps and their intervals, made to hold them."""
    gap = block.gap * unit
    # an end at one level alone bounds nothing that is shown
    low, high = np.where(np.isnan(block.ends).any(axis=(0, 1)), np.nan, block.ends[0]) * unit
    return {
        name: gap,
        f"{name}_ci_low": np.minimum(low, gap),
        f"{name}_ci_high": np.maximum(high, gap),
    }


def _bounds(block: Block, minimum: Minimum) -> Array:
    """Gaps (2, n_rows, n_outcomes) if the unknown all belonged to the group, or to the other side.

    NaN where nobody is unknown, or so few that nothing may be shown of them.
    """
    found = np.full((2, *block.gap.shape), np.nan)
    known, rest, cells = block.grouping.known, block.grouping.rest, block.cells
    patients = block.measure.k[~known].sum(axis=0)
    if block.comparison != "rest" or not (patients >= minimum.reported).any():
        return found
    n = add_up(cells.group, cells.n, cells.n_groups)
    total = np.where(n > 0, block.measure.mean * n, 0.0)
    lost, lost_sum = n[~known].sum(axis=0), total[~known].sum(axis=0)
    own, own_sum = n[block.first], total[block.first]
    among = rest[block.first][:, None]
    others, others_sum = (
        x[rest].sum(axis=0) - np.where(among, x[block.first], 0.0) for x in (n, total)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (own_sum + lost_sum) / (own + lost) - others_sum / others
        outside = own_sum / own - (others_sum + lost_sum) / (others + lost)
    named = known[block.first][:, None]
    shown = named & (patients >= minimum.reported) & (own > 0) & (others > 0)
    found[0] = np.where(shown, np.minimum(inside, outside), np.nan)
    found[1] = np.where(shown, np.maximum(inside, outside), np.nan)
    return found


def _max_t(
    queries: Queries, blocks: list[Block], rows: list[Row], permutations: int, seed: int
) -> dict[int, float]:
    """Adjusted p by permutation, by number of row, for comparisons with the rest.

    With strata the outcomes are taken less their stratum's mean.
    """
    usable = [
        b.grouping
        for b in blocks
        if b.comparison == "rest"
        and not b.grouping.varies
        and queries.strata_of(b.grouping) is queries.strata
    ]
    if not usable:
        return {}
    values, unit, n_units = queries.values, queries.unit, queries.n_units
    w = np.ones((1, 1)) if queries.weight is None else queries.weight[:, None]
    weights = ~np.isnan(values) * w
    with np.errstate(invalid="ignore", divide="ignore"):
        if queries.strata is not None:
            sums, sizes = (
                add_up(queries.strata, x, queries.n_strata)
                for x in (np.nan_to_num(values) * w, weights)
            )
            values = values - (sums / sizes)[queries.strata]
        size = add_up(unit, weights, n_units)
        centre = np.nansum(values * w, axis=0) / size.sum(axis=0)
    u = add_up(unit, centred_on(values, centre) * w, n_units)
    groups = []
    names: dict[tuple[str, str], int] = {}
    against = []
    for grouping in usable:
        of_unit = np.zeros(n_units, dtype=np.int64)
        of_unit[unit] = grouping.of_query
        groups.append(of_unit)
        other = None if grouping.reference is None else grouping.names.index(grouping.reference)
        against += [-1 if other is None else len(names) + other] * len(grouping.names)
        names |= {
            (grouping.attribute, label): len(names) + at for at, label in enumerate(grouping.names)
        }
    column = {outcome: number for number, outcome in enumerate(queries.outcomes)}
    places: dict[int, tuple[int, int]] = {}
    family = np.full((len(names), len(column)), -1)
    known = sorted({row["family"] for row in rows})
    for number, row in enumerate(rows):
        place = names.get((row["attribute"], row["group"]))
        if decides(row["comparison"]) and place is not None and row["_tested"]:
            places[number] = (place, column[row["outcome"]])
            family[places[number]] = known.index(row["family"])
    _, adjusted = max_t(
        u, size, groups, families=family, against=np.array(against), permutations=permutations,
        seed=seed,
    )  # fmt: skip
    return {number: float(adjusted[at]) for number, at in places.items()}
