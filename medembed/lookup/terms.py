"""The noun :class:`QueryTerms`: what the words of a query ask for, deny or name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from medembed.errors import QueryError
from medembed.explain import is_content_word
from medembed.library.note_words import query_words
from medembed.model.report_text import note_text
from medembed.notes import Note, Side, Status, Vocabulary
from medembed.notes.affirmed import split_denied
from medembed.notes.attribute_words import attribute_words
from medembed.notes.degrees import Degree, degree_of
from medembed.notes.patterns import tokens_of

__all__ = ["QueryTerms", "Term", "TermKind", "all_terms", "read_terms"]

_SIDES = frozenset(("left", "right", "bilateral", "bilaterally", "both", "sided"))

_STATUS: dict[Status, str] = {"present": "", "absent": "no ", "uncertain": "possible "}


class TermKind(StrEnum):
    """What a :class:`Term` is about."""

    FINDING = "finding"
    MODALITY = "modality"
    VIEW = "view"
    BODY_PART = "body part"
    SEX = "sex"
    AGE = "age"


@dataclass(frozen=True)
class Term:
    """One thing that a query text states. ``str`` names it: ``no effusion:left``, ``sex F``.

    Parameters
    ----------
    kind : TermKind
    value : str
        Label of the finding, or value of the attribute.
    status : {"present", "absent", "uncertain"}
    side : {"left", "right", "bilateral", ""}
    degree : {"mild", "moderate", "severe", ""}
    codes : tuple of str
        Values of a case that meet an attribute.
    years : (float, float) or None
        Ages that meet it.
    """

    kind: TermKind
    value: str
    status: Status = "present"
    side: Side = ""
    degree: Degree = ""
    codes: tuple[str, ...] = ()
    years: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.kind is TermKind.FINDING:
            side = f":{self.side}" if self.side else ""
            degree = f"{self.degree} " if self.degree else ""
            return f"{_STATUS[self.status]}{degree}{self.value}{side}"
        about = "about " if self.years and self.years[0] == self.years[1] else ""
        return f"{self.kind} {about}{self.value}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data; ``"name"`` is what ``ignore`` takes."""
        data: dict[str, Any] = {"name": str(self), "kind": self.kind, "value": self.value}
        if self.kind is TermKind.FINDING:
            data |= {"status": self.status, "side": self.side or None}
            data |= {"degree": self.degree or None}
        return data


@dataclass(frozen=True)
class QueryTerms:
    """How a query text was read.

    Parameters
    ----------
    terms : tuple of Term
        That count.
    ignored : tuple of Term
        That were read and left out on request.
    affirmed : str
        What the model reads; empty if the text only denies.
    denied : str
        The denied findings in the words of the text.
    words : tuple of str
        Of what it affirms, without function words. They are looked up in notes if any of
        :attr:`unread` tells notes apart.
    unread : tuple of str
        Those of the words that no term was read from.
    sided : tuple of (Term, tuple of str)
        Each finding with a side, and those of the words that say nothing of a case that has it on
        the other side only: its name, its side, and places ("lobe", "rib").
    """

    terms: tuple[Term, ...] = ()
    ignored: tuple[Term, ...] = ()
    affirmed: str = ""
    denied: str = ""
    words: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    sided: tuple[tuple[Term, tuple[str, ...]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "terms": [term.to_json() for term in self.terms],
            "ignored": [str(term) for term in self.ignored],
            "affirmed": self.affirmed,
            "denied": self.denied,
        }


def all_terms(texts: Sequence[QueryTerms]) -> QueryTerms:
    """Collect what several texts ask for, deny and name."""
    if len(texts) == 1:
        return texts[0]
    return QueryTerms(
        tuple(dict.fromkeys(term for text in texts for term in text.terms)),
        tuple(dict.fromkeys(term for text in texts for term in text.ignored)),
        "; ".join(text.affirmed for text in texts if text.affirmed),
        ", ".join(text.denied for text in texts if text.denied),
    )


def read_terms(
    note: Note, vocabulary: Vocabulary, ignore: Collection[str] = (), *, is_report: bool = False
) -> QueryTerms:
    """Read a query text as the reports of a library are read.

    Parameters
    ----------
    note : Note
        The text, parsed with the library's vocabulary.
    vocabulary : Vocabulary
    ignore : collection of str
        Names of terms to leave out.
    is_report : bool
        Whether the text is as long as a report. A report has no terms: the model reads it as it
        is, denials included, as in training.

    Raises
    ------
    QueryError
        If ``ignore`` names no term of the text.
    """
    found = [] if is_report else list(_terms(note))
    terms = tuple(dict.fromkeys(term for term, _ in found))
    names = {str(term) for term in terms}
    if not names.issuperset(ignore):
        raise QueryError(
            "the text was not read as what is to be ignored",
            where="ignore",
            hint=f"it was read as: {', '.join(sorted(names)) or 'nothing'}",
        )
    kept = tuple(term for term in terms if str(term) not in ignore)
    left_out = tuple(term for term in terms if str(term) in ignore)
    if is_report:
        return QueryTerms(affirmed=note_text(note))
    split = split_denied(note, vocabulary)
    dropped = {term.value for term in left_out if term.status == "absent"}
    denied = [words for label, words in split.denied if label not in dropped]
    affirmed = split.affirmed if split.denied else note_text(note)
    if not affirmed and not denied:  # every denial was left out, and nothing else is there
        affirmed = note_text(note)
    words = tuple(word for word in query_words(affirmed) if not _is_function(word, vocabulary))
    read = {word for _, text in found for word in query_words(text)}
    if any(one.side for one in note.assertions):
        read |= _SIDES
    unread = tuple(word for word in words if word not in read and is_content_word(word))
    beside = _SIDES.union(word for word in unread if _is_place(word, vocabulary))
    sided = tuple(
        (term, tuple(word for word in words if word in beside or word in query_words(text)))
        for term, text in found
        if term.side and term in kept
    )
    return QueryTerms(kept, left_out, affirmed, ", ".join(denied), words, unread, sided)


def _is_function(word: str, vocabulary: Vocabulary) -> bool:
    """Whether both lists have it: one has "consistent", the other "patient"."""
    return word in vocabulary.function and not is_content_word(word)


def _is_place(word: str, vocabulary: Vocabulary) -> bool:
    """Whether a word says nothing without a finding: "lobe", "rib", "apical"."""
    tokens = tokens_of(word)
    return bool(tokens) and vocabulary.plain.longest(tokens, 0, len(tokens)) is not None


def _terms(note: Note) -> Iterator[tuple[Term, str]]:
    """Yield each term and its words."""
    for one in note.assertions:
        if not one.historical:
            degree = degree_of(note.text, one) if one.status != "absent" else ""
            term = Term(TermKind.FINDING, one.label, one.status, one.side, degree)
            yield term, note.text[one.start : one.end]
    text = note.text
    for one in note.assertions:
        if one.status == "absent":  # "without chest tube" does not ask for a chest
            text = text[: one.start] + "x" * (one.end - one.start) + text[one.end :]
    for words in attribute_words(text):
        term = Term(TermKind(words.kind), words.value, codes=words.codes, years=words.years)
        yield term, words.words
