"""How the text of a query is read, encoded and remarked on: :class:`QueryTextReader`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.embeddings import unit_rows
from medembed.errors import QueryError
from medembed.index import SearchNote, SearchNoteKind
from medembed.library import library_vocabulary
from medembed.lookup.messages import Novelty
from medembed.lookup.note_words import NoteWords
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
    from medembed.lookup.gallery import Gallery
    from medembed.lookup.query import Query
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["QueryTextReader", "ReadText", "term_notes"]

Floats = npt.NDArray[np.float32]

_WORD = re.compile(r"[^\W\d_]{2,}")

DENIED_SHARE = 0.5
"""How far the vector of the affirmed words is moved away from that of the denied ones."""


@dataclass(frozen=True, eq=False)
class ReadText:
    """One text of a query, as it was read.

    Parameters
    ----------
    name : str
        Of the part: ``text``, ``text2``.
    note : Note
    terms : QueryTerms
    weight : float
        Of the part in the query.
    is_report : bool
        Whether it is as long as a report.
    """

    name: str
    note: Note
    terms: QueryTerms
    weight: float
    is_report: bool = False


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
        self._statements: dict[str, tuple[str, Statements]] = {}
        self._words: dict[str, tuple[str, NoteWords]] = {}
        self._lock = threading.Lock()

    def read(self, query: Query, literal: bool, ignore: Collection[str]) -> list[ReadText]:
        """Parse the texts of a query and read their terms.

        There are none in a report, and none if the text is to be taken literally.

        Raises
        ------
        QueryError
            If ``ignore`` names a term that no text has.
        """
        ignore = [ignore] if isinstance(ignore, str) else ignore
        parts = query.of_kind("text")
        if not parts and ignore:
            raise QueryError("the query has no text to ignore terms of", where="ignore")
        vocabulary = library_vocabulary(self._library)
        fewest = max(self._novelty.calibration.fewest_words, FEWEST_WORDS)
        found = []
        for part in parts:
            note = read_note(part.text, vocabulary)
            weight = query.weights[part.name]
            if literal:
                affirmed = QueryTerms(affirmed=note_text(note))
                found.append(ReadText(part.name, note, affirmed, weight))
                continue
            is_report = len(part.text.split()) >= fewest
            left_out = ignore
            if len(parts) > 1:  # a term need only be in one of the texts
                names = set(map(str, read_terms(note, vocabulary, is_report=is_report).terms))
                left_out = [name for name in ignore if name in names]
            terms = read_terms(note, vocabulary, left_out, is_report=is_report)
            found.append(ReadText(part.name, note, terms, weight, is_report))
        ignored = {str(term) for text in found for term in text.terms.ignored}
        if not literal and not ignored.issuperset(ignore):
            names = {str(term) for text in found for term in text.terms.terms}
            raise QueryError(
                "no text was read as what is to be ignored",
                where="ignore",
                hint=f"they were read as: {', '.join(sorted(names)) or 'nothing'}",
            )
        return found

    def encode(self, terms: QueryTerms) -> Floats:
        """Encode what the text affirms, away from what it denies; shape ``(d,)``."""
        model = self._model()
        if not terms.denied or not terms.affirmed:
            one: Floats = model.encode_notes([terms.affirmed or terms.denied])[0]
            return -one if terms.denied else one
        affirmed, denied = model.encode_notes([terms.affirmed, terms.denied])
        moved: Floats = unit_rows((affirmed - DENIED_SHARE * denied)[np.newaxis])[0]
        return moved

    def statements(self, gallery: Gallery) -> Statements:
        """Return what the cases of a gallery state, for its revision.

        A case that changes loses its vector, so the revision covers what it states.
        """
        with self._lock:
            kept = self._statements.get(gallery.against)
            if kept is None or kept[0] != gallery.revision:
                columns = Statements(self._library, gallery.index.case_ids)
                kept = self._statements[gallery.against] = gallery.revision, columns
            return kept[1]

    def words(self, gallery: Gallery) -> NoteWords:
        """Return the notes of a gallery's cases, to be matched with words, for its revision."""
        with self._lock:
            kept = self._words.get(gallery.against)
            if kept is None or kept[0] != gallery.revision:
                columns = NoteWords(self._library, gallery.index.case_ids)
                kept = self._words[gallery.against] = gallery.revision, columns
            return kept[1]

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
