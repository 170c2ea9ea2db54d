"""Two runs side by side: pairing, verdicts, what is withheld, and false alarms of the family."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.one_by_one import score_test

from evaluation.change.comparison import compare_outcomes
from evaluation.stats import Minimum, holm
from medembed.errors import InputError
from tests.evaluation.change.test_paired import paired_change, two_runs


def runs(
    seed: int, n_patients: int = 200, *, gain: float = 0.1, loss: float = 0.1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    before, after, owner = two_runs(rng, n_patients, gain=gain, loss=loss)
    sex = np.array(["F", "M", None], dtype=object)[rng.choice(3, n_patients, p=[0.5, 0.4, 0.1])]
    age = rng.choice(["old", "young"], n_patients)
    frame = pd.DataFrame(
        {
            "query": [f"q{i}" for i in range(len(owner))],
            "patient_id": [f"secret-{p}" for p in owner],
            "sex": sex[owner],
            "age": age[owner],
            "hit": before,
            "mrr": 1 / (1 + rng.poisson(3, len(owner))),
        }
    )
    return frame, frame.assign(hit=after)


def test_each_row_is_the_paired_change_of_its_group_and_p_is_adjusted_over_all() -> None:
    before, after = runs(0)
    found = compare_outcomes(before, after, ["hit"], ["sex", "age"], query="query")
    assert [(r["attribute"], r["group"]) for r in found.rows] == [
        ("all", "all"), ("sex", "F"), ("sex", "M"), ("sex", "unknown"), ("age", "old"),
        ("age", "young"),
    ]  # fmt: skip
    p = []
    for row in found.rows:
        name = row["attribute"]
        member = np.ones(len(before), dtype=bool)
        if name != "all":
            member = (before[name].fillna("unknown") == row["group"]).to_numpy()
        alone = paired_change(
            before["hit"][member], after["hit"][member], before["patient_id"][member]
        )
        assert (row["change"], row["ci_low"], row["ci_high"]) == pytest.approx(
            (alone.change, *alone.interval), abs=1e-12
        )
        p.append(alone.p)
    np.testing.assert_allclose([r["p_adjusted"] for r in found.rows], holm(p))
    women, men = found.row("sex", "F", "hit"), before["sex"] != "F"
    rest = (after["hit"] - before["hit"])[men].mean()
    assert women["gap_change"] == pytest.approx(women["change"] - rest)
    assert women["gap_change_ci_low"] < women["gap_change"] < women["gap_change_ci_high"]


def test_rows_in_another_order_and_patients_of_other_names_change_nothing() -> None:
    before, after = runs(1)
    mixed = after.sample(frac=1, random_state=3)
    one = compare_outcomes(before, after, ["hit", "mrr"], ["sex"], query="query", repetitions=200)
    two = compare_outcomes(before, mixed, ["hit", "mrr"], ["sex"], query="query", repetitions=200)
    assert one.to_json() == two.to_json()
    other = [t.assign(patient_id="x" + t["patient_id"].str[::-1]) for t in (before, after)]
    three = compare_outcomes(*other, ["hit"], ["sex"], query="query")
    for left, right in zip((r for r in one.rows if r["outcome"] == "hit"), three.rows, strict=True):
        assert left["change"] == pytest.approx(right["change"], abs=1e-12)
        assert left["ci_low"] == pytest.approx(right["ci_low"], abs=1e-12)


def test_a_real_change_has_its_direction_and_a_primary_test_its_own_family() -> None:
    before, after = runs(2, 600, gain=0.3, loss=0.05)
    found = compare_outcomes(
        before, after, ["hit"], ["sex"], query="query", primary=[("sex", "F", "hit")]
    )
    women = found.row("sex", "F", "hit")
    assert women["verdict"] == "improved"
    assert women["p_adjusted"] == women["p"]
    assert women["worst"] > women["ci_low"] > 0
    missed = compare_outcomes(
        before, after, ["hit"], ["sex"], query="query", higher_is_better=False
    ).row("sex", "F", "hit")
    assert missed["verdict"] == "worse"
    assert missed["worst"] < missed["ci_high"]
    back = compare_outcomes(after, before, ["hit"], ["sex"], query="query")
    assert back.row("sex", "F", "hit")["verdict"] == "worse"


def test_only_what_is_in_both_is_paired_and_the_others_are_counted() -> None:
    before, after = runs(3, 200)
    names = sorted(set(before["patient_id"]))
    early = before[~before["patient_id"].isin(names[:40])]
    late = after[~after["patient_id"].isin(names[-60:])]
    found = compare_outcomes(early, late, ["hit"], [], query="query")
    assert found.overlap == {
        "patients_both": 100,
        "patients_only_before": 60,
        "patients_only_after": 40,
        "queries_both": int(before["patient_id"].isin(names[40:-60]).sum()),
    }
    assert found.row("all", "all", "hit")["n_patients"] == 100
    assert [note.split(" run ")[0] for note in found.notes] == [
        "Patients in the earlier", "Patients in the later",
    ]  # fmt: skip
    patients = compare_outcomes(early, late, ["hit"], [], pairing="patients")
    assert patients.row("all", "all", "hit")["change"] == pytest.approx(
        found.row("all", "all", "hit")["change"]
    )
    everyone = compare_outcomes(early, late, ["hit"], [], pairing="all").row("all", "all", "hit")
    both = pd.concat([early, late])
    later = np.arange(len(both)) >= len(early)
    alone = score_test(both["hit"], both["patient_id"].to_numpy(dtype=str), later, ~later)
    assert (everyone["change"], everyone["p"]) == pytest.approx((alone.gap, alone.p))


def test_a_few_in_one_run_only_make_the_comparison_a_rounded_one() -> None:
    before, after = runs(4, 200)
    leavers = sorted(set(before["patient_id"]))[:3]
    stayed = after[~after["patient_id"].isin(leavers)]
    found = compare_outcomes(before, stayed, ["hit"], ["sex"], query="query")
    exact = compare_outcomes(before, after, ["hit"], ["sex"], query="query")
    assert (found.settings["rounded"], exact.settings["rounded"]) == (True, False)
    assert found.overlap == {
        "patients_both": 200, "patients_only_before": None, "patients_only_after": 0,
        "queries_both": round(len(stayed) / 10) * 10,
    }  # fmt: skip
    for row, own in zip(found.rows, exact.rows, strict=True):
        assert row["n_patients"] % 10 == row["n_queries"] % 10 == row["n_unpaired"] % 10 == 0
        assert row["change"] == pytest.approx(row["after"] - row["before"], abs=1e-9)
        assert row["ci_low"] <= row["change"] <= row["ci_high"]
        assert (row["step"] > 0, own["step"]) == (True, 0.0)


def test_a_small_group_has_no_figures_and_all_else_is_rounded() -> None:
    before, after = runs(5, 200)
    rare = dict.fromkeys(sorted(set(before["patient_id"]))[:6], "X")
    before, after = (
        t.assign(sex=t["patient_id"].map(rare).fillna(t["sex"].fillna("M")))
        for t in (before, after)
    )
    found = compare_outcomes(before, after, ["hit"], ["sex"], query="query")
    small = found.row("sex", "X", "hit")
    assert (small["verdict"], small["reason"]) == ("not_assessable", "fewer than 11 patients")
    assert small["n_patients"] is small["n_queries"] is small["change"] is small["p"] is None
    others = [row for row in found.rows if row["group"] != "X"]
    assert all(row["n_patients"] % 10 == 0 and row["step"] > 0 for row in others)
    assert found.row("all", "all", "hit")["n_patients"] == 200


def test_no_identifier_is_in_any_output_or_error() -> None:
    before, after = runs(7)
    text = json.dumps(compare_outcomes(before, after, ["hit"], ["sex"], query="query").to_json())
    assert "secret" not in text
    with pytest.raises(InputError) as caught:
        compare_outcomes(before.assign(hit="secret"), after, ["hit"], ["sex"])
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_row_is_found_by_its_names_and_the_json_is_plain() -> None:
    before, after = runs(8)
    found = compare_outcomes(before, after, ["hit"], ["sex"], query="query")
    plain = found.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert found.row("sex", "F", "hit") in plain["rows"]
    with pytest.raises(InputError, match="no group"):
        found.row("sex", "X", "hit")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"drop": "hit"}, {}, "no column 'hit'"),
        ({"hit": "words"}, {}, "not numeric"),
        ({"hit": np.inf}, {}, "infinite"),
        ({"patient_id": None}, {}, "without a patient"),
        ({"patient_id": "unknown"}, {}, "without a patient"),
        ({"query": "same"}, {"query": "query"}, "occurs twice"),
        ({"sex": "F"}, {}, "differs between the tables"),
        ({"patient_id": "secret-1"}, {}, "another patient in the other table"),
        ({"drop": 0}, {}, "same queries in the same order"),
        ({"patient_id": "other"}, {"query": "query"}, "no patient is in both"),
        ({}, {"pairing": "years"}, "pairing"),
        ({}, {"margin": 0.0}, "margin"),
        ({}, {"primary": [("sex", "nobody", "hit")]}, "primary"),
        ({}, {"higher_is_better": {"other": True}}, "direction"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    before, after = runs(9, 30)
    if "drop" in change:
        after = after.drop([change["drop"]], axis=int(change["drop"] == "hit"))
    else:
        after = after.assign(**change)
    with pytest.raises(InputError, match=message) as caught:
        compare_outcomes(before, after, ["hit"], ["sex"], **options)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_table_crashes_or_gives_a_made_up_number(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30))
    value = st.sampled_from([0.0, 1.0, 0.4, np.nan])
    tables = []
    for _ in range(2):
        tables.append(
            {
                "patient_id": data.draw(
                    st.lists(st.sampled_from("abcdefghijklmnopq"), min_size=n, max_size=n)
                ),
                "y": data.draw(st.lists(value, min_size=n, max_size=n)),
                "g": data.draw(st.lists(st.sampled_from(["x", "", None]), min_size=n, max_size=n)),
            }
        )
    pairing = data.draw(st.sampled_from(["queries", "patients", "all"]))
    if pairing == "queries":
        tables[1] |= {"patient_id": tables[0]["patient_id"], "g": tables[0]["g"]}
    try:
        found = compare_outcomes(
            *tables, ["y"], ["g"], pairing=pairing, minimum=Minimum(4, 6), repetitions=200
        )
    except InputError as error:
        assert str(error)
        return
    for row in found.to_json()["rows"]:
        if row["verdict"] == "not_assessable":
            assert row["worst"] is row["ci_low"] is None
        else:
            assert row["ci_low"] <= row["change"] <= row["ci_high"]
        if row["n_patients"] is not None and not found.settings["rounded"]:
            assert row["n_patients"] == 0 or row["n_patients"] >= 4
