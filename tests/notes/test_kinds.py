"""Each kind of fault that reports have shown, with sentences of our own and their controls."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support.golden_notes import golden_sentences, read

from medembed.notes import asserted_findings, read_note

KINDS = golden_sentences(Path(__file__).parent / "kinds.txt")
FAULTS = Path(__file__).parents[3] / "shared" / "faults"


def wrong(kind: str) -> list[str]:
    """Sentences of a kind that are read otherwise than a person reads them."""
    of_kind = [golden for golden in KINDS if golden.part == kind]
    assert len(of_kind) >= 8
    return [
        f"{golden.sentence!r}: {read(golden.sentence)}"
        for golden in of_kind
        if Counter(read(golden.sentence)) != Counter(golden.expected)
    ]


def test_n01_not_resolved() -> None:
    assert wrong("n01 not resolved") == []


def test_n02_compared_to_prior() -> None:
    assert wrong("n02 compared to prior") == []


def test_n03_negation_runs_past_its_noun() -> None:
    assert wrong("n03 negation runs past its noun") == []


def test_n04_new_since_prior() -> None:
    assert wrong("n04 new since prior") == []


def test_n05_line_break_before_a_capital() -> None:
    assert wrong("n05 line break before a capital") == []


def test_n06_may_be_due_to() -> None:
    assert wrong("n06 may be due to") == []


def test_n07_hedges_not_known() -> None:
    assert wrong("n07 hedges not known") == []


def test_n08_shorthand_negation() -> None:
    assert wrong("n08 shorthand negation") == []


def test_n09_device_in_a_list() -> None:
    assert wrong("n09 device in a list") == []


def test_n10_list_with_size() -> None:
    assert wrong("n10 list with size") == []


def test_n11_status_post() -> None:
    assert wrong("n11 status post") == []


def test_n13_sections() -> None:
    assert wrong("n13 sections") == []


def test_n14_addendum() -> None:
    assert wrong("n14 addendum") == []


def test_n15_sides() -> None:
    assert wrong("n15 sides") == []


def test_n16_no_blank_after_the_stop() -> None:
    assert wrong("n16 no blank after the stop") == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Pas de pneumothorax ni de fracture.", "fr"),
        ("Geen pneumothorax.", "nl"),
        ("Assenza di pneumothorax.", "it"),
        ("Sin derrame pleural ni neumotórax. Corazón normal.", "es"),
        ("Sem derrame pleural. Coração de dimensões normais.", "pt"),
        ("FINDINGS: Pas d'épanchement pleural. Absence de pneumothorax.", "fr"),
        ("Absence de pneumothorax à droite. Épanchement pleural gauche.", "fr"),
        ("GEEN PNEUMOTHORAX. GEEN PLEURAVOCHT. HART NIET VERGROOT.", "nl"),
    ],
)
def test_n12_other_languages(text: str, language: str) -> None:
    note = read_note(text)
    assert note.language == language
    assert note.assertions == ()


@pytest.mark.parametrize(
    "text",
    ["No effusion.", "PTX.", "Effusion?", "Left effusion", "NO ACUTE DISEASE. LEFT EFFUSION.",
     "Cardiomegaly.", "Bilateral pleural effusions", "Pneumothorax negative.", "Fracture."],
)  # fmt: skip
def test_n12_short_english_is_read_as_english(text: str) -> None:
    assert read_note(text).language == "en"


def test_a_present_finding_that_an_addendum_moves_is_on_the_new_side_only() -> None:
    text = "IMPRESSION: Left effusion.\nADDENDUM: Should read RIGHT effusion, not left."
    assert asserted_findings(read_note(text)) == (("effusion", "right"),)


def test_cousins_of_these_kinds() -> None:
    assert wrong("cousins") == []


@pytest.mark.skipif(
    not FAULTS.is_dir(), reason="the reported sentences lie beside the project only"
)
@pytest.mark.parametrize("folder", sorted(FAULTS.glob("n*")), ids=lambda folder: folder.name)
def test_reported_sentences(folder: Path) -> None:
    for line in (folder / "sentences.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        stated = "; ".join(
            " ".join(
                x for x in (a.label, a.status, a.side, "historical" if a.historical else "") if x
            )
            for a in read_note(case["text"]).assertions
        )
        expected = case["expected"].replace("oedema", "edema")  # written with the former label
        assert (stated or "(nothing)") == expected, case["text"]
