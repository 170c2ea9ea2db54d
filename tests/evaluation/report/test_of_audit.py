"""The page of a real audit of a simulated archive: the parts fit together."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from support.cohorts import hits
from support.report_cases import numbers_of
from support.report_reader import shown

from evaluation.audit import audit_outcomes
from evaluation.change.comparison import compare_outcomes
from evaluation.report import model_card, outcomes_csv


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    n = 700
    sex = np.array(["F", "M"])[rng.integers(0, 2, n)]
    race = rng.choice(["a", "b", "unknown"], n, p=[0.6, 0.3, 0.1])
    race[:4] = "rare"
    owner, hit = hits(rng, n, np.where(sex == "F", 0.42, 0.72))
    view = np.array(["PA", "AP"])[rng.integers(0, 2, len(owner))]
    table = {
        "patient_id": [f"p{one}" for one in owner], "sex": sex[owner], "race": race[owner],
        "view": view, "hit": hit,
    }  # fmt: skip
    audit = audit_outcomes(
        table, ["hit"], ["sex", "race"], strata=["view"], primary=[("sex", "F", "hit")]
    )
    later = table | {"hit": np.maximum(hit, rng.random(len(hit)) < 0.3).astype(float)}
    gate = audit.gate()
    return {
        "version": 1,
        "title": "Simulated archive",
        "protocol": {
            "margin": 0.05, "alpha": 0.05, "strata": ["view"],
            "primary": [{"attribute": "sex", "group": "F", "outcome": "hit"}],
        },
        "gate": {"passed": gate.passed, "reasons": list(gate.reasons)},
        "outcomes": audit.to_json(),
        "describe_outcomes": {
            "hit": {"title": "Own report found", "unit": "proportion", "higher_is_better": True,
                    "harm": "the report is not found."},
        },
        "comparison": compare_outcomes(table, later, ["hit"], ["sex"]).to_json(),
    }  # fmt: skip


def test_a_planted_gap_is_the_headline_and_stops_the_release(report: dict[str, Any]) -> None:
    text = shown(report).text
    assert "Gaps were found. Results are worse for: Female" in text
    assert "the report is not found" in text
    assert "Release check: failed" in text


def test_every_figure_of_a_real_audit_stands_in_its_json(report: dict[str, Any]) -> None:
    figures = {float(value) for value, _, tally in shown(report).figures if not tally}
    assert len(figures) > 60
    assert figures <= numbers_of(report)


def test_a_rare_group_is_named_and_its_numbers_are_not(report: dict[str, Any]) -> None:
    text = shown(report).text
    assert "Rare fewer than 11 patients" in text
    rows = list(csv.DictReader(io.StringIO(outcomes_csv(report))))
    rare = [row for row in rows if row["group"] == "rare"]
    assert rare
    assert all(row["n_patients"] == row["estimate"] == "" for row in rare)
    assert "| Rare | fewer than 11 patients | withheld | withheld | Not assessable |" in model_card(
        report
    )


def test_the_change_between_two_runs_is_told_with_its_patients(report: dict[str, Any]) -> None:
    text = shown(report).text
    after = text[text.index("Both models answer the same queries of the same patients") :]
    assert "All patients" in after
    assert "✓ Improved" in after
