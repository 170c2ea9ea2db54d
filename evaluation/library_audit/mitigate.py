"""Declared ways to mitigate, fitted on other patients and assessed on those who are audited.

A way that cannot be done here raises InputError or LibraryError, which the section reports.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.cases import AuditedCases, gather_queries
from evaluation.library_audit.neighbours import cosines, first_hits, relevance, reordered
from evaluation.library_audit.outcomes import Columns, MeasuredCases, outcome_columns, spelled_out
from evaluation.library_audit.sections import FindingScores, Section, score_findings, why_not
from evaluation.mitigation import (
    CorrelationErasure,
    GroupThresholds,
    MitigationEffect,
    RelevancePosterior,
    assess_mitigation,
    constrained_order,
    earned_exposure,
    equal_rates,
    equal_sensitivity,
    erase_unit,
    exposure_weights,
    linear_trace,
    mitigation_section,
)
from medembed.errors import InputError, LibraryError
from medembed.notes import canonical_label

if TYPE_CHECKING:
    from evaluation.library_audit.protocol import MitigationPlan

__all__ = ["BeforeAfter", "Candidate", "assess_plans", "by_lists", "by_thresholds", "by_vectors"]

_ENOUGH = 5
"""Cases for each dimension; a map fitted on fewer is noted."""

Change = Callable[[NDArray[np.float32], NDArray[np.str_]], NDArray[np.float64]]
Test = tuple[str, str, str]


def assess_plans(measured: MeasuredCases) -> Section | None:
    """Assess every way that the protocol declares, before and after, group by group.

    Nothing is fitted on the audited cases; each of n ways is held to alpha / n.

    Returns
    -------
    dict or None
        ``rows, summary, notes`` as the report takes them; None where nothing is declared. A way
        that cannot be done here stands in the summary with its reason and has no row.
    """
    protocol = measured.protocol
    if not protocol.mitigation:
        return None

    @cache
    def split(name: str) -> AuditedCases:
        found = gather_queries(measured.library, protocol, measured.model, name)
        return found.renamed(measured.merged)

    effects: list[MitigationEffect] = []
    undone: list[dict[str, object]] = []
    notes: list[str] = []
    alike: Counter[str] = Counter()
    for plan in protocol.mitigation:
        run, title = _WAYS[plan.way]
        name = title.format(plan.attribute.replace("_", " "))
        alike[name] += 1
        if alike[name] > 1:
            name = f"{name} ({alike[name]})"
        try:
            if plan.way != "rerank" and protocol.split in (plan.fit_split, "all"):
                raise InputError("it would be fitted on the audited patients")
            fit = None if plan.way == "rerank" else split(plan.fit_split)
            candidate = Candidate(plan, measured, fit)
            found = run(candidate)
            effects.append(_assess(name, candidate, found))
            notes.append(f"{name}: {'; '.join(found.notes)}.")
        except (InputError, LibraryError) as error:
            reason = why_not(error)
            undone.append({"name": name, "recommended": False, "reasons": [reason]})
            notes.append(f"{name}: {reason[0].lower()}{reason[1:]}")
    section = mitigation_section(effects)
    section["summary"] += undone
    section["notes"] = [*notes, *section["notes"]]
    if not section["rows"]:
        section["why"] = "None of the declared mitigations could be assessed."
    return section


@dataclass(frozen=True)
class Candidate:
    """A declared way, the audited cases, and those of other patients that it is fitted on."""

    plan: MitigationPlan
    measured: MeasuredCases
    fit: AuditedCases | None

    @property
    def groups(self) -> NDArray[np.str_]:
        """Group of each audited case."""
        return self.measured.cases.attributes[self.plan.attribute]

    @property
    def targets(self) -> list[Test]:
        """Whom it is meant to help, as far as they are here."""
        asked = self.measured.protocol.meant(self.plan)
        return spelled_out(asked, self.measured.cases.attributes)

    @property
    def fitted_on(self) -> frozenset[str]:
        """Patients that it is fitted on."""
        return frozenset(() if self.fit is None else (case.patient_id for case in self.fit.cases))

    def fit_rows(self) -> tuple[AuditedCases, NDArray[np.int64]]:
        """Cases to fit on, and which of them: groups of too few patients say nothing reliable."""
        if self.fit is None:
            raise InputError("nothing to fit on")
        groups, owners = self.fit.attributes[self.plan.attribute], self.fit.by_image.owners
        least = self.measured.protocol.minimum.reported
        kept = [g for g in np.unique(groups) if len(np.unique(owners[groups == g])) >= least]
        if len(kept) < 2:
            raise InputError(
                f"fewer than two groups of {self.plan.attribute!r} have {least} patients in the "
                f"split {self.plan.fit_split!r}"
            )
        return self.fit, np.flatnonzero(np.isin(groups, kept))


@dataclass(frozen=True)
class BeforeAfter:
    """Outcomes of the same queries before and after, whom it is meant to help, and notes."""

    before: Columns
    after: Columns
    targets: list[Test]
    notes: list[str]


def _assess(name: str, candidate: Candidate, found: BeforeAfter) -> MitigationEffect:
    outcomes = [one for one in found.before if one in found.after]
    targets = [test for test in found.targets if test[2] in outcomes]
    if not targets:
        raise InputError("no patient whom it is meant to help, or no outcome of theirs, is here")
    measured = candidate.measured
    same = {"patient_id": measured.cases.patients(), **measured.cases.attributes}
    return assess_mitigation(
        name,
        {**same, **found.before},
        {**same, **found.after},
        outcomes,
        measured.protocol.all_attributes,
        targets=targets,
        fitted_on=candidate.fitted_on,
        higher_is_better=candidate.plan.way != "thresholds",
        tried=len(measured.protocol.mitigation),
        **measured.options("margin", "alpha", "minimum", "repetitions", "seed"),
    )


def by_vectors(candidate: Candidate) -> BeforeAfter:
    """Take an attribute out of the vectors and search them again.

    One map, fitted on the images of other patients, is applied to images and notes alike: they
    stay in one space.
    """
    fit, rows = candidate.fit_rows()
    audited, groups = candidate.measured.cases, candidate.groups
    images, known = fit.by_image.images[rows], fit.attributes[candidate.plan.attribute][rows]
    change: Change
    if candidate.plan.way == "erase":
        erasure = erase_unit(images, known)
        trace, change = erasure.trace, lambda x, _: erasure.apply(x)
    else:
        remover = CorrelationErasure.fit(images, known)
        trace, change = remover.trace, remover.apply
    changed = _changed(audited, groups, change)
    notes = [
        "how well a linear model predicts the attribute (0 not at all, 1 fully) went from "
        f"{trace[0]:.2f} to {trace[-1]:.2f} in the vectors it was fitted on"
    ]
    if len(np.unique(groups)) > 1:
        then, now = (linear_trace(side.by_image.images, groups) for side in (audited, changed))
        notes.append(
            f"in the audited ones from {then:.2f} to {now:.2f}; “Predicting a group from the "
            "image” tests other predictors"
        )
    if len(images) < _ENOUGH * images.shape[1]:
        notes.append(
            f"fitted on fewer than {_ENOUGH} cases for each of the {images.shape[1]} dimensions: "
            "it may remove more than the attribute"
        )
    if candidate.plan.way == "correlation":
        notes.append("it needs the group of every query")
    before = candidate.measured.columns
    return BeforeAfter(before, outcome_columns(before, changed)[0], candidate.targets, notes)


def _changed(audited: AuditedCases, groups: NDArray[np.str_], change: Change) -> AuditedCases:
    images = _moved(audited.by_image.images, groups, change)
    rows, paired = audited.rows_of_pairs, audited.paired
    if paired is not None and paired.notes is not None:
        notes = _moved(paired.notes, groups[rows], change)
        paired = replace(paired, images=images[rows], notes=notes)
    return replace(audited, by_image=replace(audited.by_image, images=images), paired=paired)


def _moved(
    vectors: NDArray[np.float32], groups: NDArray[np.str_], change: Change
) -> NDArray[np.float32]:
    """Change vectors, those that are equal to the last bit alike: they stay copies."""
    codes = np.unique(groups, return_inverse=True)[1].astype(np.float32)
    _, first, back = np.unique(
        np.column_stack([vectors, codes]), axis=0, return_index=True, return_inverse=True
    )
    return change(vectors[first], groups[first]).astype(np.float32)[back.ravel()]


def by_lists(candidate: Candidate) -> BeforeAfter:
    """Reorder the first hits of every query."""
    measured, groups = candidate.measured, candidate.groups
    cases, k = measured.cases.by_image, measured.protocol.k
    names, counts = np.unique(groups, return_counts=True)
    if len(names) < 2:
        raise InputError(f"only one group of {candidate.plan.attribute!r}")
    hits = first_hits(cases, candidate.plan.depth)
    n_choices = int((hits >= 0).sum(axis=1).min())
    if n_choices <= k:
        raise InputError(f"a query has {n_choices} hits to choose from, and {k} are shown")
    notes = []
    if candidate.plan.way == "rerank":
        shares = dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))
        lists = np.full((len(cases), k), -1, dtype=np.int64)
        for row, scores in enumerate(cosines(cases, hits)):
            own = hits[row][hits[row] >= 0]
            order = constrained_order(scores[: len(own)], groups[own].tolist(), shares, k)
            lists[row, : len(order)] = own[order]
    else:
        posterior = _posterior(candidate)
        hits = hits[:, :n_choices]
        likely = posterior.predict(cosines(cases, hits), groups[hits])
        earned = earned_exposure(likely, groups[hits], k, strength=candidate.plan.strength)
        lists = np.take_along_axis(hits, earned.order, axis=1)
        notes.append(
            f"keeps {earned.expected_gain_kept:.0%} of the expected relevance; the lists depend on "
            "the order of the queries"
        )
    between_images = [name for name in measured.columns if name.startswith("image_to_image.")]
    after, _ = outcome_columns(between_images, measured.cases, reordered(cases, lists))
    least = min(len(np.unique(cases.owners[groups == name])) for name in names)
    if least >= measured.protocol.minimum.reported:
        then, now = (_exposure(shown, groups, names) for shown in (hits[:, :k], lists))
        shares_of = (f"{g} {a:.2f} to {b:.2f}" for g, a, b in zip(names, then, now, strict=True))
        notes.append(f"share of exposure among the first {k}: {', '.join(shares_of)}")
    notes.append("text-to-image and image-to-text searches are unchanged")
    return BeforeAfter(measured.columns, after, candidate.targets, notes)


def _exposure(
    lists: NDArray[np.int64], groups: NDArray[np.str_], names: NDArray[np.str_]
) -> list[float]:
    """Share of the attention that goes to each group's cases."""
    weights = (lists >= 0) * exposure_weights(lists.shape[1])
    return [float(((groups[lists] == name) * weights).sum() / weights.sum()) for name in names]


