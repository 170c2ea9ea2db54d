"""The audit of the audit: on archives whose truth is known its figures come true."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.cohorts import hits
from support.one_by_one import cluster_mean

from evaluation.audit import audit_outcomes, simulate_instrument
from evaluation.audit.operating_characteristics import latent_likeness
from medembed.errors import InputError


def archive(rng: np.random.Generator, n: int = 500, gap: float = 0.0) -> pd.DataFrame:
    sex, age = rng.choice(["F", "M"], n, p=[0.3, 0.7]), rng.choice(["a", "b", "c"], n)
    owner, hit = hits(rng, n, 0.6 - gap * (sex == "F"))
    return pd.DataFrame(
        {"patient_id": owner, "sex": sex[owner], "age": age[owner], "hit": hit,
         "rr": np.where(hit > 0, 1 / rng.integers(1, 5, len(hit)), 0.0)}
    )  # fmt: skip


def test_fair_cohorts_of_its_own_shape_raise_few_alarms_and_are_covered() -> None:
    table = archive(np.random.default_rng(0))
    found = simulate_instrument(
        table, ["hit", "rr"], ["sex", "age"], cohorts=60, score_cohorts=6, repetitions=200,
        primary=[("sex", "F", "hit")],
    )  # fmt: skip
    assert found.false_alarm_rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert found.false_alarm_rate_primary <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert abs(found.coverage - 0.95) <= 4 * found.coverage_error
    for outcome in ("hit", "rr"):
        own = cluster_mean(table[outcome], table["patient_id"]).icc
        assert found.icc[outcome] == pytest.approx(own)
    held = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert held["cohorts"] == 60
    assert {"attribute", "group", "outcome", "smallest_gap", "error"} == set(held["detectable"][0])
    assert len(held["detectable"]) == 2 * (2 + 3 + 6)


def test_the_smallest_gap_is_found_as_often_as_said() -> None:
    said = simulate_instrument(
        archive(np.random.default_rng(1)), ["hit"], ["sex"], cohorts=150, seed=2
    )
    gap = next(d.smallest_gap for d in said.detectable if d.group == "F")
    found = [
        audit_outcomes(
            archive(np.random.default_rng([3, i]), gap=gap), ["hit"], ["sex"], permutations=0
        ).table["p_adjusted"].min() <= 0.05
        for i in range(150)
    ]  # fmt: skip
    # 150 draws at 80%: error .033; the gap's own error moves the power by about as much.
    assert np.mean(found) == pytest.approx(0.8, abs=0.14)


def test_small_groups_have_no_smallest_gap() -> None:
    table = archive(np.random.default_rng(4))
    table["site"] = np.where(table["patient_id"] < 5, "B", "A")
    found = simulate_instrument(table, ["hit"], ["site"], cohorts=20)
    assert all(row.smallest_gap is None for row in found.detectable)
    assert found.coverage is None


def test_strata_are_part_of_the_shape() -> None:
    table = archive(np.random.default_rng(5))
    found = simulate_instrument(table, ["hit"], ["sex"], strata=["age"], cohorts=40)
    assert found.false_alarm_rate <= 0.2
    assert found.detectable[0].smallest_gap > 0
    again = simulate_instrument(table, ["hit"], ["sex"], strata=["age"], cohorts=40)
    assert again == found
    with pytest.raises(InputError, match="20 cohorts"):
        simulate_instrument(table, ["hit"], ["sex"], cohorts=5)


@pytest.mark.parametrize("icc", [0.1, 0.4, 0.8])
def test_latent_likeness_gives_the_wanted_icc(icc: float) -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(1000) < 0.8).astype(float)
    rho = latent_likeness(values, icc)
    own = rng.standard_normal(20_000)[:, None]
    z = np.sqrt(rho) * own + np.sqrt(1 - rho) * rng.standard_normal((20_000, 3))
    y = (z > np.quantile(z, 1 - values.mean())).astype(float)
    reached = cluster_mean(y.ravel(), np.repeat(np.arange(20_000), 3)).icc
    assert reached == pytest.approx(icc, abs=0.03)
    assert latent_likeness(values, None) == 0
    assert latent_likeness(np.ones(5), 0.5) == 0
