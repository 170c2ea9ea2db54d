"""What a reranker gains on validation patients, and the epoch and weight that are kept.

The epoch and the weight are chosen on the cases on which the gain is measured, which would flatter
it. So the patients are divided in two: what is chosen on one half is measured on the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from medembed.model.reranking import CANDIDATES
from medembed.pairing import relevant_and_left_out
from medembed.training.validation import PoolLabels, first_relevant_ranks, patient_intervals

__all__ = ["WEIGHTS", "Choice", "RankTable", "choose", "first_candidates", "reordered"]

Floats = npt.NDArray[np.float64]

WEIGHTS = (0.25, 0.5, 1.0, 2.0)
"""Weights of the reranker's score beside the scaled similarity, of which one is chosen."""

_DIRECTIONS = ("text_to_image", "image_to_text")
_FEWEST_PATIENTS = 20


def reordered(
    similarity: Floats,
    scores: Floats,
    left_out: npt.NDArray[np.bool_],
    candidates: int = CANDIDATES,
) -> Floats:
    """Return a table whose order is that of the similarity, its first candidates reordered.

    Parameters
    ----------
    similarity : array ``(queries, items)``
    scores : array ``(queries, items)``
        To be added to the similarity.
    left_out : bool array ``(queries, items)``
        Items that are not in the query's pool.
    candidates : int
        Number of first items that are reordered; the others stay behind them.
    """
    first = first_candidates(similarity, left_out, candidates)
    fused = similarity + scores
    lift = similarity.max() - fused.min() + 1
    return np.where(first, fused + lift, similarity)


def first_candidates(
    similarity: Floats, left_out: npt.NDArray[np.bool_], candidates: int = CANDIDATES
) -> npt.NDArray[np.bool_]:
    """Return which items are among the first of each query's pool, ``(queries, items)``."""
    base = np.where(left_out, -np.inf, similarity)
    order = np.argsort(-base, axis=1, kind="stable")[:, :candidates]
    first = np.zeros(base.shape, dtype=bool)
    np.put_along_axis(first, order, True, axis=1)
    return first & ~left_out


class RankTable:
    """Ranks of the right answers for every epoch and weight.

    Parameters
    ----------
    labels : PoolLabels
    similarity : array ``(images, notes)``
        Scaled similarity of the towers.
    """

    def __init__(self, labels: PoolLabels, similarity: Floats) -> None:
        self.owners = labels.owners
        self._similarity = similarity
        self._relevant, self._left_out = relevant_and_left_out(
            labels.notes, labels.owners, labels.scans
        )
        self.without = self._measures(np.zeros_like(similarity))
        self.settings: list[tuple[int, float]] = []
        self.measures: list[Floats] = []
        self._epochs = 0

    def add(self, scores: Floats) -> None:
        """Add an epoch by its scores ``(images, notes)``."""
        for weight in WEIGHTS:
            self.settings.append((self._epochs, weight))
            self.measures.append(self._measures(weight * scores))
        self._epochs += 1

    def _measures(self, scores: Floats) -> Floats:
        """Return hit in the first ten and 1 / rank in both directions, ``(cases, 4)``."""
        columns = []
        for table, added in ((self._similarity.T, scores.T), (self._similarity, scores)):
            shown = reordered(table, added, self._left_out)
            ranks = first_relevant_ranks(shown, self._relevant, self._left_out)
            columns += [(ranks <= 10).astype(np.float64), 1 / ranks]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Choice:
    """The epoch and weight that are kept, and what they gain.

    Parameters
    ----------
    epoch : int
        From 0.
    weight : float
    measured : dict
        For each direction, ``text_to_image`` and ``image_to_text``, and each of ``R@10`` and
        ``MRR``: the value without and with the reranker and the gain with the limits of its 95%
        interval, paired over patients. Empty without enough validation patients.
    """

    epoch: int
    weight: float
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def gains(self) -> bool:
        """Whether the gain in the mean MRR of both directions is above 0 with 95% confidence."""
        return self.measured.get("MRR_gain_low", 0.0) > 0

    def __str__(self) -> str:
        use = "searches use it" if self.gains else "searches use it only if asked (--rerank)"
        if not self.measured:
            return f"reranker: too few validation patients to measure it; {use}"
        parts = []
        for direction, title in zip(_DIRECTIONS, ("text→image", "image→text"), strict=True):
            for name in ("R@10", "MRR"):
                key = f"{direction}_{name}"
                before, after, gain, low, high = (
                    self.measured[key + end]
                    for end in ("_without", "_with", "_gain", "_gain_low", "_gain_high")
                )
                parts.append(
                    f"{title} {name} {before:.3f} → {after:.3f} ({gain:+.3f} "
                    f"[{low:+.3f}, {high:+.3f}])"
                )
        gain, low, high = (self.measured[f"MRR_gain{end}"] for end in ("", "_low", "_high"))
        return (
            f"reranker: {', '.join(parts)}; mean MRR {gain:+.3f} [{low:+.3f}, {high:+.3f}] "
            f"on {self.measured['patients']:.0f} validation patients; {use}"
        )


def choose(table: RankTable | None) -> Choice:
    """Choose epoch and weight on all cases, and measure the gain of what half of them choose."""
    if table is None or not table.settings:
        return Choice(0, 1.0)
    scores = np.stack([each[:, [1, 3]].mean(axis=1) for each in table.measures])  # (settings, n)
    epoch, weight = table.settings[int(scores.mean(axis=1).argmax())]
    _, owner = np.unique(table.owners, return_inverse=True)
    n_patients = int(owner.max()) + 1
    if n_patients < _FEWEST_PATIENTS:
        return Choice(epoch, weight)
    half = np.random.default_rng(0).permutation(n_patients)[owner] % 2 == 0
    with_it = np.empty_like(table.without)
    for chosen_on, measured_on in ((half, ~half), (~half, half)):
        best = int(scores[:, chosen_on].mean(axis=1).argmax())
        with_it[measured_on] = table.measures[best][measured_on]
    gain = with_it - table.without
    columns = np.column_stack([gain, gain[:, [1, 3]].mean(axis=1)])
    low, high, _ = patient_intervals(columns, table.owners)
    measured = {"patients": float(n_patients), "pool": float(len(owner))}
    names = [f"{direction}_{name}" for direction in _DIRECTIONS for name in ("R@10", "MRR")]
    for at, name in enumerate(names):
        measured[f"{name}_without"] = float(table.without[:, at].mean())
        measured[f"{name}_with"] = float(with_it[:, at].mean())
    for at, name in enumerate([*names, "MRR"]):
        measured[f"{name}_gain"] = float(columns[:, at].mean())
        measured[f"{name}_gain_low"] = float(low[at])
        measured[f"{name}_gain_high"] = float(high[at])
    return Choice(epoch, weight, measured)
