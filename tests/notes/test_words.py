"""The packaged English vocabulary: a name is read as what it stands for, and nothing else is."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from medembed.notes import FINDINGS, read_note
from medembed.notes.patterns import expand
from medembed.notes.vocabulary import load_vocabulary
from medembed.notes.vocabulary_file import FindingEntry

VOCABULARY = load_vocabulary("en")
ENTRIES = VOCABULARY.file.findings
REGIONS = {"chest", "abdomen", "neuro", "spine", "breast", "vascular", "device"}
TWO = {  # one word for two findings
    "hepatosplenomegaly": {"hepatomegaly", "splenomegaly"},
    **{
        f"{fluid}{joint}pneumothorax": {"effusion", "pneumothorax"}
        for fluid in ("hydro", "haemo", "hemo")
        for joint in ("", "-", " ")
    },
}


def written_out(phrase: str, whole: bool = False) -> list[str]:
    """Every form of a phrase; a class by each of its words in the first form, then by its first."""
    forms: list[str] = []
    for form in expand(re.sub(r"~\d", "", phrase)):
        names = re.findall(r"<(\w+)>", form)
        words = [VOCABULARY.file.classes[name] for name in names]
        for i in range(max(map(len, words), default=1) if whole or not forms else 1):
            spread = iter([w[min(i, len(w) - 1)] for w in words])
            text = re.sub(r"<\w+>", lambda _, spread=spread: next(spread), form)
            forms.append(re.sub(r"(\w)\*", r"\1", text))
    return forms


def read(text: str) -> set[tuple[str, str]]:
    return {(a.label, a.status) for a in read_note(text, VOCABULARY).assertions}


def test_the_vocabulary_holds_at_least_120_findings_over_the_body() -> None:
    labels = [entry.label for entry in ENTRIES]
    assert len(labels) >= 120
    assert len(set(labels)) == len(labels)
    assert set(FINDINGS) < set(labels)
    counts: dict[str, int] = defaultdict(int)
    for entry in ENTRIES:
        counts[entry.region] += 1
    assert set(counts) == REGIONS
    assert min(counts.values()) >= 10


def test_no_name_belongs_to_two_findings() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for entry in ENTRIES:
        for phrase in (*entry.names, *entry.doubtful):
            for form in written_out(phrase, whole=True):
                owners[" ".join(form.split())].add(entry.label)
    shared = {form: owner for form, owner in owners.items() if len(owner) > 1}
    assert shared == TWO


@pytest.mark.parametrize(
    "whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "whole"]
)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.label)
def test_every_name_of_a_finding_is_read_as_that_finding_only(
    entry: FindingEntry, whole: bool
) -> None:
    wrong = []
    for phrase in entry.names:
        for form in written_out(phrase, whole):
            labels = TWO.get(form, {entry.label})
            for text, status in ((f"There is {form}.", "present"), (f"No {form}.", "absent")):
                if read(text) != {(label, status) for label in labels}:
                    wrong.append((text, read(text)))
    assert not wrong, wrong[:10]


def test_every_finding_is_read_in_capitals_and_over_a_line_break() -> None:
    for entry in ENTRIES:
        form = written_out(entry.names[0])[0]
        expected = {(label, "present") for label in TWO.get(form, {entry.label})}
        assert read(f"THERE IS {form.upper()}.") == expected
        assert read(f"There is {form}\nand nothing else.") == expected


def test_a_label_is_read_as_itself_or_a_table_says_it_in_another_word() -> None:
    """A label may be typed as a query: "retroperitoneal haematoma" must not be unknown."""
    unread = [e.label for e in ENTRIES if (e.label, "present") not in read(f"There is {e.label}.")]
    assert unread == []


@pytest.mark.parametrize(
    "text",
    [
        "The gallbladder is unremarkable.",
        "Liver, spleen, pancreas and adrenal glands are normal.",
        "No mass effect.",
        "Status post aortic valve replacement.",
        "The aortic knob is prominent.",
        "Sinus rhythm.",
        "Right ventricular collapse.",
        "Collapsed small bowel loops.",
        "Omental infarct.",
        "The heart and mediastinum are midline.",
        "Normal bowel gas pattern.",
        "The disc spaces are preserved.",
        "Normal bone density.",
        "Lean body mass.",
        "Portal vein patent.",
        "The thoracic cavity is symmetrical.",
        "Stroke volume is reduced.",
        "Code stroke was called.",
        "Lymph node dissection.",
        "Coronary artery bypass graft.",
        "The renal veins are patent.",
        "Breast shadows are symmetrical.",
        "The cord has normal signal.",
        "Views of the hip.",
        "Prostate and seminal vesicles are unremarkable.",
    ],
)
def test_what_looks_like_a_finding_is_none(text: str) -> None:
    assert not {a.label for a in read_note(text, VOCABULARY).assertions if a.status != "absent"}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Renal mass.", {"renal mass"}),
        ("Mass in the left kidney.", {"renal mass"}),
        ("Mass in the left upper lobe.", {"mass"}),
        ("Ground-glass opacity.", {"ground-glass opacity"}),
        ("Airspace opacity.", {"consolidation"}),
        ("Brain oedema.", {"cerebral edema"}),
        ("Pulmonary oedema.", {"edema"}),
        ("Bone marrow edema.", {"bone marrow edema"}),
        ("Pericardial effusion.", {"pericardial effusion"}),
        ("Pleural and pericardial effusion.", {"pericardial effusion"}),
        ("Knee effusion.", {"joint effusion"}),
        ("Rib fracture.", {"fracture"}),
        ("Hip fracture.", {"hip fracture"}),
        ("Subcutaneous emphysema.", {"subcutaneous emphysema"}),
        ("Lung nodule.", {"nodule"}),
        ("Thyroid nodule.", {"thyroid nodule"}),
        ("Foley catheter.", {"urinary catheter"}),
        ("Acute infarct in the left MCA territory.", {"cerebral infarct"}),
        ("Myocardial infarction.", {"myocardial infarct"}),
        ("Small bowel infarction.", {"mesenteric ischemia"}),
        ("Infarct in the spleen.", {"splenic infarct"}),
        ("Central venous catheter.", {"support device"}),
    ],
)
def test_a_longer_name_wins_and_the_twelve_keep_theirs(text: str, labels: set[str]) -> None:
    assert {a.label for a in read_note(text, VOCABULARY).assertions} == labels
