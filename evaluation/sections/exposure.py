r"""Which groups' cases are shown to the reader, against what the archive and relevance would give.

A hit at rank r is seen with weight :math:`1 / \log_2(1 + r)` (or 1: the share of the first k). What
an item is given, :math:`e_i`, is the sum of its weights over all queries. Under a ranking that does
not look at the group, it is expected to get

- of the archive: :math:`x_i = \sum_q W_q / |pool_q|`, every item of the query's pool alike;
- given relevance: what query q gave to its relevant items, shared alike among all relevant ones of
  its pool, and what it gave to the others, among the others.

The group's ratio is :math:`\sum_{i \in g} e_i / \sum_{i \in g} x_i`; 1 is its due. The harm of a
low one: a group's past cases are not found, so that its patients are compared with others'.

The null distribution hands the groups of *gallery patients* around among patients of the same
stratum, by default a tenth of the patients with about as much expected exposure (as many images,
and as much relevance). Whatever makes some cases hubs, or queries of one patient alike, is in
:math:`e_i` and stays. The interval is another matter: it is over query patients, for this archive.

References
----------
Singh and Joachims, *Fairness of exposure in rankings*, KDD 2018; Diaz et al., *Evaluating
stochastic rankings with expected exposure*, CIKM 2020; Järvelin and Kekäläinen, TOIS 20:422, 2002
(discount); Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9:39, 2010 (permutation p is never 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.retrieval.relevance import as_pairs
from evaluation.sections.fair_share import Dues, dues, sight
from evaluation.sections.group_vs_rest import plain, small_groups, text_groups
from evaluation.sections.permute_within_strata import hand_around
from evaluation.stats import Minimum, bootstrap_t_mean, decide, holm
from evaluation.stats.report_fields import Reason
from evaluation.stats.verdict import Precision, Verdict
from medembed.errors import InputError

__all__ = ["Exposure", "ExposureRow", "assess_exposure"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExposureRow:
    """A group's exposure.

    Parameters
    ----------
    attribute, group : str
    share_archive : float or None
        Of the queries' pools.
    exposure, top_k : float or None
        Share of what was shown: discounted, and of the first k plainly.
    ratio, ratio_top_k : float or None
        Against the archive's share.
    ratio_given_relevance : float or None
        Discounted, against what relevance would give; None without declared relevance.
    ci_low, ci_high : float or None
        95% over query patients, of the tested ratio: given relevance where that is declared.
    null_low, null_high : float or None
        Where the tested ratio lies in 95% of permutations.
    p_archive, p, p_adjusted : float or None
        Against the archive; of the tested ratio; the latter by Holm over all groups.
    n_patients, n_items : int or None
        Of the gallery.
    precision : {"usual", "low", "suppressed"}
    verdict : {"within", "exceeds", "inconclusive", "not_assessable"}
    reason : str
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
    verdict: Verdict = "not_assessable"
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names above."""
        return plain(asdict(self))


@dataclass(frozen=True)
class Exposure:
    """What :func:`assess_exposure` found.

    Parameters
    ----------
    rows : tuple of ExposureRow
    notes : tuple of str
    n_queries, n_query_patients, k, permutations : int
    """

    rows: tuple[ExposureRow, ...]
    notes: tuple[str, ...]
    n_queries: int
    n_query_patients: int
    k: int
    permutations: int

    def to_json(self) -> dict[str, Any]:
        """Rows and notes in plain values."""
        return plain(asdict(self)) | {
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
        }


def assess_exposure(
    hits: ArrayLike,
    query_patients: ArrayLike,
    gallery_patients: ArrayLike,
    gallery_groups: Mapping[str, ArrayLike],
    *,
    relevant: Any = None,
    excluded: Any = None,
    strata: ArrayLike | None = None,
    discount: Literal["log", "none"] = "log",
    leave_out_own: bool = True,
    margin: float = 0.1,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    permutations: int = 2000,
    repetitions: int = 2000,
    seed: int = 0,
) -> Exposure:
    """Compare what each group of the archive is given with its due.

    Parameters
    ----------
    hits : int array of shape (n_queries, k)
        Indices into the gallery, best first; -1 where there was none.
    query_patients : array of shape (n_queries,)
    gallery_patients : array of shape (n_items,)
        Named as the queries' are.
    gallery_groups : mapping of str to array of shape (n_items,)
        By attribute.
    relevant, excluded : optional
        As :func:`evaluation.retrieval.relevance.as_pairs` takes them, of shape
        (n_queries, n_items).
    strata : array of shape (n_items,), optional
        Patients exchange their groups within these only (a patient stands where its first item
        does), in addition to tenths of expected exposure.
    discount : {"log", "none"}
    leave_out_own : bool
        Whether a query's own patient was left out of its pool.
    margin : float
        A ratio within 1 ± margin is of no consequence.
    alpha : float
    minimum : Minimum, optional
    permutations, repetitions, seed : int

    Returns
    -------
    Exposure

    Raises
    ------
    InputError
        Where arrays do not fit, nothing was hit, or a hit lies outside its query's pool.
    """
    least = minimum or Minimum()
    found = np.asarray(hits)
    owner, gallery = np.asarray(query_patients), np.asarray(gallery_patients)
    if permutations < 99:
        raise InputError("fewer than 99 permutations")
    if not 0 < margin < 1:
        raise InputError("a margin of a ratio lies between 0 and 1")
    if not len(owner) or not len(gallery):
        raise InputError("no query, or no item to find")
    both = codes(np.concatenate([owner.astype(str), gallery.astype(str)]))
    if (both < 0).any():
        raise InputError("a query or an item without a patient")
    asking, holding = both[: len(owner)], both[len(owner) :]
    shape = (len(owner), len(gallery))
    names, labels = [], []
    for attribute, given in gallery_groups.items():
        known, group = np.unique(text_groups(given, attribute, shape[1]), return_inverse=True)
        names.append((attribute, known.tolist()))
        labels.append(group)
    if not names:
        raise InputError("no attribute to assess")
    member = np.concatenate([np.eye(int(g.max()) + 1)[g] for g in labels], axis=1)
    tables = _Tables(
        dues(
            found, sight(found, discount), member, asking, holding, leave_out_own=leave_out_own,
            relevant=None if relevant is None else as_pairs(relevant, shape, "relevance"),
            excluded=None if excluded is None else as_pairs(excluded, shape, "exclusions"),
        ),
        sight(found, discount).sum(axis=1),
        sight(found, "none") @ np.ones(found.shape[1]),
        asking,
        holding,
        _codes_of(strata, shape[1]),
    )  # fmt: skip
    plainly = tables.shown_plainly(found, member)
    rows: list[tuple[ExposureRow, tuple[float, float] | None]] = []
    start = 0
    for (attribute, known), group in zip(names, labels, strict=True):
        n_patients = {
            name: len(np.unique(holding[group == number])) for number, name in enumerate(known)
        }
        small = small_groups(n_patients, least)
        draws = _permute(tables, group, len(known), permutations, seed)
        for number, name in enumerate(known):
            row = ExposureRow(attribute, name)
            if name in small:
                why = Reason.FEW.text(least)
                rows.append((replace(row, precision="suppressed", reason=why), None))
                continue
            row = replace(
                row,
                n_patients=n_patients[name],
                n_items=int((group == number).sum()),
                precision=least.precision(n_patients[name]),
            )
            row, inner = _measured(
                row, tables, plainly, draws, number, start + number, alpha, repetitions, seed
            )
            if len(known) == 1:
                row = replace(row, p=None, p_archive=None, reason="there is no other group")
            elif len(np.unique(asking)) < least.reported:
                row = replace(row, p=None, p_archive=None, reason="too few patients who ask")
            rows.append((row, inner))
        start += len(known)
    adjusted = holm([np.nan if row.p is None else row.p for row, _ in rows])
    done = tuple(
        _judged(row, inner, float(p), margin, alpha)
        for (row, inner), p in zip(rows, adjusted, strict=True)
    )
    declared = "given declared relevance" if relevant is not None else "against the archive's share"
    return Exposure(
        done,
        (
            f"Tested is exposure {declared}, against groups handed around among gallery patients "
            "of like expected exposure.",
            "Intervals are over query patients and hold for this archive.",
        ),
        shape[0],
        len(np.unique(asking)),
        found.shape[1],
        permutations,
    )


@dataclass(frozen=True)
class _Tables:
    dues: Dues
    weight: Floats  # of a query's hits
    n_hits: Floats
    asking: NDArray[np.int64]
    holding: NDArray[np.int64]
    strata: NDArray[np.int64]

    def shown_plainly(self, hits: NDArray[np.int64], member: Floats) -> Floats:
        return np.asarray(member[hits[hits >= 0]].sum(axis=0))


def _codes_of(strata: ArrayLike | None, n: int) -> NDArray[np.int64]:
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    numbers = codes(strata)
    if numbers.shape != (n,):
        raise InputError(f"strata for {numbers.size} items, but there are {n}")
    return numbers


@dataclass(frozen=True)
class _Draws:
    """Of the archive's and the tested comparison: p and range of the ratio under permutation."""

    p_archive: Floats
    p: Floats
    low: Floats
    high: Floats


