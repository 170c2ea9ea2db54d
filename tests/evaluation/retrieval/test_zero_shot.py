"""Plain text as queries: areas under the curve and who is compared with whom."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import plain_queries, zero_shot_means, zero_shot_table
from medembed.cases import FINDINGS, SIDED_FINDINGS, Finding
from medembed.errors import InputError


def test_queries_name_each_side_of_findings_that_have_one() -> None:
    queries = plain_queries()
    assert ("effusion", "right", "right pleural effusion") in queries
    assert {label for label, _, _ in queries} == set(FINDINGS)
    assert {label for label, side, _ in queries if side} == set(SIDED_FINDINGS)
    assert len(queries) == len(FINDINGS) + len(SIDED_FINDINGS)


def test_sides_are_compared_without_bilateral_and_unsided_cases() -> None:
    rows = [
        (Finding("effusion", "right"), 0.9),
        (Finding("effusion", "left"), 0.5),
        (Finding("effusion", "bilateral"), 0.0),
        (Finding("effusion"), 1.0),
        (Finding("edema"), 0.1),
    ]
    findings = [(f,) for f, _ in rows] * 6
    findings.append((Finding("effusion", "left"), Finding("effusion", "right")))  # both: bilateral
    cosine = np.array([c for _, c in rows] * 6 + [0.0])
    images = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    (row,) = zero_shot_table(
        [[1.0, 0.0]],
        [("effusion", "right", "right pleural effusion")],
        images,
        findings,
        np.arange(len(images)),
    )
    assert row["n_side"] == (6, 6)
    assert row["auc_side"] == 1
    assert row["n_presence"] == (13, 6)  # right, bilateral and both, against no effusion at all
    assert row["auc_presence"] == pytest.approx(6 / 13, abs=1e-12)
    low, high = row["auc_side_ci"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 6)), 1.0)  # exact binomial, 6 pairs of 6
    low, high = row["auc_presence_ci"]
    assert low < 6 / 13 < high


def test_too_few_patients_are_not_assessable_and_get_no_number() -> None:
    findings = [(Finding("mass", "left"),)] * 12 + [(Finding("mass", "right"),)] * 12
    patients = [f"p{i % 4}" for i in range(12)] + [f"q{i}" for i in range(12)]
    rng = np.random.default_rng(0)
    images = rng.normal(size=(24, 3))
    table = zero_shot_table(
        np.eye(3)[:2],
        [("mass", "left", "left lung mass"), ("fibrosis", "", "pulmonary fibrosis")],
        images,
        findings,
        patients,
    )
    for row in table:
        assert row["auc_side"] is None
        assert row["auc_presence"] is None
        assert row["side_note"].startswith("not assessable")
        assert row["presence_note"].startswith("not assessable")
    assert zero_shot_means(table)["auc_side"] is None
    assert zero_shot_means(table)["n_side"] == 0
    assert "fewer than 5 patients" in table[0]["side_note"]


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError):
        zero_shot_table([[1.0]], [("mass", "left", "x")], [[1.0, 0.0]], [()], ["a"])
    with pytest.raises(InputError):
        zero_shot_table([[1.0]], [("mass", "up", "x")], [[1.0]], [()], ["a"])
    with pytest.raises(InputError):
        zero_shot_table([[1.0]], [], [[1.0]], [()], ["a"])
