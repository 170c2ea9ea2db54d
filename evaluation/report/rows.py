"""The rows of the report's tables, as records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from evaluation.report.records import (
    Record,
    RowPrecision,
    RowVerdict,
)

__all__ = [
    "ChangeRow", "DetectableRow", "DriftRow", "OutcomeRow", "Row", "SectionRow", "UnknownRow",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row(Record):
    """What the rows of all tables have in common.

    Parameters
    ----------
    attribute : str
        ``"sex*age_band"`` for an intersection.
    group : str or None
    n_patients : int or None
        None where withheld.
    precision : str
        One of :class:`RowPrecision`.
    verdict : RowVerdict or str
    reason : str or None
    """

    attribute: str = ""
    group: str | None = None
    n_patients: int | None = None
    precision: str = RowPrecision.USUAL
    verdict: RowVerdict | str = RowVerdict.NOT_ASSESSABLE
    reason: str | None = None

    @property
    def is_suppressed(self) -> bool:
        """Whether the group is too small to be shown."""
        return self.precision == RowPrecision.SUPPRESSED

    @property
    def is_intersection(self) -> bool:
        """Whether the group shares two attributes or more."""
        return "*" in self.attribute


@dataclass(frozen=True, kw_only=True)
class OutcomeRow(Row):
    """One outcome in one group, against the rest or another reference.

    Columns as :func:`evaluation.audit.audit_outcomes` describes them. ``inner_low`` and
    ``inner_high`` are the ends of the gap at level 1 - 2 alpha, which a verdict ``within`` is
    taken from in rows of sections only.
    """

    outcome: str = ""
    comparison: str = "rest"
    family: str | None = None
    primary: bool = False
    n_queries: int | None = None
    n_events: int | None = None
    n_unmeasured: int | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    rest_estimate: float | None = None
    gap: float | None = None
    gap_ci_low: float | None = None
    gap_ci_high: float | None = None
    inner_low: float | None = None
    inner_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    p_max_t: float | None = None
    gap_naive: float | None = None
    gap_naive_ci_low: float | None = None
    gap_naive_ci_high: float | None = None
    p_naive: float | None = None
    verdict_naive: str | None = None
    overlap: float | None = None
    design_effect: float | None = None
    icc: float | None = None
    step: float | None = None
    step_rest: float | None = None
    flags: str = ""
    ratio: float | None = None
    ratio_ci_low: float | None = None
    ratio_ci_high: float | None = None
    ratio_of: str = ""
    p_heterogeneity: float | None = None
    gap_missing_low: float | None = None
    gap_missing_high: float | None = None

    @property
    def against_rest(self) -> bool:
        """Whether the group is compared with everyone else."""
        return self.comparison in {"", "rest"}

    @property
    def is_reference(self) -> bool:
        """Whether it is the group that the others of its attribute are compared with."""
        return self.comparison == "reference"

    def mirrored(self, reference: OutcomeRow) -> OutcomeRow:
        """Give the same comparison from the side of the group that it was made with."""

        def turned(value: float | None) -> float | None:
            return None if value is None else -value

        ends: dict[str, Any] = {
            f"{name}_{end}": turned(getattr(self, f"{name}_{other}"))
            for name in ("gap_ci", "gap_naive_ci", "inner", "gap_missing")
            for end, other in (("low", "high"), ("high", "low"))
        }
        same = ("primary", "verdict", "verdict_naive", "p_value", "p_adjusted", "p_naive",
                "reason", "flags", "comparison", "p_heterogeneity")  # fmt: skip
        return replace(
            reference,
            gap=turned(self.gap),
            gap_naive=turned(self.gap_naive),
            rest_estimate=self.estimate,
            **ends,
            **{name: getattr(self, name) for name in same},
        )


@dataclass(frozen=True, kw_only=True)
class SectionRow(Row):
    """A row of a section beyond the outcomes; each section fills its own fields.

    What the fields mean is told where the section is made: ``evaluation.sections``.
    """

    measure: str = ""
    finding: str = ""
    swap: str = ""
    space: str = ""
    probe: str = ""
    n_queries: int | None = None
    n_events: int | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    gap: float | None = None
    gap_ci_low: float | None = None
    gap_ci_high: float | None = None
    inner_low: float | None = None
    inner_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    step: float | None = None
    share_archive: float | None = None
    exposure: float | None = None
    ratio: float | None = None
    ratio_given_relevance: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    null_mean: float | None = None
    auc: float | None = None
    effect: float | None = None
    placebo: float | None = None
    difference: float | None = None
    difference_ci_low: float | None = None
    difference_ci_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeRow(Row):
    """What a mitigation, or another model, changed for a group.

    ``measure`` and ``target`` are a mitigation's names for ``outcome`` and ``primary``.
    """

    name: str = ""
    measure: str = ""
    outcome: str = ""
    target: bool = False
    primary: bool = False
    higher_is_better: bool | None = None
    recommended: bool | None = None
    before: float | None = None
    after: float | None = None
    change: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_adjusted: float | None = None
    gap_before: float | None = None
    gap_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class DriftRow(Row):
    """A verdict of an earlier audit beside that of this one."""

    outcome: str = ""
    gap_before: float | None = None
    gap_after: float | None = None
    verdict_before: RowVerdict | str = RowVerdict.NOT_ASSESSABLE
    verdict_after: RowVerdict | str = RowVerdict.NOT_ASSESSABLE
    turn: str = "same"


@dataclass(frozen=True, kw_only=True)
class DetectableRow(Row):
    """Smallest gap that the audit would notice in a group, in four archives of five."""

    outcome: str = ""
    smallest_gap: float | None = None


@dataclass(frozen=True, kw_only=True)
class UnknownRow(Row):
    """Patients whose attribute is not recorded; ``share`` is of all patients."""

    share: float | None = None
