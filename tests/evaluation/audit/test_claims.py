"""What an audit may claim: of the unknown, of dominated groups, of many claims, of ratios."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulation.audit_gates_claims import claimed
from support.cohorts import hits

from evaluation.audit import audit_outcomes
from evaluation.audit.claims import claims_of, ratio_ends
from evaluation.audit.result import GATE_REASONS, Flag, GateReason
from evaluation.report.texts import FLAGS
from evaluation.stats.cluster_sums import cells_of, contrast_with_rest


def share(truth: str, cohorts: int, seed: int = 3) -> dict[str, float]:
    return {name: float(np.mean(held)) for name, held in claimed(truth, cohorts, seed).items()}


def test_cannot_tell_does_not_pass_the_release_check() -> None:
    found = share("release check", 6)
    assert found["a gap of 0.15 in 30 patients passes"] == 0
    assert found["a gap of 0.10 in 160 patients passes"] == 0
    assert found["two fair groups of 3,000 patients pass"] >= 0.5


def test_missing_values_do_not_turn_the_sign() -> None:
    found = share("unknown", 10)
    assert found["women flagged as better"] == 0
    assert found["women flagged as worse"] >= 0.7


def test_exceeds_is_said_of_gaps_beyond_the_margin_alone() -> None:
    found = share("words", 6)
    assert found["a gap of 0.03 exceeds .05"] == 0
    assert found["a gap of 0.12 exceeds .05"] >= 0.8


def test_a_group_that_one_patient_fills_is_not_assessed() -> None:
    found = share("dominated", 4)
    for name, value in found.items():
        if name.endswith("assessable") and "500 images" in name:
            assert value == 0, name
        if "25 images" in name and name.endswith("assessable"):
            assert value == 1, name


def test_rare_harms_are_named() -> None:
    found = share("rare harms", 4)
    assert found["misses of 1% and 4% within, ratio declared"] == 0
    assert found["misses of 1% and 4% named, points alone"] == 1
    assert found["misses of 1% and 1% within, ratio declared"] >= 0.5


def test_harm_that_turns_from_stratum_to_stratum_is_flagged_and_does_not_pass() -> None:
    found = share("strata", 5)
    assert found["turning harm: flagged"] == 1
    assert found["turning harm: passes"] == 0
    assert found["turning harm: the stratum itself is assessable"] == 1


def test_units_above_the_patients_are_pointed_out() -> None:
    found = share("sites", 1)
    assert found["12 fair sites, patients alone: said"] == 1
    assert found["12 fair sites, site as cluster: said"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "name", "most"),
    [
        ("all-clear", "any false within, 10 attributes", 0.05),
        ("all-clear", "any false within, 1 attributes", 0.05),
        ("rates near 1", "rate 0.90, any gap established", 0.05),
        ("sites", "12 fair sites, site as stratum: sex flagged", 0.05),
        ("sites", "12 fair sites, site as cluster: sex flagged", 0.05),
        ("strata", "even harm: flagged", 0.05),
    ],
)
def test_false_claims_are_few(truth: str, name: str, most: float) -> None:
    cohorts = 60
    assert share(truth, cohorts)[name] <= most + 3 * np.sqrt(most * (1 - most) / cohorts)


def test_the_rest_is_made_of_known_groups_whether_patients_are_in_one_or_several() -> None:
    rng = np.random.default_rng(0)
    owner, hit = hits(rng, 80)
    fixed, varying = rng.choice(4, 80)[owner], rng.choice(4, len(owner))
    known = np.array([True, False, True, True])
    for group, exclusive in ((fixed, True), (varying, False)):
        cells = cells_of(hit[:, None], owner, 80, group, 4, exclusive=exclusive, known=known)
        contrast = contrast_with_rest(cells)
        for number in range(4):
            rest = known[group] & (group != number)
            assert contrast.second.mean[number, 0] == pytest.approx(hit[rest].mean())
            assert contrast.second.k[number, 0] == len(np.unique(owner[rest]))
            either = rest | (group == number)
            if not exclusive:
                assert contrast.k[number, 0] == len(np.unique(owner[either]))


def test_what_the_unknown_could_hide_is_the_gap_with_all_of_them_on_one_side() -> None:
    rng = np.random.default_rng(1)
    owner, hit = hits(rng, 400)
    sex = rng.choice(np.array(["F", "M", None]), 400)[owner]
    table = {"patient_id": owner, "sex": sex, "hit": hit}
    rows = audit_outcomes(
        table, ["hit"], ["sex"], permutations=0, primary=[("sex", "F", "hit")]
    ).table
    row = rows[rows["group"] == "F"].iloc[0]
    f, m, lost = (np.array([s == name for s in sex]) for name in ("F", "M", None))
    ends = sorted([hit[f | lost].mean() - hit[m].mean(), hit[f].mean() - hit[m | lost].mean()])
    assert [row["gap_missing_low"], row["gap_missing_high"]] == pytest.approx(ends)
    assert rows.loc[rows["group"] == "unknown", "gap_missing_low"].isna().all()


@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_ratio_ends_are_where_the_contrasts_interval_touches_zero(correlation: float) -> None:
    p = np.array([0.2, 0.1])
    limits = np.array([[0.15, 0.26], [0.07, 0.14]])
    low, high = (float(x) for x in ratio_ends(p, limits, np.array(correlation)))
    for r, up in ((low, False), (high, True)):
        own = limits[0, 1] - p[0] if up else p[0] - limits[0, 0]
        other = r * (p[1] - limits[1, 0] if up else limits[1, 1] - p[1])
        length = np.sqrt(own**2 + other**2 - 2 * correlation * own * other)
        assert abs(p[0] - r * p[1]) == pytest.approx(length, abs=1e-9)
    assert low < 2 < high


def test_a_claims_p_is_alpha_where_the_interval_ends_at_the_margin() -> None:
    limits = np.full((2, 2, 1, 1), np.nan)
    args = {
        "patients": np.array([[60.0]]), "means": np.full((2, 1, 1), np.nan), "limits": limits,
        "correlation": np.zeros((1, 1)), "margin": np.array([0.05]), "ratio_margin": None,
        "alpha": 0.05,
    }  # fmt: skip
    touching = claims_of(np.array([[0.01]]), np.array([[[-0.03]], [[0.05]]]), **args)
    assert touching.p_within[0, 0] == pytest.approx(0.025)  # one end at 95%
    beyond = claims_of(np.array([[0.10]]), np.array([[[0.05]], [[0.15]]]), **args)
    assert beyond.p_exceeds[0, 0] == pytest.approx(0.05)
    lost = claims_of(np.array([[0.10]]), np.full((2, 1, 1), np.nan), **args)
    assert np.isnan([lost.p_within[0, 0], lost.p_exceeds[0, 0], lost.ratio[0, 0]]).all()


def test_an_all_clear_is_harder_to_earn_among_many() -> None:
    rng = np.random.default_rng(5)
    owner, hit = hits(rng, 2200)
    groups = {f"a{i}": rng.choice(["1", "2"], 2200)[owner] for i in range(20)}
    table = {"patient_id": owner, "hit": hit, **groups}

    def clear(names: list[str]) -> int:
        rows = audit_outcomes(table, ["hit"], names, permutations=0, intersections=False).table
        return int((rows["verdict"] == "within").sum())

    alone = sum(clear([name]) for name in groups)
    assert clear(list(groups)) < alone


def test_an_attribute_is_left_out_of_its_own_strata() -> None:
    rng = np.random.default_rng(6)
    owner, hit = hits(rng, 500)
    view, finding = rng.choice(["AP", "PA"], 500)[owner], rng.choice(["x", "y"], 500)[owner]
    table = pd.DataFrame({"patient_id": owner, "hit": hit, "view": view, "finding": finding})
    both = audit_outcomes(
        table.assign(mix=view), ["hit"], ["view"], strata=["finding", "mix"], permutations=99
    ).table
    alone = audit_outcomes(table, ["hit"], ["view"], strata=["finding"], permutations=99).table
    drop = ["p_max_t"]  # residuals within all strata would hold nothing of the view
    pd.testing.assert_frame_equal(both.drop(columns=drop), alone.drop(columns=drop))
    assert both["p_max_t"].isna().all()


def test_codes_have_words() -> None:
    assert set(FLAGS) == {flag.value for flag in Flag}
    assert set(GATE_REASONS) == set(GateReason)
