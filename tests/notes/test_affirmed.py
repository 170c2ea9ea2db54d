"""The parts of a query text: what it affirms, what it denies."""

from __future__ import annotations

import pytest

from medembed.notes import load_vocabulary, read_note
from medembed.notes.affirmed import split_denied


def split(text: str, language: str = "en") -> tuple[str, list[str]]:
    vocabulary = load_vocabulary(language)
    parts = split_denied(read_note(text, vocabulary), vocabulary)
    return parts.affirmed, [label for label, _ in parts.denied]


@pytest.mark.parametrize(
    ("text", "affirmed", "denied"),
    [
        ("effusion without cardiomegaly", "effusion", ["cardiomegaly"]),
        ("small left effusion, no pneumothorax", "small left effusion", ["pneumothorax"]),
        ("no right effusion, but a small nodule", "small nodule", ["effusion"]),
        ("No effusion. Right nodule.", "Right nodule", ["effusion"]),
        ("no effusion or pneumothorax", "", ["effusion", "pneumothorax"]),
        ("chest radiograph without effusion", "", ["effusion"]),
        ("pneumothorax is absent", "", ["pneumothorax"]),
        ("eggshell sign, no nodule", "eggshell sign", ["nodule"]),
    ],
)
def test_a_denial_is_cut_from_its_trigger_to_its_finding(
    text: str, affirmed: str, denied: list[str]
) -> None:
    assert split(text) == (affirmed, denied)


@pytest.mark.parametrize("text", ["right effusion", "normal heart size", "Pas de pneumothorax"])
def test_a_text_without_denial_or_in_another_language_stays_as_it_is(text: str) -> None:
    assert split(text) == (text, [])


def test_german_denials_are_cut_too() -> None:
    assert split("Pleuraerguss links ohne Pneumothorax", "de") == (
        "Pleuraerguss links",
        ["pneumothorax"],
    )
