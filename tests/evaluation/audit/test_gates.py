"""G1 to G4 reduced: audits of cohorts whose truth is known by construction; how gates are read."""

from __future__ import annotations

import numpy as np
import pytest
from simulation.audit_gates import GATES, page, rows_of, run
from simulation.audit_gates_inference import DESIGNS, confounded, coverage, false_alarms, power
from simulation.audit_gates_sections import PARTS, RARE, rare_alarms
from simulation.audit_gates_sections import coverage as coverage_of_part
from simulation.audit_gates_side_by_side import figures


def tolerance(rate: float, n: int) -> float:
    """Three standard errors."""
    return 3 * float(np.sqrt(rate * (1 - rate) / n))


@pytest.mark.slow
@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_fair_cohorts_raise_few_alarms(design: str) -> None:
    found = false_alarms(design, 100, seed=1)
    assert np.mean(found) <= 0.05 + tolerance(0.05, 100)


def test_rare_errors_raise_no_more_alarms_in_sections_than_in_the_table() -> None:
    # With the variance of each group alone one section or the other flagged a quarter of these.
    found = rare_alarms(0.01, 0.04, 20, seed=1)
    either = np.array(found["findings"]) | np.array(found["labels"])
    assert either.sum() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), RARE)
def test_rare_errors_keep_their_level_in_each_section(low: float, high: float) -> None:
    for name, found in rare_alarms(low, high, 150, seed=2).items():
        assert np.mean(found) <= 0.05 + tolerance(0.05, 150), name


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "least"), [(30, 0.93), (60, 0.935)])
def test_intervals_cover(patients: int, least: float) -> None:
    for name, found in coverage(patients, 120, seed=1).items():
        assert np.mean(found) >= least - tolerance(0.95, len(found)), name


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(PARTS))
def test_intervals_of_all_sections_cover(part: str) -> None:
    found = coverage_of_part(part, 80, 80, seed=1)
    assert found
    for name, held in found.items():
        assert np.mean(held) >= 0.935 - tolerance(0.95, len(held)), name


@pytest.mark.parametrize("part", sorted(set(PARTS) - {"distance", "exposure", "swapped"}))
def test_each_part_has_intervals_that_are_held_against_a_truth(part: str) -> None:
    found = coverage_of_part(part, 80, 2, seed=0)
    assert found
    assert {len(held) for held in found.values()} == {2}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(GATES) - {"beside"}))  # fairlearn takes a minute
def test_each_gate_runs_as_its_page_reads_it(name: str) -> None:
    found = run(GATES[name], 0.002, seed=0)
    rows = list(rows_of(name, found))
    assert rows
    written = page({name: found})
    for row in rows:
        assert f"| {row.what} | {row.found} |" in written


@pytest.mark.slow
def test_gaps_are_found() -> None:
    assert np.mean(power(0.10, 640, 12, seed=1)) >= 0.9 - tolerance(0.9, 12)
    assert np.mean(power(0.10, 160, 60, seed=1, named=5)) >= 0.58 - tolerance(0.58, 60)


@pytest.mark.slow
def test_a_mix_of_cases_neither_raises_nor_hides_an_alarm() -> None:
    fair, hidden = confounded(0.0, 40, seed=1), confounded(0.05, 40, seed=2)
    assert np.mean(fair["adjusted"]) <= 0.07 + tolerance(0.07, 40)
    assert np.mean(fair["naive"]) >= 0.8
    assert np.mean(hidden["adjusted"]) >= 0.8 - tolerance(0.8, 40)
    assert np.mean(hidden["naive"]) <= 0.3
    gaps = np.array(hidden["gap"])
    assert abs(gaps.mean() + 0.05) <= 0.005 + 3 * gaps.std() / np.sqrt(len(gaps))


def test_the_gates_run_on_a_few_cohorts() -> None:
    assert len(false_alarms("usual", 3, seed=0)) == 3
    assert all(power(0.3, 160, 3, seed=0, named=5))
    assert {len(v) for v in confounded(0.05, 2, seed=0, n_patients=500).values()} == {2}
    assert all(len(v) == 2 for v in coverage(60, 2, seed=0).values())


@pytest.mark.slow
def test_side_by_side_those_that_count_patients_keep_their_level() -> None:
    found = figures(40, 4, seed=0, n_patients=1000)
    for name in ("patients", "statsmodels", "patients drawn"):
        level = found[name]["false alarm"]["share"]
        assert level <= 0.05 + tolerance(0.05, 40), name
        assert found[name]["interval holds the gap"]["share"] >= 0.95 - tolerance(0.95, 40), name
    assert found["images"]["false alarm"]["share"] > 0.2
    skewed = "false alarm, 93% hits, many groups"
    assert found["patients"][skewed]["share"] <= 0.05 + tolerance(0.05, 40)
    assert found["statsmodels"][skewed]["share"] > 0.5
