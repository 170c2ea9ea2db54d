r"""Which groups' cases are shown to the reader, against what the archive and relevance would give.

A hit at rank r is seen with weight :math:`1 / \log_2(1 + r)`; an item is given :math:`e_i`, the sum
of its weights over all queries. A ranking that does not look at the group would give it
:math:`x_i`: every item of a query's pool alike; or, given relevance, what the query gave to its
relevant items shared among all relevant ones of its pool, and the rest among the others. The
group's ratio is :math:`\sum_{i \in g} e_i / \sum_{i \in g} x_i`; 1 is its due.

The null distribution hands the groups of *gallery patients* around among patients of about as much
expected exposure: hubs stay hubs. The interval is over query patients, for this archive.

References
----------
Singh and Joachims, *Fairness of exposure in rankings*, KDD 2018; Diaz et al., *Evaluating
stochastic rankings with expected exposure*, CIKM 2020; Järvelin and Kekäläinen, TOIS 20:422, 2002
(discount); Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9:39, 2010 (permutation p is never 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.retrieval.relevance import as_pairs
from evaluation.sections.group_vs_rest import PlainRow, SectionResult, judge, text_groups
from evaluation.stats import Minimum
from evaluation.stats.bootstrap_t import bootstrap_t_means
from evaluation.stats.verdict import Precision, Reason, Verdict
from medembed.errors import InputError

__all__ = ["ExposureRow", "assess_exposure"]

_CELLS = 2_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ExposureRow(PlainRow):
    """A group's exposure; columns as in ``PlainRow``, patients and items of the gallery.

    Parameters
    ----------
    share_archive, exposure, top_k : float or None
        Share of the queries' pools; of what was shown, discounted, and of the first k plainly.
    ratio, ratio_top_k, ratio_given_relevance : float or None
        Of both against the archive's share; discounted, against what relevance would give.
    ci_low, ci_high, p : float or None
        Over query patients, of the tested ratio: given relevance where that is declared.
    null_low, null_high : float or None
        Where the tested ratio lies in 95% of permutations.
    p_archive : float or None
        Against the archive.
    """

    attribute: str
    group: str
    share_archive: float | None = None
    exposure: float | None = None
    top_k: float | None = None
    ratio: float | None = None
    ratio_top_k: float | None = None
    ratio_given_relevance: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    p_archive: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_patients: int | None = None
    n_items: int | None = None
    precision: Precision = "usual"
    verdict: Verdict = Verdict.NOT_ASSESSABLE
    reason: str = ""


def assess_exposure(
    hits: ArrayLike,
    query_patients: ArrayLike,
    gallery_patients: ArrayLike,
    gallery_groups: Mapping[str, ArrayLike],
    *,
    relevant: Any = None,
    excluded: Any = None,
    margin: float = 0.1,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    permutations: int = 2000,
    repetitions: int = 2000,
    seed: int = 0,
) -> SectionResult[ExposureRow]:
    """Compare what each group of the archive is given with its due.

    Parameters
    ----------
    hits : int array of shape (n_queries, k)
        Indices into the gallery, best first; -1 where there was none. The query's own patient was
        left out of its pool.
    query_patients : array of shape (n_queries,)
    gallery_patients : array of shape (n_items,)
        Named as the queries' are.
    gallery_groups : mapping of attribute to array of shape (n_items,)
    relevant, excluded : optional
        As :func:`~evaluation.retrieval.relevance.as_pairs` takes them, (n_queries, n_items).
    margin : float
        A ratio within 1 ± margin is of no consequence.
    alpha, minimum, permutations, repetitions, seed

    Raises
    ------
    InputError
        Where arrays do not fit, nothing was hit, or a hit lies outside its query's pool.
    """
    least = minimum or Minimum()
    if permutations < 99 or not 0 < margin < 1:
        raise InputError("fewer than 99 permutations, or a margin of a ratio outside 0 to 1")
    found = np.asarray(hits)
    owner, gallery = np.asarray(query_patients), np.asarray(gallery_patients)
    if not len(owner) or not len(gallery) or not gallery_groups:
        raise InputError("no query, no item to find, or no attribute to assess")
    both = codes(np.concatenate([owner.astype(str), gallery.astype(str)]))
    if (both < 0).any():
        raise InputError("a query or an item without a patient")
    asking, holding = both[: len(owner)], both[len(owner) :]
    of = {
        name: np.unique(text_groups(given, name, len(gallery)), return_inverse=True)
        for name, given in gallery_groups.items()
    }
    member = np.concatenate([np.eye(len(names))[group] for names, group in of.values()], axis=1)
    held = _dues(found, member, asking, holding, relevant, excluded)
    figures, tested = _figures(held, found, member, asking, alpha, repetitions, seed)
    n_asking = len(np.unique(asking))
    rows: list[ExposureRow] = []
    for attribute, (names, group) in of.items():
        here = slice(len(rows), len(rows) + len(names))
        permuted = _permuted(held, group, holding, permutations, seed)
        columns = {name: column[here] for name, column in figures.items()} | permuted
        for number, name in enumerate(names.tolist()):
            inside = group == number
            k = len(np.unique(holding[inside]))
            if k < least.reported:
                why = Reason.FEW.text(least)
                rows.append(ExposureRow(attribute, name, precision="suppressed", reason=why))
                continue
            row = ExposureRow(
                attribute, name, n_patients=k, n_items=int(inside.sum()),
                precision=least.precision(k),
            )  # fmt: skip
            its = {figure: float(column[number]) for figure, column in columns.items()}
            row = _row(row, its, tested[len(rows)])
            if len(names) == 1:
                row = replace(row, p=None, p_archive=None, reason="there is no other group")
            elif n_asking < least.reported:
                row = replace(row, p=None, p_archive=None, reason="too few query patients")
            rows.append(row)
    declared = "given declared relevance" if relevant is not None else "against the archive's share"
    return SectionResult(
        judge(rows, tested, margin, alpha=alpha),
        (
            f"Exposure {declared} is tested by permuting groups among gallery patients of similar "
            "expected exposure.",
            "Intervals are over query patients and hold for this archive.",
        ),
        {
            "n_queries": len(owner), "n_query_patients": n_asking, "k": found.shape[1],
            "permutations": permutations,
        },
    )  # fmt: skip


@dataclass(frozen=True)
class _Dues:
    """What was given to each item and what was due of the archive and given relevance, (n_items,).

    The same for each query over the items of each group, and the group's share of the query's pool,
    (n_queries, n_groups); None without declared relevance.
    """

    given: Floats
    archive: Floats
    relevance: Floats | None
    query_given: Floats
    query_relevance: Floats | None
    pool_share: Floats


def _sight(hits: Ints) -> Floats:
    """Weight of each hit by its rank; 0 where there is no hit."""
    return np.where(hits >= 0, 1 / np.log2(2 + np.arange(hits.shape[1])), 0.0)


def _dues(
    hits: Ints, member: Floats, asking: Ints, holding: Ints, relevant: Any, excluded: Any
) -> _Dues:
    """Add up, a block of queries at a time; ``member`` (n_items, n_groups) is 1 in its group."""
    n_queries, n_items = shape = len(asking), len(holding)
    declared = None if relevant is None else as_pairs(relevant, shape, "relevance")
    barred = None if excluded is None else as_pairs(excluded, shape, "exclusions")
    if hits.ndim != 2 or len(hits) != n_queries or not np.issubdtype(hits.dtype, np.integer):
        raise InputError("hits are whole numbers, one row for each query")
    if hits.size and (hits.max() >= n_items or hits.min() < -1):
        raise InputError(f"a hit outside the gallery of {n_items}")
    ranked = np.sort(hits, axis=1)
    if ((ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] >= 0)).any():
        raise InputError("an item that is twice among the hits of a query")
    held, weights = hits >= 0, _sight(hits)
    if not held.any():
        raise InputError("no query has a hit")
    given = np.bincount(hits[held], weights[held], n_items).astype(np.float64)
    archive, by_relevance = np.zeros((2, n_items))
    query_given, share, query_relevance = np.zeros((3, n_queries, member.shape[1]))
    for rank in range(hits.shape[1]):
        query_given += weights[:, [rank]] * member[hits[:, rank]]  # weight 0 where there is none
    step = max(1, _CELLS // n_items)
    for start in range(0, n_queries, step):
        rows = slice(start, min(start + step, n_queries))
        here, total = hits[rows], weights[rows].sum(axis=1)
        line = np.arange(len(here))[:, None]
        pool = asking[rows, None] != holding[None, :]
        if barred is not None:
            pool &= ~barred.rows(rows.start, rows.stop)
        if (held[rows] & ~pool[line, here]).any():
            raise InputError(
                "a hit outside its query's pool: of the own patient, or excluded",
                hint="leave both out of the search",
            )
        size = pool.sum(axis=1)
        if (size == 0).any():
            raise InputError("a query without a pool")
        inside = pool.astype(np.float64)
        of_groups = inside @ member
        share[rows] = of_groups / size[:, None]
        archive += (total / size) @ inside
        if declared is not None:
            good = declared.rows(rows.start, rows.stop) & pool
            to_good = (weights[rows] * good[line, here]).sum(axis=1)
            n_good, chosen = good.sum(axis=1), good.astype(np.float64)
            other = (total - to_good) / np.maximum(size - n_good, 1)
            extra = to_good / np.maximum(n_good, 1) - other
            by_relevance += extra @ chosen + other @ inside
            query_relevance[rows] = extra[:, None] * (chosen @ member) + other[:, None] * of_groups
    if declared is None:
        return _Dues(given, archive, None, query_given, None, share)
    return _Dues(given, archive, by_relevance, query_given, query_relevance, share)


def _figures(
    held: _Dues, hits: Ints, member: Floats, asking: Ints, alpha: float, repetitions: int, seed: int
) -> tuple[dict[str, Floats], Floats]:
    """Shares, ratios and intervals of all groups, (n_groups,) each; what is judged, (n_groups, 3).

    Judged is the tested ratio less 1, with its interval.
    """
    weight, n_hits = _sight(hits).sum(axis=1), (hits >= 0).sum(axis=1)
    archive, given = weight @ held.pool_share, held.query_given.sum(axis=0)
    plainly = member[hits[hits >= 0]].sum(axis=0)
    due = held.query_relevance
    if due is None:
        due = weight[:, None] * held.pool_share
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "share_archive": archive / weight.sum(),
            "exposure": given / weight.sum(),
            "top_k": plainly / n_hits.sum(),
            "ratio": given / archive,
            "ratio_top_k": plainly / (n_hits @ held.pool_share),
        }
        tested = given / due.sum(axis=0)
        # What is due is known: its mean is no estimate.
        over = (held.query_given - due) / due.mean(axis=0)
    if held.query_relevance is not None:
        found["ratio_given_relevance"] = tested
    (low, high), (inner_low, inner_high) = bootstrap_t_means(
        np.where(np.isfinite(tested), over, 0.0), asking, repetitions=repetitions,
        levels=(1 - alpha, 1 - 2 * alpha), seed=seed,
    )[2]  # fmt: skip
    inner = np.minimum(inner_low, tested - 1), np.maximum(inner_high, tested - 1)
    return found | {"ci_low": 1 + low, "ci_high": 1 + high}, np.stack([tested - 1, *inner], axis=1)


def _permuted(
    held: _Dues, group: Ints, holding: Ints, permutations: int, seed: int
) -> dict[str, Floats]:
    """Of the archive's and the tested comparison: p and range of the ratio under permutation."""
    n_groups = int(group.max()) + 1
    # A patient with items of several groups takes part once in each.
    cell, of = np.unique(holding * n_groups + group, return_inverse=True)
    given, *dues = (
        np.bincount(of, of_items).astype(np.float64)
        for of_items in (held.given, held.archive, held.relevance)
        if of_items is not None
    )
    drawn = [
        _hand_around(given - due, due, cell % n_groups, n_groups, permutations, seed)
        for due in dues
    ]
    p, low, high = drawn[-1]
    return {"p_archive": drawn[0][0], "p": p, "null_low": low, "null_high": high}


