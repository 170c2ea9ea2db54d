r"""Can the group be read off the vectors? Probes split by patient, against a permuted attribute.

``linear`` is least squares on the group's indicator with a ridge, in closed form: a thousand
permuted attributes are a thousand right-hand sides of one system; for two classes its direction is
Fisher's, :math:`(X^T X + \lambda I)^{-1} X^T y` on centred columns. ``nonlinear`` is the same on
random Fourier features of a Gaussian kernel. Folds hold whole patients: split by image, a probe
recognises the patient and "finds" an attribute of noise (.74 for .50).

References
----------
Gichoya et al., Lancet Digital Health 4:e406, 2022; Rahimi and Recht, NIPS 2007; Ojala and Garriga,
*Permutation tests for studying classifier performance*, JMLR 11:1833, 2010; Hastie, Tibshirani and
Friedman, *The Elements of Statistical Learning*, 2009, §4.2 (least squares and discriminants).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import UNKNOWN, codes
from evaluation.sections.group_vs_rest import PlainRow, SectionResult, judge, numbers, text_groups
from evaluation.stats import Minimum
from evaluation.stats.auc import patient_area
from evaluation.stats.verdict import Verdict
from medembed.errors import InputError

__all__ = ["LeakageRow", "assess_leakage"]

_CELLS = 4_000_000
_FOLDS = 5
_FEATURES = 512
_PENALTIES = {"linear": 1e-2, "nonlinear": 1.0}
"""Of the mean eigenvalue. Fourier features are many and overfit the patients of the training."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Probe = Literal["linear", "nonlinear"]


@dataclass(frozen=True)
class LeakageRow(PlainRow):
    """How well a probe reads an attribute; columns as in ``PlainRow``.

    Parameters
    ----------
    auc : float or None
        Mean of ``by_group``, each group against the rest. p is one-sided, by permutation.
    ci_low, ci_high : float or None
        At least as wide as areas scatter under permuted attributes: probes fitted to other patients
        would differ. With more than two groups the means of the groups' ends, rather too wide.
    null_mean : float or None
        Of the same under permuted attributes.
    n_patients, n_unknown : int or None
        Read; and left out since nothing is known of them. None where it would tell of fewer than
        ``minimum.reported``.
    """

    attribute: str
    space: str
    probe: Probe
    auc: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    null_mean: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_patients: int | None = None
    n_unknown: int | None = None
    n_groups: int = 0
    by_group: Mapping[str, float] | None = None
    verdict: Verdict = Verdict.NOT_ASSESSABLE
    reason: str = ""
    inner_low: float | None = None
    inner_high: float | None = None


