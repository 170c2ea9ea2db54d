"""What an audit assesses besides outcomes, each from the same cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.neighbours import first_hits, relevance
from evaluation.retrieval.load_cases import GatheredCases, gather
from evaluation.retrieval.zero_shot import plain_queries
from evaluation.sections import (
    assess_counterfactual,
    assess_exposure,
    assess_label_quality,
    assess_leakage,
    assess_modality_gap,
    assess_zero_shot,
    choose_threshold,
    fit_platt,
    label_outcomes,
    modality_gap_rows,
)
from medembed.errors import InputError, LibraryError
from medembed.notes import asserted_findings

if TYPE_CHECKING:
    from evaluation.library_audit.cases import AuditedCases, TextSide
    from evaluation.library_audit.outcomes import MeasuredCases

__all__ = ["FindingScores", "Section", "assess_sections", "assessed", "score_findings", "why_not"]

_ASKED = 100
"""Reports that ask with swapped words; more would only take longer."""

Section = dict[str, Any]


def assess_sections(
    measured: MeasuredCases, step: Callable[[int], None]
) -> dict[str, Section | None]:
    """Assess what the protocol asks for; None where it does not ask."""
    found: dict[str, Section | None] = dict.fromkeys(_SECTIONS)
    asked = [name for name in _SECTIONS if name in measured.protocol.sections]
    for number, name in enumerate(asked, start=1):
        assess, options = _SECTIONS[name]
        found[name] = assessed(assess, measured, **measured.options(*options.split()))
        step(number)
    return found


def assessed(assess: Callable[..., Section], *args: Any, **options: Any) -> Section:
    """The section, or one without rows whose note says why it could not be assessed."""
    try:
        return assess(*args, **options)
    except (InputError, LibraryError) as error:
        return {"rows": [], "notes": [why_not(error)]}


def why_not(error: Exception) -> str:
    """The one sentence by which a report says that something could not be assessed."""
    return f"Not assessable: {error}."


def _exposure(measured: MeasuredCases, **options: Any) -> Section:
    cases, protocol = measured.cases.by_image, measured.protocol
    relevant, copies = relevance(cases)
    return assess_exposure(
        first_hits(cases, protocol.k),
        cases.owners,
        cases.owners,
        measured.cases.attributes,
        relevant=relevant,
        excluded=copies,
        margin=protocol.exposure_margin,
        **options,
    ).to_json()


def _spaces(audited: AuditedCases) -> dict[str, NDArray[np.float64]]:
    """Vectors of all cases; NaN where a case has none."""
    spaces = {"image": audited.by_image.images.astype(np.float64)}
    if audited.paired is not None:
        spaces["note"] = np.full(spaces["image"].shape, np.nan)
        spaces["note"][audited.rows_of_pairs] = audited.paired.notes
    return spaces


def _leakage(measured: MeasuredCases, **options: Any) -> Section:
    audited = measured.cases
    owners = audited.by_image.owners
    return assess_leakage(_spaces(audited), owners, audited.attributes, **options).to_json()


def _counterfactual(measured: MeasuredCases, **options: Any) -> Section:
    """Ask with the reports themselves, at most so many, one of each patient first."""
    text_side = measured.words("words cannot be swapped")
    audited, owners = measured.cases, measured.cases.by_image.owners
    noted = np.array([row for row, case in enumerate(audited.cases) if case.note], dtype=np.int64)
    if not len(noted):
        raise InputError("no case has a report to use as a query")
    order = np.random.default_rng(measured.seed).permutation(noted)
    is_first = np.isin(np.arange(len(order)), np.unique(owners[order], return_index=True)[1])
    rows = np.concatenate([order[is_first], order[~is_first]])[:_ASKED]
    notes = [audited.cases[row].note for row in rows.tolist()]
    groups = dict(audited.attributes)
    banded = "age_band" in groups and "age" not in groups
    if banded:  # what is said is an age, whom it brings nearer is a band
        groups["age"] = groups["age_band"]
    found = assess_counterfactual(
        [text_side.read(note) for note in notes if note is not None],
        text_side.encode,
        audited.by_image.images,
        groups,
        owners,
        patients=owners[rows],
        k=measured.protocol.k,
        **options,
    ).to_json()
    for row in found["rows"]:
        if banded and row["attribute"] == "age":
            row["attribute"] = "age_band"
    return found


def _modality_gap(measured: MeasuredCases, **options: Any) -> Section:
    audited = measured.cases
    spaces = _spaces(audited)
    if "note" not in spaces:
        raise InputError("no case has a note vector of this model")
    rows = assess_modality_gap(
        spaces["image"], spaces["note"], audited.by_image.owners, audited.attributes, **options
    )
    note = "Distance between the centers of a group's images and of its reports."
    return {"rows": modality_gap_rows(rows), "notes": [note]}


def _label_quality(measured: MeasuredCases, **options: Any) -> Section:
    """Compare labels with reports; a case with neither label nor report counts as unlabelled."""
    audited = measured.cases
    labels = [
        {f.label for f in found} if found or case.note else None
        for case, found in zip(audited.cases, audited.by_image.findings, strict=True)
    ]
    said = [
        {label for label, _ in asserted_findings(case.note)} if case.note else None
        for case in audited.cases
    ]
    rows = assess_label_quality(
        label_outcomes(labels, said),
        audited.by_image.owners,
        audited.attributes,
        outcomes=measured.columns,
        **options,
    )
    note = "The search's outcomes are compared here only for patients whose group is unknown."
    return {"rows": [row.to_json() for row in rows], "notes": [note]}


def _zero_shot(measured: MeasuredCases, **options: Any) -> Section:
    """Findings asked in plain words, by operating points and curves of the validation split."""
    text_side = measured.words("findings cannot be searched by text")
    audited, protocol = measured.cases, measured.protocol
    if protocol.split in ("val", "all"):
        raise InputError("operating points need a validation split that is not audited")
    settling = gather(measured.library, measured.model, split="val", with_notes=False)
    found, left_out = score_findings(
        audited.by_image, settling, text_side, protocol.minimum.reported
    )
    rows = assess_zero_shot(
        {label: one.scores for label, one in found.items()},
        {label: one.truth for label, one in found.items()},
        {label: choose_threshold(one.known, one.known_truth).value for label, one in found.items()},
        audited.by_image.owners,
        audited.attributes,
        probabilities={
            label: fit_platt(one.known, one.known_truth)(one.scores) for label, one in found.items()
        },
        **options,
    )
    notes = ["Operating points were set on the validation cases; FNR is underdiagnosis."]
    if left_out:
        notes.append(
            "Left out, because too few patients have or lack the finding in the audited or the "
            f"validation cases: {', '.join(left_out)}."
        )
    return {"rows": [row.to_json() for row in rows], "notes": notes}


_SECTIONS: dict[str, tuple[Callable[..., Section], str]] = {
    "exposure": (_exposure, "alpha minimum permutations repetitions seed"),
    "leakage": (_leakage, "margin alpha minimum permutations seed"),
    "counterfactual": (_counterfactual, "alpha minimum repetitions seed"),
    "modality_gap": (_modality_gap, "margin alpha minimum repetitions seed"),
    "label_quality": (_label_quality, "margin alpha minimum repetitions seed"),
    "zero_shot": (_zero_shot, "margin alpha minimum"),
}
"""By name, in the order of the report: what assesses it, and the settings that it takes."""


@dataclass(frozen=True)
class FindingScores:
    """How near each image is to the words of a finding, and whether the case has it (1 or 0).

    ``known`` are of the cases that rules are settled on, the others of the audited ones.
    """

    known: NDArray[np.float64]
    known_truth: NDArray[np.float64]
    scores: NDArray[np.float64]
    truth: NDArray[np.float64]


def score_findings(
    audited: GatheredCases, settling: GatheredCases, text_side: TextSide, least: int
) -> tuple[dict[str, FindingScores], list[str]]:
    """Hold every image against every finding in plain words.

    The list names the findings that fewer than ``least`` patients have, or lack, in either set of
    cases; it is an InputError if these are all.
    """
    labels = sorted({f.label for case in audited.findings for f in case})
    words = {label: text.removeprefix(side).strip() for label, side, text in plain_queries(labels)}
    vectors = np.asarray(text_side.encode([words[label] for label in labels]), dtype=np.float64)
    found: dict[str, FindingScores] = {}
    for label, vector in zip(labels, vectors, strict=True):
        arrays: list[NDArray[np.float64]] = []
        enough = True
        for cases in (settling, audited):
            has = np.array([any(f.label == label for f in case) for case in cases.findings])
            enough &= all(len(np.unique(cases.owners[has == kind])) >= least for kind in (0, 1))
            arrays += [np.asarray(cases.images @ vector, dtype=np.float64), has.astype(np.float64)]
        if enough:
            found[label] = FindingScores(*arrays)
    if not found:
        raise InputError("no finding has enough patients in the audited and validation cases")
    return found, [label for label in labels if label not in found]
