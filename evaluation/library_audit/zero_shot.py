"""Findings asked in plain words, each group's misses and false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.gathering import GatheredCases, gather
from evaluation.groups.calibration import fit_platt
from evaluation.groups.zero_shot_errors import assess_zero_shot, choose_threshold
from evaluation.zero_shot import plain_queries
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.library_audit.protocol import Protocol
    from evaluation.library_audit.queries import AuditedCases, TextSide
    from medembed.library import CaseLibrary

__all__ = ["zero_shot_section"]


def zero_shot_section(
    audited: AuditedCases,
    protocol: Protocol,
    library: CaseLibrary,
    model: str,
    text_side: TextSide | None,
) -> dict[str, Any]:
    """Assess every finding that enough patients of both splits have and lack.

    Operating points (largest sensitivity + specificity) and probabilities are settled on the
    validation split, which must not be among the audited cases.

    Raises
    ------
    InputError
        Where the model is not at hand, or there is no validation split apart.
    LibraryError, FingerprintError
        Where that split is empty or has no vectors.
    """
    if text_side is None:
        raise InputError("the model is not at hand, so no finding can be asked in words")
    if protocol.split in ("val", "all"):
        raise InputError("operating points need a validation split that is not audited")
    settling = gather(library, model, split="val", with_notes=False)
    labels = sorted({f.label for case in audited.by_image.findings for f in case})
    words = {label: text.removeprefix(side).strip() for label, side, text in plain_queries(labels)}
    vectors = np.asarray(text_side.encode([words[label] for label in labels]), dtype=np.float64)
    scores: dict[str, NDArray[np.float64]] = {}
    truth: dict[str, NDArray[np.float64]] = {}
    thresholds: dict[str, float] = {}
    probabilities: dict[str, NDArray[np.float64]] = {}
    left_out: list[str] = []
    for label, vector in zip(labels, vectors, strict=True):
        before, after = (_truth(cases, label) for cases in (settling, audited.by_image))
        least = protocol.minimum.reported
        if min(_patients(settling, before), _patients(audited.by_image, after)) < least:
            left_out.append(label)
            continue
        known = settling.images @ vector
        thresholds[label] = choose_threshold(known, before).value
        scores[label] = np.asarray(audited.by_image.images @ vector, dtype=np.float64)
        truth[label] = after
        probabilities[label] = fit_platt(known, before)(scores[label])
    if not scores:
        raise InputError("no finding has enough patients in the audited and validation cases")
    rows = assess_zero_shot(
        scores,
        truth,
        thresholds,
        audited.by_image.owners,
        audited.attributes,
        probabilities=probabilities,
        margin=protocol.margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
    )
    notes = ["Operating points were settled on the validation cases; FNR is underdiagnosis."]
    if left_out:
        notes.append(
            f"Too few patients have or lack, there or here: {', '.join(sorted(left_out))}."
        )
    return {"rows": [row.to_json() for row in rows], "notes": notes}


def _truth(cases: GatheredCases, label: str) -> NDArray[np.float64]:
    return np.array(
        [any(f.label == label for f in case) for case in cases.findings], dtype=np.float64
    )


def _patients(cases: GatheredCases, truth: NDArray[np.float64]) -> int:
    """Patients with a case that has the finding, or with one that lacks it, whichever are fewer."""
    return min(len(np.unique(cases.owners[truth == kind])) for kind in (0, 1))
