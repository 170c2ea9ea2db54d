"""Collapse check after every training: does the model still distinguish cases?

A model has *collapsed* if a tower gives (nearly) the same vector for everything, or if the same few
cases rank first for every query. Its loss may look harmless; its search is useless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CollapseCheck", "check_collapse", "effective_rank", "hubness"]

Floats = npt.NDArray[np.float32]

# The rule, in one place: a tower without spread, a tower of rank one with little, or the same
# first hits in both directions. Short trainings of small but sound pairs set the limits. The toy
# configuration has spreads from 0.01 on whatever the seed; its effective ranks are 1.8 to 3.4, but
# 1.0 to 1.2 where all cases are of two kinds, which is the archive and no collapse; and one
# direction often has a single first hit while the other has several. Trainings at a learning rate
# a hundred times too high end at a spread of 0.0000.
LEAST_SPREAD = 1e-4
"""Mean squared distance of unit vectors from their mean, 0 to 1. Below it all are one vector:
cosines then differ by less than 0.0002, too little to rank by."""
LEAST_RANK, LITTLE_SPREAD = 1.2, 1e-3
"""Effective rank of a tower with little spread: at 1 all vectors are on one line."""
LEAST_SHARE = 0.005
"""Distinct first hits as a fraction of distinct notes, at least two, in either direction."""
FEWEST = 8
"""Minimum number of different notes for any judgment."""
FEWEST_FOR_HITS = 100
"""Minimum number of different notes for judging first hits."""

_NEIGHBORS = 10


@dataclass(frozen=True)
class CollapseCheck:
    """Distribution of the vectors of some cases.

    Parameters
    ----------
    cases : str
        Cases measured: ``"validation"`` or ``"training"``.
    n_cases, n_notes : int
        Number of cases and of different notes.
    image_spread, text_spread : float
        Mean squared distance of the unit vectors from their mean.
    image_effective_rank, text_effective_rank : float
        As :func:`effective_rank`.
    text_to_image_first_hits, image_to_text_first_hits : int
        Number of different images ranked first for the notes, and of different notes ranked first
        for the images.
    text_to_image_hubness, image_to_text_hubness : float or None
        As :func:`hubness`.
    collapsed : bool
    reasons : tuple of str
        Why the model counts as collapsed.
    """

    cases: str
    n_cases: int
    n_notes: int
    image_spread: float
    text_spread: float
    image_effective_rank: float
    text_effective_rank: float
    text_to_image_first_hits: int
    image_to_text_first_hits: int
    text_to_image_hubness: float | None
    image_to_text_hubness: float | None
    collapsed: bool = False
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain data."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> CollapseCheck:
        """Read the output of :meth:`to_json`."""
        return cls(**{**kept, "reasons": tuple(kept["reasons"])})

    def __str__(self) -> str:
        """Return the figures in one line."""
        return (
            f"{self.cases} cases: effective rank images {self.image_effective_rank:.1f}, "
            f"notes {self.text_effective_rank:.1f}; distinct first hits text→image "
            f"{self.text_to_image_first_hits} of {self.n_notes}, image→text "
            f"{self.image_to_text_first_hits} of {self.n_notes}; hubness "
            f"{_short(self.text_to_image_hubness)} and {_short(self.image_to_text_hubness)}"
        )


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def effective_rank(vectors: Floats) -> float:
    r"""Effective rank of centered vectors.

    .. math:: \exp\Big(-\sum_i p_i \log p_i\Big), \quad p_i = \sigma_i / \sum_j \sigma_j

    with the singular values :math:`\sigma` of the centered ``(n, dim)`` matrix: from 1 (all on one
    line) to ``min(n - 1, dim)``. 0 if all vectors are equal.

    References
    ----------
    Roy & Vetterli 2007, The effective rank: a measure of effective dimensionality, EUSIPCO,
    equations 1 to 3. Centering is our addition: the mean of unit vectors is uninformative.

    Examples
    --------
    >>> round(effective_rank(np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)), 6)
    2.0
    """
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values = np.linalg.svd(centered, compute_uv=False)
    values = values[values > 1e-6 * np.sqrt(len(vectors))]
    if not len(values):
        return 0.0
    p = values / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def hubness(scores: Floats, k: int = _NEIGHBORS) -> float | None:
    r"""Skewness of how often each item is among the ``k`` nearest of a query.

    Parameters
    ----------
    scores : array ``(queries, items)``
    k : int

    Returns
    -------
    float or None
        About 0 if items share the first ranks evenly, large if hubs take them. None if there are
        too few items (below ``2 k``).

    References
    ----------
    Radovanović, Nanopoulos & Ivanović 2010, Hubs in Space, JMLR 11, equation 1 (:math:`S_{N_k}`).
    """
    if scores.shape[1] < 2 * k:
        return None
    nearest = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    counts = np.bincount(nearest.ravel(), minlength=scores.shape[1]).astype(np.float64)
    spread = counts.std()
    return float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread else 0.0


def check_collapse(images: Floats, notes: Floats, texts: list[str], cases: str) -> CollapseCheck:
    """Measure the unit vectors of some cases and apply the rule of this module.

    Identical notes count once: they cannot and should not be distinguished.

    Parameters
    ----------
    images, notes : unit float32 arrays ``(n, dim)``
        One row of each for every case.
    texts : list of str
        The notes.
    cases : {"validation", "training"}
        Which cases these are.
    """
    words = [" ".join(text.lower().split()) for text in texts]
    at = [words.index(word) for word in dict.fromkeys(words)]
    distinct = notes[at]
    scores = distinct @ images.T  # (distinct notes, images)
    first_images = len(np.unique(scores.argmax(axis=1)))
    first_notes = len(np.unique(scores.argmax(axis=0)))
    spreads = [float(side.astype(np.float64).var(axis=0).sum()) for side in (images, distinct)]
    ranks = [effective_rank(side) for side in (images, distinct)]
    reasons = []
    if len(at) >= FEWEST:
        for name, spread, rank in zip(("image", "text"), spreads, ranks, strict=True):
            if spread < LEAST_SPREAD:
                reasons.append(f"the {name} tower gives the same vector for every case")
            elif rank < LEAST_RANK and spread < LITTLE_SPREAD:
                reasons.append(f"the {name} tower varies in one direction only (rank {rank:.2f})")
    if len(at) >= FEWEST_FOR_HITS and max(first_images, first_notes) < max(
        2.0, LEAST_SHARE * len(at)
    ):
        reasons.append(f"the same cases rank first for all {len(at)} different notes")
    return CollapseCheck(
        cases=cases,
        n_cases=len(images),
        n_notes=len(at),
        image_spread=spreads[0],
        text_spread=spreads[1],
        image_effective_rank=ranks[0],
        text_effective_rank=ranks[1],
        text_to_image_first_hits=first_images,
        image_to_text_first_hits=first_notes,
        text_to_image_hubness=hubness(scores),
        image_to_text_hubness=hubness(scores.T),
        collapsed=bool(reasons),
        reasons=tuple(reasons),
    )
