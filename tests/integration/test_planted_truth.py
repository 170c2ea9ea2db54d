"""Harm that is planted in the images or the reports has to come out of the audit, named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation.planted_harm import against_rest, audited

from evaluation.library_audit import Protocol
from evaluation.report import render

ALIKE, FOUND = OUTCOMES = ("image_to_image.P@5", "text_to_image.R@10")
PROTOCOL = Protocol.model_validate(
    {
        "attributes": ["sex"],
        "outcomes": OUTCOMES,
        "primary": [{"attribute": "sex", "group": "F", "outcome": name} for name in OUTCOMES],
        "strata": ["finding", "view"],
        "sections": ["label_quality"],
        "instrument": {"cohorts": 0},
        "permutations": 199,
    }
)


def row(report: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    """The row of women against the rest."""
    key = "outcome" if part == "outcomes" else "measure"
    return next(row for row in against_rest(report, part, "F") if row[key] == name)


@pytest.mark.slow
def test_noisier_images_of_women_are_found_and_named(tmp_path: Path) -> None:
    report = audited(tmp_path, "noisier-images", PROTOCOL, n_studies=1200)
    for name in OUTCOMES:
        found = row(report, "outcomes", name)
        assert found["verdict"] in ("exceeds", "differs"), (name, found["gap"])
        assert found["gap"] < -0.05
        assert any(f"sex F, {name}" in why for why in report["gate"]["reasons"])
    assert not report["gate"]["passed"]
    assert "Female" in render(report)


@pytest.mark.slow
def test_a_cohort_without_planted_harm_passes(tmp_path: Path) -> None:
    report = audited(tmp_path, "none", PROTOCOL, n_studies=1200)
    assert report["gate"]["answer"] != "failed", report["gate"]["reasons"]
    assert row(report, "label_quality", "without_finding")["verdict"] not in ("exceeds", "differs")


@pytest.mark.slow
def test_findings_left_out_of_womens_reports_are_found_in_the_labels(tmp_path: Path) -> None:
    report = audited(tmp_path, "under-reported", PROTOCOL, n_studies=700, epochs=2)
    found = row(report, "label_quality", "only_in_table")
    assert found["verdict"] in ("exceeds", "differs")
    assert found["gap"] > 0.2


@pytest.mark.slow
def test_women_who_rarely_have_findings_are_found_to_be_served_worse(tmp_path: Path) -> None:
    # Beside the same findings: fewer women to be alike, and fewer to learn from.
    report = audited(tmp_path, "prevalence", PROTOCOL, n_studies=700, epochs=2)
    found = row(report, "outcomes", ALIKE)
    assert found["verdict"] in ("exceeds", "differs")
    assert found["gap"] < -0.1
    assert row(report, "label_quality", "only_in_table")["verdict"] not in ("exceeds", "differs")
    assert any(f"sex F, {ALIKE}" in why for why in report["gate"]["reasons"])
