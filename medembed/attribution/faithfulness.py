"""Whether a map of what carries a score is faithful: deletion and insertion against controls.

A score is a function of the parts that are kept: cells of an image or sentences of a report. A
part weighs what the score loses without it, or gains by it. Weights alone prove nothing, so
parts are then taken away, and put back, in the order of their weights: a faithful map's score falls
soon and comes back soon. Each curve is compared with those of maps that hold the same weights at
other places.

References
----------
V. Petsiuk, A. Das, K. Saenko: RISE: Randomized input sampling for explanation of black-box models.
BMVC 2018, section 4.2 (deletion and insertion).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "FRACTIONS",
    "Areas",
    "Faithfulness",
    "ScoreOfKept",
    "TwoScores",
    "check_faithfulness",
    "curve_areas",
    "drops",
    "most_runs",
    "rises",
    "sorted_into",
    "summed",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

ScoreOfKept: TypeAlias = Callable[[Flags], Floats]
"""Scores ``(v,)`` of variants of which the parts ``(v, n)`` are kept."""

TwoScores: TypeAlias = tuple[ScoreOfKept, ScoreOfKept]
"""What is scored in deletion and in insertion. They differ in what takes the place of a part."""

FRACTIONS = (0.05, 0.1, 0.2, 0.4)
"""Shares of the parts that are taken away or put back, in the order of the weights."""

_ROUNDING = 1e-6
"""Scores are made of float32: smaller differences mean nothing."""


@dataclass(frozen=True)
class Areas:
    """Mean scores over :data:`FRACTIONS`.

    Parameters
    ----------
    deletion : float
        The first parts are taken away; low is faithful.
    insertion : float
        Only the first parts are kept; high is faithful.
    """

    deletion: float
    insertion: float


@dataclass(frozen=True)
class Faithfulness:
    """A map's areas beside those of its controls.

    Parameters
    ----------
    own : Areas
    controls : mapping of str to tuple of Areas
        ``"random"`` and ``"center"``: the same weights at other places.
    """

    own: Areas
    controls: Mapping[str, tuple[Areas, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "controls", MappingProxyType(dict(self.controls)))

    def gains(self, control: str) -> Areas:
        """Return by how much the map is better than the mean of a control; above 0 is better."""
        others = self.controls[control]
        deletion = float(np.mean([areas.deletion for areas in others]))
        insertion = float(np.mean([areas.insertion for areas in others]))
        return Areas(deletion - self.own.deletion, self.own.insertion - insertion)

    @property
    def passed(self) -> bool:
        """Whether the map is better than its controls.

        It must be better than the mean of each control in deletion and in insertion, and better
        than every single control map in both together.
        """
        gains = [self.gains(name) for name in self.controls]
        spread = self.own.insertion - self.own.deletion
        others = [a.insertion - a.deletion for of in self.controls.values() for a in of]
        return all(min(g.deletion, g.insertion) > 0 for g in gains) and spread > max(others)


def drops(score: ScoreOfKept, n: int) -> tuple[float, Floats]:
    """Take each of ``n`` parts away in turn.

    Returns
    -------
    whole : float
        Score of all parts.
    weights : float64 array ``(n,)``
        By how much it falls without each part; negative if it rises.
    """
    kept = np.ones((n + 1, n), dtype=bool)
    kept[np.arange(1, n + 1), np.arange(n)] = False
    scores = score(kept)
    return float(scores[0]), scores[0] - scores[1:]


def rises(score: ScoreOfKept, n: int) -> Floats:
    """Put each of ``n`` parts back in turn; return by how much the score rises, ``(n,)``."""
    alone = score(np.concatenate([np.zeros((1, n), dtype=bool), np.eye(n, dtype=bool)]))
    gains: Floats = alone[1:] - alone[0]
    return gains


def summed(parts: Sequence[Floats], factors: Sequence[float]) -> Floats:
    """Return the sum of weights ``(n,)``, each divided by its standard deviation, times a factor.

    Losses alone are blind to what two parts both show; gains alone to what counts only beside other
    parts, which are those of a whole image.
    """
    total = np.zeros(len(parts[0]))
    for part, factor in zip(parts, factors, strict=True):
        spread = float(part.std())
        total += factor * part / spread if spread > _ROUNDING else 0.0
    return total


def curve_areas(scores: TwoScores, maps: Sequence[Floats]) -> list[Areas]:
    """Return the areas of maps ``(n,)`` over the same parts, scored in one call of each score."""
    n = len(maps[0])
    counts = _counts(n)
    place = np.empty((len(maps), n), dtype=np.int64)
    for at, weights in enumerate(maps):
        place[at, np.argsort(-weights, kind="stable")] = np.arange(n)
    first = place[:, None, :] < counts[None, :, None]  # (maps, fractions, n)
    deletion, insertion = (
        score(kept.reshape(-1, n)).reshape(len(maps), len(counts)).mean(axis=1)
        for score, kept in zip(scores, (~first, first), strict=True)
    )
    return [Areas(float(d), float(i)) for d, i in zip(deletion, insertion, strict=True)]


def check_faithfulness(
    scores: TwoScores, weights: Floats, controls: Mapping[str, Sequence[Floats]]
) -> Faithfulness:
    """Compare a map with control maps.

    Parameters
    ----------
    scores : pair of callable
    weights : float64 array ``(n,)``
    controls : mapping of str to sequence of float64 array ``(n,)``
    """
    areas = iter(curve_areas(scores, [weights, *(c for of in controls.values() for c in of)]))
    own = next(areas)
    return Faithfulness(
        own, {name: tuple(next(areas) for _ in of) for name, of in controls.items()}
    )


def sorted_into(weights: Floats, order: npt.ArrayLike) -> Floats:
    """Return the same weights, the largest at the place of the smallest ``order`` and so on."""
    moved = np.empty_like(weights)
    moved[np.argsort(np.asarray(order), kind="stable")] = -np.sort(-weights)
    return moved


def most_runs(n_parts: int, n_maps: int) -> int:
    """Return how many variants are scored for a map of ``n_parts`` by both, and its test."""
    return 2 * (1 + n_parts) + 2 * len(_counts(n_parts)) * n_maps


def _counts(n: int) -> npt.NDArray[np.int64]:
    """Return numbers of parts, from one to all but one, for :data:`FRACTIONS` of ``n``."""
    return np.unique(np.rint(np.array(FRACTIONS) * n).astype(np.int64).clip(1, max(n - 1, 1)))
