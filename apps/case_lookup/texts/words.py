"""Words for the values of a case, for conditions, and for what a query text was read as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from apps.case_lookup.texts.finding_names import GERMAN_FINDINGS

if TYPE_CHECKING:
    from medembed.lookup.terms import Term

__all__ = ["ENGLISH", "GERMAN", "WordTexts"]


@dataclass(frozen=True)
class WordTexts:
    """Words for the values of a case and for conditions."""

    years: Callable[[int], str]
    unknown_age: str
    unknown_sex: str
    unknown_age_and_sex: str
    sexes: Mapping[str, str]
    sides: Mapping[str, str]
    unknown_modality: str
    day: Callable[[date], str]
    no_date: str
    no_finding: str
    finding: Callable[[str, str], str]  # label, side ("" without)
    statuses: Mapping[str, str]
    terms: Callable[[Term], str]
    term_name: Callable[[str], str]  # by which a term is left out
    fields: Mapping[str, str]  # of conditions
    one_of: Callable[[Sequence[str]], str]
    at_least_age: Callable[[float], str]
    at_most_age: Callable[[float], str]
    from_date: Callable[[str], str]  # a day, as written by ``day``
    until_date: Callable[[str], str]


ENGLISH = WordTexts(
    years=lambda age: f"{age} y",
    unknown_age="age unknown",
    unknown_sex="sex unknown",
    unknown_age_and_sex="age and sex unknown",
    sexes={"F": "F", "M": "M", "O": "other"},
    sides={"left": "left", "right": "right", "bilateral": "bilateral"},
    unknown_modality="modality unknown",
    day=date.isoformat,
    no_date="no date",
    no_finding="No finding recorded",
    finding=lambda label, side: f"{side} {label}".strip(),
    statuses={
        "present": "present",
        "absent": "absent",
        "uncertain": "uncertain",
        "historical": "previous",
    },
    terms=lambda term: str(term).replace(":", ", "),
    term_name=lambda name: name.replace(":", ", "),
    fields={
        "modality": "modality",
        "view": "view",
        "sex": "sex",
        "site": "site",
    },
    one_of=" or ".join,
    at_least_age=lambda age: f"age ≥ {age:.0f}",
    at_most_age=lambda age: f"age ≤ {age:.0f}",
    from_date=lambda day: f"from {day}",
    until_date=lambda day: f"through {day}",
)

_SIDES = {"left": "links", "right": "rechts", "bilateral": "beidseits"}
_SEXES = {"F": "w", "M": "m", "O": "divers"}
_DEGREES = {"mild": "gering", "moderate": "mäßig", "severe": "ausgeprägt"}
_STATUSES = {"present": "", "absent": "ohne ", "uncertain": "V. a. "}
_BEFORE = {"no ": "ohne ", "possible ": "V. a. "}
_KINDS = {
    "modality": "Modalität",
    "view": "Projektion",
    "body part": "Region",
    "sex": "Geschlecht",
    "age": "Alter",
}


def _finding(label: str, side: str) -> str:
    """Put the side behind the finding, as a report does: an adjective would have to agree."""
    return f"{GERMAN_FINDINGS.get(label, label)} {_SIDES.get(side, side)}".strip()


def _term(term: Term) -> str:
    if term.kind == "finding":
        named = f"{_STATUSES[term.status]}{_finding(term.value, term.side)}"
        return f"{named}, {_DEGREES[term.degree]}" if term.degree else named
    about = "etwa " if term.years and term.years[0] == term.years[1] else ""
    value = _SEXES.get(term.value, term.value) if term.kind == "sex" else term.value
    return f"{_KINDS[term.kind]} {about}{value}"


def _term_name(name: str) -> str:
    """Name a term that was left out: of it, only the English name is kept."""
    kind = next((kind for kind in _KINDS if name.startswith(f"{kind} ")), None)
    if kind is not None:
        value = name.removeprefix(f"{kind} ")
        value = _SEXES.get(value, value) if kind == "sex" else value
        return f"{_KINDS[kind]} {value.replace('about ', 'etwa ')}"
    label, _, side = name.partition(":")
    before = next((word for word in _BEFORE if label.startswith(word)), "")
    label = label.removeprefix(before)
    degree = next((word for word in _DEGREES if label.startswith(f"{word} ")), "")
    named = f"{_BEFORE.get(before, '')}{_finding(label.removeprefix(degree).strip(), side)}"
    return f"{named}, {_DEGREES[degree]}" if degree else named


GERMAN = replace(
    ENGLISH,
    years=lambda age: f"{age} J.",
    unknown_age="Alter unbekannt",
    unknown_sex="Geschlecht unbekannt",
    unknown_age_and_sex="Alter und Geschlecht unbekannt",
    sexes=_SEXES,
    sides=_SIDES,
    unknown_modality="Modalität unbekannt",
    day=lambda day: f"{day:%d.%m.%Y}",
    no_date="ohne Datum",
    no_finding="Kein Befund erfasst",
    finding=_finding,
    statuses={
        "present": "vorhanden",
        "absent": "kein Nachweis",
        "uncertain": "fraglich",
        "historical": "früher",
    },
    terms=_term,
    term_name=_term_name,
    fields={
        "modality": "Modalität",
        "view": "Projektion",
        "sex": "Geschlecht",
        "site": "Standort",
    },
    one_of=" oder ".join,
    at_least_age=lambda age: f"Alter ≥ {age:.0f}",
    at_most_age=lambda age: f"Alter ≤ {age:.0f}",
    from_date=lambda day: f"ab {day}",
    until_date=lambda day: f"bis {day}",
)
