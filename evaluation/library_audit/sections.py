"""What an audit assesses besides outcomes, each from the same cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.neighbours import first_hits, relevance
from evaluation.library_audit.zero_shot import zero_shot_section
from evaluation.sections import assess_counterfactual, assess_exposure, assess_leakage
from evaluation.sections.label_quality import assess_label_quality, label_outcomes
from evaluation.sections.modality_gap import assess_modality_gap, modality_gap_rows
from medembed.errors import InputError, LibraryError
from medembed.notes import asserted_findings

if TYPE_CHECKING:
    from evaluation.library_audit.cases import AuditedCases, TextSide
    from evaluation.library_audit.protocol import Protocol
    from medembed.library import CaseLibrary

__all__ = ["assess_sections"]

_ASKED = 100
"""Reports that ask with swapped words; more would only take longer."""

Section = dict[str, Any]


def assess_sections(
    audited: AuditedCases,
    protocol: Protocol,
    library: CaseLibrary,
    model: str,
    columns: Mapping[str, NDArray[np.float64]],
    text_side: TextSide | None,
    seed: int,
    step: Callable[[int], None],
) -> dict[str, Section | None]:
    """Assess what the protocol asks for.

    Returns
    -------
    dict of str to section or None
        None where the protocol does not ask; rows are empty where it could not be done, and the
        notes say why.
    """
    ways: dict[str, Callable[[], Section]] = {
        "exposure": lambda: _exposure(audited, protocol, seed),
        "leakage": lambda: _leakage(audited, protocol, seed),
        "counterfactual": lambda: _counterfactual(audited, protocol, text_side, seed),
        "modality_gap": lambda: _modality_gap(audited, protocol, seed),
        "label_quality": lambda: _label_quality(audited, columns, protocol, seed),
        "zero_shot": lambda: zero_shot_section(audited, protocol, library, model, text_side),
    }
    found: dict[str, Section | None] = {}
    for number, (name, assess) in enumerate(ways.items(), start=1):
        if name not in protocol.sections:
            found[name] = None
            continue
        try:
            found[name] = assess()
        except (InputError, LibraryError) as error:
            found[name] = {"rows": [], "notes": [f"Not assessable: {error}."]}
        step(number)
    return found


def _exposure(audited: AuditedCases, protocol: Protocol, seed: int) -> Section:
    cases = audited.by_image
    relevant, left_out = relevance(cases)
    return assess_exposure(
        first_hits(cases, protocol.k),
        cases.owners,
        cases.owners,
        audited.attributes,
        relevant=relevant,
        excluded=left_out,
        margin=protocol.exposure_margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
        permutations=protocol.permutations,
        repetitions=protocol.repetitions,
        seed=seed,
    ).to_json()


def _spaces(audited: AuditedCases) -> dict[str, NDArray[np.float64]]:
    """Vectors of all cases; NaN where a case has none."""
    spaces = {"image": audited.by_image.images.astype(np.float64)}
    if audited.paired is not None and audited.paired.notes is not None:
        notes = np.full(spaces["image"].shape, np.nan)
        notes[audited.rows_of_pairs] = audited.paired.notes
        spaces["note"] = notes
    return spaces


def _leakage(audited: AuditedCases, protocol: Protocol, seed: int) -> Section:
    cases = audited.by_image
    return assess_leakage(
        _spaces(audited),
        cases.owners,
        audited.attributes,
        permutations=protocol.permutations,
        margin=protocol.margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
        seed=seed,
    ).to_json()


def _counterfactual(
    audited: AuditedCases, protocol: Protocol, text_side: TextSide | None, seed: int
) -> Section:
    """Ask with the reports themselves, at most so many, one of each patient first."""
    if text_side is None:
        raise InputError("the model's folder is not available, so words cannot be swapped")
    noted = [row for row, case in enumerate(audited.cases) if case.note]
    if not noted:
        raise InputError("no case has a report to use as a query")
    order = np.random.default_rng(seed).permutation(np.array(noted))
    seen: set[int] = set()
    firsts: list[int] = []
    others: list[int] = []
    for row in order.tolist():
        owner = int(audited.by_image.owners[row])
        (others if owner in seen else firsts).append(row)
        seen.add(owner)
    rows = (firsts + others)[:_ASKED]
    notes = [audited.cases[row].note for row in rows]
    groups = dict(audited.attributes)
    banded = "age_band" in groups and "age" not in groups
    if banded:  # what is said is an age, whom it brings nearer is a band
        groups["age"] = groups["age_band"]
    found = assess_counterfactual(
        [text_side.read(note) for note in notes if note is not None],
        text_side.encode,
        audited.by_image.images,
        groups,
        audited.by_image.owners,
        patients=audited.by_image.owners[rows],
        k=protocol.k,
        alpha=protocol.alpha,
        minimum=protocol.least,
        repetitions=protocol.repetitions,
        seed=seed,
    ).to_json()
    for row in found["rows"]:
        if banded and row["attribute"] == "age":
            row["attribute"] = "age_band"
    return found


def _modality_gap(audited: AuditedCases, protocol: Protocol, seed: int) -> Section:
    spaces = _spaces(audited)
    if "note" not in spaces:
        raise InputError("no case has a note vector of this model")
    rows = assess_modality_gap(
        spaces["image"],
        spaces["note"],
        audited.by_image.owners,
        audited.attributes,
        margin=protocol.margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
        repetitions=protocol.repetitions,
        seed=seed,
    )
    return {
        "rows": modality_gap_rows(rows),
        "notes": ["Distance between the centers of a group's images and of its reports."],
    }


def _label_quality(
    audited: AuditedCases,
    columns: Mapping[str, NDArray[np.float64]],
    protocol: Protocol,
    seed: int,
) -> Section:
    """Compare labels with reports; a case with neither label nor report counts as unlabelled."""
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
        outcomes=columns,
        margin=protocol.margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
        repetitions=protocol.repetitions,
        seed=seed,
    )
    return {
        "rows": [row.to_json() for row in rows],
        "notes": [
            "The search's outcomes are compared here only for patients whose group is unknown."
        ],
    }
