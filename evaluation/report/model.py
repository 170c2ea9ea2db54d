"""The report of an audit as typed records: JSON, CSV, page and model card are written from it.

:meth:`Report.from_json` is the one place where plain values become records. It reads the report of
this version and stored ones of earlier audits; keys that are not known here are kept in ``more``,
so that :meth:`Record.to_json` gives back what was read. What is no finite number is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from evaluation.report.records import GateAnswer, Record, number_or_none
from evaluation.report.rows import (
    ChangeRow,
    DetectableRow,
    DriftRow,
    OutcomeRow,
    SectionRow,
    UnknownRow,
)
from evaluation.stats import Minimum
from evaluation.stats.suppression import minimum_of, shows_small
from medembed.errors import InputError

__all__ = [
    "VERSION", "AttributeInfo", "Change", "Drift", "Gate", "InstrumentSummary", "Missing",
    "OutcomeInfo", "OutcomeTable", "Part", "ProtocolSummary", "Question", "Report", "Section",
    "Stamp", "Tried",
]  # fmt: skip

VERSION = 1
"""Of the report's JSON."""


@dataclass(frozen=True, kw_only=True)
class Part(Record):
    """A part of the report: its notes, or why it was not done."""

    notes: tuple[str, ...] = ()
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class OutcomeTable(Part):
    """The outcomes by group, and the settings of the audit."""

    table: tuple[OutcomeRow, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Section(Part):
    """A section beyond the outcomes."""

    rows: tuple[SectionRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tried(Record):
    """One mitigation: whether it is recommended, and why or why not."""

    name: str = ""
    recommended: bool = False
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change(Part):
    """What mitigations, or another model, changed."""

    rows: tuple[ChangeRow, ...] = ()
    summary: tuple[Tried, ...] = ()
    models: Mapping[str, Any] = field(default_factory=dict)
    overlap: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Drift(Part):
    """Verdicts since an earlier audit; ``earlier`` is that audit's stamp."""

    rows: tuple[DriftRow, ...] = ()
    earlier: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Missing(Part):
    """Who is missing from the archive."""

    unknown: tuple[UnknownRow, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InstrumentSummary(Part):
    """How the audit does on simulated archives of this shape."""

    false_alarm_rate: float | None = None
    false_alarm_rate_error: float | None = None
    coverage: float | None = None
    coverage_error: float | None = None
    cohorts: int | None = None
    detectable: tuple[DetectableRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question(Record):
    """A question that was declared before the data was looked at; of every group without one."""

    attribute: str = ""
    outcome: str = ""
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProtocolSummary(Record):
    """What the page shows of the declared protocol."""

    attributes: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    primary: tuple[Question, ...] = ()
    margin: float | None = None
    alpha: float | None = None
    minimum: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stamp(Record):
    """What the report was made of."""

    protocol_name: str | None = None
    protocol_sha256: str | None = None
    date: str | None = None
    split: str | None = None
    model: str | None = None
    library: str | None = None
    seed: int | None = None
    code: str | None = None
    n_cases: int | None = None
    n_patients: int | None = None
    versions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gate(Record):
    """The release check; ``answer`` is missing from reports that knew two answers only."""

    passed: bool = False
    answer: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def decision(self) -> GateAnswer:
        """Passed, failed or undecided; what is not known here has not passed."""
        if self.answer in set(GateAnswer):
            return GateAnswer(self.answer)
        return GateAnswer.PASSED if self.passed else GateAnswer.FAILED


@dataclass(frozen=True, kw_only=True)
class OutcomeInfo(Record):
    """What an outcome is called, whom a gap in it harms, and its unit (proportion or score)."""

    title: str = ""
    harm: str = ""
    higher_is_better: bool | None = None
    unit: str = "score"


@dataclass(frozen=True, kw_only=True)
class AttributeInfo(Record):
    """What an attribute and its groups are called."""

    title: str = ""
    groups: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report(Record):
    """A whole audit.

    Examples
    --------
    >>> report = Report.from_json({"stamp": {"seed": 3, "site": "x"}, "exposure": None})
    >>> report.stamp.seed, report.stamp.more, report.exposure.rows
    (3, {'site': 'x'}, ())
    >>> report.to_json()
    {'stamp': {'seed': 3, 'site': 'x'}, 'exposure': None}
    """

    version: int | None = VERSION
    title: str = ""
    question: str = ""
    stamp: Stamp = field(default_factory=Stamp)
    protocol: ProtocolSummary = field(default_factory=ProtocolSummary)
    gate: Gate = field(default_factory=Gate)
    outcomes: OutcomeTable = field(default_factory=OutcomeTable)
    describe_outcomes: Mapping[str, OutcomeInfo] = field(default_factory=dict)
    attributes: Mapping[str, AttributeInfo] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)
    zero_shot: Section = field(default_factory=Section)
    exposure: Section = field(default_factory=Section)
    counterfactual: Section = field(default_factory=Section)
    leakage: Section = field(default_factory=Section)
    modality_gap: Section = field(default_factory=Section)
    label_quality: Section = field(default_factory=Section)
    mitigation: Change = field(default_factory=Change)
    comparison: Change = field(default_factory=Change)
    drift: Drift = field(default_factory=Drift)
    instrument: InstrumentSummary = field(default_factory=InstrumentSummary)
    why: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, given: Any) -> Self:
        """Read the JSON of an audit.

        Raises
        ------
        InputError
            Where it is no JSON object, a report of another version, or shows a row of too few
            patients.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise InputError("not a JSON object", where="report", hint="give an audit.json")
        if given.get("version", VERSION) != VERSION:
            raise InputError(
                "a report of another version",
                where="report",
                hint=f"this program reads version {VERSION}: run the audit again",
            )
        if shows_small(given):
            raise InputError(
                "a report that shows groups of too few patients",
                where="report",
                hint="pass it through evaluation.stats.protect first",
            )
        return super().from_json(given)

    def why_not(self, name: str) -> str | None:
        """Give the reason why a part was not done, "" if none was recorded; None if it was done."""
        part = getattr(self, name)
        if getattr(part, "rows", None) or getattr(part, "table", None):
            return None
        return part.why or str(self.why.get(name) or "")

    @property
    def margin(self) -> float | None:
        """Largest gap that was declared to be of no consequence."""
        return self.protocol.margin or number_or_none(self.outcomes.settings.get("margin"))

    @property
    def alpha(self) -> float | None:
        """Significance level."""
        return self.protocol.alpha or number_or_none(self.outcomes.settings.get("alpha"))

    @property
    def minimum(self) -> Minimum:
        """How many patients a group needs; the usual numbers where none are declared."""
        settings = {"settings": self.outcomes.settings}
        return minimum_of({"protocol": self.protocol.to_json(), "outcomes": settings})
