"""A reader with linear programs and every output of an audit finds no suppressed group's size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulation.audit_gates_disclosure import OUTCOMES, figures, random_table, recovered

from evaluation.audit import Audit, audit_outcomes


def test_no_suppressed_group_of_random_tables_is_recovered() -> None:
    found = figures(6, seed=0)
    assert found["small_cells"] > 20
    assert found["recovered"] == 0


@pytest.mark.slow
def test_no_suppressed_group_of_many_random_tables_is_recovered() -> None:
    found = figures(80, seed=1)
    assert found["small_cells"] > 200
    assert found["recovered"] == 0


def test_the_attack_succeeds_where_partners_are_shown() -> None:
    # The same audits with the partners' counts put back: at once some small groups are known.
    broken = 0
    for seed in range(3):
        table = random_table(np.random.default_rng([7, seed]))
        audit = audit_outcomes(table, ["hit", "partly"], ["one", "two"], permutations=0)
        cells = audit.cells.copy()
        for number, row in cells.iterrows():
            member = table[row["attribute"].split("*")].agg("*".join, axis=1) == row["group"]
            if row["precision"] != "suppressed":
                cells.loc[number, "n_patients"] = table[member]["patient_id"].nunique()
                cells.loc[number, "n_queries"] = member.sum()
        open_audit = Audit(audit.table, cells, audit.settings)
        broken += recovered(table, open_audit)[0]
    assert broken > 0


def test_few_patients_by_query_are_hidden_in_queries_too() -> None:
    # One patient's three lateral views: the other views and the total would give them away.
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(100), 3)
    view = np.where(rng.random(300) < 0.5, "AP", "PA").astype(object)
    view[owner == 7] = "LL"
    table = pd.DataFrame({"patient_id": owner, "view": view, "hit": rng.random(300) < 0.5})
    audit = audit_outcomes(table, ["hit"], ["view"], permutations=0)
    cells = audit.cells.set_index("group")
    assert pd.isna(cells.loc["LL", "n_queries"])
    assert cells["n_queries"].isna().sum() == 2


def test_the_attack_succeeds_where_means_beside_hidden_counts_are_as_they_are() -> None:
    broken = 0
    for seed in range(12):
        table = random_table(np.random.default_rng([7, seed]))
        audit = audit_outcomes(table, OUTCOMES, ["one", "two"], permutations=0, repetitions=200)
        rows = audit.table.copy()
        for number, row in rows.iterrows():
            if row["step"] > 0:
                known = table[table[row["outcome"]].notna()]
                own = known[row["attribute"].split("*")].agg("*".join, axis=1) == row["group"]
                rows.loc[number, "estimate"] = known[own][row["outcome"]].mean()
                rows.loc[number, "rest_estimate"] = known[~own][row["outcome"]].mean()
                rows.loc[number, ["step", "step_rest"]] = 0.0
        assert recovered(table, audit)[0] == 0
        broken += recovered(table, Audit(rows, audit.cells, audit.settings))[0]
    assert broken > 0


def test_gaps_beside_hidden_counts_are_those_of_the_rounded_means() -> None:
    table = random_table(np.random.default_rng([7, 3]))
    rows = audit_outcomes(table, ["hit", "score"], ["one", "two"], permutations=0).table
    rounded = rows[(rows["step_rest"] > 0) & rows["gap"].notna()]
    assert len(rounded)
    assert rounded["gap"].to_numpy() == pytest.approx(
        (rounded["estimate"] - rounded["rest_estimate"]).to_numpy(), abs=1e-9
    )
    assert (rounded["gap_ci_low"] <= rounded["gap"]).all()
    assert (rounded["gap"] <= rounded["gap_ci_high"]).all()
    assert rounded["n_queries"].isna().all() or (rounded["n_events"].isna()).any()


def test_all_others_of_a_group_are_not_told_where_they_are_few_together() -> None:
    # 3 and 4 patients: shown beside 93 of 100, the big group would say that 7 are others.
    table = pd.DataFrame(
        {
            "patient_id": np.arange(100),
            "site": ["big"] * 93 + ["x"] * 3 + ["y"] * 4,
            "sex": ["F", "M"] * 50,
            "hit": np.arange(100) % 3 == 0,
        }
    )
    audit = audit_outcomes(table, ["hit"], ["site", "sex"], intersections=False, permutations=0)
    cells = audit.cells.set_index("group")
    told = audit.settings["n_patients"] is not None or not pd.isna(cells.loc["F", "n_patients"])
    assert not (told and not pd.isna(cells.loc["big", "n_patients"]))
