"""Whether a text is out of the library's depth: about things that it knows nothing of.

Two things must hold. The text names no finding and no attribute; and it is unlike the reports: most
of its words occur in none of them, or its vector is further from all of them than all but 1% of the
library's own sentences are from the reports of other patients.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings
from medembed.explain import content_words
from medembed.library.statements import words_in_reports
from medembed.model.report_text import sentences

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["DepthCheck"]

Floats = npt.NDArray[np.float32]

QUANTILE = 0.01
MOST_SENTENCES = 300
FEWEST_SENTENCES = 100
MOST_NOTES = 20_000


class DepthCheck:
    """The check for one revision of a library's note vectors; calibrated on first use.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
    seed : int
        Of the samples of at most 20,000 notes and 300 sentences.
    """

    def __init__(self, library: CaseLibrary, model: DualEncoder, seed: int = 0) -> None:
        self._library = library
        self._model = model
        self._seed = seed
        self._lock = threading.Lock()
        self._calibrated: tuple[Floats, float | None] | None = None

    def is_out(self, text: str, vector: Floats) -> bool:
        """Return whether a text that names nothing known is unlike the library's reports.

        Parameters
        ----------
        text : str
        vector : float32 array, shape ``(d,)``, of norm 1
            The text's vector.
        """
        if not self._has_note_vectors():
            return False
        words = content_words(text) or tuple(re.findall(r"\w+", text.casefold()))
        found = words_in_reports(self._library, words)
        if not words or 2 * len(found) < len(words):
            return True
        notes, threshold = self._notes()
        return threshold is not None and float((notes @ vector).max()) < threshold

    def _has_note_vectors(self) -> bool:
        return any(
            space.kind == "note" and space.n_vectors
            for space in self._library.embedding_sets()
            if space.fingerprint == self._model.fingerprint
        )

    def _notes(self) -> tuple[Floats, float | None]:
        with self._lock:
            if self._calibrated is None:
                self._calibrated = self._calibrate()
            return self._calibrated

    def _calibrate(self) -> tuple[Floats, float | None]:
        notes = Embeddings.from_library(self._library, self._model.fingerprint, "note")
        draw = np.random.default_rng(self._seed)
        rows = draw.permutation(len(notes.case_ids))[:MOST_NOTES]
        vectors: Floats = notes.vectors[rows]
        ids = [notes.case_ids[row] for row in rows]
        texts: list[str] = []
        owners: list[str] = []
        for case in self._library.select(ids[:MOST_SENTENCES]):
            spans = list(sentences(case.note)) if case.note else []
            if case.note and spans:
                start, end = spans[draw.integers(len(spans))]
                texts.append(case.note.text[start:end])
                owners.append(case.patient_id)
        if len(texts) < FEWEST_SENTENCES:
            return vectors, None
        patient_of = self._library.patients()
        patients = np.array([patient_of.get(name, "") for name in ids])
        best = []
        for owner, own in zip(owners, self._model.encode_notes(texts), strict=True):
            others = (vectors @ own)[patients != owner]
            if others.size:
                best.append(float(others.max()))
        if len(best) < FEWEST_SENTENCES:
            return vectors, None
        return vectors, float(np.quantile(best, QUANTILE, method="lower"))
