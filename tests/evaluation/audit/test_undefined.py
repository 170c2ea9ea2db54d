"""No number without ground: the audit of every degenerate table is counted again, row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation.audit_gates_undefined import (
    agreement,
    elsewhere,
    faults,
    ranking_agreement,
    undefined,
)

from evaluation.audit import audit_outcomes
from evaluation.stats import Minimum
from medembed.errors import InputError

OUTCOME = st.one_of(
    st.sampled_from([0.0, 1.0, float("nan")]),
    st.floats(-1e12, 1e12),
)
GROUP = st.sampled_from(["a", "b", "c", "", None, "unknown", 1, 2.0, float("nan")])


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Few queries of few patients; outcomes all alike, all missing, or anything."""
    n = draw(st.integers(1, 40))
    rows = {"patient_id": draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))}
    for name in ("sex", "site"):
        rows[name] = draw(st.lists(GROUP, min_size=n, max_size=n))
    for name in ("one", "two"):
        alike = st.tuples(OUTCOME).map(lambda x: list(x) * n)
        rows[name] = draw(st.one_of(alike, st.lists(OUTCOME, min_size=n, max_size=n)))
    table = pd.DataFrame(rows)
    return table.astype({"sex": object, "site": object})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.booleans(), st.booleans())
def test_any_table_gives_verdicts_with_ground_or_an_error(
    table: pd.DataFrame, adjusted: bool, tiny: bool
) -> None:
    minimum = Minimum(2, 5) if tiny else Minimum()
    try:
        audit = audit_outcomes(
            table, ["one", "two"], ["sex"], minimum=minimum, strata=["site"] if adjusted else (),
            repetitions=200, permutations=99 if tiny else 0, contrasts="all",
        )  # fmt: skip
    except InputError as error:
        assert "\n" not in str(error)
        return
    plain = table.assign(
        sex=table["sex"].map(lambda v: str(int(v)) if isinstance(v, float) and v == v else v)
    )
    assert faults(plain, audit, minimum) == []


def test_degenerate_tables_have_no_faults() -> None:
    assert undefined(12, seed=1) == []


@pytest.mark.slow
def test_many_degenerate_tables_have_no_faults() -> None:
    assert undefined(120, seed=2) == []


def test_the_check_finds_an_invented_number() -> None:
    table = pd.DataFrame({"patient_id": range(40), "sex": ["F", "M"] * 20, "one": [0.0, 1.0] * 20})
    audit = audit_outcomes(table, ["one"], ["sex"], permutations=0)
    assert faults(table, audit, Minimum()) == []
    for column, value in (("estimate", 0.5), ("gap", np.nan), ("p_adjusted", 1.5), ("reason", "")):
        broken = audit.table.copy()
        broken[column] = value
        changed = type(audit)(broken, audit.cells, audit.settings)
        assert faults(table, changed, Minimum()), column
    few = table.assign(sex=["F"] * 36 + ["M"] * 4)
    assert faults(few, audit, Minimum())


def test_points_equal_fairlearn_and_scikit_learn_on_random_tables() -> None:
    furthest, different = agreement(3, seed=0)
    assert furthest <= 1e-12
    assert different == 0


def test_ranking_measures_equal_ir_measures_on_random_rankings() -> None:
    assert ranking_agreement(40, seed=0) <= 1e-12


def test_another_hash_seed_and_another_thread_give_the_same_bits() -> None:
    assert elsewhere(4, seed=9) == 0


@pytest.mark.slow
def test_other_hash_seeds_and_threads_give_the_same_bits_for_many_tables() -> None:
    assert elsewhere(40, seed=9) == 0


@pytest.mark.slow
def test_points_equal_fairlearn_and_scikit_learn_on_many_tables() -> None:
    furthest, different = agreement(60, seed=1)
    assert furthest <= 1e-12
    assert different == 0
