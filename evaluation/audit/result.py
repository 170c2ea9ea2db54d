"""What an audit found: a table, the groups' sizes, the settings, and whether it passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING, Any

from evaluation.stats import gate as gate_answer
from evaluation.stats.verdict import Answer, Verdict, decides
from medembed.counted import counted

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CELL_COLUMNS", "COLUMNS", "GATE_REASONS", "Audit", "Flag", "Gate", "GateFinding", "GateReason",
    "frame",
]  # fmt: skip

COLUMNS = (
    "attribute", "group", "outcome", "comparison", "family", "primary",
    "n_patients", "n_queries", "n_events", "n_unmeasured", "precision",
    "estimate", "ci_low", "ci_high", "rest_estimate",
    "gap", "gap_ci_low", "gap_ci_high", "p_value", "p_adjusted", "p_max_t", "verdict", "reason",
    "gap_naive", "gap_naive_ci_low", "gap_naive_ci_high", "p_naive", "verdict_naive",
    "overlap", "design_effect", "icc", "step", "step_rest",
    "reason_code", "flags", "ratio", "ratio_ci_low", "ratio_ci_high", "ratio_of",
    "p_heterogeneity", "gap_missing_low", "gap_missing_high",
)  # fmt: skip
_COUNTS = ("n_patients", "n_queries", "n_events", "n_unmeasured")
CELL_COLUMNS = ("attribute", "group", "n_patients", "n_queries", "precision")
_TEXT = {
    "attribute", "group", "outcome", "comparison", "family", "precision", "verdict",
    "verdict_naive", "reason", "reason_code", "flags", "ratio_of",
}  # fmt: skip


class Flag(StrEnum):
    """What a reader has to see beside a verdict; the words are in the report's catalog."""

    HETEROGENEOUS = "heterogeneous"
    MISSING_COULD_MATTER = "missing_could_matter"
    RARE_HARM = "rare_harm"


class GateReason(StrEnum):
    """Why a release check does not pass; the words are in :data:`GATE_REASONS`."""

    EXCEEDS = "exceeds"
    DIFFERS = "differs"
    NOT_SHOWN_WITHIN = "not_shown_within"
    NOT_ASSESSABLE = "not_assessable"
    HETEROGENEOUS = "heterogeneous"
    NOT_MEASURED = "not_measured"
    NOTHING_NAMED = "nothing_named"


GATE_REASONS: dict[GateReason, str] = {
    GateReason.EXCEEDS: "{name}: exceeds the margin ({reason})",
    GateReason.DIFFERS: "{name}: a gap is established ({reason})",
    GateReason.NOT_SHOWN_WITHIN: "{name}: primary question, not shown to be within the margin "
    "({reason})",
    GateReason.NOT_ASSESSABLE: "{name}: primary question, not assessable ({reason})",
    GateReason.HETEROGENEOUS: "{name}: primary question, and the gap is not the same in all strata",
    GateReason.NOT_MEASURED: "{outcome}: primary question, not assessable ({reason})",
    GateReason.NOTHING_NAMED: "the protocol declares no primary question",
}


@dataclass(frozen=True)
class GateFinding:
    """One thing that keeps a release check from passing: a comparison, and its verdict's reason."""

    code: GateReason
    attribute: str = ""
    group: str = ""
    outcome: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        """The finding in words."""
        name = f"{self.attribute} {self.group}, {self.outcome}"
        return GATE_REASONS[self.code].format(name=name, outcome=self.outcome, reason=self.reason)

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {**asdict(self), "code": self.code.value}


@dataclass(frozen=True)
class Gate:
    """Whether an audit passes, for a pipeline that has to stop or go on; if not, why not."""

    answer: Answer
    findings: tuple[GateFinding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every primary question was shown to be within its margin."""
        return self.answer == Answer.PASSED

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings in words."""
        return tuple(finding.text for finding in self.findings)

    def with_unmeasured(self, outcomes: Mapping[str, str]) -> Gate:
        """Add primary outcomes that could not be measured at all, and why."""
        lost = tuple(
            GateFinding(GateReason.NOT_MEASURED, outcome=name, reason=why)
            for name, why in sorted(outcomes.items())
        )
        if not lost:
            return self
        answer = Answer.FAILED if self.answer == Answer.FAILED else Answer.UNDECIDED
        return Gate(answer, (*lost, *self.findings))

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return {
            "passed": self.passed,
            "answer": self.answer.value,
            "reasons": list(self.reasons),
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, eq=False, repr=False)
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
    >>> audit.table[["group", "n_patients", "estimate", "gap", "verdict"]].values.tolist()
    [['F', 30, 0.6666666666666666, 0.0, 'inconclusive'], ['M', 30, 0.6666666666666666, nan, None]]
    >>> audit.gate().answer.value, audit.gate().reasons
    ('undecided', ('the protocol declares no primary question',))
    """

    table: pd.DataFrame
    cells: pd.DataFrame
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        found = counted(len(self.table), "comparison")
        return f"Audit({found}, release check {self.gate().answer.value})"

    def gate(self) -> Gate:
        """Answer the release check: passed, failed or undecided.

        It fails where a gap exceeds the margin, and passes only where every primary question was
        shown to be within, alike in all strata, and no other gap is established. Comparisons with
        the rest, or with the reference group instead, decide; others do not.
        """
        rest = self.table[self.table["comparison"].map(decides).astype(bool)]
        findings = []
        if not rest["primary"].any():
            findings.append(GateFinding(GateReason.NOTHING_NAMED))
        for row in rest.to_dict("records"):
            code = _keeps_from_passing(row)
            if code is not None:
                findings.append(
                    GateFinding(code, row["attribute"], row["group"], row["outcome"], row["reason"])
                )
        findings.sort(key=lambda finding: finding.code != GateReason.EXCEEDS)
        answer = gate_answer(list(zip(rest["verdict"], rest["primary"], strict=True)))
        if findings and answer == Answer.PASSED:
            answer = Answer.UNDECIDED
        return Gate(answer, tuple(findings))

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``; what is missing becomes None."""
        return {
            "settings": dict(self.settings),
            "table": _rows(self.table),
            "cells": _rows(self.cells),
            "notes": list(self.notes),
        }


def _keeps_from_passing(row: Mapping[Any, Any]) -> GateReason | None:
    verdict, primary = row["verdict"], row["primary"]
    if verdict == Verdict.EXCEEDS:
        return GateReason.EXCEEDS
    if verdict == Verdict.DIFFERS:
        return GateReason.DIFFERS
    if not primary:
        return None
    if verdict == Verdict.NOT_ASSESSABLE:
        return GateReason.NOT_ASSESSABLE
    if verdict != Verdict.WITHIN:
        return GateReason.NOT_SHOWN_WITHIN
    return GateReason.HETEROGENEOUS if Flag.HETEROGENEOUS in str(row["flags"]) else None


def frame(rows: Any, columns: tuple[str, ...]) -> pd.DataFrame:
    """Table of rows or columns with the types that an audit has."""
    import pandas as pd  # slow to import

    table = pd.DataFrame(rows, columns=list(columns))
    for name in columns:
        if name in _COUNTS:
            table[name] = table[name].astype("Float64").astype("Int64")
        elif name == "primary":
            table[name] = table[name].astype(bool)
        elif name in _TEXT:
            text = table[name].astype(object)
            table[name] = text.where(text.notna(), None)
        else:
            table[name] = table[name].astype("float64")
    return table


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain values; what is missing, or infinite as a ratio's open end, is None."""
    plain = table.astype(object)
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in plain.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is pd.NA or (isinstance(value, float) and not isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value
