"""The noun :class:`QueryTerms`: what the words of a query ask for, deny, or name as an attribute."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from medembed.errors import QueryError
from medembed.notes import Side, Status, Vocabulary, read_note
from medembed.notes.affirmed import split_denied
from medembed.notes.attribute_words import attribute_words
from medembed.notes.degrees import Degree, degree_of

__all__ = ["QueryTerms", "Term", "TermKind", "read_terms"]

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
        The text for the model: without denials, if it is shorter than a report.
    denied : str
        The words of the denials that were left out of it.
    """

    terms: tuple[Term, ...] = ()
    ignored: tuple[Term, ...] = ()
    affirmed: str = ""
    denied: str = ""


def read_terms(
    text: str, vocabulary: Vocabulary, ignore: Collection[str] = (), *, is_report: bool
) -> QueryTerms:
    """Read a query text as the reports of a library are read.

    Parameters
    ----------
    text : str
    vocabulary : Vocabulary
        Of the library.
    ignore : collection of str
        Names of terms to leave out.
    is_report : bool
        Whether the text is as long as a report. A report goes to the model as it is, denials
        included, as in training; and a report mentions other studies and views, so its words
        name no attribute.

    Raises
    ------
    QueryError
        If ``ignore`` names no term of the text.
    """
    read = read_note(text, vocabulary)
    found = [
        Term(TermKind.FINDING, a.label, a.status, a.side, degree_of(text, a))
        for a in read.assertions
        if not a.historical
    ]
    if not is_report:
        found += [
            Term(TermKind(w.kind), w.value, codes=w.codes, years=w.years)
            for w in attribute_words(text)
        ]
    terms = tuple(dict.fromkeys(found))
    names = {str(term) for term in terms}
    unknown = sorted(set(ignore) - names)
    if unknown:
        raise QueryError(
            "the text was not read as what is to be ignored",
            where="ignore",
            hint=f"it was read as: {', '.join(sorted(names)) or 'nothing'}",
        )
    kept = tuple(term for term in terms if str(term) not in ignore)
    if is_report:
        return QueryTerms(kept, tuple(t for t in terms if t not in kept), text)
    split = split_denied(text, vocabulary)
    return QueryTerms(
        kept, tuple(t for t in terms if t not in kept), split.affirmed, ", ".join(split.denied)
    )
