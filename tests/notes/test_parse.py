from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.golden_notes import Golden, golden_sentences, read

from medembed.errors import NoteError
from medembed.notes import FINDINGS, asserted_findings, read_note, swap_laterality

GOLDEN = golden_sentences()


def test_there_are_enough_golden_sentences_of_each_status() -> None:
    statuses = [status for golden in GOLDEN for _, status, _, _ in golden.expected]
    assert len(GOLDEN) >= 120
    assert min(map(statuses.count, ("present", "absent", "uncertain"))) >= 20
    assert {label for golden in GOLDEN for label, _, _, _ in golden.expected} == set(FINDINGS)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.sentence)
def test_a_golden_sentence_is_read_as_a_person_reads_it(golden: Golden) -> None:
    assert sorted(read(golden.sentence)) == sorted(golden.expected)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.sentence)
def test_a_mirrored_sentence_asserts_the_mirrored_sides(golden: Golden) -> None:
    swap = {"left": "right", "right": "left"}
    if "lingula" in golden.sentence or "middle lobe" in golden.sentence:
        return  # parts that only one lung has
    sentence = golden.sentence.replace("R effusion, L pneumo", "L effusion, R pneumo")
    mirrored = sentence if sentence != golden.sentence else swap_laterality(sentence)
    expected = [
        (la, status, swap.get(side, side), old) for la, status, side, old in golden.expected
    ]
    assert sorted(read(mirrored)) == sorted(expected)


REPORT = """Patient in pain.
CLINICAL HISTORY: Rule out pneumothorax. Known right effusion.
TECHNIQUE: PA and lateral.
Comparison
No prior study.

FINDINGS: Small left effusion.
Lungs: No consolidation.
Bones: Intact.

CONCLUSION:
1. Left effusion.
2. No pneumothorax.
"""


def test_sections_are_found_by_their_headings() -> None:
    note = read_note(REPORT)
    assert [section.name for section in note.sections] == [
        "body", "history", "technique", "comparison", "findings", "impression",
    ]  # fmt: skip
    assert note.section("technique") == "PA and lateral."
    assert note.section("comparison") == "No prior study."
    assert note.section("impression") == "1. Left effusion.\n2. No pneumothorax."
    assert note.section("findings").endswith("Bones: Intact.")


def test_what_the_history_asks_is_no_observation() -> None:
    assert asserted_findings(read_note(REPORT)) == (("effusion", "left"),)
    assert {a.status for a in read_note(REPORT).assertions if a.label == "pneumothorax"} == {
        "absent"
    }


def test_headings_are_found_within_a_line() -> None:
    note = read_note("FINDINGS: Clear lungs. IMPRESSION: No effusion. Recommendation: none.")
    assert [section.name for section in note.sections] == [
        "findings", "impression", "recommendation",
    ]  # fmt: skip
    assert note.section("findings") == "Clear lungs."


def test_a_word_that_is_no_heading_is_none() -> None:
    note = read_note("The findings are: nothing. My impression is good.\nStudy of the chest.")
    assert [section.name for section in note.sections] == ["body"]


def test_several_sides_make_a_finding_bilateral_and_no_side_adds_none() -> None:
    text = "Left effusion. Right effusion. Effusion is stable. Right nodule. Nodule. Cardiomegaly."
    assert asserted_findings(read_note(text)) == (
        ("effusion", "bilateral"),
        ("nodule", "right"),
        ("cardiomegaly", ""),
    )


def test_spans_point_at_the_words_in_whatever_script() -> None:
    text = (
        "Бефунд: İstanbul ﬁlm – 左 Small left PLEURAL\u00a0EFFUSION; no pneumo\u00adthorax 🫁 PTX."
    )
    note = read_note(text)
    assert [text[a.start : a.end] for a in note.assertions] == ["PLEURAL\u00a0EFFUSION", "PTX"]
    assert [(a.label, a.side) for a in note.assertions] == [
        ("effusion", "left"),
        ("pneumothorax", ""),
    ]


@pytest.mark.parametrize("text", ["", "  \n\t", "\u00a0"])
def test_a_blank_report_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        read_note(text)


@pytest.mark.parametrize(
    "unit",
    [
        "No effusion, right consolidation and ", "a", " ", "\n", "? ", "left ", "no no ",
        "pleural pleural ", "the heart is is ", "FINDINGS: x ", "effusion ", ", and ", "-", "1. ",
        "pulmonary interstitial ", "No pneumothorax. ", "costophrenic angles ", "is not ",
    ],
)  # fmt: skip
def test_long_runs_of_anything_are_read(unit: str) -> None:
    text = "x " + unit * (50_000 // len(unit))
    note = read_note(text)
    assert all(a.end <= len(text) for a in note.assertions)


def test_a_megabyte_is_read() -> None:
    unit = "Lorem ipsum dolor sit amet consectetur " * 10 + ". Small left effusion. "
    note = read_note(unit * (10**6 // len(unit)))
    assert len(note.assertions) == 10**6 // len(unit)
    assert asserted_findings(note) == (("effusion", "left"),)


def test_a_line_break_within_a_sentence_ends_nothing() -> None:
    note = read_note("FINDINGS: There is no\npleural effusion or\npneumothorax\nLungs: nodule")
    assert [(a.label, a.status) for a in note.assertions] == [
        ("effusion", "absent"),
        ("pneumothorax", "absent"),
        ("nodule", "present"),
    ]


@settings(deadline=None)  # the first text loads the vocabulary
@given(st.text(st.sampled_from("lr ?.,;:\n-effusionleftrightnoÄ😀é\u2028"), max_size=200))
def test_any_text_gives_a_valid_note_or_is_blank(text: str) -> None:
    if text.strip():
        note = read_note(text)
        assert note.text == text


def test_mirroring_swaps_words_of_side_and_nothing_else() -> None:
    text = "Left, RIGHT, right-sided, leftward; upright, alright, cleft, RUL, LLL, RML, left_1"
    assert swap_laterality(text) == (
        "Right, LEFT, left-sided, rightward; upright, alright, cleft, LUL, RLL, RML, right_1"
    )


@given(st.lists(st.sampled_from(["left", "Right", "LEFT", "RUL", "effusion", ",", "é"])))
def test_mirroring_twice_gives_the_text_again(words: list[str]) -> None:
    text = " ".join(words)
    assert swap_laterality(swap_laterality(text)) == text
