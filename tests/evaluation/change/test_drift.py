"""Two audits side by side: what turned, what is missing, and rules that differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evaluation.change.drift import compare_audits
from medembed.errors import InputError


def audit(verdicts: dict[str, str], margin: float = 0.05, gap: float | None = 0.02) -> Any:
    rows = [
        {"attribute": "sex", "group": g, "outcome": "hit", "comparison": "rest", "estimate": 0.5,
         "gap": None if v == "not_assessable" else gap, "verdict": v}
        for g, v in verdicts.items()
    ]  # fmt: skip
    return {"settings": {"margin": margin, "alpha": 0.05}, "table": rows}


@pytest.mark.parametrize(
    ("before", "after", "turn"),
    [
        ("within", "within", "same"),
        ("within", "exceeds", "new"),
        ("not_assessable", "exceeds", "new"),
        ("exceeds", "within", "settled"),
        ("exceeds", "inconclusive", "no_longer_shown"),
        ("exceeds", "not_assessable", "no_longer_assessable"),
        ("not_assessable", "within", "now_assessable"),
        ("inconclusive", "within", "other"),
    ],
)
def test_how_a_verdict_turned(before: str, after: str, turn: str) -> None:
    found = compare_audits(audit({"F": before}), audit({"F": after}, gap=0.07))
    assert [row["turn"] for row in found.rows] == [turn]
    change = found.rows[0]["gap_change"]
    if "not_assessable" in (before, after):
        assert change is None
    else:
        assert change == pytest.approx(0.05)


def test_what_is_in_one_report_only_is_listed() -> None:
    found = compare_audits(
        audit({"F": "within", "M": "within"}), {"outcomes": audit({"F": "exceeds", "X": "within"})}
    )
    assert found.only_before == [["sex", "M", "hit", "rest"]]
    assert found.only_after == [["sex", "X", "hit", "rest"]]
    assert [row["turn"] for row in found.rows] == ["new"]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_the_other_group_of_two_that_has_become_the_reference_is_the_same_question() -> None:
    was = audit({"M": "exceeds"}, gap=0.1)
    is_now = audit({"F": "exceeds"}, gap=-0.04)
    for plain, group in ((was, "F"), (is_now, "M")):
        plain["table"].append(
            {"attribute": "sex", "group": group, "outcome": "hit", "comparison": "reference",
             "estimate": 0.4, "gap": None, "verdict": None}
        )  # fmt: skip
    found = compare_audits(was, is_now)
    (row,) = found.rows
    assert (row["group"], row["turn"], found.only_before, found.only_after) == ("F", "same", [], [])
    assert (row["estimate_before"], row["gap_before"], row["gap_after"]) == (0.4, -0.1, -0.04)


def test_other_rules_are_said() -> None:
    same = compare_audits(audit({"F": "within"}), audit({"F": "within"}))
    other = compare_audits(audit({"F": "within"}), audit({"F": "within"}, margin=0.1))
    assert len(same.notes) == 1
    assert "margin" in other.notes[1]


@pytest.mark.parametrize("rule", ["reference", "bands", "weight", "cluster"])
def test_an_option_that_one_audit_alone_had_is_another_rule(rule: str) -> None:
    other = audit({"F": "within"})
    other["settings"][rule] = "site"
    assert f"different rules ({rule})" in compare_audits(audit({"F": "within"}), other).notes[1]


def test_what_is_no_audit_is_refused() -> None:
    good = audit({"F": "within"})
    for bad in ({}, {"table": [{}], "settings": {}}, {"outcomes": None}, audit({"M": "within"}),
                good | {"table": good["table"] * 2}):  # fmt: skip
        with pytest.raises(InputError):
            compare_audits(good, bad)
