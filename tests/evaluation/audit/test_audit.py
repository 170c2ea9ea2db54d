"""The audit of outcomes: its points, intervals and tests are those of the slow ways."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from support.cohorts import hits
from support.one_by_one import (
    cluster_mean,
    gap_interval,
    korn_graubard,
    score_test,
    standardised_gap,
)
from support.plain_bootstrap import bootstrap_t_gap, bootstrap_t_mean

from evaluation.audit import Audit, audit_outcomes
from evaluation.audit.result import CELL_COLUMNS, COLUMNS
from evaluation.stats import Minimum, holm
from medembed.errors import InputError


def cohort(seed: int = 0, n: int = 300, *, missing: bool = True) -> pd.DataFrame:
    """Queries of n patients: hit and reciprocal rank, sex and age by patient, view by query."""
    rng = np.random.default_rng(seed)
    owner, hit = hits(rng, n)
    sex, age = rng.choice(["F", "M"], n), rng.choice(["<40", "40-60", ">60"], n)
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i:04d}" for i in owner],
            "sex": sex[owner],
            "age": age[owner],
            "view": rng.choice(["AP", "PA"], len(owner), p=[0.3, 0.7]),
            "hit": hit,
            "rr": np.where(hit > 0, 1 / rng.integers(1, 6, len(hit)), 0.0),
        }
    )
    if missing:
        table.loc[rng.random(len(table)) < 0.3, "rr"] = np.nan
    return table


OWN = (
    "estimate", "ci_low", "ci_high", "n_patients", "n_queries", "n_events", "icc", "design_effect",
)  # fmt: skip
EVERY = Minimum(2, 50)  # nothing is hidden, and rounded, but single patients


def row_of(audit: Audit, **keys: str) -> pd.Series:
    table = audit.table
    for name, value in ({"comparison": "rest"} | keys).items():
        table = table[table[name] == value]
    assert len(table) == 1, keys
    return table.iloc[0]


def own_row_of(audit: Audit, **keys: str) -> pd.Series:
    """A group's own figures, whichever of two groups its contrast is shown for."""
    table = audit.table[audit.table["comparison"].isin(["rest", "reference"])]
    for name, value in keys.items():
        table = table[table[name] == value]
    assert len(table) == 1, keys
    return table.iloc[0]


@pytest.fixture(scope="module")
def audited() -> tuple[pd.DataFrame, Audit]:
    table = cohort()
    return table, audit_outcomes(
        table, ["hit", "rr"], ["sex", "age", "view"], permutations=199, minimum=EVERY
    )


@pytest.mark.parametrize("seed", range(4))
def test_points_equal_fairlearn(seed: int) -> None:
    table = cohort(seed, missing=False)
    audit = audit_outcomes(table, ["hit", "rr"], ["sex", "age"], permutations=0, minimum=EVERY)
    for outcome in ("hit", "rr"):
        for features, name in (
            (["sex"], "sex"), (["age"], "age"), (["sex", "age"], "sex*age")
        ):  # fmt: skip
            frame = MetricFrame(
                metrics=lambda y, _: float(np.mean(y)),
                y_true=table[outcome],
                y_pred=table[outcome],
                sensitive_features=table[features],
            )
            for group, value in frame.by_group.items():
                label = "*".join(group) if isinstance(group, tuple) else group
                row = own_row_of(audit, attribute=name, group=label, outcome=outcome)
                assert row["estimate"] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("attribute", ["sex", "age", "view", "sex*view"])
