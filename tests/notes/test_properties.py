"""What holds of every report, whatever it says."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.golden_notes import golden_sentences

from medembed.notes import Note, read_note, swap_laterality

SENTENCES = st.sampled_from([golden.sentence for golden in golden_sentences()])
NEUTRAL = st.sampled_from(
    [
        "The patient was informed.",
        "Image quality is good.",
        "The study was discussed by telephone.",
        "No comment.",
        "Further details are given below.",
    ]
)
DENIALS = st.sampled_from(
    ["No evidence of acute disease", "There is no change", "Without further remarks",
     "The lungs are not abnormal", "Negative for acute process", "Cannot exclude infection",
     "History of asthma", "Status post surgery", "Possible infection", "If clinically indicated"]
)  # fmt: skip
FINDINGS = st.sampled_from(
    ["Small left effusion", "Left pneumothorax", "Moderate left effusion with atelectasis",
     "There is a left rib fracture", "Left lower lobe consolidation"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["left", "right", "Left", "RIGHT", "R", "L", "(R)", "R>L", "L/R", "rt.", "Lt.", "RLL", "LUL",
     "rul", "R-sided", "left-sided", "LEFTWARD", "rechts", "linker", "izquierdo", "Derecha", "B/L",
     "bilat", "L4-5", "L spine", "5 L", "R/O", "effusion", ",", ".", "é", "upright", "leftist"]
)  # fmt: skip


def said(note: Note) -> list[tuple[str, str, str, bool]]:
    return [(a.label, a.status, a.side, a.historical) for a in note.assertions]


@settings(deadline=None)
@given(st.text(max_size=300))
@example("ADDENDUM: \u2028no [ ] effusion ’ R>L\\.br\\")
def test_spans_lie_inside_any_text_and_name_a_finding(text: str) -> None:
    if not text.strip():
        return
    note = read_note(text)
    for assertion in note.assertions:
        assert text[assertion.start : assertion.end].strip()
    assert [s.start for s in note.sections] == sorted(s.start for s in note.sections)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=12), st.sampled_from([" ", "", "\n", "-"]))
def test_mirrored_twice_is_the_text_again(words: list[str], between: str) -> None:
    text = between.join(words)
    assert swap_laterality(swap_laterality(text)) == text


@settings(deadline=None)
@given(st.text(st.sampled_from("LRlr ight ef/>().-bat45"), max_size=40))
def test_any_letters_mirrored_twice_are_the_text_again(text: str) -> None:
    assert swap_laterality(swap_laterality(text)) == text


@settings(deadline=None)
@given(DENIALS, FINDINGS, st.sampled_from([". ", ".", ".\n", "; ", "\n\n"]))
def test_nothing_reaches_over_the_end_of_a_sentence(denial: str, finding: str, stop: str) -> None:
    alone = said(read_note(f"{finding}."))
    assert alone
    assert said(read_note(f"{denial}{stop}{finding}.")) == alone
    assert said(read_note(f"{finding}{stop}{denial}.")) == alone


@settings(deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=4), NEUTRAL, st.integers(0, 4))
def test_a_neutral_sentence_changes_nothing(sentences: list[str], neutral: str, at: int) -> None:
    sentences = [s if s[-1] in ".?!" else f"{s}." for s in sentences]
    with_it = [*sentences[:at], neutral, *sentences[at:]]
    assert said(read_note("\n".join(with_it))) == said(read_note("\n".join(sentences)))


@settings(deadline=None)
@given(SENTENCES, SENTENCES)
def test_sentences_are_read_as_each_alone(one: str, other: str) -> None:
    one = one if one[-1] in ".!" else f"{one}."
    together = read_note(f"{one}\n\n{other}")
    assert said(together) == said(read_note(one)) + said(read_note(other))


@settings(deadline=None)
@given(SENTENCES)
def test_capitals_and_blanks_change_nothing(sentence: str) -> None:
    expected = said(read_note(sentence))
    if "ICD" not in sentence and "? " not in sentence:
        assert said(read_note(sentence.upper())) == expected
    assert said(read_note(sentence.replace(" ", "  "))) == expected
    assert said(read_note("FINDINGS: " + sentence)) == expected


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("R pleural effusion", "L pleural effusion"),
        ("Rt lung and (R) base", "Lt lung and (L) base"),
        ("RT. LUNG", "LT. LUNG"),
        ("R>L effusions", "L>R effusions"),
        ("Effusions R > L.", "Effusions L > R."),
        ("RLL, LUL, rul", "LLL, RUL, lul"),
        ("L-sided; on the L.", "R-sided; on the R."),
        ("Bilat b/l effusions", "Bilat b/l effusions"),
        ("L4-5, L spine, R/O mass, 2 L of fluid", "L4-5, L spine, R/O mass, 2 L of fluid"),
        ("Pleuraerguss links, rechter Unterlappen", "Pleuraerguss rechts, linker Unterlappen"),
        ("derrame derecho, base izquierda", "derrame izquierdo, base derecha"),
    ],
)
def test_abbreviated_sides_are_mirrored(text: str, mirrored: str) -> None:
    assert swap_laterality(text) == mirrored
    assert swap_laterality(mirrored) == text


@pytest.mark.parametrize(
    "unit",
    ["no ", "No effusion, ", "ADDENDUM: The effusion is not left. ", "left none ", "[ ] ", "R>L ",
     "without any evidence of ", "HISTORY: a\n\n", "x:\n", "No.", "(", "effusion and/or "],
)  # fmt: skip
def test_long_runs_of_anything_are_read(unit: str) -> None:
    text = "x " + unit * (50_000 // len(unit))
    assert all(a.end <= len(text) for a in read_note(text).assertions)