def _hand_around(
    residual: Floats, due: Floats, group: Ints, n_groups: int, permutations: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Two-sided p, and where 95% of the ratios of given to due lie with groups handed around.

    Cells exchange their groups within tenths of ``due``, of 20 cells or more; ``residual`` is what
    was given less that.
    """
    bins = max(1, min(10, len(due) // 20))
    level = np.round(due / max(due.max(), 1e-300), 9)  # equal dues are equal in any order of sums
    edges = np.unique(np.quantile(level, np.linspace(0, 1, bins + 1)[1:-1]))
    stratum = np.searchsorted(edges, level)
    member = np.eye(n_groups)[group]  # (cells, groups)
    places = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    centre = np.zeros(n_groups)
    for place in places:
        centre += residual[place].mean() * member[place].sum(axis=0)
    rng = np.random.default_rng([seed, 0x657870])
    step = max(1, _CELLS // len(residual))
    draws = np.zeros((permutations, n_groups))
    for start in range(0, permutations, step):
        sums = draws[start : start + step]
        for place in places:
            table = np.broadcast_to(residual[place], (len(sums), len(place)))
            sums += rng.permuted(table, axis=1) @ member[place]
    seen = np.abs(residual @ member - centre)
    beyond = (np.abs(draws - centre) >= seen - 1e-9 * np.abs(residual).sum()).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = 1 + np.quantile(draws, [0.025, 0.975], axis=0) / (due @ member)
    return (1 + beyond) / (1 + permutations), low, high


def _row(row: ExposureRow, its: dict[str, Any], tested: Floats) -> ExposureRow:
    """Fill in a group's figures as far as they can be tested."""
    if not np.isfinite([tested[0], its["ratio"]]).all():
        return replace(row, reason="no exposure was due to this group in any query's pool")
    if np.isnan([*tested, its["ci_low"], its["ci_high"]]).any():
        its |= {"ci_low": None, "ci_high": None, "p": None}
        return replace(row, **its, reason="the queries vary too little for an interval")
    return replace(row, **its)
