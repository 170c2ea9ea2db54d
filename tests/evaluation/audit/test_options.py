"""What a protocol may choose: a reference group, weights, bands, and units above the patients."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.audited import EVERY, cohort, row_of
from support.cohorts import hits
from support.one_by_one import gap_interval, score_test, standardised_gap

from evaluation.audit import audit_outcomes, simulate_instrument
from evaluation.audit.columns import banded
from evaluation.audit.contrasts import compare
from evaluation.audit.table_input import read_queries
from evaluation.stats import Minimum
from evaluation.stats.multiplicity import max_t
from medembed.errors import InputError

FIGURES = (
    "gap", "gap_ci_low", "gap_ci_high", "p_value", "rest_estimate", "ratio", "ratio_ci_high",
    "overlap", "p_heterogeneity", "gap_naive",
)  # fmt: skip
QUICK: dict[str, Any] = {"permutations": 0, "repetitions": 200, "minimum": EVERY}


def weighted(seed: int = 0, n: int = 400, *, one_query: bool = False) -> pd.DataFrame:
    """A cohort in which a patient stands for 1 to 9 others."""
    table = cohort(seed, n, missing=False)
    if one_query:
        table = table.drop_duplicates("patient_id").reset_index(drop=True)
    numbers = table["patient_id"].str[1:].astype(int).to_numpy()
    table["weight"] = np.random.default_rng(seed).integers(1, 10, n)[numbers]
    return table


@pytest.mark.parametrize("strata", [[], ["view"]])
def test_with_the_largest_group_as_reference_the_contrasts_are_those_with_the_largest(
    strata: list[str],
) -> None:
    table = cohort(1)
    largest = table.groupby("age")["patient_id"].nunique().idxmax()
    asked = {"outcomes": ["hit", "rr"], "attributes": ["age"], "strata": strata}
    found = audit_outcomes(table, **asked, **QUICK, reference={"age": largest}).table
    golden = audit_outcomes(table, **asked, **QUICK, contrasts="largest").table
    ours = found[found["comparison"] == f"against:{largest}"]
    theirs = golden[golden["comparison"] == "largest"]
    assert len(ours) == 4
    assert ours["group"].tolist() == theirs["group"].tolist()
    for name in FIGURES:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-12, err_msg=name)
    own = found[found["comparison"] == "reference"]
    assert own["group"].tolist() == [largest] * 2
    assert own[["gap", "verdict", "p_value"]].isna().all().all()
    assert (own["estimate"].to_numpy() == theirs["rest_estimate"].unique()).all()


def test_a_reference_group_is_tested_by_the_slow_ways() -> None:
    table = cohort(2, missing=False)
    owner, hit = table["patient_id"].to_numpy(str), table["hit"].to_numpy()
    one, two = ((table["age"] == name).to_numpy() for name in ("40-60", "<40"))
    asked = {"reference": {"age": "<40"}, **QUICK}
    row = row_of(
        audit_outcomes(table, ["hit"], ["age"], **asked), group="40-60", comparison="against:<40"
    )
    gap, low, high = gap_interval(hit, owner, one, two)
    assert row[["gap", "gap_ci_low", "gap_ci_high"]].tolist() == pytest.approx([gap, low, high])
    assert row["p_value"] == pytest.approx(score_test(hit, owner, one, two).p)
    slow = standardised_gap(hit, owner, one, two, table["view"].to_numpy(str))
    row = row_of(
        audit_outcomes(table, ["hit"], ["age"], strata=["view"], **asked),
        group="40-60", comparison="against:<40",
    )  # fmt: skip
    assert row[["gap", "p_value"]].tolist() == pytest.approx([slow.gap, slow.p])


def test_the_gate_takes_the_reference_and_not_the_rest() -> None:
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "c"], 6000, p=[0.2, 0.2, 0.6])
    owner, hit = hits(rng, 6000, np.where(group == "c", 0.5, 0.7))
    table = {"patient_id": owner, "hit": hit, "group": group[owner]}
    asked: dict[str, Any] = {"primary": [("group", "a", "hit")], "permutations": 99}
    plain = audit_outcomes(table, ["hit"], ["group"], **asked)
    assert row_of(plain, group="a")["verdict"] == "exceeds"
    chosen = audit_outcomes(table, ["hit"], ["group"], reference={"group": "b"}, **asked)
    row = row_of(chosen, group="a", comparison="against:b")
    assert (row["verdict"], row["primary"]) == ("within", True)
    assert row["p_max_t"] > 0.1
    harmed = row_of(chosen, group="c", comparison="against:b")
    assert harmed["verdict"] == "exceeds"
    assert harmed["p_max_t"] == 0.01
    assert [finding.group for finding in chosen.gate().findings] == ["c"]
    assert chosen.settings["reference"] == {"group": "b"}
    assert "Groups of group are compared with 'b', not with everyone else." in chosen.notes
    with pytest.raises(InputError, match="'a', which the others are compared with"):
        audit_outcomes(table, ["hit"], ["group"], reference={"group": "a"}, **asked)


def test_of_two_groups_the_chosen_one_is_the_reference() -> None:
    table = cohort(3)
    for group, other in (("F", "M"), ("M", "F")):
        rows = audit_outcomes(
            table, ["hit"], ["sex"], reference={"sex": other}, primary=[("sex", "hit")], **QUICK
        ).table
        kinds = dict(zip(rows["group"], rows["comparison"], strict=True))
        assert kinds == {group: f"against:{other}", other: "reference"}
        assert rows["primary"].sum() == 1


def test_max_t_compares_with_the_group_that_is_named() -> None:
    rng = np.random.default_rng(4)
    group, u = rng.integers(0, 3, 90), rng.standard_normal((90, 1))
    size = rng.integers(1, 4, (90, 1)).astype(float)
    t, _ = max_t(u, size, [group], against=np.array([-1, 0, 0]), permutations=99)
    for at, other in ((1, group == 0), (2, group == 0), (0, group != 0)):
        gap, variance = 0.0, 0.0
        for sign, side in ((1, group == at), (-1, other)):
            n, k = size[side].sum(), side.sum()
            gap += sign * u[side].sum() / n
            variance += k / (k - 1) * (u[side] ** 2).sum() / n**2
        assert t[at, 0] == pytest.approx(gap / np.sqrt(variance))


def test_equal_weights_are_no_weights() -> None:
    table = cohort(4).assign(weight=0.3)
    asked = {"outcomes": ["hit", "rr"], "attributes": ["sex", "view"], "strata": ["age"]}
    plain, equal = (
        audit_outcomes(table, **asked, permutations=99, repetitions=200, weight=weight)
        for weight in (None, "weight")
    )
    assert json.dumps(plain.to_json()["table"]) == json.dumps(equal.to_json()["table"])


def test_a_weight_counts_as_rows_repeated_within_a_patient() -> None:
    table = weighted(5)
    repeated = table.loc[table.index.repeat(table["weight"])]
    asked = {"outcomes": ["hit", "rr"], "attributes": ["sex", "age"], **QUICK}
    for strata in ([], ["view"]):
        ours = audit_outcomes(table, **asked, strata=strata, weight="weight").table
        theirs = audit_outcomes(repeated, **asked, strata=strata).table
        for name in ("estimate", "rest_estimate", "gap", "gap_naive"):
            np.testing.assert_allclose(ours[name], theirs[name], atol=1e-12, err_msg=name)
        counts = ours[ours["outcome"] == "hit"].set_index(["attribute", "group"])
        women = table[table["sex"] == "F"]
        assert counts.loc[("sex", "F"), "n_queries"] == len(women)
        assert counts.loc[("sex", "F"), "n_events"] == women["hit"].sum()
        assert counts.loc[("sex", "F"), "n_patients"] == women["patient_id"].nunique()


def test_weighted_tests_follow_the_formula_patient_by_patient() -> None:
    table = weighted(6)
    queries = read_queries(
        table, ["hit"], ["sex"], patient="patient_id", weight="weight", minimum=EVERY
    )
    block = compare(
        queries, contrasts="rest", minimum=EVERY, alpha=0.05, repetitions=0, seed=0
    )[0]  # fmt: skip
    y, w = table["hit"].to_numpy(), table["weight"].to_numpy(float)
    centre = np.average(y, weights=w)
    variance, effective = 0.0, []
    for sex in ("F", "M"):
        member = (table["sex"] == sex).to_numpy()
        its = pd.Series(w[member] * (y[member] - centre)).groupby(
            table["patient_id"].to_numpy()[member]
        )
        u, total = its.sum().to_numpy(), w[member].sum()
        variance += len(u) / (len(u) - 1) * (u**2).sum() / total**2
        effective.append(len(u) * total**2 / (w[member] ** 2).sum() / member.sum())
    own = np.average(y[table["sex"] == "F"], weights=w[table["sex"] == "F"])
    other = np.average(y[table["sex"] == "M"], weights=w[table["sex"] == "M"])
    assert block.gap[0, 0] == pytest.approx(own - other)
    from scipy.stats import norm, t

    z = (own - other) / np.sqrt(variance)
    few, many = (2 * t.sf(abs(z), min(effective) - 1), 2 * norm.sf(abs(z)))
    assert many < block.p[0, 0] < few  # degrees of freedom of effective patients


def test_weighted_intervals_are_as_wide_as_a_bootstrap_of_patients_says() -> None:
    table = weighted(7, 900)
    rows = audit_outcomes(table, ["hit", "rr"], ["sex"], weight="weight", **QUICK).table
    rng = np.random.default_rng(0)
    numbers, patients = pd.factorize(table["patient_id"])
    for outcome in ("hit", "rr"):
        row = rows[(rows["outcome"] == outcome) & (rows["comparison"] == "rest")].iloc[0]
        member = (table["sex"] == row["group"]).to_numpy()
        y, w = table[outcome].to_numpy(), table["weight"].to_numpy(float)
        drawn = []
        for _ in range(400):
            count = np.bincount(rng.integers(0, len(patients), len(patients)),
                                minlength=len(patients))[numbers] * w  # fmt: skip
            drawn.append(
                np.average(y[member], weights=count[member])
                - np.average(y[~member], weights=count[~member])
            )
        width = row["gap_ci_high"] - row["gap_ci_low"]
        assert width == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.12), outcome


def test_with_one_stratum_the_weighted_standardised_gap_is_the_plain_one() -> None:
    table = weighted(8, one_query=True).assign(all="x")
    asked = {"outcomes": ["hit", "rr"], "attributes": ["age"], "weight": "weight", **QUICK}
    plain = audit_outcomes(table, **asked).table
    inside = audit_outcomes(table, **asked, strata=["all"]).table
    np.testing.assert_allclose(inside["gap"], plain["gap"], atol=1e-12)
    np.testing.assert_allclose(inside["p_value"], plain["p_value"], rtol=0.01)  # k* / (k* - 1)
    hit = plain["outcome"] == "hit"
    np.testing.assert_allclose(
        inside.loc[hit, "gap_ci_low"], plain.loc[hit, "gap_ci_low"], atol=0.004
    )


@pytest.mark.slow
def test_weighted_intervals_cover_and_weighted_tests_keep_their_level() -> None:
    # Sampled four times as often where results are worse, in one group alone: unweighted the group
    # looks worse served, weighted it is not.
    covered, alarms, naive = [], [], []
    for seed in range(200):
        rng = np.random.default_rng([9, seed])
        a = rng.random(1600) < 0.5
        hard = rng.random(1600) < 0.5
        kept = ~a | hard | (rng.random(1600) < 0.25)
        owner, hit = hits(rng, 1600, np.where(hard, 0.5, 0.8))
        own = kept[owner]
        table = pd.DataFrame({"patient_id": owner, "hit": hit})
        table["group"] = np.where(a, "a", "b")[owner]
        table["w"] = np.where(a & ~hard, 4.0, 1.0)[owner]
        table = table[own]
        asked: dict[str, Any] = {"weight": "w", "reference": {"group": "b"}, "permutations": 0}
        row = row_of(audit_outcomes(table, ["hit"], ["group"], **asked), comparison="against:b")
        covered.append(row["gap_ci_low"] <= 0 <= row["gap_ci_high"])
        alarms.append(row["p_value"] <= 0.05)
        plain = audit_outcomes(table, ["hit"], ["group"], permutations=0).table
        naive.append((plain["p_value"] <= 0.05).any())
    assert 0.91 <= np.mean(covered) <= 0.99
    assert np.mean(alarms) <= 0.09
    assert np.mean(naive) > 0.5


def test_a_numeric_attribute_is_cut_at_its_edges_or_into_equal_parts() -> None:
    table = cohort(10, 400)
    numbers = table["patient_id"].str[1:].astype(int).to_numpy()
    years = np.random.default_rng(0).integers(1, 90, 400)
    table["years"] = years[numbers].astype(str)  # as in a text file
    named = np.select([years < 18, years < 65], ["under 18", "18 to under 65"], "65 and over")
    by_hand = table.assign(years=named[numbers])
    asked = {"outcomes": ["hit"], "strata": ["view"], **QUICK}
    cut = audit_outcomes(table, attributes=["years"], bands={"years": [18, 65]}, **asked)
    golden = audit_outcomes(by_hand, attributes=["years"], **asked)
    assert cut.to_json()["table"] == golden.to_json()["table"]
    assert cut.settings["bands"] == {"years": [18.0, 65.0]}
    parts = audit_outcomes(table, attributes=["years"], bands={"years": 4}, **asked)
    assert len(parts.cells) == 4
    assert parts.cells["n_patients"].between(85, 115).all()
    within = audit_outcomes(table, ["hit"], ["sex"], strata=["years"], bands={"years": 2}, **QUICK)
    assert within.settings["n_strata"] == 2


@pytest.mark.parametrize("strata", [[], ["view"]])
def test_clusters_are_drawn_as_patients_are_and_patients_are_counted(strata: list[str]) -> None:
    table = cohort(11, 600)
    numbers = table["patient_id"].str[1:].astype(int).to_numpy()
    table["ward"] = np.random.default_rng(0).integers(0, 30, 600)[numbers]
    asked = {"outcomes": ["hit", "rr"], "attributes": ["sex"], "strata": strata, **QUICK}
    ours = audit_outcomes(table, cluster="ward", **asked)
    golden = audit_outcomes(table, patient="ward", **asked).table
    for name in ("estimate", "ci_low", "ci_high", *FIGURES):
        np.testing.assert_allclose(
            ours.table[name].abs(), golden[name].abs(), atol=1e-12, err_msg=name
        )
    women = table[table["sex"] == "F"]["patient_id"].nunique()
    assert set(ours.table.query("group == 'F' and outcome == 'hit'")["n_patients"]) == {women}
    assert any("take each ward as one unit" in note for note in ours.notes)


def test_a_group_of_few_clusters_is_not_assessable() -> None:
    table = cohort(12, 300, missing=False)
    numbers = table["patient_id"].str[1:].astype(int).to_numpy()
    table["ward"] = numbers % 25
    table["region"] = np.where(numbers % 25 < 5, "north", "south")
    audit = audit_outcomes(table, ["hit"], ["region"], cluster="ward", permutations=0)
    row = row_of(audit)
    assert (row["group"], row["verdict"]) == ("north", "not_assessable")
    assert (row["n_patients"], row["reason_code"]) == (60, "few_clusters")


def test_the_audit_measures_itself_as_it_was_asked() -> None:
    table = weighted(13)
    found = simulate_instrument(
        table, ["hit"], ["age"], weight="weight", reference={"age": "<40"}, cohorts=60
    )
    assert {row.group: row.smallest_gap is None for row in found.detectable} == {
        "40-60": False, "<40": True, ">60": False,
    }  # fmt: skip
    assert found.coverage is not None
    assert found.coverage > 0.88


def test_the_largest_group_is_of_patients_though_clusters_are_drawn() -> None:
    table = cohort(12, 600, missing=False)
    numbers = table["patient_id"].str[1:].astype(int)
    table["ward"] = numbers % 20
    table["size"] = np.where(numbers < 80, "a", np.where(numbers < 200, "b", "c"))
    asked: dict[str, Any] = {"contrasts": "all", "cluster": "ward", **QUICK}
    found = audit_outcomes(table, ["hit"], ["size"], **asked).table
    largest = found[found["comparison"] == "largest"]
    assert largest["group"].tolist() == ["a", "b"]
    want = table[table["size"] == "c"]["hit"].mean()
    np.testing.assert_allclose(largest["rest_estimate"], want, atol=1e-12)
    two = table.assign(size=np.where(numbers < 80, "z", "y"))
    rows = audit_outcomes(two, ["hit"], ["size"], **asked).table
    assert rows[rows["comparison"] == "reference"]["group"].tolist() == ["y"]


def test_bands_part_the_patients_whatever_the_scale_and_have_names_of_their_own() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(1e4, 1, 300), rng.normal(0, 1e-5, 300), rng.lognormal(0, 4, 300)):
        bands = banded(pd.Series(values), "x", 3, np.arange(300))
        assert pd.Series(bands).value_counts().between(90, 110).tolist() == [True] * 3
    near = pd.Series([100000.15, 100000.25])
    assert len(set(banded(near, "x", [100000.1, 100000.2, 100000.3], np.arange(2)))) == 2
    signed = banded(pd.Series([-7, 3]), "x", [-10, -5, 3, 4], np.arange(2))
    assert signed.tolist() == ["-10 to under -5", "3 to under 4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": {"age": "80+"}}, "age: the reference group '80+' is not in the table"),
        ({"reference": {"age": "unknown"}}, "age: the reference group 'unknown' is of patients"),
        ({"reference": {"small": "b"}}, "small: the reference group 'b' has too few patients"),
        ({"reference": {"race": "w"}}, "race: a reference group of an attribute that is not"),
        ({"weight": "none"}, "no column 'none'"),
        ({"weight": "heavy"}, "heavy: weights that are not positive numbers: 3, the first in data "
                              "row 5"),
        ({"weight": "wide"}, "wide: weights of which one is more than 1,000,000 times another"),
        ({"bands": {"view": [1]}}, "view: values that are not finite numbers: "),
        ({"bands": {"hit": [1]}}, "hit: bands of what is neither an attribute nor a stratum"),
        ({"bands": {"years": [60, 40]}}, "years: bands that are neither edges that rise nor"),
        ({"bands": {"years": 1}}, "years: bands that are neither edges that rise nor"),
        ({"bands": {"years": []}}, "years: bands that are neither edges that rise nor"),
        ({"bands": {"years": ["40"]}}, "years: bands that are neither edges that rise nor"),
        ({"bands": {"years": 2.5}}, "years: bands that are neither edges that rise nor"),
        ({"bands": {"years": None}}, "years: bands that are neither edges that rise nor"),
        ({"bands": {"empty": 3}}, "empty: no value to cut into bands"),
        ({"cluster": "few"}, "few: 9 clusters: too few to tell"),
        ({"cluster": "view"}, "view: patients with queries in several clusters"),
    ],
)  # fmt: skip
def test_an_option_that_does_not_fit_is_refused_in_one_line(
    change: dict[str, Any], message: str
) -> None:
    table = cohort(14, 120)
    numbers = table["patient_id"].str[1:].astype(int)
    table["age"] = table["age"].where(numbers > 20, None)
    table["small"] = np.where(numbers < 5, "b", "a")
    table["heavy"] = 1.0
    table.loc[[4, 7, 9], "heavy"] = [0.0, np.nan, -2.0]
    table["years"], table["few"] = numbers, numbers % 9
    table["empty"], table["wide"] = np.nan, np.where(numbers < 9, 1e-12, 1e12)
    attributes = ["age", "small", "view", "years", "empty"]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        audit_outcomes(table, ["hit"], attributes, intersections=False, minimum=Minimum(), **change)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert "p0" not in str(caught.value)