def assess_leakage(
    spaces: Mapping[str, ArrayLike],
    patients: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    probes: Sequence[Probe] = ("linear", "nonlinear"),
    permutations: int = 999,
    margin: float = 0.05,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    seed: int = 0,
) -> SectionResult[LeakageRow]:
    """Read each attribute off each space of vectors.

    Parameters
    ----------
    spaces : mapping of str to float array of shape (n, d)
        ``{"image": …, "note": …}``; a row of NaN where a case has no such vector.
    patients : array of shape (n,)
    groups : mapping of attribute to array of shape (n,)
        ``"unknown"`` and groups of fewer than ``minimum.reported`` patients are left out.
    probes, permutations, minimum, seed
        99 permutations or more.
    margin, alpha : float
        Of the verdict on the area less .5.

    Raises
    ------
    InputError
        Where arrays do not fit each other.
    """
    least = minimum or Minimum()
    owner = codes(patients)
    if permutations < 99 or not probes or not groups:
        raise InputError("fewer than 99 permutations, or no probe or attribute")
    if unknown := [str(name) for name in probes if name not in get_args(Probe)]:
        raise InputError(f"no probe {unknown[0]!r}", hint=f"use {' or '.join(get_args(Probe))}")
    if (owner < 0).any():
        raise InputError("a case without a patient")
    rows: list[LeakageRow] = []
    for space, given in spaces.items():
        vectors = np.asarray(given, dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(owner) or np.isinf(vectors).any():
            raise InputError(f"vectors of {space!r} are no finite rows, one for each case")
        there = np.asarray(~np.isnan(vectors).any(axis=1))
        for attribute, values in groups.items():
            labels = text_groups(values, attribute, len(owner))
            known = np.unique(labels[there]).tolist()
            n = {name: len(np.unique(owner[there & (labels == name)])) for name in known}
            small = [name for name in known if n[name] < least.reported]
            n_unknown = None if UNKNOWN in small else n.get(UNKNOWN, 0)
            kept = there & ~np.isin(labels, [*small, UNKNOWN])
            for probe in probes:
                row = _read(
                    LeakageRow(attribute, space, probe, n_unknown=n_unknown), vectors[kept],
                    owner[kept], labels[kept], permutations, alpha, least, seed,
                )  # fmt: skip
                # The number of patients read would give away how many were too few to be read.
                rows.append(replace(row, n_patients=None) if small else row)
    tested = numbers(rows, "auc", "inner_low", "inner_high") - 0.5
    words = {
        "within": f"the area lies within {margin:g} of chance",
        "differs": "the probe predicts the group from the vectors of patients that it never saw; "
        f"the area may be closer to chance than {margin:g}",
        "exceeds": "the probe predicts the group from the vectors of patients that it never saw",
        "inconclusive": f"neither chance nor an area within {margin:g} of it could be established",
    }
    return SectionResult(
        tuple(
            replace(row, reason=words.get(row.verdict, row.reason))
            for row in judge(rows, tested, margin, alpha=alpha)
        ),
        (
            "Probes are fitted and tested on different patients; p is against permuted attributes.",
            "That a group can be predicted does not mean that the ranking uses it.",
        ),
        {"folds": _FOLDS, "permutations": permutations},
    )


def _read(
    row: LeakageRow,
    vectors: Floats,
    owner: Ints,
    labels: NDArray[np.str_],
    permutations: int,
    alpha: float,
    minimum: Minimum,
    seed: int,
) -> LeakageRow:
    names, group = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        why = f"fewer than two known groups of {minimum.reported} patients or more"
        return replace(row, reason=why)
    owner = codes(owner)
    n_patients = int(owner.max()) + 1
    row = replace(row, n_patients=n_patients, n_groups=len(names))
    if np.ptp(vectors, axis=0).max() <= 1e-12:
        return replace(row, reason="all vectors are equal")
    rng = np.random.default_rng([seed, 0x6C65616B])
    fold = (rng.permutation(n_patients) % _FOLDS)[owner]
    features = vectors if row.probe == "linear" else _fourier(vectors, owner, rng)
    permuted = _permuted(group, owner, permutations, rng)
    scores, null = _cross_fitted(features, group, permuted, fold, _PENALTIES[row.probe])
    levels = (0.95, 1 - 2 * alpha)
    try:
        areas = [
            [patient_area(s, group == g, owner, strata=fold, level=level) for level in levels]
            for g, s in enumerate(scores.T)
        ]
    except InputError:  # no fold holds both
        return replace(row, reason="no fold holds patients of each group and of the rest")
    each = [of[0].auc for of in areas]
    auc = float(np.mean(each))
    row = replace(
        row,
        auc=auc,
        null_mean=float(np.nanmean(null)),
        p=float((1 + np.sum(null >= auc - 1e-12)) / (1 + permutations)),
        by_group=dict(zip(names.tolist(), np.broadcast_to(each, len(names)).tolist(), strict=True)),
    )
    ends = np.array([[(a.low, a.high) for a in of] for of in areas], dtype=np.float64).mean(axis=0)
    if np.isnan(ends).any():
        return replace(row, reason="too few patients of a group for an interval")
    if 0 < auc < 1:  # no nearer than permuted attributes scatter on the logit scale
        normal = np.array([[NormalDist().inv_cdf((1 + level) / 2)] * 2 for level in levels])
        reach = normal * 4 * float(np.nanstd(null)) * (1, -1)
        beyond = 1 / (1 + np.exp(reach) / (auc / (1 - auc)))
        ends = np.where((True, False), np.minimum(ends, beyond), np.maximum(ends, beyond))
    (low, high), (inner_low, inner_high) = ends.tolist()
    return replace(row, ci_low=low, ci_high=high, inner_low=inner_low, inner_high=inner_high)


def _fourier(vectors: Floats, owner: Ints, rng: np.random.Generator) -> Floats:
    """Random Fourier features of a Gaussian kernel as wide as patients are apart."""
    first = np.unique(owner, return_index=True)[1]
    one, two = (vectors[rng.choice(first, 1000)] for _ in range(2))
    apart = np.linalg.norm(one - two, axis=1)
    width = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    frequencies = rng.normal(size=(vectors.shape[1], _FEATURES)) / width
    return np.asarray(np.cos(vectors @ frequencies + rng.uniform(0, 2 * np.pi, _FEATURES)))


def _permuted(group: Ints, owner: Ints, permutations: int, rng: np.random.Generator) -> Ints:
    """Group of each case under permutations, shape (permutations, n).

    Patients exchange theirs; what differs within patients (year, view), as whole sequences among
    patients of equally many images.
    """
    _, first, sizes = np.unique(owner, return_index=True, return_counts=True)
    if (group[first][owner] == group).all():
        block = np.broadcast_to(group[first], (permutations, len(first)))
        return np.asarray(rng.permuted(block, axis=1)[:, owner])
    order = np.argsort(owner, kind="stable")
    starts = np.cumsum(sizes) - sizes
    out = np.empty((permutations, len(group)), dtype=np.int64)
    for size in np.unique(sizes):
        cases = order[starts[sizes == size][:, None] + np.arange(size)]  # (patients, size)
        block = np.broadcast_to(np.arange(len(cases)), (permutations, len(cases)))
        giver = rng.permuted(block, axis=1)
        out[:, cases.ravel()] = group[cases][giver].reshape(permutations, -1)
    return out


def _cross_fitted(
    features: Floats, group: Ints, permuted: Ints, fold: Ints, penalty: float
) -> tuple[Floats, Floats]:
    """Scores of held-out cases, and mean areas under each permutation.

    Scores have a column for each group; of two groups, the first alone.
    """
    from scipy.stats import rankdata  # the command line starts without scipy

    n_groups = int(group.max()) + 1
    indicator = np.eye(n_groups)[:, : 1 if n_groups == 2 else n_groups]
    n_shown = indicator.shape[1]
    scores = np.zeros((len(group), n_shown))
    won, pairs = np.zeros((2, len(permuted), n_shown))
    step = max(1, _CELLS // (len(group) * n_shown))
    for number in np.unique(fold):
        test = fold == number
        if test.all():
            continue
        mean = features[~test].mean(axis=0)
        train, held = features[~test] - mean, features[test] - mean
        cross = train.T @ train
        ridge = penalty * np.trace(cross) / len(cross) + 1e-12
        reach = np.linalg.inv(cross + ridge * np.eye(len(cross))) @ held.T  # (features, test)
        scores[test] = reach.T @ (train.T @ indicator[group[~test]])
        for start in range(0, len(permuted), step):
            labels = permuted[start : start + step]
            for column in range(n_shown):
                drawn = (labels[:, test] == column).astype(np.float64)
                guess = (labels[:, ~test] == column).astype(np.float64) @ train @ reach
                # Ties, of measure zero under a ridge, fall as they come.
                rank = rankdata(guess, method="ordinal", axis=1)
                n1 = drawn.sum(axis=1)
                won[start : start + step, column] += (rank * drawn).sum(axis=1) - n1 * (n1 + 1) / 2
                pairs[start : start + step, column] += n1 * (test.sum() - n1)
    with np.errstate(invalid="ignore"):
        return scores, np.asarray((won / pairs).mean(axis=1))
