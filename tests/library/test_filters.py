"""Conditions against a slow oracle that reads the documented meaning word for word."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.example_cases import make_case

from medembed.cases import Case, Finding
from medembed.errors import ConditionError
from medembed.library import CaseLibrary, parse_condition
from medembed.notes import Note

SEXES = ["F", "M", "O", "unknown"]
DATES = [None, date(2018, 12, 31), date(2019, 1, 1), date(2021, 6, 30)]
AGES = [None, 0.0, 59.9, 60.0, 61.0, 90.0]
VIEWS = ["PA", "AP", "LATERAL", "unknown"]
FINDINGS = [
    Finding("effusion", "left"),
    Finding("effusion", "right"),
    Finding("effusion", "bilateral"),
    Finding("effusion"),
    Finding("pneumothorax", "right"),
]
LEVELS = [None, "3", "12", "high", "unknown"]
NOTES = [None, "Right pleural effusion.", "Pleural space clear; effusion gone", "Érguss NOT seen"]

cases_strategy = st.builds(
    lambda sex, age, day, view, findings, level, note, race: {
        "sex": sex,
        "age_years": age,
        "study_date": day,
        "view": view,
        "findings": tuple(findings),
        "attributes": {} if level is None else {"level": level},
        "note": Note(note) if note else None,
        "race": race,
    },
    st.sampled_from(SEXES),
    st.sampled_from(AGES),
    st.sampled_from(DATES),
    st.sampled_from(VIEWS),
    st.lists(st.sampled_from(FINDINGS), max_size=3),
    st.sampled_from(LEVELS),
    st.sampled_from(NOTES),
    st.sampled_from(["w", "b", "unknown"]),
)
EQUAL = ["=", "!=", " in ", " not in "]
ORDER = ["<", "<=", ">", ">="]
conditions_strategy = st.one_of(
    st.tuples(st.just("sex"), st.sampled_from(EQUAL), st.sampled_from(["F", "f", "unknown"])),
    st.tuples(st.just("race"), st.sampled_from(EQUAL), st.sampled_from(["w", "W,unknown", "x"])),
    st.tuples(st.just("view"), st.sampled_from(EQUAL), st.sampled_from(["PA", "pa, AP", "zz"])),
    st.tuples(
        st.just("age"), st.sampled_from(EQUAL), st.sampled_from(["60", "unknown", "59.9", "7"])
    ),
    st.tuples(st.just("age"), st.sampled_from(ORDER), st.sampled_from(["60", "59.95", "0"])),
    st.tuples(
        st.just("date"),
        st.sampled_from([*EQUAL, *ORDER]),
        st.sampled_from(["2019-01-01", "2018-12-31", "2030-01-01"]),
    ),
    st.tuples(
        st.just("finding"),
        st.sampled_from(EQUAL),
        st.sampled_from(
            [
                "effusion",
                "effusion:right",
                "effusion:left",
                "effusion:bilateral",
                "Pneumothorax",
                "pneumothorax:left",
                "none such",
            ]
        ),
    ),
    st.tuples(st.just("level"), st.sampled_from(EQUAL), st.sampled_from(["3", "HIGH", "unknown"])),
    st.tuples(st.just("level"), st.sampled_from(ORDER), st.sampled_from(["3", "-1", "5.5"])),
    st.tuples(st.just("note"), st.just("~"), st.sampled_from(["effusion", "pleural CLEAR", "x"])),
).map("".join)


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def holds(case: Case, text: str) -> bool:
    for op in (" not in ", " in ", ">=", "<=", "!=", "~", "=", "<", ">"):
        if op in text:
            field, _, value = text.partition(op)
            break
    op = op.strip()
    wanted = [v.strip() for v in value.split(",")] if op in ("in", "not in") else [value]
    if field == "note":
        words = (
            case.note.text.lower().replace(";", " ").replace(".", " ").split() if case.note else []
        )
        return all(word.lower() in words for word in value.split())
    if field == "finding":
        found = any(
            have.label == ask.label and (not ask.side or have.side in (ask.side, "bilateral"))
            for ask in map(Finding.parse, wanted)
            for have in case.findings
        )
        return found == (op in ("=", "in"))
    have: object
    if field == "age":
        have = case.age_years
    elif field == "date":
        have = case.study_date.isoformat() if case.study_date else None
    elif field == "level":
        have = case.attributes.get("level", "unknown")
    else:
        have = getattr(case, field)
    if op in ("<", "<=", ">", ">="):
        left = number(str(have)) if field in ("age", "level") and have is not None else have
        right = float(value) if field in ("age", "level") else value
        if left is None:
            return False
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]  # type: ignore[operator]
    if field == "age":
        asked = [None if w == "unknown" else float(w) for w in wanted]
        if have is None:
            return (op in ("=", "in")) and None in asked
        return (have in asked) == (op in ("=", "in"))
    if field == "date":
        return have is not None and (have in wanted) == (op in ("=", "in"))
    return (str(have).lower() in [w.lower() for w in wanted]) == (op in ("=", "in"))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    contents=st.lists(cases_strategy, min_size=1, max_size=12),
    where=st.lists(conditions_strategy, min_size=1, max_size=3),
)
def test_conditions_find_what_the_slow_oracle_finds(
    tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, object]], where: list[str]
) -> None:
    with CaseLibrary.create(tmp_path_factory.mktemp("lib") / "l") as library:
        anchor = make_case(99, attributes={"level": "0"})  # so that the attribute is known
        cases = [*(make_case(i, **content) for i, content in enumerate(contents)), anchor]
        library.add(cases)
        expected = [c.case_id for c in cases if all(holds(c, text) for text in where)]
        assert library.find(where) == expected
        mask = library.mask(where)
        assert [c for c, m in zip(library.find(), mask, strict=True) if m] == expected
        assert [case.case_id for case in library.cases(where)] == expected


def test_bilateral_answers_to_both_sides(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "l")
    library.add(
        [
            make_case(0, findings=(Finding("effusion", "bilateral"),)),
            make_case(1, findings=(Finding("effusion", "left"),)),
            make_case(2, findings=(Finding("effusion"),)),
        ]
    )
    assert library.find("finding=effusion:left") == ["case-0", "case-1"]
    assert library.find("finding=effusion:right") == ["case-0"]
    assert library.find("finding!=effusion:right") == ["case-1", "case-2"]
    assert library.find("finding=effusion:bilateral") == ["case-0"]
    assert library.find("finding=Pleural Effusion") == ["case-0", "case-1", "case-2"]


@pytest.mark.parametrize(
    "text",
    [
        "", "sex", "sex=", "=F", "age>=old", "age>=-3", "age>unknown", "date>=2019",
        "date=2019-02-30", "date>=unknown", "finding=effusion:up", "finding=:left", "sex>F",
        "sex~F", "note=effusion", "note~ --", "view in", "view in PA,,AP", "finding>2",
        "age=１２", "sex=F\x00",
    ],
)  # fmt: skip
def test_a_bad_condition_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(text)
    assert "\n" not in str(caught.value)


def test_an_unknown_field_names_those_there_are(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "l")
    library.add([make_case(0, attributes={"follow_up": "2"})])
    with pytest.raises(ConditionError, match=r"unknown field 'colour'.*age.*follow_up"):
        library.find("colour=red")
    with pytest.raises(ConditionError, match="needs a number"):
        library.find("follow_up>many")
    assert library.find("FOLLOW_UP>=2") == ["case-0"]
    assert library.find([]) == library.find(None) == ["case-0"]


@pytest.mark.parametrize("value", ["' OR 1=1 --", 'F"; DROP TABLE cases; --', "%", "*", "NEAR("])
def test_values_are_never_part_of_the_sql(tmp_path: Path, value: str) -> None:
    library = CaseLibrary.create(tmp_path / "l")
    library.add([make_case(0, note=Note("Clear."), attributes={"k": "v"})])
    assert library.find(f"site={value}") == []
    assert library.find(f"k={value}") == []
    assert library.find(f"finding={value}".replace(":", "")) == []
    if any(c.isalpha() for c in value):
        assert library.find(f"note~{value}") == []
    assert len(library) == 1
