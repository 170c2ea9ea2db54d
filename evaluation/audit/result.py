"""What an audit found: a table, the groups' sizes, the settings, and whether it passes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.stats import gate as passes
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CELL_COLUMNS", "COLUMNS", "COUNTS", "Audit", "Gate"]

COLUMNS = (
    "attribute", "group", "outcome", "comparison", "family", "primary",
    "n_patients", "n_queries", "n_events", "n_unmeasured", "precision",
    "estimate", "ci_low", "ci_high", "rest_estimate",
    "gap", "gap_ci_low", "gap_ci_high", "p_value", "p_adjusted", "p_max_t", "verdict", "reason",
    "gap_naive", "gap_naive_ci_low", "gap_naive_ci_high", "p_naive", "verdict_naive",
    "overlap", "design_effect", "icc", "step", "step_rest",
)  # fmt: skip
COUNTS = ("n_patients", "n_queries", "n_events", "n_unmeasured")
CELL_COLUMNS = ("attribute", "group", "n_patients", "n_queries", "precision")
_TEXT = {
    "attribute", "group", "outcome", "comparison", "family", "precision", "verdict",
    "verdict_naive", "reason",
}  # fmt: skip


@dataclass(frozen=True)
class Gate:
    """Whether an audit passes, for a pipeline that has to stop or go on.

    Parameters
    ----------
    passed : bool
    reasons : tuple of str
        Why not; empty where it passed.
    """

    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Audit:
    """How each group is served, with what is known of it and what is not.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each attribute, group, outcome and comparison. Numbers that cannot be told are
        missing, never 0; the column ``reason`` says why.
    cells : pandas.DataFrame
        Patients and queries of each group; missing where suppressed.
    settings : dict
        Plain values: what was asked, with which seed, of how many patients.
    notes : tuple of str
        What a reader has to know of this audit.

    Examples
    --------
    >>> from evaluation.audit import audit_outcomes
    >>> table = {"patient_id": list(range(60)), "sex": ["F", "M"] * 30, "hit": [1, 0, 1] * 20}
    >>> audit = audit_outcomes(table, ["hit"], ["sex"])
    >>> audit.table[["group", "n_patients", "estimate", "gap", "verdict"]].values.tolist()[0]
    ['F', 30, 0.6666666666666666, 0.0, 'inconclusive']
    >>> audit.gate().passed  # no hypothesis was named beforehand: it fails closed
    False
    """

    table: pd.DataFrame
    cells: pd.DataFrame
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())

    def gate(self) -> Gate:
        """Pass or fail: fails on ``exceeds``, and closed on a primary one not assessable.

        Comparisons with the rest decide; those with the largest group and in pairs do not.
        """
        rest = self.table[self.table["comparison"] == "rest"]
        rows = rest[["attribute", "group", "outcome", "verdict", "primary", "reason"]]
        reasons = []
        if not rest["primary"].any():
            reasons.append("no hypothesis was named beforehand")
        for attribute, group, outcome, verdict, primary, reason in rows.itertuples(
            index=False, name=None
        ):
            name = f"{attribute} {group}, {outcome}"
            if verdict == "exceeds":
                reasons.append(f"{name}: exceeds the margin ({reason})")
            elif verdict == "not_assessable" and primary:
                reasons.append(f"{name}: primary and not assessable ({reason})")
        decided = list(zip(rest["verdict"], rest["primary"].astype(bool), strict=True))
        return Gate(passes(decided), tuple(reasons))

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``; what is missing becomes None."""
        return {
            "settings": dict(self.settings),
            "table": _rows(self.table),
            "cells": _rows(self.cells),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | str) -> Audit:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        InputError
            Where it is not that.
        """
        held = json.loads(found) if isinstance(found, str) else found
        try:
            return cls(
                frame(held["table"], COLUMNS),
                frame(held["cells"], CELL_COLUMNS),
                dict(held["settings"]),
                tuple(held["notes"]),
            )
        except (KeyError, TypeError, ValueError):
            raise InputError("no audit in this JSON", hint="give what to_json gave") from None

    def write_csv(self, path: str | Path) -> None:
        """Write the table, one row a line, missing values empty."""
        self.table.to_csv(path, index=False, lineterminator="\n")


def frame(rows: Any, columns: tuple[str, ...]) -> pd.DataFrame:
    """Table of rows or columns with the types that an audit has."""
    import pandas as pd  # slow to import

    table = pd.DataFrame(rows, columns=list(columns))
    for name in columns:
        if name in COUNTS:
            table[name] = table[name].astype("Float64").astype("Int64")
        elif name == "primary":
            table[name] = table[name].astype(bool)
        elif name in _TEXT:
            table[name] = table[name].astype(object)
        else:
            table[name] = table[name].astype("float64")
    return table


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    import pandas as pd

    plain = table.astype(object)
    plain = plain.where(pd.notna(plain), None)
    return [
        {name: _plain(value) for name, value in zip(table.columns, row, strict=True)}
        for row in plain.itertuples(index=False, name=None)
    ]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
