r"""Sums over patients from which all tests and intervals of an audit follow.

A million rows are added up once: for patient p in group g the sum s of its outcomes (centred on
the pooled mean) and its number n of queries. A group is then five sums over its patients,

.. math:: \sum s, \quad \sum n, \quad \sum s^2, \quad \sum s n, \quad \sum n^2

and their count k; the variance of its mean around any centre d is
:math:`\frac{k}{k-1} (\sum s^2 - 2 d \sum s n + d^2 \sum n^2) / (\sum n)^2`. The rest of a group is
all queries of the other *known* groups; a patient with queries in both keeps the part outside the
group. A group that is not known (``"unknown"``) is compared with all the known ones.

References
----------
Kish, *Survey Sampling*, 1965, section 8.2; Carter, Schnepel and Steigerwald, *Asymptotic behavior
of a t test robust to cluster heterogeneity*, Rev. Econ. Stat. 99:698, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cells", "Contrast", "Side", "add_up", "cells_of", "contrast_with_rest", "two_sides"]

Array = NDArray[np.float64]
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Side:
    """A group, or what it is compared with: sums over its patients, as the module names them.

    Arrays of shape (..., n_groups, n_outcomes), outcomes less ``centre`` (n_outcomes,).
    """

    s: Array
    n: Array
    ss: Array
    sn: Array
    nn: Array
    k: Array
    centre: Array

    @property
    def effective_k(self) -> Array:
        """Patients with equally many queries that would carry as much: (Σn)² / Σn² (Kish)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.n**2 / self.nn)

    @property
    def shift(self) -> Array:
        """Mean less the centre; NaN without a query."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.s / self.n)

    @property
    def mean(self) -> Array:
        """Mean over the queries."""
        return self.centre + self.shift

    def variance(self, around: Array | float | None = None) -> Array:
        """Variance of the mean over patients, residuals around the own mean or a common one."""
        d = self.shift if around is None else around
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = np.maximum(self.ss - 2 * d * self.sn + d * d * self.nn, 0.0)
            return np.asarray(self.k / (self.k - 1) * squares / self.n**2)


@dataclass(frozen=True)
class Contrast:
    """Two sides of comparisons.

    Parameters
    ----------
    first, second : Side
    shared : tuple of four float64 arrays
        Sums of s s', s n', n s', n n' over patients with queries in both.
    k : float64 array
        Patients of either side.
    """

    first: Side
    second: Side
    shared: tuple[Array, Array, Array, Array]
    k: Array

    def covariance(self, d: Array | float, other_d: Array | float) -> Array:
        """Covariance of the two means, residuals around the centres given."""
        ss, sn, ns, nn = self.shared
        with np.errstate(invalid="ignore", divide="ignore"):
            cross = ss - other_d * sn - d * ns + d * other_d * nn
            found = self.k / (self.k - 1) * cross / (self.first.n * self.second.n)
        return np.where(nn > 0, found, 0.0)


@dataclass(frozen=True)
class Cells:
    """Sums for each pair of a patient and a group in which it has queries.

    Parameters
    ----------
    owner, group : int arrays of shape (n_cells,), sorted by group
    s, n, squares : float64 arrays of shape (n_cells, n_outcomes)
        Sum of centred outcomes, queries, sum of squared centred outcomes.
    whole_s, whole_n : float64 arrays of shape (n_patients, n_outcomes)
        Of all queries of a patient in known groups.
    n_groups : int
    centre : float64 array of shape (n_outcomes,)
        Pooled mean of each outcome; NaN if nothing was measured.
    exclusive : bool
        Whether no patient is in two groups.
    known : bool array of shape (n_groups,)
        Groups that make up the rest of the others.
    """

    owner: NDArray[np.int64]
    group: NDArray[np.int64]
    s: Array
    n: Array
    squares: Array
    whole_s: Array
    whole_n: Array
    n_groups: int
    centre: Array
    exclusive: bool
    known: NDArray[np.bool_]


def add_up(index: NDArray[np.int64], columns: Array, n: int) -> Array:
    """Sums of columns (rows, ...) by index, shape (n, ...)."""
    flat = columns.reshape(len(columns), -1)
    out = np.empty((n, flat.shape[1]))
    for number in range(flat.shape[1]):
        out[:, number] = np.bincount(index, flat[:, number], n)
    return out.reshape(n, *columns.shape[1:])


def centred_on(values: Array, centre: Array) -> Array:
    """Values less their centre, 0 where not measured; rounding alone is no variation."""
    known = np.where(np.isnan(values), np.nan_to_num(centre), values)
    centred = known - np.nan_to_num(centre)
    size = np.abs(known).max(axis=0, initial=0.0)
    flat = np.abs(centred).max(axis=0, initial=0.0) <= _ROUNDING * size
    return np.where(flat, 0.0, centred)


def patient_sums(
    values: Array, owner: NDArray[np.int64], n_patients: int, weight: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """Centre of each outcome, and s, n, squares (n_patients, n_outcomes) of each patient.

    With weights (n_queries,) of mean 1 a query counts as often as it weighs.
    """
    w = np.ones((1, 1)) if weight is None else weight[:, None]
    size = ~np.isnan(values) * w
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (np.nan_to_num(values) * w).sum(axis=0) / size.sum(axis=0)
    centred = centred_on(values, centre)
    return (
        centre,
        add_up(owner, centred * w, n_patients),
        add_up(owner, size, n_patients),
        add_up(owner, centred**2 * w, n_patients),
    )


def cells_of(
    values: Array,
    owner: NDArray[np.int64],
    n_patients: int,
    groups: NDArray[np.int64],
    n_groups: int,
    *,
    sums: tuple[Array, Array, Array, Array] | None = None,
    exclusive: bool,
    known: NDArray[np.bool_] | None = None,
    weight: Array | None = None,
) -> Cells:
    """Add up queries by patient and group.

    Parameters
    ----------
    values : float64 array of shape (n_queries, n_outcomes)
        NaN where not measured.
    owner, groups : int arrays of shape (n_queries,)
    sums : tuple, optional
        What :func:`patient_sums` gave, so that several attributes need it once.
    exclusive, known
        As in :class:`Cells`; by default all groups are known.
    weight : float64 array of shape (n_queries,), optional
        As in :func:`patient_sums`.
    """
    centre, s, n, squares = sums or patient_sums(values, owner, n_patients, weight)
    named = np.ones(n_groups, dtype=np.bool_) if known is None else known
    if exclusive:
        of_patient = np.zeros(n_patients, dtype=np.int64)
        of_patient[owner] = groups
        order = np.argsort(of_patient, kind="stable")
        whole_s, whole_n = s, n
        if not named.all():
            whole_s, whole_n = (np.where(named[of_patient][:, None], x, 0.0) for x in (s, n))
        return Cells(
            order, of_patient[order], s[order], n[order], squares[order], whole_s, whole_n,
            n_groups, centre, True, named,
        )  # fmt: skip
    cell, of = np.unique(groups * n_patients + owner, return_inverse=True)
    w = np.ones((1, 1)) if weight is None else weight[:, None]
    centred = centred_on(values, centre)
    cell_owner, cell_group = cell % n_patients, cell // n_patients
    cell_s = add_up(of.ravel(), centred * w, len(cell))
    cell_n = add_up(of.ravel(), ~np.isnan(values) * w, len(cell))
    if not named.all():
        inside = named[cell_group][:, None]
        s, n = (add_up(cell_owner, x * inside, n_patients) for x in (cell_s, cell_n))
    return Cells(
        cell_owner, cell_group, cell_s, cell_n, add_up(of.ravel(), centred**2 * w, len(cell)),
        s, n, n_groups, centre, False, named,
    )  # fmt: skip


def columns_of(s: Array, n: Array) -> Array:
    """The six columns of a side (rows, 6, n_outcomes)."""
    return np.stack([s, n, s * s, s * n, n * n, (n > 0).astype(np.float64)], axis=1)


def leaving_columns(cells: Cells) -> Array:
    """What the rest of a cell's group lacks by it, against the whole (n_cells, 6, n_outcomes)."""
    inside = cells.known[cells.group][:, None]
    if cells.exclusive:
        return columns_of(cells.s * inside, cells.n * inside)
    s, n = cells.whole_s[cells.owner], cells.whole_n[cells.owner]
    return columns_of(s, n) - columns_of(s - cells.s * inside, n - cells.n * inside)