def _posterior(candidate: Candidate) -> RelevancePosterior:
    """Chance of relevance, from the hits of other patients' queries."""
    fit, _ = candidate.fit_rows()
    cases, groups = fit.by_image, fit.attributes[candidate.plan.attribute]
    hits = first_hits(cases, candidate.plan.depth)
    right, _ = relevance(cases)
    found = np.stack([right.rows(row, row + 1)[0, own] for row, own in enumerate(hits)])
    usable = (hits >= 0) & np.array([bool(f) for f in cases.findings])[:, None]
    if not usable.any():
        raise InputError("no query to learn relevance from")
    scores = cosines(cases, hits)
    posterior = RelevancePosterior.fit(scores[usable], found[usable], groups[hits[usable]])
    if posterior.slope <= 0:
        raise InputError(
            "in the cases it is fitted on, closer hits are not more likely to be relevant"
        )
    return posterior


def by_thresholds(candidate: Candidate) -> BeforeAfter:
    """Call findings by a threshold for each group, against the one threshold of the same aim.

    Outcomes are the chance to be missed of those who have a finding, and to be falsely called of
    those who lack it: 0 or 1 but where a lot decides.
    """
    measured, plan, groups = candidate.measured, candidate.plan, candidate.groups
    text_side = measured.words("findings cannot be searched by text")
    fit, _ = candidate.fit_rows()
    meant = plan.group
    if meant is None or meant not in groups:
        raise InputError(f"group {meant!r} has no patient here, or is merged as a small one")
    least = measured.protocol.minimum.reported
    found, _ = score_findings(measured.cases.by_image, fit.by_image, text_side, least)
    result = BeforeAfter({}, {}, [], [])
    lots: list[str] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    for label in tuple(map(canonical_label, plan.findings)) or found:
        if label not in found:
            left_out["too few patients have or lack the finding"].append(label)
            continue
        one, rule = found[label], _rule(candidate, fit, found[label])
        if meant not in rule.rules:
            why = rule.reasons.get(meant, "no threshold")
            left_out[f"{why} in the group {meant}"].append(label)
            continue
        missed, false = f"{label} missed (FNR)", f"{label} falsely called (FPR)"
        for columns, chance in (
            (result.before, rule.common.probability(one.scores)),
            (result.after, rule.probability(one.scores, groups)),
        ):
            columns[missed] = np.where(one.truth == 1, 1 - chance, np.nan)
            columns[false] = np.where(one.truth == 0, chance, np.nan)
        result.targets.append((plan.attribute, meant, missed))
        if rule.by_lot:
            lots.append(f"{label} {rule.share_by_lot(one.scores, groups):.0%}")
        for name, why in sorted(rule.reasons.items()):
            left_out[f"{why} in the group {name}: common threshold"].append(label)
    notes = [f"{', '.join(labels)}: {why}" for why, labels in left_out.items()]
    if not result.targets:
        raise InputError("; ".join(notes) or "no finding can be asked")
    if lots:
        notes.append(f"some cases are decided at random: {', '.join(lots)}")
    notes.append("the decision depends on the patient's group by design")
    return replace(result, notes=notes)


def _rule(candidate: Candidate, fit: AuditedCases, one: FindingScores) -> GroupThresholds:
    plan, least = candidate.plan, candidate.measured.protocol.least
    known = one.known, one.known_truth, fit.attributes[plan.attribute], fit.by_image.owners
    if plan.equal == "rates":
        return equal_rates(*known, minimum=least)
    return equal_sensitivity(*known, sensitivity=plan.sensitivity, minimum=least)


_ERASING = "Erasing {} from the vectors"
_WAYS: dict[str, tuple[Callable[[Candidate], BeforeAfter], str]] = {
    "rerank": (by_lists, "Reranking: each {} in proportion in every top k (DetConstSort)"),
    "exposure": (by_lists, "Reranking: exposure of each {} in proportion to relevance"),
    "erase": (by_vectors, f"{_ERASING} (LEACE, refitted on unit vectors)"),
    "correlation": (by_vectors, f"{_ERASING} (CorrelationRemover, refitted on unit vectors)"),
    "thresholds": (by_thresholds, "Separate finding thresholds by {}"),
}
