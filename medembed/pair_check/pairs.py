"""Vectors of pairs: how well each report fits its image, compared across patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.progress import Progress

__all__ = ["N_FOLDS", "Content", "Pairs"]

Floats = npt.NDArray[np.float64]

N_FOLDS = 5
"""Folds of patients, and fewest patients that can be compared with each other."""

_NEAREST = 10
_RIDGE = 0.3
_BLOCK = 1024


@dataclass(frozen=True)
class Content:
    """How well each report fits its image, in comparison with other patients'.

    Parameters
    ----------
    disagreement : float64 array, shape ``(n,)``
    better_notes, better_images : int64 array, shape ``(n,)``
        Other patients' reports that fit the image better, and images that fit the report better.
    others : int64 array, shape ``(n,)``
        Cases of other patients.
    """

    disagreement: Floats
    better_notes: npt.NDArray[np.int64]
    better_images: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]

    def text(self, at: int) -> str:
        """Say how many of other patients' fit better than the pair of one case."""
        return (
            f"of {self.others[at]:,} cases of other patients, {self.better_notes[at]:,} reports "
            f"fit this image better and {self.better_images[at]:,} images fit this report better"
        )


class Pairs:
    """Vectors of pairs, compared across patients.

    Two scores are added, each in units of its own spread. The cosine is what the model says; where
    it was trained on a wrong pair, it has partly learned it. So the report's vector is predicted
    from the image's by a ridge regression that has seen no case of this patient (cross-fitting).

    Parameters
    ----------
    images, notes : float64 array, shape ``(n, d)``
        Rows of unit norm.
    patients : int array, shape ``(n,)``
    """

    def __init__(self, images: Floats, notes: Floats, patients: npt.NDArray[np.int64]) -> None:
        self.images, self.notes, self.patients = images, notes, patients
        order = np.random.default_rng(0).permutation(patients.max() + 1)
        self.folds = order[patients] % N_FOLDS

    def predict(self, targets: Floats, rows: npt.NDArray[np.int64]) -> Floats:
        """Predict targets of ``rows`` from their images, each from other patients only."""
        predicted = np.zeros_like(targets)
        images, folds = self.images[rows], self.folds[rows]
        for fold in range(N_FOLDS):
            known = folds != fold
            if known.all() or not known.any():
                predicted[~known] = 0.0
                continue
            mean, mean_target = images[known].mean(axis=0), targets[known].mean(axis=0)
            centered = images[known] - mean
            gram = centered.T @ centered
            ridge = _RIDGE * np.trace(gram) / len(gram) + 1e-12
            weights = np.linalg.solve(
                gram + ridge * np.eye(len(gram)), centered.T @ (targets[known] - mean_target)
            )
            predicted[~known] = (images[~known] - mean) @ weights + mean_target
        return predicted

    def compare(self, progress: Progress) -> Content:
        """Compare every image with every report of another patient, a block of rows at a time.

        The disagreement is hubness-corrected as in CSLS: what an image or a report scores with its
        nearest others, minus what the pair scores.

        References
        ----------
        Conneau et al., "Word translation without parallel data", ICLR 2018, section 2.3.
        """
        n = len(self.images)
        center = self.notes.mean(axis=0)
        guess = _unit(self.predict(self.notes, np.arange(n)) - center)
        parts = [(self.images, self.notes), (guess, _unit(self.notes - center))]
        scales = [1 / max(_spread(left, right), 1e-12) for left, right in parts]
        left = np.hstack([scale * part[0] for scale, part in zip(scales, parts, strict=True)])
        right = np.hstack([part[1] for part in parts])
        own = np.einsum("nd,nd->n", left, right)
        near = min(_NEAREST, max(1, n // 5))
        of_images, best = np.empty(n), np.full((near, n), -np.inf)
        better_notes, better_images = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for start in range(0, n, _BLOCK):
            block = slice(start, min(start + _BLOCK, n))
            scores = left[block] @ right.T
            scores[self.patients[block, None] == self.patients[None]] = -np.inf
            better_notes[block] = (scores > own[block, None]).sum(axis=1)
            better_images += (scores > own[None]).sum(axis=0)
            of_images[block] = _finite_mean(-np.partition(-scores, near - 1, axis=1)[:, :near], 1)
            stacked = np.vstack([best, scores])
            best = -np.partition(-stacked, near - 1, axis=0)[:near]
            progress(block.stop, n)
        sizes = np.bincount(self.patients)
        disagreement = of_images + _finite_mean(best, 0) - 2 * own
        return Content(disagreement, better_notes, better_images, n - sizes[self.patients])


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(norms > 0, norms, 1)
    return unit


def _spread(left: Floats, right: Floats) -> float:
    """Return the standard deviation of scores between shifted rows, which are not pairs."""
    shift = max(1, len(left) // 3)
    return float(np.einsum("nd,nd->n", left, np.roll(right, shift, axis=0)).std())


def _finite_mean(values: Floats, axis: int) -> Floats:
    finite = np.isfinite(values)
    total: Floats = np.where(finite, values, 0).sum(axis=axis)
    mean: Floats = total / np.maximum(finite.sum(axis=axis), 1)
    return mean
