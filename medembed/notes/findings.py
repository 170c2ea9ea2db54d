"""The twelve core findings of the chest, which the embedded cohort shows."""

from __future__ import annotations

import re
from functools import lru_cache

from medembed.notes.vocabulary import load_vocabulary

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
"""Findings with a side."""

FINDINGS: tuple[str, ...] = (
    *SIDED_FINDINGS,
    "cardiomegaly",
    "edema",
    "emphysema",
    "fibrosis",
    "support device",
)
"""The core findings, sided ones first. A vocabulary has more."""

_OTHER_LABELS = {
    "pleural effusion": "effusion",
    "oedema": "edema",
    "pulmonary edema": "edema",
    "pulmonary oedema": "edema",
    "lung nodule": "nodule",
    "pulmonary nodule": "nodule",
    "lung mass": "mass",
    "pulmonary mass": "mass",
    "rib fracture": "fracture",
    "pulmonary fibrosis": "fibrosis",
    "support devices": "support device",
}


def canonical_label(text: str) -> str:
    """Map the label of a finding to the vocabulary's term.

    An unknown label is returned in lower case with single blanks: ``"infiltration"`` is not a
    synonym of any finding.

    Examples
    --------
    >>> canonical_label("Pleural_Effusion"), canonical_label("Oedema"), canonical_label("Viral")
    ('effusion', 'edema', 'viral')
    """
    plain = re.sub(r"[\s_]+", " ", text).strip().lower()
    if plain in FINDINGS or not plain:
        return plain
    return _OTHER_LABELS.get(plain) or _aliases().get(plain, plain)


@lru_cache(maxsize=1)
def _aliases() -> dict[str, str]:
    findings = load_vocabulary("en").findings
    named = {" ".join(a.lower().split()): e.label for e in findings.values() for a in e.aliases}
    return {alias: label for alias, label in named.items() if alias not in findings}
