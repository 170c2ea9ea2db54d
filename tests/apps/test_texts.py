"""The catalog of the page's texts: complete in both languages, right for one and for many."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest

import apps.case_lookup
from apps.case_lookup.rendering import Preset
from apps.case_lookup.texts import (
    CATALOG,
    ENGLISH,
    GERMAN,
    TEXTS,
    Language,
    Texts,
    current_language,
    language_of,
    speaking,
)
from apps.case_lookup.texts.faults import GERMAN_SCAN_REASONS
from apps.case_lookup.texts.finding_names import GERMAN_FINDINGS
from apps.review.exports import ExportKind
from medembed.cases import Finding
from medembed.errors import InternalError, LibraryError, ModelError, ScanError, ScanReason
from medembed.explain import Relation
from medembed.index import SearchNote, SearchNoteKind
from medembed.lookup.messages import NoveltyReason
from medembed.lookup.score_worth import WorthReason
from medembed.lookup.terms import Term, TermKind
from medembed.notes.vocabulary import load_vocabulary
from medembed.reviews import Mark, ReadingState

ROOM = Path(apps.case_lookup.__file__).parent
# the same word in both languages; `part.field` or `part.field.key`
SAME = {
    "case.patient",
    "results.term",
    "results.worth_reasons.",
    "results.relations.shared",
    "query.removable",
    "review.pause",
    "review.export_kinds.pdf",
    "review.export_kinds.csv",
    "review.export_kinds.sr",
    "viewer.windows.mediastinum",
    "viewer.zoom",
    "viewer.slice_",
    "viewer.millimeters",
    "viewer.pixels",
    "viewer.degrees",
    "viewer.mean",
    "viewer.planes_names.stack",
    "viewer.planes_names.axial",
    "viewer.planes_names.sagittal",
}
EMPTY = {"results.worth_reasons.", "viewer.planes_names.stack"}  # nothing is said
NOTE_NAMES = ("first", "second")


def texts_of(part: object, where: str = "") -> Iterator[tuple[str, Any]]:
    """List every text of the catalog with its name: strings, functions, and those in mappings."""
    assert is_dataclass(part)
    for field in fields(part):
        name, value = f"{where}{field.name}", getattr(part, field.name)
        if field.name == "numbers":
            continue
        if is_dataclass(value):
            yield from texts_of(value, f"{name}.")
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{key}", text) for key, text in value.items())
        elif isinstance(value, tuple):
            yield from ((f"{name}.{position}", text) for position, text in enumerate(value))
        else:
            yield name, value


# complete ----------------------------------------------------------------------------------


def test_both_languages_have_the_same_texts() -> None:
    assert [name for name, _ in texts_of(GERMAN)] == [name for name, _ in texts_of(ENGLISH)]
    assert set(CATALOG) == set(Language)


def test_every_text_is_in_german() -> None:
    """A text that German lacks is shown in English; here is what has to be translated."""
    english = dict(texts_of(ENGLISH))
    missing = [
        name
        for name, text in texts_of(GERMAN)
        if name not in SAME
        and not name.startswith("page.key_names")
        and (text is english[name] or text == english[name])
    ]
    assert missing == []


def test_what_is_said_to_be_the_same_is_the_same() -> None:
    english, german = dict(texts_of(ENGLISH)), dict(texts_of(GERMAN))
    assert set(english) >= SAME
    for name in SAME:
        one, other = english[name], german[name]
        assert one == other or said_by_relation(one) == said_by_relation(other), name


def said_by_relation(text: Any) -> str:
    if not callable(text):
        return str(text)
    return str(text(*("pneumothorax", "left")[: len(inspect.signature(text).parameters)]))


def test_a_text_takes_the_same_values_in_both_languages() -> None:
    english = dict(texts_of(ENGLISH))
    for name, text in texts_of(GERMAN):
        assert callable(text) == callable(english[name]), name
        if all(inspect.isfunction(one) for one in (text, english[name])):
            one, other = (inspect.signature(t).parameters for t in (text, english[name]))
            assert len(one) == len(other), name


def test_a_text_without_german_is_shown_in_english() -> None:
    from dataclasses import dataclass, replace

    @dataclass(frozen=True)
    class NewTexts:
        told: str
        not_yet: str

    new = NewTexts(told="Yes", not_yet="Shown in English")
    german = replace(new, told="Ja")
    assert (german.told, german.not_yet) == ("Ja", "Shown in English")


def test_every_state_has_a_text() -> None:
    for texts in CATALOG.values():
        assert set(texts.viewer.windows) == set(Preset)
        assert set(texts.words.statuses) == {"present", "absent", "uncertain", "historical"}
        assert set(texts.words.sexes) == {"F", "M", "O"}
        assert set(texts.words.sides) == {"left", "right", "bilateral"}
        assert set(texts.results.novelty_reasons) == set(NoveltyReason)
        assert set(texts.results.worth_reasons) == set(WorthReason)
        assert set(texts.results.notes) == set(SearchNoteKind)
        assert set(texts.results.relations) == set(Relation)
        assert set(texts.review.states) == set(ReadingState)
        assert set(texts.review.marks) == set(Mark)
        assert set(texts.review.export_kinds) == set(ExportKind)
        assert len(texts.page.key_names) == len(texts.page.key_effects)
    assert set(GERMAN_SCAN_REASONS) == set(get_args(ScanReason))


def test_every_finding_of_the_vocabulary_has_a_german_name() -> None:
    labels = {label for name in ("en", "de") for label in load_vocabulary(name).findings}
    assert labels - set(GERMAN_FINDINGS) == set()
    assert len(labels) > 200


def test_no_text_is_empty_and_every_text_is_used() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in ROOM.glob("*.py"))
    for texts in CATALOG.values():
        for name, text in texts_of(texts):
            if isinstance(text, str) and name not in EMPTY:
                assert text.strip(), name
    for name, _ in texts_of(ENGLISH):
        part, field = name.split(".")[:2]
        if part == "viewer":
            continue  # shown by the viewer: tests/apps/test_viewer.py
        assert f".{field}" in source, f"{name} is never shown"


# right in each language --------------------------------------------------------------------


@pytest.mark.parametrize(("n", "word"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_counts_agree_with_their_noun(n: int, word: str) -> None:
    assert ENGLISH.sidebar.library("mine", n).endswith(word)
    assert f"{word})" in ENGLISH.results.without("sex F", n)


@pytest.mark.parametrize(("n", "word"), [(0, "0 Fälle"), (1, "1 Fall"), (1234, "1.234 Fälle")])
def test_german_counts_agree_with_their_noun(n: int, word: str) -> None:
    assert GERMAN.sidebar.library("meine", n).endswith(word)
    assert f"({word})" in GERMAN.welcome.introduction(n)
    assert GERMAN.results.without("Geschlecht w", n) == f"Ohne „Geschlecht w“ ({word})"


def test_thousands_are_grouped_as_each_language_does() -> None:
    assert "12,345 cases" in ENGLISH.welcome.introduction(12345)
    assert "12.345 Fälle" in GERMAN.welcome.introduction(12345)


@pytest.mark.parametrize("kind", list(SearchNoteKind))
def test_a_german_note_says_what_the_english_one_says(kind: SearchNoteKind) -> None:
    """The same numbers and names, in German words; and it is right for one."""
    numbers = (2, 3) if kind in TWO_NUMBERS else (2,) if kind in ONE_NUMBER else ()
    note = SearchNote(kind, numbers, NOTE_NAMES if not numbers else ())
    english, german = ENGLISH.results.notes[kind](note), GERMAN.results.notes[kind](note)
    assert german != english
    for number in numbers:
        assert (str(number) in german) == (str(number) in english), german
    for name in note.names:
        assert (name in german) == (name in english), german
    one = SearchNote(kind, tuple(1 for _ in numbers), NOTE_NAMES[:1] if not numbers else ())
    assert not re.search(
        r"\b1 (Fälle|Vektoren|Bilder|Patienten|hits|cases|vectors)\b",
        GERMAN.results.notes[kind](one),
    )


TWO_NUMBERS = {
    SearchNoteKind.INDEX_UPDATED,
    SearchNoteKind.SERVER_UPDATED,
    SearchNoteKind.OWN_PATIENT,
    SearchNoteKind.MARKED_PATIENTS,
    SearchNoteKind.RERANKED,
    SearchNoteKind.FEWER_HITS,
    SearchNoteKind.FEWER_PATIENTS,
}
ONE_NUMBER = {
    SearchNoteKind.INDEX_BUILT,
    SearchNoteKind.INDEX_REBUILT,
    SearchNoteKind.INDEX_REPLACED,
    SearchNoteKind.TEXT_CUT,
    SearchNoteKind.NO_REPORT,
    SearchNoteKind.DUPLICATES,
    SearchNoteKind.DIVERSIFIED,
}


def test_numbers_and_dates_are_written_as_each_language_does() -> None:
    assert (ENGLISH.results.score(0.925), GERMAN.results.score(0.925)) == ("0.93", "0,93")
    assert ENGLISH.results.score(-0.001) == "0.00"
    assert GERMAN.results.seconds(1.5) == "1,50 s"
    day = date(2020, 3, 9)
    assert (ENGLISH.words.day(day), GERMAN.words.day(day)) == ("2020-03-09", "09.03.2020")
    assert "0,50" in GERMAN.results.part_scores({"text": 0.5})
    assert "Höher als 99,5\u00a0% der" in GERMAN.results.percentile(99.5)
    assert "Higher than 99.5% of" in ENGLISH.results.percentile(99.5)
    assert "5,2\u00a0%" in GERMAN.results.novel_detail(0.052)


def test_the_side_stands_behind_a_german_finding() -> None:
    assert ENGLISH.words.finding("effusion", "right") == "right effusion"
    assert GERMAN.words.finding("effusion", "right") == "Pleuraerguss rechts"
    assert GERMAN.words.finding("edema", "") == "Lungenödem"
    assert GERMAN.words.finding("house finding", "left") == "house finding links"


@pytest.mark.parametrize(
    ("term", "english", "german"),
    [
        (
            Term(TermKind.FINDING, "effusion", side="right"),
            "effusion, right",
            "Pleuraerguss rechts",
        ),
        (Term(TermKind.FINDING, "edema", "absent"), "no edema", "ohne Lungenödem"),
        (Term(TermKind.FINDING, "nodule", "uncertain"), "possible nodule", "V. a. Rundherd"),
        (
            Term(TermKind.FINDING, "effusion", side="left", degree="mild"),
            "mild effusion, left",
            "Pleuraerguss links, gering",
        ),
        (Term(TermKind.SEX, "F"), "sex F", "Geschlecht w"),
        (Term(TermKind.AGE, "60", years=(60, 60)), "age about 60", "Alter etwa 60"),
        (Term(TermKind.BODY_PART, "chest"), "body part chest", "Region chest"),
    ],
)
def test_what_a_text_was_read_as_is_said_in_each_language(
    term: Term, english: str, german: str
) -> None:
    assert ENGLISH.words.terms(term) == english
    assert GERMAN.words.terms(term) == german
    assert ENGLISH.words.term_name(str(term)) == english
    assert GERMAN.words.term_name(str(term)) == german, "also once it was left out"


def test_an_error_is_said_by_its_kind_in_german() -> None:
    cut = ScanError("the file is cut off", where="/archive/DOE^JANE.dcm", reason="truncated")
    assert GERMAN.faults.error(cut) == "die Datei ist abgeschnitten"
    assert ENGLISH.faults.error(cut) == "the file is cut off"
    missing = ModelError("no model 'x'", hint="train one")
    assert GERMAN.faults.error(missing) == (
        "Das Modell fehlt oder lässt sich nicht laden (no model 'x'; train one)"
    )
    assert GERMAN.faults.error(LibraryError("x")).startswith("Die Sammlung lässt sich nicht")
    assert GERMAN.faults.error(InternalError("x")) == "Interner Fehler (x)"


def test_no_german_word_is_left_from_the_english_catalog() -> None:
    """Words that a translation forgets, in what is shown without values."""
    english = re.compile(
        r"\b(the|this|case|cases|of|with|query|search|report|image|library|and|not|results)\b"
    )
    found = [
        (name, text)
        for name, text in texts_of(GERMAN)
        if isinstance(text, str) and english.search(re.sub(r"{\w+}", "", text))
    ]
    assert found == []


def test_an_approximate_answer_says_what_share_it_finds_and_never_more() -> None:
    assert ENGLISH.results.approximate(0.997).endswith("finds about 99% of the closest cases")
    assert "may be missing" in ENGLISH.results.approximate(None)
    assert "etwa 99\u00a0% der" in GERMAN.results.approximate(0.997)
    assert "kann fehlen" in GERMAN.results.approximate(None)


# which language ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de", Language.GERMAN),
        ("de-DE", Language.GERMAN),
        ("DE-at", Language.GERMAN),
        ("en-US", Language.ENGLISH),
        ("fr-FR", None),
        ("deu", None),
        ("", None),
        (None, None),
    ],
)
def test_a_locale_names_a_language_of_the_catalog_or_none(
    locale: str | None, language: Language | None
) -> None:
    assert language_of(locale) is language


def test_texts_follow_the_language_at_each_use() -> None:
    assert current_language() is Language.ENGLISH
    assert TEXTS.sidebar.search == "Search"
    with speaking(Language.GERMAN):
        assert TEXTS.sidebar.search == "Suchen"
        with speaking(Language.ENGLISH):
            assert TEXTS.sidebar.search == "Search"
    assert TEXTS.sidebar.search == "Search"


def test_every_part_can_be_reached_through_the_catalog() -> None:
    for field in fields(Texts):
        assert getattr(TEXTS, field.name) is getattr(ENGLISH, field.name)
    with pytest.raises(AttributeError):
        _ = TEXTS.nothing  # type: ignore[attr-defined]


def test_a_finding_has_the_label_of_the_library_in_both() -> None:
    from apps.case_lookup.formatting import finding_text

    finding = Finding("effusion", "left")
    assert finding_text(finding) == "left effusion"
    with speaking(Language.GERMAN):
        assert finding_text(finding) == "Pleuraerguss links"


# only here ---------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(ROOM.glob("*.py")), ids=lambda file: file.name)
def test_no_sentence_is_written_outside_the_catalog(file: Path) -> None:
    """Two words or more in a string that is no docstring belong into the catalog."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    docs |= {  # a type
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cast"
    }
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
    sentences = [s for s in strings if len([w for w in s.split() if w.isalpha()]) > 1]
    if file.name not in SPEAKS_ELSEWHERE:
        assert set(sentences) <= SILENT


SILENT = {"not in", "no rib"}  # an operator, and a note that is read and never shown
# what these say is for a log, a terminal or a program, or documents an attribute
SPEAKS_ELSEWHERE = {"server.py", "middleware.py", "visits.py", "index_page.py", "faults.py"}
SPEAKS_ELSEWHERE |= {"dropped_series.py"}  # an error, which the catalog says by its reason
