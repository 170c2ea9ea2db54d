"""Cases, findings and notes are valid once constructed."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.cases import FINDINGS, SIDED_FINDINGS, Case, Finding, ScanRef, normalize_sex
from medembed.errors import InputError, MedEmbedError, NoteError, ScanError
from medembed.notes import Assertion, Note, Section
from medembed.registry import Registry

REF = ScanRef(("a.png",), "0" * 64)


def test_a_finding_is_read_as_it_is_written() -> None:
    for label in FINDINGS:
        for side in ("", "left", "right", "bilateral"):
            finding = Finding.parse(f"{label}:{side}" if side else label)
            assert Finding.parse(str(finding)) == finding


def test_bilateral_answers_to_either_side_and_a_side_only_to_itself() -> None:
    both, left = Finding("effusion", "bilateral"), Finding("effusion", "left")
    assert both.matches(left)
    assert both.matches(Finding("effusion", "right"))
    assert left.matches(Finding("effusion"))
    assert not left.matches(Finding("effusion", "right"))
    assert not left.matches(Finding("mass", "left"))


@given(st.text(max_size=30))
def test_reading_a_finding_gives_a_finding_or_one_clear_error(text: str) -> None:
    try:
        assert Finding.parse(text).label
    except InputError as error:
        assert "\n" not in str(error)


def test_sided_findings_are_findings() -> None:
    assert set(SIDED_FINDINGS) < set(FINDINGS)
    assert len(set(FINDINGS)) == len(FINDINGS) >= 12


@pytest.mark.parametrize(
    "change",
    [
        {"case_id": ""},
        {"case_id": " a"},
        {"patient_id": ""},
        {"patient_id": "a\nb"},
        {"scans": ()},
        {"age_years": -1},
        {"age_years": 131},
        {"sex": "female"},
        {"split": "holdout"},
    ],
)
def test_a_case_that_is_not_valid_cannot_be_made(change: dict[str, object]) -> None:
    fields: dict[str, object] = {"case_id": "c", "patient_id": "p", "scans": (REF,)} | change
    with pytest.raises(InputError):
        Case(**fields)  # type: ignore[arg-type]


def test_findings_are_sorted_without_doubles() -> None:
    case = Case("c", "p", (REF,), findings=(Finding("mass"), Finding("effusion"), Finding("mass")))
    assert case.findings == (Finding("effusion"), Finding("mass"))


def test_unknown_is_a_value_not_a_hole() -> None:
    case = Case("c", "p", (REF,), race="", site=" ")
    assert (case.race, case.site, case.sex, case.age_years) == (
        "unknown",
        "unknown",
        "unknown",
        None,
    )


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("F", "F"),
        ("female", "F"),
        ("m", "M"),
        ("Male", "M"),
        ("O", "O"),
        ("", "unknown"),
        (None, "unknown"),
        ("nan", "unknown"),
        ("?", "unknown"),
    ],
)
def test_sex_is_normalised(text: object, sex: str) -> None:
    assert normalize_sex(text) == sex


def test_a_note_needs_words_and_spans_inside_them() -> None:
    with pytest.raises(NoteError):
        Note(" \n")
    with pytest.raises(NoteError):
        Note("abc", (Section("body", 0, 4),))
    with pytest.raises(NoteError):
        Note("abcdef", (Section("body", 0, 4), Section("findings", 2, 5)))
    with pytest.raises(NoteError):
        Note("abc", (), (Assertion("effusion", "present", "left", -1, 2),))


def test_a_section_is_found_by_name() -> None:
    note = Note(
        "FINDINGS: clear. IMPRESSION: normal.",
        (Section("findings", 9, 16), Section("impression", 28, 36)),
    )
    assert note.section("impression") == "normal."
    assert note.section("history") == ""


def test_an_error_is_one_line_and_survives_a_process_border() -> None:
    error = ScanError("no\npixels", where="a.dcm", hint="send the images")
    assert str(error) == "a.dcm: no pixels; send the images"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ScanError
    assert str(again) == str(error)


def test_every_error_is_in_one_tree_with_an_exit_code() -> None:
    import medembed.errors as errors

    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, MedEmbedError)
        assert kind.exit_code in (1, 2)


def test_a_registry_names_what_there_is_when_asked_for_what_is_not() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one", 1)
    registry.register("two", "json:dumps")
    assert registry["one"] == 1
    assert callable(registry["two"])
    with pytest.raises(InputError, match="one, two"):
        registry["three"]
    with pytest.raises(InputError, match="twice"):
        registry.register("one", 2)
