"""A report that also holds what was tried, another model, and an earlier audit.

The changes are planted in simulated outcomes, and assessed by the package's own functions, so that
the rows have the form that an audit writes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.report_cases import make_report

from evaluation.change.comparison import compare_outcomes
from evaluation.change.drift import compare_audits
from evaluation.mitigation import assess_mitigation, mitigation_section

OUTCOMES = {"recall_at_10": True, "missed_effusion": False}
OTHER_MODEL, MODEL = "0c17a5f2" * 4, "b1946ac9" * 4
HELPS = {"80+": 0.3, "60-79": 0.05, "40-59": 0.03, "20-39": 0.03, "0-19": 0.02}
COSTS = {"80+": 0.3, "20-39": -0.3}


def outcomes_of(
    rng: np.random.Generator, gains: dict[str, float], n: int = 1400
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Queries before and after; that share of a group's failures is mended, or of its hits lost."""
    bands = rng.choice(list(HELPS), n, p=[0.2, 0.24, 0.25, 0.29, 0.02])
    bands[:6] = "rare"
    before = rng.random((2, n)) < np.array([[0.6], [0.2]])
    turned = rng.random((2, n)) < np.abs([gains.get(band, 0.0) for band in bands])
    gained = np.array([gains.get(band, 0.0) > 0 for band in bands])
    good = np.array([[True], [False]])
    after = np.where(turned, np.where(gained, good, ~good), before)
    names = {"patient_id": [f"p{i}" for i in range(n)], "age_band": bands.tolist()}

    def columns(values: NDArray[np.bool_]) -> dict[str, Any]:
        return names | dict(zip(OUTCOMES, values.astype(float), strict=True))

    return columns(before), columns(after)


@cache
def _sections(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    tried = [
        assess_mitigation(
            name, *outcomes_of(rng, gains), list(OUTCOMES), ["age_band"],
            targets=[("age_band", "80+", "recall_at_10")], fitted_on=(),
            higher_is_better=OUTCOMES, tried=2, repetitions=200,
        )
        for name, gains in (("Fair reranking", COSTS), ("Group-balanced batches", HELPS))
    ]  # fmt: skip
    compared = compare_outcomes(
        *outcomes_of(rng, COSTS), list(OUTCOMES), ["age_band"], higher_is_better=OUTCOMES,
        primary=[("age_band", "80+", "recall_at_10")], repetitions=200,
    )  # fmt: skip
    earlier = {("sex", "F"): -0.02, ("race", "c"): -0.25}
    drift = compare_audits(make_report(8, earlier), make_report(3)).to_json()
    return {
        "mitigation": mitigation_section(tried),
        "comparison": compared.to_json() | {"models": {"before": OTHER_MODEL, "after": MODEL}},
        "drift": drift | {"earlier": {"date": "2025-03-04", "model": OTHER_MODEL}},
    }


def make_changed_report(seed: int = 0) -> dict[str, Any]:
    """A whole report with every section, those of changes among them."""
    return make_report(3) | _sections(seed)
