"""The chest findings that reports are read for and the embedded cohort shows."""

from __future__ import annotations

import re

__all__ = ["FINDINGS", "SIDED_FINDINGS", "canonical_label"]

SIDED_FINDINGS: tuple[str, ...] = (
    "effusion",
    "consolidation",
    "pneumothorax",
    "nodule",
    "mass",
    "atelectasis",
    "fracture",
)
"""Findings that lie on one side or the other."""

FINDINGS: tuple[str, ...] = (
    *SIDED_FINDINGS,
    "cardiomegaly",
    "oedema",
    "emphysema",
    "fibrosis",
    "support device",
)
"""All findings of the vocabulary, sided ones first."""

_OTHER_LABELS = {
    "pleural effusion": "effusion",
    "edema": "oedema",
    "pulmonary edema": "oedema",
    "pulmonary oedema": "oedema",
    "lung nodule": "nodule",
    "pulmonary nodule": "nodule",
    "lung mass": "mass",
    "pulmonary mass": "mass",
    "rib fracture": "fracture",
    "pulmonary fibrosis": "fibrosis",
    "support devices": "support device",
}


def canonical_label(text: str) -> str:
    """Bring the label of a finding to the vocabulary's word, where it has one.

    A label that the vocabulary does not know stays, in lower case and with single blanks:
    ``"infiltration"`` is no synonym of ours.

    Examples
    --------
    >>> canonical_label("Pleural_Effusion"), canonical_label("Edema"), canonical_label("Viral")
    ('effusion', 'oedema', 'viral')
    """
    plain = re.sub(r"[\s_]+", " ", text).strip().lower()
    return _OTHER_LABELS.get(plain, plain)
