"""German: the engine holds a second language, by data alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from medembed.notes import FINDINGS, mirror_sides, read_note
from medembed.notes.vocabulary import Vocabulary, load_vocabulary
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
def test_n12_a_german_sentence_is_known_as_german(case: VocabularyTest) -> None:
    assert read_note(case.text, GERMAN).language == "de"


@pytest.mark.parametrize("vocabulary", [None, ENGLISH])
def test_n12_an_english_vocabulary_reads_no_german(vocabulary: Vocabulary | None) -> None:
    note = read_note("Kein Pneumothorax, kein Pleuraerguss.", vocabulary)
    assert (note.language, note.assertions) == ("de", ())


def test_n12_a_german_vocabulary_reads_no_english() -> None:
    note = read_note("There is no pneumothorax. Small left effusion.", GERMAN)
    assert (note.language, note.assertions) == ("en", ())


def test_german_sides_are_mirrored() -> None:
    assert mirror_sides("Left effusion") == "Right effusion"
