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
from evaluation.sections.fair_share import Dues, dues, hand_around, sight
from evaluation.sections.group_vs_rest import PlainRow, SectionResult, judge, text_groups
from evaluation.stats import Minimum
from evaluation.stats.bootstrap_t import bootstrap_t_means
from evaluation.stats.report_fields import Reason
from evaluation.stats.verdict import Precision, Verdict
from medembed.errors import InputError

__all__ = ["ExposureRow", "assess_exposure"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ExposureRow(PlainRow):
    """A group's exposure; columns as in ``PlainRow``.

    Parameters
    ----------
    share_archive : float or None
        Of the queries' pools.
    exposure, top_k : float or None
        Share of what was shown: discounted, and of the first k plainly.
    ratio, ratio_top_k : float or None
        Against the archive's share.
    ratio_given_relevance : float or None
        Discounted, against what relevance would give; None without declared relevance.
    ci_low, ci_high : float or None
        Over query patients, of the tested ratio: given relevance where that is declared.
    null_low, null_high : float or None
        Where the tested ratio lies in 95% of permutations.
    p_archive, p : float or None
        Against the archive; of the tested ratio.
    n_patients, n_items : int or None
        Of the gallery.
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
        As :func:`evaluation.retrieval.relevance.as_pairs` takes them, of shape
        (n_queries, n_items).
    margin : float
        A ratio within 1 ± margin is of no consequence.
    alpha, minimum, permutations, repetitions, seed

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
    held = dues(
        found, member, asking, holding,
        relevant=None if relevant is None else as_pairs(relevant, shape, "relevance"),
        excluded=None if excluded is None else as_pairs(excluded, shape, "exclusions"),
    )  # fmt: skip
    figures, tested = _figures(held, found, member, asking, alpha, repetitions, seed)
    figures |= _permuted(
        held, [(group, len(names)) for names, group in of.values()], holding, permutations, seed
    )
    n_asking = len(np.unique(asking))
    rows: list[ExposureRow] = []
    for attribute, (names, group) in of.items():
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
            its = {figure: float(column[len(rows)]) for figure, column in figures.items()}
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
            "n_queries": shape[0], "n_query_patients": n_asking, "k": found.shape[1],
            "permutations": permutations,
        },
    )  # fmt: skip


def _figures(
    held: Dues,
    hits: Ints,
    member: Floats,
    asking: Ints,
    alpha: float,
    repetitions: int,
    seed: int,
) -> tuple[dict[str, Floats], Floats]:
    """Shares, ratios and intervals of all groups, (n_groups,) each; what is judged, (n_groups, 3).

    Judged is the tested ratio less 1, with its interval.
    """
    weight, n_hits = sight(hits).sum(axis=1), (hits >= 0).sum(axis=1)
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
    (low, high), (inner_low, inner_high) = bootstrap_t_means(
        np.where(np.isfinite(tested), over, 0.0), asking, repetitions=repetitions,
        levels=(1 - alpha, 1 - 2 * alpha), seed=seed,
    )[2]  # fmt: skip
    inner = np.minimum(inner_low, tested - 1), np.maximum(inner_high, tested - 1)
    return found | {"ci_low": 1 + low, "ci_high": 1 + high}, np.stack([tested - 1, *inner], axis=1)


def _permuted(
    held: Dues, groups: list[tuple[Ints, int]], holding: Ints, permutations: int, seed: int
) -> dict[str, Floats]:
    """Of the archive's and the tested comparison: p and range of the ratio under permutation."""
    made = []
    for group, n_groups in groups:
        # A patient with items of several groups takes part once in each.
        cell, of = np.unique(holding * n_groups + group, return_inverse=True)
        given = np.bincount(of, held.given).astype(np.float64)
        drawn = []
        for due in (held.archive, held.relevance):
            if due is not None:
                x = np.bincount(of, due).astype(np.float64)
                drawn.append(
                    hand_around(given - x, x, cell % n_groups, n_groups, permutations, seed)
                )
        made.append((drawn[0][0], *drawn[-1]))
    columns = [np.concatenate(column) for column in zip(*made, strict=True)]
    return dict(zip(("p_archive", "p", "null_low", "null_high"), columns, strict=True))


def _row(row: ExposureRow, its: dict[str, Any], tested: Floats) -> ExposureRow:
    """Fill in a group's figures as far as they can be tested."""
    if not np.isfinite([tested[0], its["ratio"]]).all():
        return replace(row, reason="no exposure was due to this group in any query's pool")
    if np.isnan([*tested, its["ci_low"], its["ci_high"]]).any():
        its |= {"ci_low": None, "ci_high": None, "p": None}
        return replace(row, **its, reason="the queries vary too little for an interval")
    return replace(row, **its)
