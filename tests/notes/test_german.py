"""German: the engine holds a second language, by data alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from medembed.notes import FINDINGS, read_note, swap_laterality
from medembed.notes.vocabulary import load_vocabulary
from medembed.notes.vocabulary_tests import VocabularyTest, read_tests, stated

TESTS = read_tests(Path(__file__).parent / "german_sentences.yaml")
ENGLISH = load_vocabulary("en")
GERMAN = load_vocabulary("de")


def test_there_are_enough_sentences_and_all_twelve_findings_of_the_chest() -> None:
    assert len(TESTS) >= 60
    said = {expected.rsplit(" ", 1)[0] for test in TESTS for expected in test.expect}
    assert all(any(text.startswith(label) for text in said) for label in FINDINGS)


def test_german_labels_are_those_of_english() -> None:
    assert set(FINDINGS) <= set(GERMAN.findings) <= set(ENGLISH.findings)
    for label, entry in GERMAN.findings.items():
        assert entry.sided == ENGLISH.findings[label].sided, label
        assert entry.device == ENGLISH.findings[label].device, label


@pytest.mark.parametrize("case", TESTS, ids=lambda case: case.text)
def test_a_german_sentence_is_read_as_a_person_reads_it(case: VocabularyTest) -> None:
    assert sorted(stated(read_note(case.text, GERMAN))) == sorted(case.expect)


@pytest.mark.parametrize("case", TESTS, ids=lambda case: case.text)
def test_n12_an_english_library_is_told_that_it_is_german(case: VocabularyTest) -> None:
    note = read_note(case.text, ENGLISH)
    assert (note.language, note.assertions) == ("de", ())


def test_n12_german_vocabulary_reads_no_english() -> None:
    note = read_note("No pneumothorax. There is a small left effusion.", GERMAN)
    assert (note.language, note.assertions) == ("en", ())


def test_german_sides_are_mirrored() -> None:
    text = "Linksseitiger Erguss, Rundherd RECHTS, rechter Unterlappen. Re: Thorax"
    mirrored = "Rechtsseitiger Erguss, Rundherd LINKS, linker Unterlappen. Re: Thorax"
    assert swap_laterality(text) == mirrored
    assert swap_laterality(mirrored) == text
