"""The audit of outcomes: its points, intervals and tests are those of the slow ways."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from support.audited import EVERY, cohort, own_row_of, row_of
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
from evaluation.stats import holm

OWN = (
    "estimate", "ci_low", "ci_high", "n_patients", "n_queries", "n_events", "icc", "design_effect",
)  # fmt: skip


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


def test_what_was_not_measured_is_counted_by_group(audited) -> None:
    table, audit = audited
    lost = table[table["rr"].isna()].groupby("age").size()
    for group, count in lost.items():
        row = row_of(audit, attribute="age", group=group, outcome="rr")
        assert row["n_unmeasured"] == count
        held = table[(table["age"] == group) & table["rr"].notna()]
        assert row["n_queries"] == len(held)
        assert row["n_patients"] == held["patient_id"].nunique()
