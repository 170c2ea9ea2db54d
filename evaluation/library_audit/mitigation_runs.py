"""Outcomes of the audited queries with changed vectors or with reordered lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.cases import AuditedCases
from evaluation.library_audit.model_comparison import spelled_out
from evaluation.library_audit.neighbours import first_hits, relevance, reordered
from evaluation.library_audit.outcomes import outcome_columns
from evaluation.mitigation import (
    CorrelationErasure,
    RelevancePosterior,
    constrained_order,
    earned_exposure,
    erase_unit,
    exposure_weights,
    linear_trace,
)
from evaluation.retrieval.load_cases import LoadedCases as GatheredCases
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.library_audit.protocol import MitigationPlan, Protocol

__all__ = ["Attempt", "Material", "by_lists", "by_vectors"]

_ENOUGH = 5

Columns = Mapping[str, NDArray[np.float64]]
Change = Callable[[NDArray[np.float32], NDArray[np.str_]], NDArray[np.float64]]


@dataclass(frozen=True)
class Attempt:
    """The same queries before and after.

    Parameters
    ----------
    before, after : mapping of outcome to float64 array of shape (n_cases,)
    targets : list of (attribute, group, outcome)
        Whom it is meant to help.
    fitted_on : frozenset of str
        Patients.
    notes : tuple of str
    higher_is_better : bool
    """

    before: Columns
    after: Columns
    targets: list[tuple[str, str, str]]
    fitted_on: frozenset[str]
    notes: tuple[str, ...]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Material:
    """What a way is made from.

    Parameters
    ----------
    plan : MitigationPlan
    protocol : Protocol
    audited : AuditedCases
    fit : AuditedCases or None
        Of other patients; None where nothing is fitted.
    columns : mapping of outcome to float64 array of shape (n_cases,)
        As they are.
    seed : int
    """

    plan: MitigationPlan
    protocol: Protocol
    audited: AuditedCases
    fit: AuditedCases | None
    columns: Columns
    seed: int

    @property
    def groups(self) -> NDArray[np.str_]:
        """Group of each audited case."""
        return self.audited.attributes[self.plan.attribute]

    @property
    def targets(self) -> list[tuple[str, str, str]]:
        """Whom it is meant to help, as far as they are here."""
        return spelled_out(self.protocol.meant(self.plan), self.audited.attributes)

    @property
    def fitted_on(self) -> frozenset[str]:
        """Patients that it is fitted on."""
        return frozenset(() if self.fit is None else (c.patient_id for c in self.fit.cases))

    def fit_rows(self) -> tuple[AuditedCases, NDArray[np.int64]]:
        """Cases to fit on, and which of them: groups of too few patients say nothing reliable.

        Raises
        ------
        InputError
            Where fewer than two groups are left.
        """
        if self.fit is None:
            raise InputError("nothing to fit on")
        groups, owners = self.fit.attributes[self.plan.attribute], self.fit.by_image.owners
        least = self.protocol.minimum.reported
        kept = [
            name
            for name in np.unique(groups).tolist()
            if len(np.unique(owners[groups == name])) >= least
        ]
        if len(kept) < 2:
            raise InputError(
                f"fewer than two groups of {self.plan.attribute!r} have {least} patients in the "
                f"split {self.plan.fit_split!r}"
            )
        return self.fit, np.flatnonzero(np.isin(groups, kept))


def by_vectors(made: Material) -> Attempt:
    """Take an attribute out of the vectors and search them again.

    One map, fitted on the images of other patients, is applied to images and notes alike: they
    stay in one space.

    Raises
    ------
    InputError
        Where fewer than two groups can be fitted on.
    """
    fit, rows = made.fit_rows()
    images, groups = fit.by_image.images[rows], fit.attributes[made.plan.attribute][rows]
    change: Change
    if made.plan.way == "erase":
        erasure = erase_unit(images, groups)
        trace, change = erasure.trace, lambda x, _: erasure.apply(x)
    else:
        remover = CorrelationErasure.fit(images, groups)
        trace, change = remover.trace, remover.apply
    searched = _searched(made.audited, made.groups, change)
    after, _ = outcome_columns(
        list(made.columns),
        searched.by_image,
        searched.paired,
        searched.rows_of_pairs,
        made.seed,
    )
    notes = [
        "how well a linear model predicts the attribute (0 not at all, 1 fully) went from "
        f"{trace[0]:.2f} to {trace[-1]:.2f} in the vectors it was fitted on"
    ]
    if len(np.unique(made.groups)) > 1:
        now, then = (
            linear_trace(side.by_image.images, made.groups) for side in (searched, made.audited)
        )
        notes.append(f"in the audited ones from {then:.2f} to {now:.2f}; “Predicting a group "
                     "from the image” tests other predictors")  # fmt: skip
    if len(images) < _ENOUGH * images.shape[1]:
        notes.append(
            f"fitted on fewer than {_ENOUGH} cases for each of the {images.shape[1]} dimensions: "
            "it may remove more than the attribute"
        )
    if made.plan.way == "correlation":
        notes.append("it needs the group of every query")
    return Attempt(made.columns, after, made.targets, made.fitted_on, ("; ".join(notes) + ".",))


def _searched(
    audited: AuditedCases,
    groups: NDArray[np.str_],
    change: Change,
) -> AuditedCases:
    images = _moved(audited.by_image.images, groups, change)
    by_image = replace(audited.by_image, images=images)
    if audited.paired is None or audited.rows_of_pairs is None:
        return replace(audited, by_image=by_image)
    rows, notes = audited.rows_of_pairs, audited.paired.notes
    moved = None if notes is None else _moved(notes, groups[rows], change)
    return replace(
        audited, by_image=by_image, paired=replace(audited.paired, images=images[rows], notes=moved)
    )


def _moved(
    vectors: NDArray[np.float32],
    groups: NDArray[np.str_],
    change: Change,
) -> NDArray[np.float32]:
    """Change vectors, those that are equal to the last bit alike: they stay copies."""
    codes = np.unique(groups, return_inverse=True)[1].astype(np.float32)
    _, first, back = np.unique(
        np.column_stack([vectors, codes]), axis=0, return_index=True, return_inverse=True
    )
    return change(vectors[first], groups[first]).astype(np.float32)[back.ravel()]


def by_lists(made: Material) -> Attempt:
    """Reorder the first hits of every query.

    Raises
    ------
    InputError
        Where there is one group, no choice of hits, or nothing to learn relevance from.
    """
    cases, groups, k = made.audited.by_image, made.groups, made.protocol.k
    names, counts = np.unique(groups, return_counts=True)
    if len(names) < 2:
        raise InputError(f"only one group of {made.plan.attribute!r}")
    hits = first_hits(cases, made.plan.depth)
    n_choices = int((hits >= 0).sum(axis=1).min())
    if n_choices <= k:
        raise InputError(f"a query has {n_choices} hits to choose from, and {k} are shown")
    notes = []
    if made.plan.way == "rerank":
        shares = dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))
        lists = np.full((len(cases), k), -1, dtype=np.int64)
        scores = _cosines(cases, hits)
        for row in range(len(cases)):
            own = hits[row][hits[row] >= 0]
            order = constrained_order(scores[row, : len(own)], groups[own].tolist(), shares, k)
            lists[row, : len(order)] = own[order]
    else:
        posterior = _posterior(made)
        hits = hits[:, :n_choices]
        likely = posterior.predict(_cosines(cases, hits), groups[hits])
        earned = earned_exposure(likely, groups[hits], k, strength=made.plan.strength)
        lists = np.take_along_axis(hits, earned.order, axis=1)
        notes.append(
            f"keeps {earned.expected_gain_kept:.0%} of the expected relevance; the lists depend on "
            "the order of the queries"
        )
    after, _ = outcome_columns(
        [name for name in made.columns if name.startswith("image_to_image.")],
        cases,
        None,
        None,
        made.seed,
        reordered(cases, lists),
    )
    least = min(len(np.unique(cases.owners[groups == name])) for name in names)
    if least >= made.protocol.minimum.reported:
        notes.append(_shown(hits[:, :k], lists, groups))
    notes.append("text-to-image and image-to-text searches are unchanged")
    return Attempt(made.columns, after, made.targets, made.fitted_on, ("; ".join(notes) + ".",))


def _posterior(made: Material) -> RelevancePosterior:
    """Chance of relevance, from the hits of other patients' queries."""
    fit, _ = made.fit_rows()
    cases = fit.by_image
    hits = first_hits(cases, made.plan.depth)
    right, _ = relevance(cases)
    found = np.zeros(hits.shape, dtype=np.bool_)
    for row in range(len(cases)):
        found[row] = right.rows(row, row + 1)[0, hits[row]]
    usable = (hits >= 0) & np.array([bool(f) for f in cases.findings])[:, None]
    scores = _cosines(cases, hits)
    groups = fit.attributes[made.plan.attribute]
    if not usable.any():
        raise InputError("no query to learn relevance from")
    posterior = RelevancePosterior.fit(scores[usable], found[usable], groups[hits[usable]])
    if posterior.slope <= 0:
        raise InputError(
            "in the cases it is fitted on, closer hits are not more likely to be relevant"
        )
    return posterior


def _cosines(cases: GatheredCases, hits: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine of each query and hit; without meaning where there is no hit."""
    out = np.empty(hits.shape)
    for row, own in enumerate(hits):
        out[row] = cases.images[own].astype(np.float64) @ cases.images[row].astype(np.float64)
    return out


def _shown(before: NDArray[np.int64], after: NDArray[np.int64], groups: NDArray[np.str_]) -> str:
    """Say how much of the attention each group had among the first hits, and has."""
    parts = []
    for name in np.unique(groups).tolist():
        then, now = (
            float(
                ((groups[lists] == name) * (lists >= 0) * exposure_weights(lists.shape[1])).sum()
                / ((lists >= 0) * exposure_weights(lists.shape[1])).sum()
            )
            for lists in (before, after)
        )
        parts.append(f"{name} {then:.2f} to {now:.2f}")
    return f"share of exposure among the first {after.shape[1]}: {', '.join(parts)}"