def _permute(
    tables: _Tables, group: NDArray[np.int64], n_groups: int, permutations: int, seed: int
) -> _Draws:
    # A patient with items of several groups takes part once in each.
    cell, of = np.unique(tables.holding * n_groups + group, return_inverse=True)
    first = np.zeros(len(cell), dtype=np.int64)
    first[of[::-1]] = np.arange(len(of))[::-1]
    given = np.bincount(of, tables.dues.given).astype(np.float64)
    found = []
    for due in (tables.dues.archive, tables.dues.relevance):
        if due is None:
            continue
        x = np.bincount(of, due).astype(np.float64)
        found.append(
            hand_around(
                given - x, x, cell % n_groups, n_groups, tables.strata[first], permutations, seed
            )
        )
    p, low, high = found[-1]
    return _Draws(found[0][0], p, low, high)


def _measured(
    row: ExposureRow,
    tables: _Tables,
    plainly: Floats,
    draws: _Draws,
    number: int,
    column: int,
    alpha: float,
    repetitions: int,
    seed: int,
) -> tuple[ExposureRow, tuple[float, float] | None]:
    """Fill in the group's shares, ratios and interval; ``column`` counts over all attributes."""
    held = tables.dues
    given, share = held.query_given[:, column], held.pool_share[:, column]
    archive = tables.weight * share
    by_count = float(tables.n_hits @ share)
    due = archive if held.query_relevance is None else held.query_relevance[:, column]
    if not archive.sum() > 0 or not due.sum() > 0:
        return replace(row, reason="nothing was due to this group in any query's pool"), None
    total = float(tables.weight.sum())
    ratio = float(given.sum() / archive.sum())
    row = replace(
        row,
        share_archive=float(archive.sum() / total),
        exposure=float(given.sum() / total),
        top_k=float(plainly[column] / tables.n_hits.sum()),
        ratio=ratio,
        ratio_top_k=float(plainly[column] / by_count),
        ratio_given_relevance=(
            None if held.query_relevance is None else float(given.sum() / due.sum())
        ),
        null_low=float(draws.low[number]),
        null_high=float(draws.high[number]),
        p_archive=float(draws.p_archive[number]),
        p=float(draws.p[number]),
    )
    over = (given - due) / due.mean()  # what is due is known: its mean is no estimate
    ends = [
        bootstrap_t_mean(over, tables.asking, level=level, repetitions=repetitions, seed=seed)
        for level in (0.95, 1 - 2 * alpha)
    ]
    wide, inner = ends
    if wide.low is None or wide.high is None or inner.low is None or inner.high is None:
        return replace(row, p=None, reason="queries that do not vary enough for an interval"), None
    row = replace(row, ci_low=1 + wide.low, ci_high=1 + wide.high)
    return row, (min(inner.low, over.mean()), max(inner.high, over.mean()))


def _judged(
    row: ExposureRow,
    inner: tuple[float, float] | None,
    p: float,
    margin: float,
    alpha: float,
) -> ExposureRow:
    row = replace(row, p_adjusted=None if np.isnan(p) else p)
    if row.reason:
        return replace(row, verdict="not_assessable")
    tested = row.ratio if row.ratio_given_relevance is None else row.ratio_given_relevance
    gap = None if tested is None else tested - 1
    if inner is not None and gap is not None:
        inner = (min(inner[0], gap), max(inner[1], gap))
    decision = decide(gap, inner, row.p_adjusted, margin=margin, alpha=alpha)
    return replace(row, verdict=decision.verdict, reason=decision.reason)
