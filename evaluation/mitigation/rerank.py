r"""Reorder hits so that groups are shown as declared: by shares of each list, or by what they earn.

Reranking changes who is shown, not how well vectors fit; hits that fit less well move up. What that
costs each group's queries has to be assessed (:mod:`evaluation.mitigation.effect`).

References
----------
Geyik, Ambler and Kenthapadi, *Fairness-aware ranking in search and recommendation systems with
application to LinkedIn talent search*, KDD 2019, algorithm 3 (DetConstSort); Morik, Singh, Hong and
Joachims, *Controlling fairness and bias in dynamic learning-to-rank*, SIGIR 2020, §5 (FairCo);
Järvelin and Kekäläinen, ACM TOIS 20:422, 2002 (the discount by rank).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from medembed.errors import InputError

__all__ = ["EarnedExposure", "constrained_order", "earned_exposure", "exposure_weights"]

_ROUND = 1e-9


def exposure_weights(k: int) -> NDArray[np.float64]:
    r"""Attention that each rank draws, :math:`1 / \log_2(1 + \text{rank})`.

    Examples
    --------
    >>> exposure_weights(3).round(2)
    array([1.  , 0.63, 0.5 ])
    """
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def constrained_order(
    scores: ArrayLike, groups: Sequence[str], shares: Mapping[str, float], k: int
) -> NDArray[np.int64]:
    r"""Reorder one list so that each group has its share of every beginning of it (DetConstSort).

    Parameters
    ----------
    scores : float array of shape (n,)
        Of the candidates of one query; more than k of them, so that there is a choice.
    groups : sequence of str of length n
        Missing is "unknown".
    shares : mapping of group to float
        What each group shall have at least, 0 to 1; they add up to 1 at most. A group without an
        entry is promised nothing.
    k : int
        Length of the list to return; less where there are fewer candidates.

    Returns
    -------
    int array of shape (min(k, n),)
        Indices of candidates, in their new order.

    Raises
    ------
    InputError
        Where the arrays do not fit each other or shares make no sense.

    Notes
    -----
    Among the first j hits each group has at least :math:`\lfloor j \, p_g \rfloor`, or all its
    candidates where there are fewer: for every j up to k. Within a group the order of scores is
    kept. A hit moves up past one of another group where that keeps its own promise.

    Examples
    --------
    >>> constrained_order([9, 8, 7, 6, 5, 1], list("MMMMMF"), {"F": 0.25, "M": 0.5}, 4).tolist()
    [0, 1, 2, 5]
    """
    value, names = _list_of(scores, groups)
    _check_shares(shares)
    if k < 1:
        raise InputError("a list of fewer than 1 hits")
    by_group = {
        name: np.flatnonzero(names == name)[
            np.argsort(-value[names == name], kind="stable")
        ].tolist()
        for name in np.unique(names).tolist()
    }
    want = {name: share for name, share in shares.items() if share > 1e-12 and name in by_group}
    used = dict.fromkeys(by_group, 0)
    order: list[int] = []
    deadline: list[int] = []  # 1-based length of the beginning that a hit was promised for
    length = min(k, len(value))
    while len(order) < length:
        # The next beginning at which some group is owed one more hit.
        due = {
            name: int(np.ceil((used[name] + 1) / share - _ROUND))
            for name, share in want.items()
            if used[name] < len(by_group[name])
        }
        if not due:
            break
        now = min(due.values())
        if now > length and sum(shares.values()) < 1 - _ROUND:
            break  # nothing more is promised within the list
        owed = sorted(
            (name for name in due if due[name] == now),
            key=lambda name: (-value[by_group[name][used[name]]], name),
        )
        for name in owed:
            order.append(by_group[name][used[name]])
            deadline.append(now)
            used[name] += 1
            at = len(order) - 1  # 0-based: a hit moved down to here stands in the first at + 1
            while at > 0 and deadline[at - 1] >= at + 1 and value[order[at - 1]] < value[order[at]]:
                order[at - 1], order[at] = order[at], order[at - 1]
                deadline[at - 1], deadline[at] = deadline[at], deadline[at - 1]
                at -= 1
    if len(order) >= length:
        return np.array(order[:length], dtype=np.int64)
    return _with_the_best(order, deadline, value, length)


def _with_the_best(
    order: list[int], deadline: list[int], value: NDArray[np.float64], length: int
) -> NDArray[np.int64]:
    """Fill places that nobody was promised with the best of the others, no later than they fall."""
    placed, promised = list(order), list(deadline)
    others = [i for i in np.argsort(-value, kind="stable").tolist() if i not in set(order)]
    result: list[int] = []
    while len(result) < length:
        # All that is still promised may fall by one place.
        slack = all(due > len(result) + number + 1 for number, due in enumerate(promised))
        if others and (not placed or (slack and value[others[0]] > value[placed[0]])):
            result.append(others.pop(0))
        else:
            result.append(placed.pop(0))
            promised.pop(0)
    return np.array(result, dtype=np.int64)


@dataclass(frozen=True)
class EarnedExposure:
    """Lists in which groups are shown by what they earn.

    Parameters
    ----------
    order : int array of shape (n_queries, k)
        Indices of candidates.
    exposure, merit : dict of group to float
        Discounted attention it was given, and relevance it was expected to have, over all lists.
    expected_gain_kept : float
        Expected discounted gain of the new lists as a share of that of the best ones.
    """

    order: NDArray[np.int64]
    exposure: dict[str, float]
    merit: dict[str, float]
    expected_gain_kept: float

    def disparity(self) -> float:
        """Largest less least exposure for each unit of merit, as a share of the mean."""
        ratio = [self.exposure[g] / m for g, m in self.merit.items() if m > 0]
        if not ratio:
            return float("nan")
        mean = sum(self.exposure.values()) / sum(self.merit.values())
        return float((max(ratio) - min(ratio)) / mean)


def earned_exposure(
    relevance: ArrayLike, groups: ArrayLike, k: int, *, strength: float = 0.1
) -> EarnedExposure:
    r"""Reorder the lists one after the other so that exposure goes with expected relevance.

    Parameters
    ----------
    relevance : float array of shape (n_queries, n_candidates)
        Posterior probability that a candidate is relevant
        (:class:`evaluation.mitigation.posterior.RelevancePosterior`), not a cosine.
    groups : text array of shape (n_queries, n_candidates)
        Of the candidates; empty is "unknown".
    k : int
    strength : float
        0 sorts by relevance alone; the more, the sooner a group that was shown too little is shown.

    Returns
    -------
    EarnedExposure

    Notes
    -----
    A proportional controller. Candidates of query t are sorted by
    :math:`\hat p + \lambda \, e_g(t)`, with
    :math:`e_g(t) = t \, (\max_h E_h / M_h - E_g / M_g)`, E and M the mean exposure and merit of a
    group over the lists before: a group's lag is made up in the lists that follow, without lots
    being drawn. The lists depend on the order of queries.

    Examples
    --------
    >>> p = [[0.9, 0.8, 0.7, 0.6]] * 200
    >>> plain = earned_exposure(p, [["M", "M", "F", "F"]] * 200, 4, strength=0.0)
    >>> made = earned_exposure(p, [["M", "M", "F", "F"]] * 200, 4)
    >>> round(plain.disparity(), 2), round(made.disparity(), 2)
    (0.29, 0.01)
    """
    p = np.asarray(relevance, dtype=np.float64)
    names = group_labels(groups)
    if p.ndim != 2 or p.shape != names.shape or not p.size:
        raise InputError("relevance and groups that are not one value for each candidate")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("a probability outside 0 to 1")
    if not 1 <= k <= p.shape[1] or not strength >= 0:
        raise InputError("more hits than candidates, or a strength below 0")
    labels, of = np.unique(names, return_inverse=True)
    of = of.reshape(p.shape)
    weights = exposure_weights(k)
    shown, earned = np.zeros(len(labels)), np.zeros(len(labels))
    order = np.empty((len(p), k), dtype=np.int64)
    kept = best = 0.0
    for number, (row, group) in enumerate(zip(p, of, strict=True)):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(earned > 0, shown / earned, np.nan)
        lag = np.zeros(len(labels))
        if not np.isnan(ratio).all():
            lag = np.nan_to_num(number * (np.nanmax(ratio) - ratio))
        order[number] = np.argsort(-(row + strength * lag[group]), kind="stable")[:k]
        np.add.at(shown, group[order[number]], weights)
        np.add.at(earned, group, row)
        kept += float(row[order[number]] @ weights)
        best += float(np.sort(row)[::-1][:k] @ weights)
    return EarnedExposure(
        order,
        dict(zip(labels.tolist(), shown.tolist(), strict=True)),
        dict(zip(labels.tolist(), earned.tolist(), strict=True)),
        kept / best if best > 0 else float("nan"),
    )


def _list_of(
    scores: ArrayLike, groups: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    value = np.asarray(scores, dtype=np.float64)
    names = group_labels(list(groups))
    if value.ndim != 1 or value.shape != names.shape or not len(value):
        raise InputError("scores and groups that are not one value for each candidate")
    if np.isnan(value).any():
        raise InputError("a candidate without a score")
    return value, names


def _check_shares(shares: Mapping[str, float]) -> None:
    values = np.array(list(shares.values()), dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all() or values.sum() > 1 + _ROUND:
        raise InputError("shares outside 0 to 1, or that add up to more than 1")