def test_proportions_equal_the_statistics_one_by_one(attribute, audited) -> None:
    table, audit = audited
    owner, hit = table["patient_id"].to_numpy(str), table["hit"].to_numpy()
    label = table[attribute.split("*")].agg("*".join, axis=1)
    for group in sorted(set(label)):
        row = own_row_of(audit, attribute=attribute, group=group, outcome="hit")
        member = (label == group).to_numpy()
        test = score_test(hit, owner, member, ~member)
        gap, low, high = gap_interval(hit, owner, member, ~member)
        own = korn_graubard(hit, owner, member)
        mean = cluster_mean(hit, owner, member)
        expected = {
            "gap": gap, "gap_ci_low": low, "gap_ci_high": high, "p_value": test.p,
            "estimate": own.estimate, "ci_low": own.low, "ci_high": own.high,
            "n_patients": own.n_patients, "n_queries": own.n_queries,
            "n_events": hit[member].sum(), "icc": mean.icc, "design_effect": mean.design_effect,
            "rest_estimate": hit[~member].mean(),
        }  # fmt: skip
        if row["comparison"] == "reference":  # its contrast is the other group's
            assert np.isnan(row["gap"])
            expected = {k: v for k, v in expected.items() if k in OWN}
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-9), (group, name)
            naive = {"gap": "gap_naive"}.get(name)
            assert naive is None or row[naive] == row[name]


def test_scores_have_the_bootstrap_t_interval_over_patients(audited) -> None:
    table, audit = audited
    owner, rr = table["patient_id"].to_numpy(str), table["rr"].to_numpy()
    for attribute, group in (("sex", "F"), ("age", "<40"), ("view", "AP")):
        member = (table[attribute] == group).to_numpy()
        row = row_of(audit, attribute=attribute, group=group, outcome="rr")
        test = score_test(rr, owner, member, ~member)
        slow = bootstrap_t_gap(rr, owner, member, ~member, repetitions=8000, seed=5)
        own = bootstrap_t_mean(rr, owner, member, repetitions=8000, seed=5)
        assert row["p_value"] == pytest.approx(test.p, abs=1e-9)
        # Two sets of draws: ends differ by a fraction of the error.
        for end, other in (("gap_ci_low", slow.low), ("gap_ci_high", slow.high)):
            assert row[end] == pytest.approx(other, abs=0.25 * slow.error)
        for end, other in (("ci_low", own.low), ("ci_high", own.high)):
            assert row[end] == pytest.approx(other, abs=0.25 * own.error)


def test_p_is_adjusted_by_holm_within_the_declared_family() -> None:
    table = cohort(1, missing=False)
    primary = [("sex", "F", "hit"), {"attribute": "age", "outcome": "hit"}]
    audit = audit_outcomes(
        table, ["hit", "rr"], ["sex", "age"], primary=primary, permutations=0,
        families={"ranks": [("age", "rr")]}, contrasts="all",
    )  # fmt: skip
    rows = audit.table[audit.table["comparison"] != "reference"]
    assert set(rows["family"]) == {"primary", "ranks", "all other", "largest", "pairs"}
    assert rows["primary"].sum() == 4  # F, and the three age groups
    assert (rows["family"] == "primary").sum() == 4
    for _, family in rows.groupby("family"):
        np.testing.assert_allclose(family["p_adjusted"], holm(family["p_value"]), atol=1e-12)


def test_two_groups_are_one_contrast_shown_once() -> None:
    table = cohort(1, missing=False)
    owner, hit = table["patient_id"].to_numpy(str), table["hit"].to_numpy()
    rows = audit_outcomes(table, ["hit"], ["sex"], permutations=0).table
    assert rows["comparison"].tolist().count("rest") == 1
    shown = rows[rows["comparison"] == "rest"].iloc[0]
    other = rows[rows["comparison"] == "reference"].iloc[0]
    assert shown["p_adjusted"] == shown["p_value"]
    assert shown["n_patients"] < other["n_patients"]  # the larger group is the reference
    assert shown["rest_estimate"] == other["estimate"]
    assert other[["gap", "p_value", "p_adjusted", "verdict", "verdict_naive"]].isna().all()
    named = audit_outcomes(
        table, ["hit"], ["sex"], primary=[("sex", other["group"], "hit")], permutations=0
    ).table
    turned = named[named["comparison"] == "rest"].iloc[0]
    assert turned["group"] == other["group"]
    assert turned["gap"] == pytest.approx(-shown["gap"], abs=1e-12)
    # Those whose sex is not known are a question of their own, and no part of the first.
    lost = table["age"] == "<40"
    with_unknown = table.assign(sex=table["sex"].where(~lost, None))
    audit = audit_outcomes(with_unknown, ["hit"], ["sex"], permutations=0)
    rest = audit.table[audit.table["comparison"] == "rest"]
    assert len(rest) == 2
    np.testing.assert_allclose(rest["p_adjusted"], holm(rest["p_value"]), atol=1e-12)
    for row in rest.to_dict("records"):
        member = ((table["sex"] == row["group"]) & ~lost).to_numpy()
        against = (~lost & (table["sex"] != row["group"])).to_numpy()
        test = score_test(hit, owner, lost.to_numpy() if row["group"] == "unknown" else member,
                          against)  # fmt: skip
        assert row["gap"] == pytest.approx(test.gap, abs=1e-12)
        assert row["p_value"] == pytest.approx(test.p, abs=1e-9)


