"""A library whose vectors are known, and a model that says what it was told to say."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from support.example_cases import make_case

from medembed.cases import Finding
from medembed.embeddings import unit_rows
from medembed.library import CaseLibrary
from medembed.notes import read_note
from medembed.scans import Scan

FINGERPRINT = "a" * 64
DIM = 8


def vector(seed: int) -> np.ndarray:
    """Unit vector ``(8,)`` drawn by ``seed``."""
    return unit_rows(np.random.default_rng(seed).normal(size=(1, DIM)))[0]


class Oracle:
    """Stands in for a DualEncoder: a text is a number, a scan's mean is one, drawn as above."""

    def __init__(self, fingerprint: str = FINGERPRINT) -> None:
        self.fingerprint = fingerprint
        self.max_length = 16
        self.texts: list[str] = []

    def encode_notes(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        return np.stack([vector(sum(map(ord, text)) % 1000) for text in texts])

    def encode_scans(self, scans: list[Scan]) -> np.ndarray:
        return np.stack([vector(round(float(scan.pixels.mean()))) for scan in scans])

    def tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        width = min(self.max_length, max(len(text.split()) for text in texts))
        return np.zeros((len(texts), width), int), np.ones((len(texts), width), int)


def fill(library: CaseLibrary, n: int = 40, **changes: Any) -> None:
    """Add ``n`` cases of ``n / 2`` patients; the image vector of case i is ``vector(i)``."""
    texts = {
        0: "FINDINGS: Large right pleural effusion.\nIMPRESSION: Right effusion.",
        1: "IMPRESSION: No pleural effusion. Cardiomegaly.",
    }
    findings = {
        0: (Finding("effusion", "right"),),
        1: (Finding("cardiomegaly"),),
        2: (Finding("effusion", "left"),),
    }
    library.add(
        make_case(
            i,
            note=read_note(texts.get(i, f"IMPRESSION: Normal study number {i}.")),
            findings=findings.get(i, ()),
            study_date=None if i == 3 else date(2020, 1, 1 + i % 28),
            age_years=None if i == 3 else float(20 + i % 70),
            **changes,
        )
        for i in range(n)
    )
    names = [f"case-{i}" for i in range(n)]
    library.put_vectors(FINGERPRINT, "image", names, np.stack([vector(i) for i in range(n)]))
    library.put_vectors(FINGERPRINT, "note", names, np.stack([vector(500 + i) for i in range(n)]))
