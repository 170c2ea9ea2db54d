"""The degree of a finding is read from the words of its own clause."""

from __future__ import annotations

import pytest

from medembed.notes import load_vocabulary, read_note
from medembed.notes.degrees import degree_of


@pytest.mark.parametrize(
    ("text", "language", "degrees"),
    [
        ("Small left effusion.", "en", ["mild"]),
        ("Large effusion and mild cardiomegaly.", "en", ["severe", "mild"]),
        ("small left effusion without cardiomegaly", "en", ["mild", ""]),
        ("Cardiomegaly, marked.", "en", ["severe"]),
        ("Left effusion; large pneumothorax.", "en", ["", "severe"]),
        ("Moderate right pneumothorax with effusion.", "en", ["moderate", ""]),
        ("Kleiner Pleuraerguss links.", "de", ["mild"]),
    ],
)
def test_the_nearest_word_of_the_clause_gives_the_degree(
    text: str, language: str, degrees: list[str]
) -> None:
    note = read_note(text, load_vocabulary(language))
    assert [degree_of(text, a) for a in note.assertions] == degrees
