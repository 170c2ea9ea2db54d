"""The table of an audit: what stands in it, what is not shown, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.audited import cohort, own_row_of, row_of

from evaluation.audit import audit_outcomes
from evaluation.audit.result import CELL_COLUMNS, COLUMNS, frame
from evaluation.stats import Minimum
from medembed.errors import InputError


def test_order_of_rows_and_names_of_patients_do_not_matter() -> None:
    table = cohort(5)
    table["renamed"] = ["x" + name[::-1] for name in table["patient_id"]]
    args = {"outcomes": ["hit", "rr"], "attributes": ["sex", "age"], "permutations": 0}
    one = audit_outcomes(table, **args).table
    exact = [n for n in COLUMNS if n not in {"ci_low", "ci_high"}]
    shuffled = table.sample(frac=1, random_state=0)
    for other in (
        audit_outcomes(shuffled, **args).table,
        audit_outcomes(table, patient="renamed", **args).table,
    ):
        hit = one["outcome"] == "hit"
        pd.testing.assert_frame_equal(one.loc[hit], other.loc[hit], rtol=1e-9, atol=1e-12)
        points = [n for n in exact if not n.startswith(("gap_ci", "gap_naive_ci", "verdict"))]
        points.remove("reason")  # draws differ: scores' ends, not their points
        pd.testing.assert_frame_equal(one[points], other[points], rtol=1e-9, atol=1e-12)


def test_a_rerun_gives_the_same_bits_and_json_holds_all_of_it() -> None:
    table = cohort(6)
    table.loc[table["patient_id"].isin(["p0001", "p0002"]), "sex"] = None
    args = {"attributes": ["sex", "view"], "strata": ["age"], "permutations": 99, "seed": 3}
    one, two = (audit_outcomes(table, ["hit", "rr"], **args) for _ in range(2))
    text = json.dumps(one.to_json(), allow_nan=False)
    assert text == json.dumps(two.to_json(), allow_nan=False)
    held = json.loads(text)
    assert tuple(held["table"][0]) == tuple(one.table.columns) == COLUMNS
    pd.testing.assert_frame_equal(frame(held["table"], COLUMNS), one.table)
    pd.testing.assert_frame_equal(frame(held["cells"], CELL_COLUMNS), one.cells)
    assert tuple(one.cells.columns) == CELL_COLUMNS
    assert not any(name in text for name in table["patient_id"])


def test_unknown_is_a_group_however_it_is_written() -> None:
    table = cohort(7)
    rng = np.random.default_rng(0)
    blank = rng.random(len(table)) < 0.4
    table["sex"] = table["sex"].astype(object)
    table.loc[blank, "sex"] = rng.choice(np.array([None, np.nan, "", " ", "Unknown"], object),
                                         blank.sum())  # fmt: skip
    audit = audit_outcomes(table, ["hit"], ["sex"], permutations=0)
    assert sorted(set(audit.table["group"])) == ["F", "M", "unknown"]
    assert row_of(audit, group="unknown")["n_queries"] == blank.sum()


def test_a_small_group_beside_large_ones_has_no_number_and_the_rest_is_rounded() -> None:
    table = cohort(8, missing=False)
    few = sorted(set(table["patient_id"]))[:6]
    table.loc[table["patient_id"].isin(few), "sex"] = "X"
    audit = audit_outcomes(table, ["hit"], ["sex"], primary=[("sex", "hit")], permutations=0)
    small = row_of(audit, group="X")
    assert small["precision"] == "suppressed"
    assert small["verdict"] == "not_assessable"
    assert small["reason"] == "fewer than 11 patients"
    assert small[["estimate", "gap", "n_patients", "n_queries", "p_value"]].isna().all()
    for group in ("F", "M"):
        row = row_of(audit, group=group)
        held = table[table["sex"] == group]
        assert row["n_patients"] == round(held["patient_id"].nunique() / 10) * 10
        assert row["estimate"] == pytest.approx(held["hit"].mean(), abs=0.0101)
        assert row["estimate"] * 50 == pytest.approx(round(row["estimate"] * 50), abs=1e-9)
        assert row["verdict"] != "not_assessable"
    assert audit.settings["rounded"]
    assert audit.settings["n_patients"] % 10 == 0
    assert not audit.gate().passed
    assert "X, hit: primary question, not assessable" in "; ".join(audit.gate().reasons)


def test_verdicts_of_a_rounded_audit_are_those_of_the_figures_before() -> None:
    # A few of unknown site make the audit a rounded one; for sex nothing else changes.
    table = cohort(8, missing=False)
    exact = audit_outcomes(table, ["hit", "rr"], ["sex"], permutations=99)
    few = sorted(set(table["patient_id"]))[:6]
    table["site"] = np.where(table["patient_id"].isin(few), "B", "A")
    rounded = audit_outcomes(
        table, ["hit", "rr"], ["sex", "site"], intersections=False, permutations=99,
        families={"sex": [("sex", "hit"), ("sex", "rr")]},
    )  # fmt: skip
    assert not exact.settings["rounded"]
    own = rounded.table[rounded.table["attribute"] == "sex"].reset_index(drop=True)
    assert own["verdict"].tolist() == exact.table["verdict"].tolist()
    assert (own["step"] > 0).all()
    assert np.abs(own["estimate"] - exact.table["estimate"]).max() <= 0.0201
    assert (own["ci_low"] <= own["estimate"]).all()
    compared = exact.table["comparison"] == "rest"  # the other row refers to it
    assert compared.sum() == 2
    one, other = own[compared], exact.table[compared]
    assert np.abs(one["gap"] - other["gap"]).max() <= 0.0201
    assert (one["gap_ci_low"] <= other["gap_ci_low"] + 1e-9).all()
    assert (one["gap_ci_high"] >= other["gap_ci_high"] - 1e-9).all()
    assert (one["p_adjusted"] >= other["p_adjusted"]).all()


def test_small_groups_are_merged_in_attributes_and_in_what_crosses_them() -> None:
    rng = np.random.default_rng(3)
    n = 400
    race = np.repeat(["a", "b", "c", "d", "e"], [200, 180, 8, 9, 3])
    table = {"patient_id": np.arange(n), "race": race, "sex": rng.choice(["F", "M"], n),
             "hit": rng.random(n) < 0.6}  # fmt: skip
    audit = audit_outcomes(table, ["hit"], ["race", "sex"], primary=[("race", "c", "hit")])
    cells = audit.cells.set_index(["attribute", "group"])
    assert sorted(cells.loc["race"].index) == ["a", "b", "other (small groups)"]
    assert audit.settings["merged"]["race"] == ["c", "d", "e"]
    assert "Merged into 'other (small groups)' of race: c, d, e." in audit.notes
    assert set(cells.loc["race*sex"].index) <= {
        *(f"{r}*{s}" for r in ("a", "b", "other (small groups)") for s in "FM"),
        "other (small groups)",
    }
    answer = audit.table[audit.table["primary"]]
    assert answer["reason"].tolist() == ["the group is small and part of 'other (small groups)'"]
    assert not audit.gate().passed


def test_the_rest_of_a_group_is_not_shown_where_it_is_small() -> None:
    table = cohort(9, 60, missing=False)
    few = sorted(set(table["patient_id"]))[:4]
    table["site"] = np.where(table["patient_id"].isin(few), "B", "A")
    audit = audit_outcomes(table, ["hit"], ["site"], permutations=0)
    row = own_row_of(audit, group="A")
    assert row[["rest_estimate", "gap", "gap_naive"]].isna().all()
    assert not np.isnan(row["estimate"])
    assert row_of(audit, group="B")["reason_code"] == "few_patients"


def test_a_few_without_a_measurement_make_the_audit_a_rounded_one() -> None:
    table = cohort(10, missing=False)
    assert not audit_outcomes(table, ["hit", "rr"], ["age"], permutations=0).settings["rounded"]
    table.loc[[0, 1, 2], "rr"] = np.nan
    audit = audit_outcomes(table, ["hit", "rr"], ["age"], permutations=0)
    assert audit.settings["rounded"]
    counts = audit.table[["n_patients", "n_queries", "n_unmeasured"]].to_numpy(dtype=float)
    assert (counts % 10 == 0).all()


def test_a_primary_group_that_is_not_there_fails_the_gate_closed() -> None:
    table = cohort(11, missing=False)
    audit = audit_outcomes(table, ["hit"], ["sex"], primary=[("sex", "X", "hit")], permutations=0)
    row = row_of(audit, group="X")
    assert (row["n_patients"], row["verdict"]) == (0, "not_assessable")
    assert audit.gate().reasons == (
        "sex X, hit: primary question, not assessable (no query belongs to this group)",
    )
    assert audit.gate().answer == "undecided"
    passing = audit_outcomes(
        table, ["hit"], ["sex"], primary=[("sex", "hit")], permutations=0, margin=0.9
    )
    assert passing.gate().passed
    assert passing.gate().reasons == ()


def test_outcomes_of_any_range_scale_with_their_unit() -> None:
    table = cohort(12)
    table["large"], table["tiny"] = table["rr"] * 1e60, table["rr"] * 1e-60
    one = audit_outcomes(table, ["rr"], ["sex"], permutations=0).table
    for name, factor in (("large", 1e60), ("tiny", 1e-60)):
        other = audit_outcomes(table, [name], ["sex"], permutations=0, margin=0.05 * factor).table
        for column in ("estimate", "ci_low", "gap", "gap_ci_low", "gap_ci_high"):
            np.testing.assert_allclose(other[column], one[column] * factor, rtol=1e-9)
        assert other["verdict"].tolist() == one["verdict"].tolist()


@pytest.mark.parametrize("groups", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_groups_run(groups: int) -> None:
    rng = np.random.default_rng(0)
    n = 14 * groups
    site = rng.integers(0, groups, n)
    table = {"patient_id": np.arange(n), "site": site, "hit": rng.random(n) < 0.5}
    audit = audit_outcomes(table, ["hit"], ["site"], permutations=0)
    counts = np.bincount(site)
    small = (counts > 0) & (counts < 11)
    assert len(audit.settings["merged"]["site"]) == small.sum() > 0
    assert len(audit.table) == (counts > 0).sum() - small.sum() + 1
    merged = audit.table[audit.table["group"] == "other (small groups)"]["n_patients"].item()
    assert merged == round(counts[small].sum() / 10) * 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcomes": ["nothing"]}, "no column 'nothing'"),
        ({"outcomes": ["sex"]}, "not numeric"),
        ({"outcomes": ["endless"]}, "infinite"),
        ({"patient": "holes"}, "2 queries without a patient"),
        ({"attributes": []}, "nothing to audit"),
        ({"attributes": "sex"}, "list of columns"),
        ({"attributes": ["sex", "sex"]}, "named twice"),
        ({"margin": 0}, "margin"),
        ({"ratio_margin": 0.8}, "ratio"),
        ({"alpha": 0.7}, "margin"),
        ({"primary": [("sex", "rank")]}, "not audited"),
        ({"primary": ["sex"]}, "not understood"),
        ({"kinds": {"hit": "rate"}}, "proportion"),
        ({"kinds": {"rr2": "proportion"}, "outcomes": ["rr2"]}, "outside 0 to 1"),
        ({"contrasts": "some"}, "contrasts"),
        ({"permutations": 5}, "99 permutations"),
        ({"repetitions": 5}, "200 repetitions"),
        ({"overlap": 2}, "overlap"),
        ({"minimum": Minimum(1, 5)}, "minimum"),
        ({"intersections": [["sex"]]}, "fewer than two"),
        ({"intersections": [["sex", "site"]]}, "not audited"),
        ({"families": {"all other": []}}, "cannot be called"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, message) -> None:
    table = cohort(13)
    table["endless"] = np.inf
    table["rr2"] = table["hit"] * 2
    table["holes"] = table["patient_id"].astype(object)
    table.loc[[3, 4], "holes"] = [None, " "]
    args = {"outcomes": ["hit"], "attributes": ["sex"]} | change
    with pytest.raises(InputError, match=message) as caught:
        audit_outcomes(table, **args)
    assert "\n" not in str(caught.value)
    assert "p0" not in str(caught.value)
