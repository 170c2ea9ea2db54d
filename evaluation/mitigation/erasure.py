r"""Take an attribute out of vectors, as far as a linear reader goes, in the vectors as searched.

LEACE changes vectors as little as an affine map can (in the mean square) so that no linear reader
does better than a constant. Vectors are searched at unit length, and bringing them back to it
undoes a part: so it is fitted again on the unit vectors, erased, brought to unit length, and so on.
What remains is reported. A nonlinear reader may read the attribute all the same, and what is taken
out may be what told findings apart: assess it (:mod:`evaluation.mitigation.effect`).

References
----------
Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff and Biderman, *LEACE: Perfect linear concept
erasure in closed form*, NeurIPS 2023, theorem 4.2; fairlearn ``CorrelationRemover``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from medembed.errors import InputError

__all__ = ["CorrelationErasure", "Eraser", "UnitErasure", "erase_unit", "fit_leace", "linear_trace"]

_SMALL = 1e-9
_ROUNDS, _TOLERANCE = 20, 1e-6
"""Erased vectors are fitted again so often at most, or until their trace is so small."""
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Eraser:
    r"""The affine map :math:`x \mapsto x - A (x - \mu)`.

    ``mean`` has shape (dim,), the factors of A, ``out`` and ``into``, (dim, rank) and (rank, dim).
    """

    mean: Rows
    out: Rows
    into: Rows

    def apply(self, vectors: ArrayLike) -> Rows:
        """Erase: the group of a vector need not be known."""
        x = _rows(vectors)
        if x.shape[1] != len(self.mean):
            raise InputError(f"vectors of {x.shape[1]} dimensions, fitted on {len(self.mean)}")
        return x - (x - self.mean) @ self.into.T @ self.out.T


@dataclass(frozen=True)
class UnitErasure:
    """Erase, bring to unit length, erase what came back, and so on.

    ``trace`` is :func:`linear_trace` of the unit vectors it was fitted on: before, and after each
    step.
    """

    steps: tuple[Eraser, ...]
    trace: tuple[float, ...]

    def apply(self, vectors: ArrayLike) -> Rows:
        """Bring vectors (n, dim) of queries and cases alike into the space to be searched."""
        x = _unit(vectors)
        for step in self.steps:
            x = _unit(step.apply(x))
        return x


def linear_trace(vectors: ArrayLike, groups: ArrayLike) -> float:
    r"""What a linear reader finds of the attribute: 0 none, 1 all of the spread of the vectors.

    The share of the vectors' variance that lies between the groups' means,
    :math:`\sum_g n_g \lVert m_g - m \rVert^2 / \sum_i \lVert x_i - m \rVert^2`.

    Examples
    --------
    >>> linear_trace([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], ["F", "F", "M"])
    1.0
    """
    x = _rows(vectors)
    members = _members(groups, len(x))
    x = x - x.mean(axis=0)
    total = float(np.sum(x**2))
    between = float(np.sum((members.T @ x) ** 2 / members.sum(axis=0)[:, None]))
    return between / total if total > 0 else float("nan")


def fit_leace(vectors: ArrayLike, groups: ArrayLike) -> Eraser:
    r"""Fit the least map after which vectors and groups have no covariance.

    Parameters
    ----------
    vectors : float array of shape (n, dim)
        Of patients who are not held out.
    groups : text array of shape (n,)
        Missing is "unknown", a group like any other.

    Raises
    ------
    InputError
        Where arrays do not fit or there is one group only.

    Notes
    -----
    With :math:`W = (\Sigma_{xx}^{1/2})^{+}` and U an orthonormal basis of the columns of
    :math:`W \Sigma_{xz}`, z the membership of groups: :math:`A = W^{+} U U^\top W`.
    """
    x = _rows(vectors)
    members = _members(groups, len(x))
    mean = x.mean(axis=0)
    centred = x - mean
    values, axes = np.linalg.eigh(centred.T @ centred / len(x))
    root = np.sqrt(np.maximum(values, 0.0))
    held = root > root.max(initial=0.0) * 1e-7
    if not held.any():
        raise InputError("all vectors are equal")
    inverse = np.where(held, 1 / np.where(held, root, 1.0), 0.0)
    whiten = (axes * inverse) @ axes.T
    restore = (axes * np.where(held, root, 0.0)) @ axes.T
    cross = whiten @ (centred.T @ (members - members.mean(axis=0)) / len(x))
    u, strength, _ = np.linalg.svd(cross, full_matrices=False)
    basis = u[:, strength > _SMALL]
    return Eraser(mean, restore @ basis, basis.T @ whiten)


def erase_unit(vectors: ArrayLike, groups: ArrayLike) -> UnitErasure:
    """Erase until the unit vectors themselves show nothing to a linear reader.

    Parameters and errors as in :func:`fit_leace`; vectors are brought to unit length first, and one
    that holds nothing but the attribute is refused.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> groups = ["F", "M"] * 100
    >>> x = rng.normal(size=(200, 8)) + np.array([g == "F" for g in groups])[:, None]
    >>> found = erase_unit(x, groups)
    >>> found.trace[0] > 0.1, found.trace[-1] <= 1e-6
    (True, True)
    """
    steps: list[Eraser] = []

    def once(x: Rows) -> Rows:
        steps.append(fit_leace(x, groups))
        return steps[-1].apply(x)

    trace = _until_gone(_unit(vectors), groups, once)
    return UnitErasure(tuple(steps), trace)


@dataclass(frozen=True)
class CorrelationErasure:
    """fairlearn's ``CorrelationRemover``, fitted again on unit vectors.

    Each group's mean is moved to that of all, by least squares: ``slopes`` holds each round's
    coefficients, shape (n_groups, dim), ``shares`` those of the groups among the vectors it was
    fitted on, ``trace`` what :class:`UnitErasure` has. Unlike LEACE it needs to know the group of
    every vector it is applied to, queries included: one of no known group is left as it is.
    """

    groups: tuple[str, ...]
    shares: Rows
    slopes: tuple[Rows, ...]
    trace: tuple[float, ...]

    @classmethod
    def fit(cls, vectors: ArrayLike, groups: ArrayLike) -> CorrelationErasure:
        """Fit; parameters and errors as in :func:`erase_unit`."""
        x = _unit(vectors)
        members = _members(groups, len(x))
        shares = members.mean(axis=0)
        slopes: list[Rows] = []

        def once(x: Rows) -> Rows:
            slopes.append(np.linalg.lstsq(members - shares, x, rcond=None)[0])
            return np.asarray(x - (members - shares) @ slopes[-1])

        trace = _until_gone(x, groups, once)
        return cls(tuple(np.unique(group_labels(groups)).tolist()), shares, tuple(slopes), trace)

    def apply(self, vectors: ArrayLike, groups: ArrayLike) -> Rows:
        """Bring vectors of known groups into the space that is to be searched."""
        x, labels = _unit(vectors), group_labels(groups)
        if labels.shape != (len(x),) or x.shape[1] != self.slopes[0].shape[1]:
            raise InputError("vectors and groups that do not fit each other or the fit")
        members = (labels[:, None] == np.array(self.groups)).astype(np.float64)
        known = members.any(axis=1, keepdims=True)
        shift = np.where(known, members - self.shares, 0.0)
        for slope in self.slopes:
            x = _unit(x - shift @ slope)
        return x


def _until_gone(x: Rows, groups: ArrayLike, once: Callable[[Rows], Rows]) -> tuple[float, ...]:
    """Fit, erase and bring to unit length until nothing is left, and give the trace."""
    trace = [linear_trace(x, groups)]
    for _ in range(_ROUNDS):
        x = _unit(once(x))
        trace.append(linear_trace(x, groups))
        if trace[-1] <= _TOLERANCE:
            break
    return tuple(trace)


def _rows(vectors: ArrayLike) -> Rows:
    x = np.asarray(vectors, dtype=np.float64)
    if x.ndim != 2 or not x.size or not np.isfinite(x).all():
        raise InputError("vectors that are not finite rows of one length")
    return x


def _unit(vectors: ArrayLike) -> Rows:
    x = _rows(vectors)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if (length < _SMALL).any():
        raise InputError("a vector of which nothing is left to bring to unit length")
    return np.asarray(x / length)


def _members(groups: ArrayLike, n: int) -> Rows:
    labels = group_labels(groups)
    if labels.shape != (n,):
        raise InputError("groups that are not one for each vector")
    members: Rows = (labels[:, None] == np.unique(labels)).astype(np.float64)
    if members.shape[1] < 2:
        raise InputError("one group only: there is nothing to erase")
    return members
