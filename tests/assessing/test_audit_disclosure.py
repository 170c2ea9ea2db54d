"""A reader with linear programs and every output of an audit finds no suppressed group's size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmarks.audit_gates_disclosure import figures, random_table, recovered

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
