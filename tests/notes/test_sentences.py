"""Sentences over all kinds and regions: written for the rules, held out once, and after them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medembed.notes import FINDINGS, read_note
from medembed.notes.vocabulary import load_vocabulary
from medembed.notes.vocabulary_tests import VocabularyTest, read_tests, stated

HERE = Path(__file__).parent
VOCABULARY = load_vocabulary("en")
FILES = ("development", "heldout", "fresh")
SENTENCES = {name: read_tests(HERE / f"{name}_sentences.yaml") for name in FILES}
# Read otherwise still, and known to be.
KNOWN = {
    "History of rib fractures, now with a large right pneumothorax.": "now makes both current",
    "Small left pneumothorax, not visible on the supine film.": "one film or two cannot be told",
    "No PTX. Sm R eff, ? RLL consolidation": "a question mark after a comma ends the sentence",
    "Previous tuberculosis, scarring at the right apex.": "history reaches over the comma",
    "There is a lucency at the right apex suggesting pneumothorax on the expiratory view, not "
    "confirmed on the inspiratory view.": "not confirmed on another view is read as denied",
    "CLINICAL QUESTION: fracture?\nDIAGNOSIS: No fracture. Large joint effusion.": "a bare "
    "DIAGNOSIS heads the request's diagnosis in other hospitals",
    "Prior left basal consolidation is less dense.": "less dense does not say that it is there",
}
CASES = [
    pytest.param(
        test,
        id=f"{name}: {test.text}",
        marks=[
            pytest.mark.xfail(reason=KNOWN[text], strict=True)
            for text in KNOWN
            if text == test.text
        ],
    )
    for name in FILES
    for test in SENTENCES[name]
]


def test_few_are_known_to_be_wrong() -> None:
    assert len(KNOWN) <= 0.03 * sum(map(len, SENTENCES.values()))


def test_there_are_enough_sentences_of_all_kinds_and_regions() -> None:
    assert sum(map(len, SENTENCES.values())) >= 200
    assert len(SENTENCES["heldout"]) >= 100
    for name in ("development", "heldout"):
        kinds = Counter(test.why for test in SENTENCES[name])
        assert {f"n{number:02}" for number in range(1, 17)} <= set(kinds), kinds
        said = [said for test in SENTENCES[name] for said in test.expect]
        labels = {label for label in VOCABULARY.findings if any(s.startswith(label) for s in said)}
        assert len(labels) >= 40
        assert len(set(FINDINGS) - labels) <= 2
        regions = {VOCABULARY.findings[label].region for label in labels}
        assert regions == {"chest", "abdomen", "neuro", "spine", "breast", "vascular", "device"}


@pytest.mark.parametrize("case", CASES)
def test_a_sentence_is_read_as_a_person_reads_it(case: VocabularyTest) -> None:
    assert sorted(stated(read_note(case.text, VOCABULARY))) == sorted(case.expect)
