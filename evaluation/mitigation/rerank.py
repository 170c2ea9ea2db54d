r"""Reorder hits so that groups are shown as declared: by shares of each list, or by what they earn.

Reranking changes who is shown, not how well vectors fit; hits that fit less well move up. What that
costs each group's queries has to be assessed (:mod:`evaluation.mitigation.effect`).

A cosine of .6 may promise more in one group than in another: then one order by cosine serves the
groups otherwise. The posterior of relevance puts that right as far as the data say so.

References
----------
Geyik, Ambler and Kenthapadi, *Fairness-aware ranking in search and recommendation systems with
application to LinkedIn talent search*, KDD 2019, algorithm 3 (DetConstSort); Morik, Singh, Hong and
Joachims, *Controlling fairness and bias in dynamic learning-to-rank*, SIGIR 2020, §5 (FairCo);
Järvelin and Kekäläinen, ACM TOIS 20:422, 2002 (the discount by rank); Platt, *Probabilistic outputs
for support vector machines*, 1999; Gelman and Hill, *Data Analysis Using Regression and Multilevel
Models*, 2007, ch. 14 (offsets of groups under a normal prior).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from evaluation.stats.logistic import expit, logistic_mode
from medembed.errors import InputError

__all__ = [
    "EarnedExposure",
    "RelevancePosterior",
    "constrained_order",
    "earned_exposure",
    "exposure_weights",
]

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
    int64 array of shape (min(k, n),)
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
    value, names = np.asarray(scores, dtype=np.float64), group_labels(list(groups))
    if value.ndim != 1 or value.shape != names.shape or not len(value) or np.isnan(value).any():
        raise InputError("scores and groups that are not one value for each candidate")
    promised = np.array(list(shares.values()), dtype=np.float64)
    if not ((promised >= 0) & (promised <= 1)).all() or promised.sum() > 1 + _ROUND:
        raise InputError("shares outside 0 to 1, or that add up to more than 1")
    if k < 1:
        raise InputError("a list of fewer than 1 hits")
    best = np.argsort(-value, kind="stable")
    by_group = {name: best[names[best] == name].tolist() for name in np.unique(names).tolist()}
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
    # Places that nobody was promised go to the best of the others, no later than they fall.
    others = best[~np.isin(best, order)].tolist()
    result: list[int] = []
    while len(result) < length:
        # All that is still promised may fall by one place.
        slack = all(due > len(result) + number + 1 for number, due in enumerate(deadline))
        if others and (not order or (slack and value[others[0]] > value[order[0]])):
            result.append(others.pop(0))
        else:
            result.append(order.pop(0))
            deadline.pop(0)
    return np.array(result, dtype=np.int64)


@dataclass(frozen=True)
class EarnedExposure:
    """Lists in which groups are shown by what they earn.

    ``order``, shape (n_queries, k), holds indices of candidates; ``expected_gain_kept`` is the
    expected discounted gain of the new lists as a share of that of the best ones.
    """

    order: NDArray[np.int64]
    expected_gain_kept: float


def earned_exposure(
    relevance: ArrayLike, groups: ArrayLike, k: int, *, strength: float = 0.1
) -> EarnedExposure:
    r"""Reorder the lists one after the other so that exposure goes with expected relevance.

    Parameters
    ----------
    relevance : float array of shape (n_queries, n_candidates)
        Probability that a candidate is relevant (:class:`RelevancePosterior`), not a cosine.
    groups : text array of shape (n_queries, n_candidates)
        Of the candidates; empty is "unknown".
    k : int
    strength : float
        0 sorts by relevance alone; the more, the sooner a group that was shown too little is shown.

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
    >>> [float((found.order[:, 0] >= 2).mean()) for found in (plain, made)]  # F first
    [0.0, 0.105]
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
        ratio = np.divide(shown, earned, out=np.full(len(labels), np.nan), where=earned > 0)
        lag = np.nan_to_num(number * (np.nanmax(ratio, initial=0.0) - ratio))
        order[number] = np.argsort(-(row + strength * lag[group]), kind="stable")[:k]
        np.add.at(shown, group[order[number]], weights)
        np.add.at(earned, group, row)
        kept += float(row[order[number]] @ weights)
        best += float(np.sort(row)[::-1][:k] @ weights)
    return EarnedExposure(order, kept / best if best > 0 else float("nan"))


@dataclass(frozen=True)
class RelevancePosterior:
    r"""A logistic curve over scores with an offset for each group, 0 for one that it has not seen.

    Notes
    -----
    :math:`\operatorname{logit} P(\text{relevant}) = a + b z + \delta_g`,
    :math:`\delta_g \sim N(0, \tau^2)`, z the standardised score; the mode of the posterior by
    Newton's method, which draws a small group's offset towards none. With a slope above 0 the order
    within a group is that of scores.
    """

    centre: float
    scale: float
    intercept: float
    slope: float
    offsets: dict[str, float]

    @classmethod
    def fit(
        cls, scores: ArrayLike, relevant: ArrayLike, groups: ArrayLike, *, spread: float = 0.5
    ) -> RelevancePosterior:
        """Fit on pairs of query and candidate of patients who are not held out.

        Parameters
        ----------
        scores : float array of shape (n,)
        relevant : array of shape (n,)
            0 or 1.
        groups : text array of shape (n,)
            Of the candidate; empty is "unknown".
        spread : float
            Standard deviation of groups' offsets that is expected; 0.5 is a factor of 1.6 in odds.

        Raises
        ------
        InputError
            Where arrays do not fit, scores do not vary or all pairs are of one kind.

        Examples
        --------
        >>> fit = RelevancePosterior.fit([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], ["F", "F", "M", "M"])
        >>> fit.predict([0.1, 0.4], ["F", "F"]).round(2)
        array([0.2 , 0.83])
        """
        x, y = np.asarray(scores, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
        names = group_labels(groups)
        if x.ndim != 1 or not x.shape == y.shape == names.shape or not np.isfinite(x).all():
            raise InputError("scores, relevance and groups that are not one value for each pair")
        if not np.isin(y, (0, 1)).all() or len(np.unique(y)) < 2:
            raise InputError("relevance of one kind only, or other than 0 and 1")
        if spread <= 0 or x.std() <= 0:
            raise InputError("scores that do not vary, or a spread of 0")
        labels, of = np.unique(names, return_inverse=True)
        centre, scale = float(x.mean()), float(x.std())
        z = (x - centre) / scale
        # The weak prior on a and b (standard deviation 30) keeps separable data finite.
        precision = np.concatenate([[1 / 900, 1 / 900], np.full(len(labels), 1 / spread**2)])
        design = np.column_stack([np.ones_like(z), z, np.eye(len(labels))[of]])
        theta = logistic_mode(design, y, precision)
        return cls(
            centre, scale, float(theta[0]), float(theta[1]),
            dict(zip(labels.tolist(), theta[2:].tolist(), strict=True)),
        )  # fmt: skip

    def predict(self, scores: ArrayLike, groups: ArrayLike) -> NDArray[np.float64]:
        """Probability of relevance, of the shape of ``scores``."""
        x, names = np.asarray(scores, dtype=np.float64), group_labels(groups)
        if x.shape != names.shape:
            raise InputError("scores and groups of different shapes")
        offset = [self.offsets.get(name, 0.0) for name in names.ravel().tolist()]
        logit = self.intercept + self.slope * (x - self.centre) / self.scale
        return expit(logit + np.reshape(offset, x.shape))
