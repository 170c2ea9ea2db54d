"""Tables to audit, and rows of what is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
from support.cohorts import hits

from evaluation.audit import Audit
from evaluation.stats import Minimum

EVERY = Minimum(2, 50)  # nothing is hidden, and rounded, but single patients


def cohort(seed: int = 0, n: int = 300, *, missing: bool = True) -> pd.DataFrame:
    """Queries of n patients: hit and reciprocal rank, sex and age by patient, view by query."""
    rng = np.random.default_rng(seed)
    owner, hit = hits(rng, n)
    sex, age = rng.choice(["F", "M"], n), rng.choice(["<40", "40-60", ">60"], n)
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i:04d}" for i in owner],
            "sex": sex[owner],
            "age": age[owner],
            "view": rng.choice(["AP", "PA"], len(owner), p=[0.3, 0.7]),
            "hit": hit,
            "rr": np.where(hit > 0, 1 / rng.integers(1, 6, len(hit)), 0.0),
        }
    )
    if missing:
        table.loc[rng.random(len(table)) < 0.3, "rr"] = np.nan
    return table


def row_of(audit: Audit, **keys: str) -> pd.Series:
    table = audit.table
    for name, value in ({"comparison": "rest"} | keys).items():
        table = table[table[name] == value]
    assert len(table) == 1, keys
    return table.iloc[0]


def own_row_of(audit: Audit, **keys: str) -> pd.Series:
    """A group's own figures, whichever of two groups its contrast is shown for."""
    table = audit.table[audit.table["comparison"].isin(["rest", "reference"])]
    for name, value in keys.items():
        table = table[table[name] == value]
    assert len(table) == 1, keys
    return table.iloc[0]
