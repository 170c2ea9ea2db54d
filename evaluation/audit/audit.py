"""The audit of outcomes: any system's per-query results, group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from evaluation.audit.contrasts import compare
from evaluation.audit.decisions import Rules
from evaluation.audit.hypotheses import Plan
from evaluation.audit.result import Audit
from evaluation.audit.standardised import adjust
from evaluation.audit.table import cell_table, row_table
from evaluation.audit.table_input import Kind, Queries, read_queries
from evaluation.stats import Minimum
from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.small_groups import any_few
from evaluation.stats.suppression import round_count
from evaluation.stats.threads import one_thread
from evaluation.stats.verdict import check_margins
from medembed.errors import InputError

__all__ = ["audit_outcomes"]

_NAMED = 6


@one_thread()
def audit_outcomes(
    table: Any,
    outcomes: Sequence[str],
    attributes: Sequence[str],
    *,
    patient: str = "patient_id",
    strata: Sequence[str] = (),
    margin: float = 0.05,
    ratio_margin: float | None = None,
    alpha: float = 0.05,
    intersections: bool | Sequence[Sequence[str]] = True,
    seed: int = 0,
    primary: Sequence[Any] = (),
    families: Mapping[str, Sequence[Any]] | None = None,
    minimum: Minimum | None = None,
    kinds: Mapping[str, Kind] | None = None,
    contrasts: Literal["rest", "largest", "all"] = "rest",
    overlap: float = 0.8,
    repetitions: int = 2000,
    permutations: int = 999,
    reference: Mapping[str, str] | None = None,
    bands: Mapping[str, Sequence[float] | int] | None = None,
    weight: str | None = None,
    cluster: str | None = None,
) -> Audit:
    """Audit how each group of patients is served, with patients as the sampling unit.

    Parameters
    ----------
    table : pandas or polars DataFrame, or mapping of str to array of shape (n_queries,)
        One row per query, of any system.
    outcomes : sequence of str
        Numeric columns; NaN where not measured, which is counted for each group. Of only 0 and 1
        an outcome is a proportion, else a score of any range.
    attributes : sequence of str
        Columns of groups. Missing values and words that say so are the group "unknown", which is
        compared with the known ones and is no part of their "rest".
    patient : str
        Column of patients' pseudonyms; none may be missing.
    strata : sequence of str
        Columns of the mix of cases (finding, view, age) that gaps are adjusted to. The columns
        ``gap``, ``p_adjusted`` and ``verdict`` are then the standardised ones; the naive ones
        stand beside them. An attribute is left out of its own strata.
    margin : float
        Largest gap, either way, that is of no consequence, in the outcome's own unit.
    ratio_margin : float, optional
        Largest ratio of two rates, either way, that is of no consequence, of hits and of misses;
        both margins have to be kept. With ``margin=1`` the ratio decides alone. Above half a point
        only; scores have no ratio.
    alpha : float
        Chance of any false alarm within a family of tests, and of any false "within" and any false
        "exceeds"; intervals have the level 1 - alpha.
    intersections : bool or sequence of sequences of str
        Cross all pairs of attributes, or those given; groups are then called ``w*F`` of
        ``race*sex``.
    seed : int
        The same seed and table give the same bits.
    primary : sequence
        Hypotheses named before the data was looked at, each (attribute, outcome),
        (attribute, group, outcome) or a mapping of these. Without a group: each group of the
        attribute but "unknown".
    families : mapping of str to sequence of hypotheses, optional
        Holm's adjustment is made within each. Rows of none are in the family "primary" or "all
        other"; other comparisons than with the rest have families of their own.
    minimum : Minimum, optional
        Patients that a group needs: 11 to be reported, 50 to be called precise.
    kinds : mapping of outcome to {"proportion", "score"}, optional
    contrasts : {"rest", "largest", "all"}
        Each group with the rest; besides, with the largest group; besides, all pairs.
    overlap : float
        Least share of a group's queries that has to lie in strata which the other side has, for
        an adjusted gap to be assessable.
    repetitions, permutations : int
        Draws of the bootstrap-t intervals of scores, and of the permutation check ``p_max_t``,
        which needs attributes that are the same for all queries of a patient; 0 leaves it out.
    reference : mapping of attribute to group, optional
        Compare the attribute's groups with this one instead of the rest; ``comparison`` is then
        ``against:GROUP``, and the gate takes it.
    bands : mapping of attribute or stratum to sequence of float or int, optional
        Cut a numeric column at these edges, or into so many equal parts of the patients.
    weight : str, optional
        Column of sampling weights, one positive number a query, none more than a million times
        another. Estimates and gaps become weighted
        ones, with patients as units; numbers of patients, queries and events stay counts.
    cluster : str, optional
        Column of a unit that patients are nested in (a site). Intervals and tests take it as the
        sampling unit instead of the patient; there have to be 10 of them.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        A missing column, an outcome that is not numeric or infinite, queries without a patient, a
        hypothesis on what is not audited, settings that make no sense.

    Notes
    -----
    Methods and their sources: :mod:`evaluation.stats.score_test` and Holm,
    :mod:`evaluation.stats.proportions`, :mod:`evaluation.stats.bootstrap_t`,
    :mod:`evaluation.stats.standardise`, :mod:`evaluation.stats.verdict`,
    :mod:`evaluation.audit.claims`. Small groups are merged first; an audit that merges or hides
    anything is rounded, verdicts excepted (:mod:`evaluation.stats.suppression`).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.choice(["F", "M"], 4000)
    >>> table = {"patient_id": np.arange(4000), "sex": sex,
    ...          "hit": rng.random(4000) < np.where(sex == "F", 0.6, 0.75)}
    >>> audit = audit_outcomes(table, ["hit"], ["sex"], primary=[("sex", "hit")])
    >>> audit.table[["group", "gap", "verdict"]].round(2).values.tolist()
    [['F', -0.14, 'exceeds'], ['M', nan, None]]
    """
    least = Minimum() if minimum is None else minimum
    check_margins(margin, alpha, ratio_margin)
    _check(overlap, repetitions, permutations, contrasts, least)
    queries = read_queries(
        table, outcomes, attributes, patient=patient, strata=strata,
        intersections=intersections, kinds=kinds, minimum=least, reference=reference, bands=bands,
        weight=weight, cluster=cluster,
    )  # fmt: skip
    plan = Plan.of(primary, families, queries.groupings, outcomes)
    blocks = compare(
        queries, contrasts=contrasts, minimum=least, alpha=alpha, repetitions=repetitions,
        seed=seed,
    )  # fmt: skip
    adjusted = blocks
    if queries.strata is not None:
        adjusted = adjust(queries, blocks, minimum=least, alpha=alpha, overlap=overlap)
    rounded = any_few(
        queries.owner,
        [g.of_query for g in queries.groupings],
        [~np.isnan(column) for column in queries.values.T],
        least,
    ) or any(g.merged for g in queries.groupings)
    rows = row_table(
        queries, blocks, adjusted, plan,
        Rules(margin, ratio_margin, alpha, least, overlap, bool(strata), cluster is not None),
        rounded=rounded, permutations=permutations, seed=seed,
    )  # fmt: skip
    chosen = {"reference": reference, "bands": bands, "weight": weight, "cluster": cluster}
    settings: dict[str, Any] = {
        "outcomes": list(outcomes),
        "kinds": dict(zip(queries.outcomes, queries.kinds, strict=True)),
        "attributes": list(attributes),
        "intersections": [g.attribute for g in queries.groupings if len(g.parts) > 1],
        "strata": list(strata),
        "n_strata": queries.n_strata if strata else 0,
        "margin": margin,
        "ratio_margin": ratio_margin,
        "alpha": alpha,
        "contrasts": contrasts,
        "overlap": overlap,
        "minimum": {"reported": least.reported, "precise": least.precise},
        "primary": [
            {"attribute": h.attribute, "group": h.group, "outcome": h.outcome} for h in plan.primary
        ],
        "families": sorted({str(name) for name in rows["family"]}),
        "seed": seed,
        "repetitions": repetitions,
        "permutations": permutations,
        **_totals(queries, least, rounded),
        "merged": {g.attribute: list(g.merged) for g in queries.groupings if g.merged},
        "rounded": rounded,
        **{name: _plain(value) for name, value in chosen.items() if value},
    }
    return Audit(
        rows,
        cell_table(queries, least, rounded=rounded),
        settings,
        _notes(queries, rounded, bool(strata), permutations, weight, cluster),
    )


def _check(
    overlap: float, repetitions: int, permutations: int, contrasts: str, minimum: Minimum
) -> None:
    if not 0 <= overlap <= 1:
        raise InputError("an overlap outside 0 to 1")
    if repetitions < 200:
        raise InputError("fewer than 200 repetitions", hint="give 2000 or more")
    if permutations != 0 and permutations < 99:
        raise InputError("fewer than 99 permutations", hint="give 999 or more, or 0 for none")
    if contrasts not in {"rest", "largest", "all"}:
        raise InputError('contrasts are "rest", "largest" or "all"')
    if minimum.reported < 2 or minimum.precise < minimum.reported:
        raise InputError("minimum sizes below 2 patients, or precise below reported")


def _totals(queries: Queries, minimum: Minimum, rounded: bool) -> dict[str, int | None]:
    if queries.n_patients < minimum.reported:
        return {"n_patients": None, "n_queries": None}
    counts = {"n_patients": queries.n_patients, "n_queries": len(queries.owner)}
    return {name: round_count(n) for name, n in counts.items()} if rounded else dict(counts)


def _plain(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return value if isinstance(value, str | int) else [float(one) for one in value]


def _notes(
    queries: Queries,
    rounded: bool,
    adjusted: bool,
    permutations: int,
    weight: str | None,
    cluster: str | None,
) -> tuple[str, ...]:
    notes = [
        "Conclusions are about patients like those of this archive, searched in this archive.",
        *queries.notes,
    ]
    notes += [
        f"Groups of {g.attribute} are compared with {g.reference!r}, not with everyone else."
        for g in queries.groupings
        if g.reference is not None
    ]
    if weight is not None:
        notes.append(
            f"Estimates and gaps are weighted by {weight!r}: they are those of the patients whom "
            "the weights stand for. Numbers of patients, queries and events are counts."
        )
    if cluster is not None:
        notes.append(
            f"Intervals and tests take each {cluster} as one unit: patients of one {cluster} may "
            "be alike."
        )
    if rounded:
        notes.append(
            "Small groups are merged or not shown. So that none can be worked out, all counts are "
            "rounded to 10 and all figures to steps, intervals outwards; verdicts are those of "
            "the figures before rounding."
        )
    for grouping in queries.groupings:
        if grouping.merged:
            named, more = ", ".join(grouping.merged[:_NAMED]), len(grouping.merged) - _NAMED
            named += f" and {more} more" if more > 0 else ""
            notes.append(f"Merged into {OTHER_GROUPS!r} of {grouping.attribute}: {named}.")
    varying = [g.attribute for g in queries.groupings if g.varies]
    units = "patients" if cluster is None else "clusters"
    if varying and permutations:
        notes.append(
            f"No permutation check for {', '.join(varying)}: {units} have queries in several of "
            "its groups and cannot be exchanged."
        )
    if adjusted:
        notes.append(
            "Adjusted gaps compare groups at the same mix of cases. Where the mix itself is a "
            "consequence of how a group is treated, adjusting hides harm: read the unadjusted gap, "
            "too."
        )
    return tuple(notes)
