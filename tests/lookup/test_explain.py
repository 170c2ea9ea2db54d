"""The explanation states what both say, and where they contradict each other; no more."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from support.example_cases import make_case

from medembed.cases import Finding
from medembed.explain import FindingMatch, QueryContent, Relation, content_words, explain
from medembed.notes import Assertion, Note


def note(text: str, *said: tuple[str, str, str, str]) -> Note:
    """A note with assertions given as (words, label, status, side)."""
    spans = []
    for words, label, status, side in said:
        start = text.index(words)
        spans.append(Assertion(label, status, side, start, start + len(words)))
    return Note(text, (), tuple(spans))


def present(*findings: str) -> QueryContent:
    return QueryContent(present=tuple(Finding.parse(f) for f in findings))


@pytest.mark.parametrize(
    ("asked", "has", "shared", "conflicts"),
    [
        ("effusion", "effusion:right", ("effusion:right",), ()),
        ("effusion:right", "effusion:right", ("effusion:right",), ()),
        ("effusion:right", "effusion:bilateral", ("effusion:bilateral",), ()),
        ("effusion:right", "effusion:left", (), ("effusion:left, not right",)),
        ("effusion:right", "effusion", ("effusion (side not stated)",), ()),
        ("effusion:right", "nodule:right", (), ()),
    ],
)
def test_sides_are_told_apart(asked, has, shared, conflicts) -> None:
    case = make_case(1, findings=(Finding.parse(has),))
    why = explain(present(asked), case, {"text": 0.5})
    assert (texts(why.shared), texts(why.conflicts)) == (shared, conflicts)


def texts(matches: Iterable[FindingMatch]) -> tuple[str, ...]:
    return tuple(map(str, matches))


def test_what_the_note_denies_is_said() -> None:
    case = make_case(1, note=note("No effusion.", ("effusion", "effusion", "absent", "")))
    (match,) = explain(present("effusion:left"), case, {"text": 0.5}).conflicts
    assert match == FindingMatch(Relation.RULED_OUT_BY_HIT, Finding("effusion"), "left")
    assert str(match) == "its report rules out effusion"


def test_what_the_query_denies_and_the_hit_has_is_said() -> None:
    query = QueryContent.of_text(note("No effusion", ("effusion", "effusion", "absent", "")))
    case = make_case(1, findings=(Finding("effusion", "left"),))
    why = explain(query, case, {"text": 0.5})
    assert [match.relation for match in why.conflicts] == [Relation.RULED_OUT_BY_QUERY]
    assert texts(why.conflicts) == ("effusion:left present",)
    assert why.shared == ()


def test_a_word_that_the_note_only_denies_does_not_count_as_shared() -> None:
    case = make_case(
        1, note=note("No effusion. Old fracture.", ("effusion", "effusion", "absent", ""))
    )
    why = explain(QueryContent(words=("effusion", "fracture", "mass")), case, {"text": 0.5})
    assert why.words == ("fracture",)


def test_function_words_and_sides_are_no_content() -> None:
    words = content_words("There is a LARGE right-sided effusion with the effusion in it, 12 mm")
    assert words == ("large", "effusion")


def test_an_image_states_nothing_and_only_the_score_is_given() -> None:
    case = make_case(1, findings=(Finding("effusion"),))
    why = explain(QueryContent(), case, {"image": 0.5})
    assert str(why) == "no shared findings; similar by score only"
    assert why.to_json() == {
        "shared_findings": [],
        "differing_findings": [],
        "words": [],
        "parts": {"image": 0.5},
        "line": "no shared findings; similar by score only",
    }


def test_the_line_does_not_say_a_finding_twice() -> None:
    case = make_case(1, findings=(Finding("effusion", "right"),), note=Note("Pleural effusion."))
    query = QueryContent((Finding("effusion"),), (), ("pleural", "effusion"))
    why = explain(query, case, {"text": 0.5})
    assert why.words == ("pleural", "effusion")
    assert str(why) == "shared findings: effusion:right; words in the report: pleural"


def test_of_a_mixture_each_parts_cosine_is_given() -> None:
    why = explain(present("effusion"), make_case(1), {"text": 0.25, "image": 0.5})
    assert "text 0.25, image 0.50" in str(why)


def test_no_cause_is_claimed() -> None:
    case = make_case(1, findings=(Finding("effusion", "left"), Finding("nodule")))
    why = explain(present("effusion:right", "nodule"), case, {"text": 0.5, "image": 0.1})
    assert not re.search(r"because|due to|since|reason|therefore", str(why))


def test_a_case_states_its_findings_and_what_its_note_denies() -> None:
    case = make_case(
        3,
        findings=(Finding("effusion", "right"),),
        note=note(
            "No effusion on the left, no nodule",
            ("effusion", "effusion", "absent", "left"),
            ("nodule", "nodule", "absent", ""),
        ),
    )
    content = QueryContent.of_case(case)
    assert content.present == (Finding("effusion", "right"),)
    assert set(content.absent) == {Finding("effusion", "left"), Finding("nodule")}


def test_in_a_mixture_what_one_part_asserts_is_not_denied_by_the_other() -> None:
    denies = QueryContent(absent=(Finding("effusion"),), words=("clear",))
    together = denies + present("effusion:right")
    assert together.absent == ()
    assert together.present == (Finding("effusion", "right"),)
    assert together.words == ("clear",)


def test_every_relation_has_a_text() -> None:
    found = {
        str(FindingMatch(relation, Finding("effusion", "left"), "right")) for relation in Relation
    }
    assert len(found) == len(Relation)