def test_pairs_and_the_largest_equal_their_score_tests() -> None:
    table = cohort(2)
    audit = audit_outcomes(
        table, ["hit", "rr"], ["age", "view"], contrasts="all", permutations=0,
        intersections=False, minimum=EVERY,
    )  # fmt: skip
    owner = table["patient_id"].to_numpy(str)
    largest = table.groupby("age")["patient_id"].nunique().idxmax()
    for attribute, outcome, group, other, comparison in (
        ("age", "hit", "40-60", "<40", "pair:<40"),
        ("age", "rr", "40-60", "<40", "pair:<40"),
        ("view", "hit", "AP", "PA", "pair:PA"),
        ("view", "rr", "AP", "PA", "largest"),
        *((("age", "hit", g, largest, "largest")) for g in ("<40", "40-60") if g != largest),
    ):
        one, two = (table[attribute] == g for g in (group, other))
        y = table[outcome].to_numpy()
        row = row_of(
            audit, attribute=attribute, group=group, outcome=outcome, comparison=comparison
        )
        test = score_test(y, owner, one.to_numpy(), two.to_numpy())
        assert row["gap"] == pytest.approx(test.gap, abs=1e-12)
        assert row["p_value"] == pytest.approx(test.p, abs=1e-9)
        if outcome == "hit":
            slow = gap_interval(y, owner, one, two)
        else:
            drawn = bootstrap_t_gap(y, owner, one.to_numpy(), two.to_numpy(), repetitions=8000)
            slow = (drawn.estimate, drawn.low, drawn.high)
        near = 1e-9 if outcome == "hit" else 0.01
        np.testing.assert_allclose(row[["gap_ci_low", "gap_ci_high"]].astype(float), slow[1:],
                                   atol=near)  # fmt: skip


def test_with_strata_the_gap_is_standardised_and_the_naive_one_stands_beside() -> None:
    table = cohort(3, missing=False)
    primary = {"primary": [("sex", "F", "hit"), ("sex", "F", "rr")], "permutations": 0}
    plain = audit_outcomes(table, ["hit", "rr"], ["sex"], **primary)
    audit = audit_outcomes(table, ["hit", "rr"], ["sex"], strata=["age", "view"], **primary)
    strata = (table["age"] + table["view"]).to_numpy(str)
    owner = table["patient_id"].to_numpy(str)
    for outcome in ("hit", "rr"):
        y, member = table[outcome].to_numpy(), (table["sex"] == "F").to_numpy()
        slow = standardised_gap(y, owner, member, ~member, strata)
        row = row_of(audit, group="F", outcome=outcome)
        for name, value in (
            ("gap", slow.gap), ("gap_ci_low", slow.low), ("gap_ci_high", slow.high),
            ("p_value", slow.p), ("overlap", 1.0),
        ):  # fmt: skip
            assert row[name] == pytest.approx(value, abs=1e-9)
        beside = row_of(plain, group="F", outcome=outcome)
        for name in ("gap", "gap_ci_low", "gap_ci_high"):
            assert row[name.replace("gap", "gap_naive")] == beside[name]
        assert row["p_naive"] == beside["p_adjusted"]
        assert row["verdict_naive"] == beside["verdict"]
        assert row["estimate"] == beside["estimate"]


