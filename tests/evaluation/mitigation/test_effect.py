"""A recommendation has to be earned: targets, losses, held-out patients, and shams."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from simulation.audit_gates_mitigation import DESIGNS, erased, real_change, reordered, sham, share

from evaluation.mitigation.effect import assess_mitigation, mitigation_section
from medembed.errors import InputError


def tables(
    seed: int, n: int = 2000, *, women: float = 0.0, men: float = 0.0, few: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hits of one query for each patient; that share of a group's queries is gained, or lost."""
    rng = np.random.default_rng(seed)
    sex = np.where(np.arange(n) % 2, "F", "M")
    sex[:30] = "X"
    before = rng.random(n) < 0.5
    moved = np.select([sex == "F", sex == "M"], [women, men], few)
    turned = rng.random(n) < np.abs(moved)
    after = np.where(turned, moved > 0, before)
    frame = pd.DataFrame({"patient_id": [f"secret-{i}" for i in range(n)], "sex": sex})
    return frame.assign(hit=before.astype(float)), frame.assign(hit=after.astype(float))


def assess(before, after, **options):
    options = {"targets": [("sex", "F", "hit")], "fitted_on": ()} | options
    return assess_mitigation("reranking", before, after, ["hit"], ["sex"], **options)


def test_a_target_that_improves_at_nobodys_cost_is_recommended() -> None:
    found = assess(*tables(0, women=0.2))
    assert found.recommended
    assert found.reasons[0].startswith("each target improved")
    assert "Too few patients" in " ".join(found.reasons)  # the 30 of X
    rows = {r["group"]: r for r in found.rows()}
    assert rows["F"]["target"]
    assert rows["F"]["reason"] == "improved; a loss of more than 0.05 is excluded"
    assert set(rows) == {"all", "F", "M", "X"}


def test_what_helps_one_group_at_anothers_cost_is_not() -> None:
    found = assess(*tables(1, women=0.2, men=-0.2))
    assert not found.recommended
    assert found.reasons[0] == "sex M, hit: a loss of more than 0.05"


def test_a_loss_that_is_not_excluded_is_no_recommendation() -> None:
    found = assess(*tables(2, 440, women=0.3, men=-0.08))
    men = next(r for r in found.rows() if r["group"] == "M")
    assert men["change"] > -0.05
    assert men["worst"] < -0.05
    assert not found.recommended
    assert "not excluded" in found.reasons[0]


def test_a_small_group_that_loses_much_forbids_it_too() -> None:
    found = assess(*tables(3, women=0.2, few=-0.9))
    assert not found.recommended
    assert found.reasons[0] == "sex X, hit: a loss of more than 0.05"


def test_each_target_has_to_improve() -> None:
    found = assess(*tables(4, women=0.2), targets=[("sex", "F", "hit"), ("sex", "M", "hit")])
    assert not found.recommended
    assert found.reasons[0].startswith("sex M, hit: no improvement could be shown")


def test_nothing_done_is_nothing_shown() -> None:
    before, _ = tables(5)
    found = assess(before, before)
    assert not found.recommended
    assert {r["verdict"] for r in found.rows()} == {"no_change_shown"}


def test_the_more_were_tried_the_more_each_has_to_show() -> None:
    pair = tables(6, 600, women=0.07)
    one, many = assess(*pair), assess(*pair, tried=50)
    assert one.comparison.row("sex", "F", "hit")["verdict"] == "improved"
    assert many.comparison.row("sex", "F", "hit")["verdict"] == "no_change_shown"
    assert many.comparison.row("sex", "F", "hit")["ci_low"] < 0


def test_for_a_rate_of_misses_less_is_better() -> None:
    before, after = tables(7, women=-0.2)
    found = assess(before, after, higher_is_better=False)
    assert found.recommended
    assert not assess(after, before, higher_is_better=False).recommended


def test_patients_it_was_fitted_on_are_refused_without_being_named() -> None:
    before, after = tables(8, women=0.2)
    with pytest.raises(InputError, match="held-out") as caught:
        assess(before, after, fitted_on=["secret-7", "other"])
    assert "secret" not in str(caught.value)
    assert assess(before, after, fitted_on=["other"]).recommended


def test_what_cannot_be_assessed_is_refused() -> None:
    before, after = tables(9)
    for options in ({"targets": []}, {"tried": 0}, {"targets": [("sex", "nobody", "hit")]}):
        with pytest.raises(InputError):
            assess(before, after, **options)


def test_the_section_of_the_report_holds_every_group_of_each_mitigation() -> None:
    effects = [assess(*tables(10, women=0.2)), assess(*tables(11, men=0.2))]
    section = mitigation_section(effects)
    assert len(section["rows"]) == 8
    assert [s["recommended"] for s in section["summary"]] == [True, False]
    text = json.dumps(section, allow_nan=False)
    assert "secret" not in text
    needed = {"name", "attribute", "group", "measure", "before", "after", "change", "ci_low",
              "ci_high", "recommended", "reason"}  # fmt: skip
    assert all(needed <= set(row) for row in section["rows"])


def test_a_sham_seldom_improves_anything() -> None:
    found = share([sham("usual", seed, 300) for seed in range(40)])
    assert found["improved"]["share"] <= 0.15  # standard error .034 at 5%: three of them away
    assert found["recommended"]["share"] <= 0.1
    assert found["images_t"]["share"] >= 0.1  # what images as units say of the same shams


@pytest.mark.slow
@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_shams_keep_the_level_in_every_design(design: str) -> None:
    found = share([sham(design, seed) for seed in range(1000, 1070)])
    assert found["improved"]["share"] <= 0.13  # three standard errors of .026 above 5%
    assert found["recommended"]["share"] <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("way", [erased, reordered])
def test_mitigations_by_an_attribute_of_no_meaning_seldom_improve(way) -> None:
    found = share([way(seed) for seed in range(60)])
    assert found["improved"]["share"] <= 0.12
    assert found["recommended"]["share"] <= 0.05


@pytest.mark.slow
def test_a_real_improvement_is_found_and_a_real_loss_forbids_it() -> None:
    helped = share([real_change(seed, gain=0.1, loss=0.0) for seed in range(25)])
    assert helped["target"]["share"] >= 0.9
    assert helped["recommended"]["share"] >= 0.8
    costly = share([real_change(seed, gain=0.1, loss=0.15) for seed in range(25)])
    assert costly["recommended"]["share"] <= 0.05
