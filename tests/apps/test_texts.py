"""The catalog of the page's texts: complete for every state, right for one and for many."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import apps.case_lookup
from apps.case_lookup.rendering import Preset
from apps.case_lookup.texts import ENGLISH
from apps.review.exports import ExportKind
from apps.viewer import ViewerTexts
from medembed.explain import Relation
from medembed.index import SearchNoteKind
from medembed.lookup.messages import NoveltyReason
from medembed.lookup.score_worth import WorthReason
from medembed.reviews import Mark, ReadingState

ROOM = Path(apps.case_lookup.__file__).parent


def plain_texts(part: object) -> Iterator[tuple[str, str]]:
    """Every text without values, with its name."""
    assert is_dataclass(part)
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, ViewerTexts):
            continue  # shown by the viewer: tests/apps/test_viewer.py
        if is_dataclass(value):
            yield from plain_texts(value)
        elif isinstance(value, str):
            yield field.name, value


def test_every_state_has_a_text() -> None:
    assert set(ENGLISH.viewer.windows) == set(Preset)
    assert set(ENGLISH.words.statuses) == {"present", "absent", "uncertain", "historical"}
    assert set(ENGLISH.words.sexes) == {"F", "M", "O"}
    assert set(ENGLISH.results.novelty_reasons) == set(NoveltyReason)
    assert set(ENGLISH.results.worth_reasons) == set(WorthReason)
    assert set(ENGLISH.results.notes) == set(SearchNoteKind)
    assert set(ENGLISH.results.relations) == set(Relation)
    assert set(ENGLISH.review.states) == set(ReadingState)
    assert set(ENGLISH.review.marks) == set(Mark)
    assert set(ENGLISH.review.export_kinds) == set(ExportKind)


@pytest.mark.parametrize(("n", "word"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_counts_agree_with_their_noun(n: int, word: str) -> None:
    assert ENGLISH.sidebar.library("mine", n).endswith(word)
    assert f"{word})" in ENGLISH.results.without("sex F", n)


def test_thousands_are_grouped_as_in_us_english() -> None:
    assert "12,345 cases" in ENGLISH.welcome.introduction(12345)


def test_no_text_is_empty_and_every_text_is_used() -> None:
    source = "\n".join(
        file.read_text(encoding="utf-8") for file in ROOM.glob("*.py") if file.name != "texts.py"
    )
    for name, text in plain_texts(ENGLISH):
        assert text.strip(), name
        assert f".{name}" in source, f"{name} is never shown"


@pytest.mark.parametrize(
    "file",
    [
        *("case_page.py", "results.py", "sidebar.py", "formatting.py"),
        *("review_case.py", "review_create.py", "review_overview.py", "review_page.py"),
    ],
)
def test_no_sentence_is_written_outside_the_catalog(file: str) -> None:
    """Two words or more in a string that is no docstring belong into texts.py."""
    tree = ast.parse((ROOM / file).read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and isinstance(node.body[0], ast.Expr)
    }
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
    assert strings
    sentences = [s for s in strings if len([w for w in s.split() if w.isalpha()]) > 1]
    assert sentences == []


def test_an_approximate_answer_says_what_share_it_finds_and_never_more() -> None:
    assert ENGLISH.results.approximate(0.997).endswith("finds about 99% of the closest cases")
    assert "may be missing" in ENGLISH.results.approximate(None)