def side(columns: Array, centre: Array) -> Side:
    """Side from summed columns (..., 6, n_outcomes)."""
    s, n, ss, sn, nn, k = np.moveaxis(columns, -2, 0)
    return Side(s, n, ss, sn, nn, k, centre)


def contrast_with_rest(cells: Cells) -> Contrast:
    """Each group against the other known ones; arrays (n_groups, n_outcomes)."""
    own = add_up(cells.group, columns_of(cells.s, cells.n), cells.n_groups)
    leaving = (
        np.where(cells.known[:, None, None], own, 0.0)
        if cells.exclusive
        else add_up(cells.group, leaving_columns(cells), cells.n_groups)
    )
    whole = columns_of(cells.whole_s, cells.whole_n).sum(axis=0)
    first, second = side(own, cells.centre), side(whole - leaving, cells.centre)
    nothing = np.zeros_like(first.s)
    shared = (nothing, nothing, nothing, nothing)
    if not cells.exclusive:
        inside = cells.known[cells.group][:, None]
        rest_s = cells.whole_s[cells.owner] - cells.s * inside
        rest_n = cells.whole_n[cells.owner] - cells.n * inside
        products = [cells.s * rest_s, cells.s * rest_n, cells.n * rest_s, cells.n * rest_n]
        found = add_up(cells.group, np.stack(products, axis=1), cells.n_groups)
        shared = (found[:, 0], found[:, 1], found[:, 2], found[:, 3])
    everyone = np.broadcast_to(whole[5], first.k.shape)
    if not cells.known.all():
        outside = (cells.n > 0) & (cells.whole_n[cells.owner] == 0)
        everyone = everyone + add_up(cells.group, outside.astype(np.float64), cells.n_groups)
    return Contrast(first, second, shared, everyone)


