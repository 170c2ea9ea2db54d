"""Notes on a search: a text for every kind, right for one and for many."""

from __future__ import annotations

import pytest

from medembed.index import SearchNote, SearchNoteKind


@pytest.mark.parametrize("kind", SearchNoteKind)
@pytest.mark.parametrize("n", [0, 1, 2])
def test_every_kind_has_a_text_that_agrees_with_its_count(kind: SearchNoteKind, n: int) -> None:
    text = str(SearchNote(kind, (n, n), tuple("ab"[:n]) or ("a",)))
    assert text
    for noun in ("case", "vector", "token"):
        assert f"1 {noun}s" not in text
        assert f"{n} {noun} " not in f"{text} " or n == 1


def test_many_own_cases_are_named_in_part() -> None:
    note = SearchNote(SearchNoteKind.OWN_CASES, names=tuple("abcdefg"))
    assert str(note) == "this image is in the library: cases a, b, c, d, e and 2 more"


def test_several_possible_patients_are_reported() -> None:
    assert str(SearchNote(SearchNoteKind.OWN_PATIENT, (1, 2))) == (
        "excluded 1 case of the 2 patients the query may belong to"
    )
