"""How the text of a query is read, encoded and remarked on: :class:`QueryTextReader`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.embeddings import unit_rows
from medembed.index import LibraryIndex, SearchNote, SearchNoteKind
from medembed.library import library_vocabulary
from medembed.lookup.messages import Novelty
from medembed.lookup.novelty_check import NoveltyAnswer, NoveltyCheck
from medembed.lookup.query_remarks import unknown_words
from medembed.lookup.statements import Statements
from medembed.lookup.terms import QueryTerms, TermKind, read_terms
from medembed.lookup.word_novelty import FEWEST_WORDS
from medembed.model.report_text import note_text
from medembed.notes import Note, read_note, unknown_findings
from medembed.notes.unknown import SHORT

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["QueryTextReader", "term_notes"]

Floats = npt.NDArray[np.float32]

_WORD = re.compile(r"[^\W\d_]{2,}")

DENIED_SHARE = 0.5
"""How far the vector of the affirmed words is moved away from that of the denied ones."""


class QueryTextReader:
    """Reads the texts of queries to one library.

    Parameters
    ----------
    library : CaseLibrary
    model : callable
        Returns the model; called when a text has to be encoded.
    novelty : NoveltyCheck
    """

    def __init__(
        self, library: CaseLibrary, model: Callable[[], DualEncoder], novelty: NoveltyCheck
    ) -> None:
        self._library = library
        self._model = model
        self._novelty = novelty
        self._statements: tuple[str, Statements] | None = None
        self._lock = threading.Lock()

    def read(self, text: str, literal: bool, ignore: Collection[str]) -> tuple[Note, QueryTerms]:
        """Parse a text and read its terms; none if it is a report or to be taken literally."""
        ignore = [ignore] if isinstance(ignore, str) else ignore
        vocabulary = library_vocabulary(self._library)
        note = read_note(text, vocabulary)
        if literal:
            return note, QueryTerms(affirmed=note_text(note))
        fewest = max(self._novelty.calibration.fewest_words, FEWEST_WORDS)
        return note, read_terms(note, vocabulary, ignore, is_report=len(text.split()) >= fewest)

    def encode(self, terms: QueryTerms) -> Floats:
        """Encode what the text affirms, away from what it denies; shape ``(d,)``."""
        model = self._model()
        if not terms.denied or not terms.affirmed:
            one: Floats = model.encode_notes([terms.affirmed or terms.denied])[0]
            return -one if terms.denied else one
        affirmed, denied = model.encode_notes([terms.affirmed, terms.denied])
        moved: Floats = unit_rows((affirmed - DENIED_SHARE * denied)[np.newaxis])[0]
        return moved

    def statements(self, index: LibraryIndex) -> Statements:
        """Return what the cases of an index state, for its revision.

        A case that changes loses its vector, so the revision covers what it states.
        """
        with self._lock:
            if self._statements is None or self._statements[0] != index.revision:
                columns = Statements(self._library, index.index.case_ids)
                self._statements = index.revision, columns
            return self._statements[1]

    def is_out_of_depth(self, note: Note, terms: QueryTerms, novelty: NoveltyAnswer) -> bool:
        """Return whether the text names nothing known and is unlike the library's reports.

        That is: most of its words occur in none of them, or the novelty check says unlike.
        """
        if note.assertions or terms.terms or terms.ignored or self._has_only_known_words(note):
            return False
        if not self._library.n_notes():
            return False
        return novelty.state is Novelty.UNLIKE or not self._novelty.knows_words(note.text)

    def _has_only_known_words(self, note: Note) -> bool:
        """Whether a short text like "normal chest" has no word that the vocabulary lacks."""
        words = _WORD.findall(note.text)
        vocabulary = library_vocabulary(self._library)
        if not words or len(words) > SHORT or note.language != vocabulary.language:
            return False
        return not unknown_findings(note.text, vocabulary)

    def notes(self, note: Note, terms: QueryTerms, out_of_depth: bool) -> list[SearchNote]:
        """Return what a reader should know about the text."""
        found = []
        limit = self._model().max_length
        if terms.affirmed and self._model().tokens([terms.affirmed])[0].shape[1] >= limit:
            found.append(SearchNote(SearchNoteKind.TEXT_CUT, (limit,)))
        if out_of_depth:
            return [*found, SearchNote(SearchNoteKind.OUT_OF_DEPTH)]
        return found + unknown_words(self._library, note.text)


def term_notes(terms: QueryTerms, statements: Statements) -> list[SearchNote]:
    """Return how the text was read, and where the library cannot follow."""
    notes = [SearchNote(SearchNoteKind.READ_AS, names=tuple(map(str, terms.terms)))]
    missing = tuple(
        str(term)
        for term in terms.terms
        if term.kind in (TermKind.MODALITY, TermKind.VIEW) and not statements.has_any(term)
    )
    if missing:
        notes.append(SearchNote(SearchNoteKind.NO_SUCH_CASE, names=missing))
    if statements.n_silent and any(term.kind is TermKind.FINDING for term in terms.terms):
        notes.append(SearchNote(SearchNoteKind.NO_REPORT, (statements.n_silent,)))
    return notes
