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
from dataclasses import dataclass, replace
from math import isfinite, isnan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.retrieval.relevance import as_pairs
from evaluation.sections.fair_share import Dues, dues, sight
from evaluation.sections.group_vs_rest import (
    PlainRow,
    SectionResult,
    judge,
    small_groups,
    text_groups,
)
from evaluation.sections.permute_within_strata import hand_around
from evaluation.stats import Minimum
from evaluation.stats.bootstrap_t import bootstrap_t_means
from evaluation.stats.verdict import Precision, Reason, Verdict
from medembed.errors import InputError

__all__ = ["ExposureRow", "assess_exposure"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ExposureRow(PlainRow):
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
    verdict : {"within", "exceeds", "differs", "inconclusive", "not_assessable"}
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
    strata: ArrayLike | None = None,
    discount: Literal["log", "none"] = "log",
    leave_out_own: bool = True,
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
    SectionResult of ExposureRow

    Raises
    ------
    InputError
        Where arrays do not fit, nothing was hit, or a hit lies outside its query's pool.
    """
    least = minimum or Minimum()
    if permutations < 99:
        raise InputError("fewer than 99 permutations")
    if not 0 < margin < 1:
        raise InputError("a margin of a ratio lies between 0 and 1")
    found = np.asarray(hits)
    owner, gallery = np.asarray(query_patients), np.asarray(gallery_patients)
    if not len(owner) or not len(gallery):
        raise InputError("no query, or no item to find")
    if not gallery_groups:
        raise InputError("no attribute to assess")
    both = codes(np.concatenate([owner.astype(str), gallery.astype(str)]))
    if (both < 0).any():
        raise InputError("a query or an item without a patient")
    asking, holding = both[: len(owner)], both[len(owner) :]
    shape = (len(owner), len(gallery))
    of = {
        name: np.unique(text_groups(given, name, shape[1]), return_inverse=True)
        for name, given in gallery_groups.items()
    }
    member = np.concatenate([np.eye(len(names))[group] for names, group in of.values()], axis=1)
    weights = sight(found, discount)
    held = dues(
        found, weights, member, asking, holding, leave_out_own=leave_out_own,
        relevant=None if relevant is None else as_pairs(relevant, shape, "relevance"),
        excluded=None if excluded is None else as_pairs(excluded, shape, "exclusions"),
    )  # fmt: skip
    layer = _codes_of(strata, shape[1])
    figures = _figures(held, weights, found, member, asking, alpha, repetitions, seed) | _permuted(
        held, [(group, len(names)) for names, group in of.values()], holding, layer, permutations,
        seed,
    )  # fmt: skip
    n_asking = len(np.unique(asking))
    rows: list[ExposureRow] = []
    for attribute, (names, group) in of.items():
        here = {name: group == number for number, name in enumerate(names.tolist())}
        sizes = {name: len(np.unique(holding[inside])) for name, inside in here.items()}
        small = small_groups(sizes, least)
        for name, inside in here.items():
            row = ExposureRow(
                attribute, name, n_patients=sizes[name], n_items=int(inside.sum()),
                precision=least.precision(sizes[name]),
            )  # fmt: skip
            its = {figure: float(column[len(rows)]) for figure, column in figures.items()}
            rows.append(_row(row, its, least, len(names), n_asking, name in small))
    ratios = figures["ratio" if held.relevance is None else "ratio_given_relevance"]
    ends = zip(figures["inner_low"].tolist(), figures["inner_high"].tolist(), strict=True)
    done = judge(rows, (ratios - 1).tolist(), list(ends), [margin] * len(rows), alpha=alpha)
    declared = "given declared relevance" if relevant is not None else "against the archive's share"
    return SectionResult(
        done,
        (
            f"Exposure {declared} is tested by permuting groups among gallery patients of similar "
            "expected exposure.",
            "Intervals are over query patients and hold for this archive.",
        ),
        {
            "n_queries": shape[0], "n_query_patients": n_asking, "k": found.shape[1],
            "permutations": permutations,
        },
    )  # fmt: skip


def _codes_of(strata: ArrayLike | None, n: int) -> NDArray[np.int64]:
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    numbers = codes(strata)
    if numbers.shape != (n,):
        raise InputError(f"strata for {numbers.size} items, but there are {n}")
    return numbers


def _figures(
    held: Dues,
    weights: Floats,
    hits: NDArray[np.int64],
    member: Floats,
    asking: NDArray[np.int64],
    alpha: float,
    repetitions: int,
    seed: int,
) -> dict[str, Floats]:
    """Shares, ratios and intervals of all groups of all attributes, (n_groups,) each."""
    weight, n_hits = weights.sum(axis=1), (hits >= 0).sum(axis=1)
    archive, given = weight @ held.pool_share, held.query_given.sum(axis=0)
    plainly = member[hits[hits >= 0]].sum(axis=0)
    due = weight[:, None] * held.pool_share
    if held.query_relevance is not None:
        due = held.query_relevance
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
    ends = bootstrap_t_means(
        np.where(np.isfinite(tested), over, 0.0), asking, repetitions=repetitions,
        levels=(1 - alpha, 1 - 2 * alpha), seed=seed,
    )[2]  # fmt: skip
    return found | {
        "ci_low": 1 + ends[0, 0],
        "ci_high": 1 + ends[0, 1],
        "inner_low": np.minimum(ends[1, 0], tested - 1),
        "inner_high": np.maximum(ends[1, 1], tested - 1),
    }


def _permuted(
    held: Dues,
    groups: list[tuple[NDArray[np.int64], int]],
    holding: NDArray[np.int64],
    strata: NDArray[np.int64],
    permutations: int,
    seed: int,
) -> dict[str, Floats]:
    """Of the archive's and the tested comparison: p and range of the ratio under permutation."""
    made = []
    for group, n_groups in groups:
        # A patient with items of several groups takes part once in each.
        cell, of = np.unique(holding * n_groups + group, return_inverse=True)
        first = np.zeros(len(cell), dtype=np.int64)
        first[of[::-1]] = np.arange(len(of))[::-1]
        given = np.bincount(of, held.given).astype(np.float64)
        drawn = []
        for due in (held.archive, held.relevance):
            if due is not None:
                x = np.bincount(of, due).astype(np.float64)
                drawn.append(
                    hand_around(
                        given - x, x, cell % n_groups, n_groups, strata[first], permutations, seed
                    )
                )
        made.append((drawn[0][0], *drawn[-1]))
    columns = [np.concatenate(column) for column in zip(*made, strict=True)]
    return dict(zip(("p_archive", "p", "null_low", "null_high"), columns, strict=True))


def _row(
    row: ExposureRow,
    its: dict[str, float],
    minimum: Minimum,
    n_groups: int,
    n_asking: int,
    small: bool,
) -> ExposureRow:
    """Fill in a group's figures as far as they may be shown and tested."""
    if small:
        why = Reason.FEW.text(minimum)
        return ExposureRow(row.attribute, row.group, precision="suppressed", reason=why)
    shown: dict[str, Any] = {
        name: value for name, value in its.items() if not name.startswith("inner")
    }
    tested = its.get("ratio_given_relevance", its["ratio"])
    if not isfinite(tested) or not isfinite(its["ratio"]):
        row = replace(row, reason="no exposure was due to this group in any query's pool")
    else:
        row = replace(row, **shown)
        if isnan(its["inner_low"] + its["ci_low"] + its["inner_high"] + its["ci_high"]):
            why = "the queries vary too little for an interval"
            row = replace(row, ci_low=None, ci_high=None, p=None, reason=why)
    if n_groups == 1:
        row = replace(row, p=None, p_archive=None, reason="there is no other group")
    elif n_asking < minimum.reported:
        row = replace(row, p=None, p_archive=None, reason="too few query patients")
    return row