def two_sides(
    cells: Cells, first: NDArray[np.int64], second: NDArray[np.int64], of: Side
) -> Contrast:
    """Groups ``first`` against groups ``second``, pair by pair; arrays (n_pairs, n_outcomes)."""
    one, two = (
        Side(
            of.s[rows], of.n[rows], of.ss[rows], of.sn[rows], of.nn[rows], of.k[rows], of.centre
        )
        for rows in (first, second)
    )  # fmt: skip
    nothing = np.zeros_like(one.s)
    if cells.exclusive:
        return Contrast(one, two, (nothing, nothing, nothing, nothing), one.k + two.k)
    both = {name: nothing.copy() for name in ("ss", "sn", "ns", "nn", "k")}
    for column in range(one.s.shape[-1]):
        s, n = _by_group(cells, cells.s[:, column]), _by_group(cells, cells.n[:, column])
        there = _by_group(cells, (cells.n[:, column] > 0).astype(np.float64))
        for name, left, right in (
            ("ss", s, s), ("sn", s, n), ("ns", n, s), ("nn", n, n), ("k", there, there)
        ):  # fmt: skip
            both[name][:, column] = np.asarray((left @ right.T).todense())[first, second]
    shared = (both["ss"], both["sn"], both["ns"], both["nn"])
    return Contrast(one, two, shared, one.k + two.k - both["k"])


def _by_group(cells: Cells, column: Array) -> Any:
    from scipy.sparse import csr_array  # the command line starts without scipy

    shape = (cells.n_groups, len(cells.whole_n))
    return csr_array((column, (cells.group, cells.owner)), shape=shape)