def test_a_mix_of_views_is_taken_for_unfairness_only_by_the_naive_gap() -> None:
    rng = np.random.default_rng(0)
    sex = rng.random(3000) < 0.5
    hard = rng.random(3000) < np.where(sex, 0.8, 0.2)
    owner, hit = hits(rng, 3000, np.where(hard, 0.4, 0.7))
    table = {"patient_id": owner, "sex": np.where(sex, "F", "M")[owner], "hit": hit,
             "view": np.where(hard, "AP", "PA")[owner]}  # fmt: skip
    primary = [("sex", "F", "hit")]
    row = row_of(audit_outcomes(table, ["hit"], ["sex"], strata=["view"], primary=primary))
    assert row["verdict_naive"] == "exceeds"
    assert row["verdict"] not in ("exceeds", "differs")
    assert abs(row["gap"]) < 0.04 < 0.1 < abs(row["gap_naive"])
    assert row["p_max_t"] > 0.05


def test_strata_that_the_others_lack_are_not_extrapolated() -> None:
    table = cohort(4, missing=False)
    table.loc[(table["sex"] == "M") & (table["view"] == "AP"), "view"] = "PA"
    table.loc[(table["sex"] == "F") & (table["view"] == "PA"), "view"] = "LL"
    audit = audit_outcomes(table, ["hit"], ["sex"], strata=["view"])
    row = row_of(audit)
    assert (row["verdict"], row["reason_code"]) == ("not_assessable", "few_shared_strata")
    assert "strata that the others share" in row["reason"]
    assert np.isnan(row[["gap", "gap_ci_low", "p_adjusted", "p_max_t"]].astype(float)).all()
    assert not np.isnan(row["gap_naive"])


def test_max_t_is_there_for_attributes_of_patients_alone(audited) -> None:
    _, audit = audited
    rows = audit.table[audit.table["verdict"].notna()]
    rows = rows[rows["verdict"] != "not_assessable"]
    by_view = rows["attribute"].str.contains("view")
    assert rows.loc[by_view, "p_max_t"].isna().all()
    assert (rows.loc[~by_view, "p_max_t"] >= 1 / 200).all()
    assert (rows.loc[~by_view, "p_max_t"] >= rows.loc[~by_view, "p_value"] / 2).all()


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


def test_a_rerun_gives_the_same_bits_and_json_holds_all_of_it(tmp_path) -> None:
    table = cohort(6)
    table.loc[table["patient_id"].isin(["p0001", "p0002"]), "sex"] = None
    args = {"attributes": ["sex", "view"], "strata": ["age"], "permutations": 99, "seed": 3}
    one, two = (audit_outcomes(table, ["hit", "rr"], **args) for _ in range(2))
    text = json.dumps(one.to_json(), allow_nan=False)
    assert text == json.dumps(two.to_json(), allow_nan=False)
    back = Audit.from_json(text)
    pd.testing.assert_frame_equal(back.table, one.table)
    pd.testing.assert_frame_equal(back.cells, one.cells)
    assert json.dumps(back.to_json()) == text
    assert back.gate() == one.gate()
    one.write_csv(tmp_path / "audit.csv")
    read = pd.read_csv(tmp_path / "audit.csv")
    assert tuple(read.columns) == COLUMNS
    assert len(read) == len(one.table)
    assert tuple(one.cells.columns) == CELL_COLUMNS
    assert not any(name in text for name in table["patient_id"])
    with pytest.raises(InputError, match="no audit in this JSON"):
        Audit.from_json({"table": []})


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


def test_what_was_not_measured_is_counted_by_group(audited) -> None:
    table, audit = audited
    lost = table[table["rr"].isna()].groupby("age").size()
    for group, count in lost.items():
        row = row_of(audit, attribute="age", group=group, outcome="rr")
        assert row["n_unmeasured"] == count
        held = table[(table["age"] == group) & table["rr"].notna()]
        assert row["n_queries"] == len(held)
        assert row["n_patients"] == held["patient_id"].nunique()


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
