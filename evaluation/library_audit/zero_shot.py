"""Findings asked in plain words, each group's misses and false alarms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import LoadedCases as GatheredCases
from evaluation.retrieval.load_cases import load_cases as gather
from evaluation.retrieval.zero_shot import plain_queries
from evaluation.sections.calibration import fit_platt
from evaluation.sections.finding_errors import assess_zero_shot, choose_threshold
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.library_audit.cases import AuditedCases, TextSide
    from evaluation.library_audit.protocol import Protocol
    from medembed.library import CaseLibrary

__all__ = ["FindingScores", "score_findings", "zero_shot_section"]


@dataclass(frozen=True)
class FindingScores:
    """How near each image is to the words of each finding, and whether the case has it.

    Parameters
    ----------
    known, known_truth : dict of str to float64 array of shape (n_settling,)
        By finding, of the cases that rules are settled on; truth is 0 or 1.
    scores, truth : dict of str to float64 array of shape (n_cases,)
        Of the audited cases.
    left_out : tuple of str
        Findings that too few patients have or lack, there or here.
    """

    known: dict[str, NDArray[np.float64]]
    known_truth: dict[str, NDArray[np.float64]]
    scores: dict[str, NDArray[np.float64]]
    truth: dict[str, NDArray[np.float64]]
    left_out: tuple[str, ...]


def score_findings(
    audited: GatheredCases, settling: GatheredCases, text_side: TextSide, protocol: Protocol
) -> FindingScores:
    """Hold every image against every finding in plain words.

    Raises
    ------
    InputError
        Where no finding has enough patients in both.
    """
    labels = sorted({f.label for case in audited.findings for f in case})
    words = {label: text.removeprefix(side).strip() for label, side, text in plain_queries(labels)}
    vectors = np.asarray(text_side.encode([words[label] for label in labels]), dtype=np.float64)
    found = FindingScores({}, {}, {}, {}, ())
    left_out: list[str] = []
    for label, vector in zip(labels, vectors, strict=True):
        before, after = (_truth(cases, label) for cases in (settling, audited))
        least = protocol.minimum.reported
        if min(_patients(settling, before), _patients(audited, after)) < least:
            left_out.append(label)
            continue
        found.known[label] = np.asarray(settling.images @ vector, dtype=np.float64)
        found.known_truth[label] = before
        found.scores[label] = np.asarray(audited.images @ vector, dtype=np.float64)
        found.truth[label] = after
    if not found.scores:
        raise InputError("no finding has enough patients in the audited and validation cases")
    return replace(found, left_out=tuple(left_out))


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
        Where the model's folder is not available, or there is no validation split apart.
    LibraryError, FingerprintError
        Where that split is empty or has no vectors.
    """
    if text_side is None:
        raise InputError(
            "the model's folder is not available, so findings cannot be searched by text"
        )
    if protocol.split in ("val", "all"):
        raise InputError("operating points need a validation split that is not audited")
    settling = gather(library, model, split="val", with_notes=False)
    found = score_findings(audited.by_image, settling, text_side, protocol)
    thresholds = {
        label: choose_threshold(found.known[label], truth).value
        for label, truth in found.known_truth.items()
    }
    probabilities = {
        label: fit_platt(found.known[label], truth)(found.scores[label])
        for label, truth in found.known_truth.items()
    }
    rows = assess_zero_shot(
        found.scores,
        found.truth,
        thresholds,
        audited.by_image.owners,
        audited.attributes,
        probabilities=probabilities,
        margin=protocol.margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
    )
    notes = ["Operating points were set on the validation cases; FNR is underdiagnosis."]
    if found.left_out:
        notes.append(
            "Left out, because too few patients have or lack the finding in the audited or the "
            f"validation cases: {', '.join(sorted(found.left_out))}."
        )
    return {"rows": [row.to_json() for row in rows], "notes": notes}


def _truth(cases: GatheredCases, label: str) -> NDArray[np.float64]:
    return np.array(
        [any(f.label == label for f in case) for case in cases.findings], dtype=np.float64
    )


def _patients(cases: GatheredCases, truth: NDArray[np.float64]) -> int:
    """Patients with a case that has the finding, or with one that lacks it, whichever are fewer."""
    return min(len(np.unique(cases.owners[truth == kind])) for kind in (0, 1))
