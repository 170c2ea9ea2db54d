"""Heads in closed form: ridge regression, CCA, and its correlation-weighted form, CSA.

With few pairs they are as good as a trained head, take a fraction of a second, and have one
number to choose, which cross-validation over patients chooses.

References
----------
Hotelling 1936, Relations between two sets of variates. Vinod 1976, Canonical ridge and econometrics
of joint production: the ridge in CCA. Li et al. 2024, CSA: data-efficient mapping of unimodal
features to multimodal features: the weights by correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from medembed.pairing import relevant_and_left_out
from medembed.training.validation import PoolLabels, first_relevant_ranks

__all__ = ["GRID", "ClosedForm", "Method", "choose_ridge", "solve"]

Floats = npt.NDArray[np.float64]
Method = Literal["ridge", "cca", "csa"]

GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Amounts of regularization that are tried, relative to the features' mean variance."""

_FOLDS = 5
_MOST_TRIED = 4000
_RELATIVE_ZERO = 1e-6


@dataclass(frozen=True)
class ClosedForm:
    """Two affine maps into one space: ``features @ matrix + shift``.

    Parameters
    ----------
    image, text : float64 arrays ``(width, dim)``
    image_shift, text_shift : float64 arrays ``(dim,)``
    """

    image: Floats
    image_shift: Floats
    text: Floats
    text_shift: Floats

    def cosines(self, images: Floats, texts: Floats) -> Floats:
        """Return the cosine of every image with every text."""
        return (
            _unit(images @ self.image + self.image_shift)
            @ _unit(texts @ self.text + self.text_shift).T
        )


def solve(method: Method, images: Floats, texts: Floats, ridge: float, dim: int) -> ClosedForm:
    r"""Align two sets of features whose rows belong together.

    ``ridge`` maps images to centered texts by regularized least squares. ``cca`` maps both sides to
    their first ``dim`` canonical variates,
    :math:`C_{xx}^{-1/2} U` and :math:`C_{yy}^{-1/2} V` with
    :math:`C_{xx}^{-1/2} C_{xy} C_{yy}^{-1/2} = U \Sigma V^T`, where :math:`\lambda \bar\sigma^2 I`
    is added to the covariances. ``csa`` weighs each variate by its correlation.

    Parameters
    ----------
    method : {"ridge", "cca", "csa"}
    images : float64 array ``(n, width)``
    texts : float64 array ``(n, views, width)``
        Texts of each case, all of which belong to its image.
    ridge : float
        :math:`\lambda`, relative to the mean variance.
    dim : int
        Most dimensions of the space.
    """
    return _solved(method, _axes(images, texts), ridge, dim)


def _axes(images: Floats, texts: Floats) -> tuple[_Side, _Side]:
    """Return both sides along their principal axes, a row for each text.

    With fewer cases than features the rest is zero, and everything gets small.
    """
    x = _principal(images)  # repeating rows would not change it
    x = replace(x, rows=np.repeat(x.rows, texts.shape[1], axis=0))
    return x, _principal(texts.reshape(-1, texts.shape[2]))


def _solved(method: Method, sides: tuple[_Side, _Side], ridge: float, dim: int) -> ClosedForm:
    (image_mean, x_axes, x), (text_mean, y_axes, y) = (
        (side.mean, side.axes, side.rows) for side in sides
    )
    if method == "ridge":
        variance = (x**2).mean(axis=0)
        weights = (x.T @ y / len(x)) / (variance + ridge * variance.mean())[:, None]
        to_image, to_text = x_axes @ weights, y_axes
    else:
        x_scale, y_scale = (_whitening(part, ridge) for part in (x, y))
        cross = x_scale[:, None] * (x.T @ y / len(x)) * y_scale
        left, correlations, right = np.linalg.svd(cross, full_matrices=False)
        kept = np.sqrt(correlations[:dim]) if method == "csa" else np.ones(len(correlations[:dim]))
        to_image = x_axes @ (x_scale[:, None] * left[:, :dim] * kept)
        to_text = y_axes @ (y_scale[:, None] * right[:dim].T * kept)
    return ClosedForm(to_image, -image_mean @ to_image, to_text, -text_mean @ to_text)


def choose_ridge(
    method: Method,
    images: Floats,
    texts: Floats,
    labels: PoolLabels,
    dim: int,
    grid: Sequence[float] = GRID,
) -> tuple[float, dict[float, float]]:
    """Choose the regularization by cross-validation over patients.

    Parameters
    ----------
    method : {"ridge", "cca", "csa"}
    images : float64 array ``(n, width)``
    texts : float64 array ``(n, views, width)``
        The first view is the one that queries are measured with.
    labels : PoolLabels
        Patients are never split; ranks follow the evaluation's rule.
    dim : int
    grid : sequence of float

    Returns
    -------
    float
        The value with the highest mean reciprocal rank over both directions.
    dict of float to float
        That measure for each value of the grid.
    """
    if len(images) > _MOST_TRIED:  # as good a choice, at a bounded cost
        images, texts = images[:_MOST_TRIED], texts[:_MOST_TRIED]
        labels = labels.first(_MOST_TRIED)
    owners = np.unique(labels.owners)
    order = np.random.default_rng(0).permutation(len(owners))
    of_owner = np.empty(len(owners), dtype=int)
    of_owner[order] = np.arange(len(owners)) % _FOLDS
    folds = of_owner[np.searchsorted(owners, labels.owners)]
    found = dict.fromkeys(grid, 0.0)
    for fold in np.unique(folds):
        inside, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(inside) < 2:
            continue
        part = PoolLabels(labels.notes[held], labels.owners[held], labels.scans[held])
        relevant, left_out = relevant_and_left_out(part.notes, part.owners, part.scans)
        sides = _axes(images[inside], texts[inside])
        for value in grid:
            form = _solved(method, sides, value, dim)
            scores = form.cosines(images[held], texts[held, 0]).astype(np.float32)
            for table in (scores, scores.T):
                ranks = first_relevant_ranks(table, relevant, left_out)
                found[value] += float((1 / ranks).sum()) / (2 * len(images))
    return max(found, key=lambda value: (found[value], value)), found


@dataclass(frozen=True)
class _Side:
    """Mean ``(width,)``, principal axes ``(width, k)``, and the rows' coordinates along them."""

    mean: Floats
    axes: Floats
    rows: Floats


def _principal(features: Floats) -> _Side:
    mean = features.mean(axis=0)
    centered = features - mean
    n, width = centered.shape
    if n < width:
        _, values, right = np.linalg.svd(centered, full_matrices=False)
        axes = right[values > _RELATIVE_ZERO * max(values.max(), 1e-30)].T
    else:
        variances, axes = np.linalg.eigh(centered.T @ centered)
        axes = axes[:, variances > _RELATIVE_ZERO**2 * max(variances.max(), 1e-30)]
    return _Side(mean, axes, centered @ axes)


def _whitening(coordinates: Floats, ridge: float) -> Floats:
    """Return the factor of each principal coordinate that whitens it, up to the ridge."""
    variance = (coordinates**2).mean(axis=0)
    return 1 / np.sqrt(variance + ridge * variance.mean())


def _unit(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
