"""The report of an audit as typed records: CSV, page and model card are written from them.

Reading is lenient, since a report is made by a program and has to be readable by another version:
what is null, or not of its field's type, is the field's default. The JSON itself is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from evaluation.stats import Minimum
from evaluation.stats.report_fields import FIELDS
from evaluation.stats.suppression import minimum_of, shows_small
from evaluation.stats.verdict import Answer, Verdict
from medembed.errors import InputError

__all__ = [
    "VERSION", "AttributeInfo", "Change", "Interval", "OutcomeInfo", "Question", "Report", "Row",
    "Tried",
]  # fmt: skip

VERSION = 1
"""Of the report's JSON."""
NUMBERS = {name for section in FIELDS.values() for name in section} | {"smallest_gap"}
"""Fields of rows that are numbers."""


def _finite(value: Any) -> float | None:
    return value if type(value) in (int, float) and isfinite(value) else None


Text = Annotated[str, BeforeValidator(str)]
Number = Annotated[float | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """A JSON object; keys that it does not know are left to the JSON."""

    model_config = ConfigDict(frozen=True, strict=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _lenient(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            if value is not None:
                return read(value)
        except ValidationError:
            pass
        return cls.model_fields[str(info.field_name)].get_default(call_default_factory=True)


@dataclass(frozen=True)
class Interval:
    """A point and the ends of its interval, as far as they are known."""

    point: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half the distance of the ends."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


class Row(Record):
    """A row of any table of the report.

    Its words are declared here. Its numbers are the fields of
    :data:`evaluation.stats.report_fields.FIELDS`, None where there is none; what they mean is told
    where they are made, in ``evaluation.audit``, ``sections`` and ``change``.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    attribute: Text = ""
    group: Text | None = None
    precision: Text = "usual"
    verdict: Text = Verdict.NOT_ASSESSABLE
    reason: Text = ""
    outcome: Text = ""
    comparison: Text = "rest"
    primary: bool = False
    verdict_naive: Text = ""
    flags: Text = ""
    ratio_of: Text = ""
    measure: Text = ""
    finding: Text = ""
    swap: Text = ""
    space: Text = ""
    probe: Text = ""
    name: Text = ""
    target: bool = False
    higher_is_better: bool | None = None
    verdict_before: Text = Verdict.NOT_ASSESSABLE
    verdict_after: Text = Verdict.NOT_ASSESSABLE
    turn: Text = "same"

    def __getattr__(self, name: str) -> float | None:
        if name in NUMBERS:
            return (self.__pydantic_extra__ or {}).get(name)
        raise AttributeError(name)

    def interval(self, ends: str, point: str = "gap") -> Interval:
        """Take a point, and the ends of an interval whose names begin so."""
        return Interval(*(getattr(self, name) for name in (point, f"{ends}_low", f"{ends}_high")))

    @property
    def is_suppressed(self) -> bool:
        """Whether the group is too small to be shown."""
        return self.precision == "suppressed"

    @property
    def is_intersection(self) -> bool:
        """Whether the group shares two attributes or more."""
        return "*" in self.attribute

    @property
    def measured(self) -> str:
        """What was measured: an outcome, or what sections and mitigations call a measure."""
        return self.measure or self.outcome

    @property
    def against_rest(self) -> bool:
        """Whether the group is compared with everyone else."""
        return self.comparison == "rest"

    @property
    def decides(self) -> bool:
        """Whether the release check takes it: it is with the rest, or with a declared reference."""
        return self.against_rest or self.comparison.startswith("against:")

    def mirrored(self, reference: Row) -> Row:
        """Give the same comparison from the side of the group that it was made with."""
        turned = {"gap": self.gap, "gap_naive": self.gap_naive}
        for name in ("gap_ci", "gap_naive_ci", "inner", "gap_missing"):
            turned[f"{name}_low"] = getattr(self, f"{name}_high")
            turned[f"{name}_high"] = getattr(self, f"{name}_low")
        same = "primary verdict verdict_naive p_adjusted reason flags comparison"
        return reference.model_copy(
            update={name: None if end is None else -end for name, end in turned.items()}
            | {name: getattr(self, name) for name in same.split()}
        )


class Section(Record):
    """A part of the report: its rows and notes, or why it was not done."""

    rows: list[Row] = []
    notes: list[Text] = []
    why: Text = ""


class Question(Record):
    """A question that was declared before the data was looked at; of every group without one."""

    attribute: Text = ""
    outcome: Text = ""
    group: Text | None = None


class Protocol(Record):
    """What the page shows of the declared protocol."""

    attributes: list[Text] = []
    outcomes: list[Text] = []
    strata: list[Text] = []
    primary: list[Question] = []
    margin: Number = None
    ratio_margin: Number = None
    alpha: Number = None
    weight: Text | None = None
    cluster: Text | None = None


class Outcomes(Section):
    """The outcomes by group; ``settings`` hold what a missing protocol would."""

    rows: list[Row] = Field(default=[], validation_alias="table")
    settings: Protocol = Protocol()


class Tried(Record):
    """One mitigation: whether it is recommended (None of another model), and why or why not."""

    name: Text = ""
    recommended: bool | None = None
    reasons: list[Text] = []


class Change(Section):
    """What mitigations, or another model, changed."""

    summary: list[Tried] = []
    models: dict[str, Any] = {}
    overlap: dict[str, Number] = {}


class Drift(Section):
    """Verdicts since an earlier audit; ``earlier`` is that audit's stamp."""

    earlier: dict[str, Any] = {}


class Missing(Section):
    """Who is missing from the archive."""

    rows: list[Row] = Field(default=[], validation_alias="unknown")
    absent: list[Text] = []


class Instrument(Section):
    """How the audit does on simulated archives of this shape."""

    false_alarm_rate: Number = None
    false_alarm_rate_error: Number = None
    coverage: Number = None
    coverage_error: Number = None
    cohorts: Number = None
    rows: list[Row] = Field(default=[], validation_alias="detectable")


class Stamp(Record):
    """What the report was made of."""

    protocol_name: Text | None = None
    protocol_sha256: Text | None = None
    date: Text | None = None
    split: Text | None = None
    model: Text | None = None
    library: Text | None = None
    table_sha256: Text | None = None
    seed: int | None = None
    code: Text | None = None
    n_cases: Number = None
    n_patients: Number = None
    versions: dict[str, Text] = {}


class Gate(Record):
    """The release check."""

    passed: bool = False
    answer: Annotated[Answer | None, Field(strict=False)] = None
    reasons: list[Text] = []

    @property
    def decision(self) -> Answer:
        """Passed, failed or undecided; without an answer that is known here, passed or failed."""
        return self.answer or (Answer.PASSED if self.passed else Answer.FAILED)


class OutcomeInfo(Record):
    """What an outcome is called, whom a gap in it harms, and its unit (proportion or score)."""

    title: Text = ""
    harm: Text = ""
    higher_is_better: bool = True
    unit: Text = "score"


class AttributeInfo(Record):
    """What an attribute and its groups are called."""

    title: Text = ""
    groups: dict[str, Text] = {}


class Report(Record):
    """A whole audit.

    Examples
    --------
    >>> report = Report.from_json({"stamp": {"seed": 3, "site": "x"}, "exposure": None})
    >>> report.stamp.seed, report.exposure.rows
    (3, [])
    >>> report.to_json()
    {'stamp': {'seed': 3, 'site': 'x'}, 'exposure': None}
    """

    title: Text = ""
    question: Text = ""
    stamp: Stamp = Stamp()
    protocol: Protocol = Protocol()
    gate: Gate = Gate()
    outcomes: Outcomes = Outcomes()
    describe_outcomes: dict[str, OutcomeInfo] = {}
    attributes: dict[str, AttributeInfo] = {}
    missing: Missing = Missing()
    zero_shot: Section = Section()
    exposure: Section = Section()
    counterfactual: Section = Section()
    leakage: Section = Section()
    modality_gap: Section = Section()
    label_quality: Section = Section()
    mitigation: Change = Change()
    comparison: Change = Change()
    drift: Drift = Drift()
    instrument: Instrument = Instrument()
    why: dict[str, Any] = {}
    _json: dict[str, Any] = PrivateAttr(default_factory=dict)

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
        try:  # what is no finite number is null
            plain = json.loads(json.dumps(given), parse_constant=lambda _: None)
        except (TypeError, ValueError):
            raise InputError("a report has to be plain JSON values", where="report") from None
        if shows_small(plain):
            raise InputError(
                "a report that shows groups of too few patients",
                where="report",
                hint="pass it through evaluation.stats.protect first",
            )
        report = cls.model_validate(plain)
        report._json.update(plain)
        return report

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values: what was read, also where this version does not know it."""
        return self._json

    def why_not(self, name: str) -> str | None:
        """Give the reason why a part was not done, "" if none was recorded; None if it was done."""
        part: Section = getattr(self, name)
        return None if part.rows else part.why or str(self.why.get(name) or "")

    @property
    def margin(self) -> float | None:
        """Largest gap that was declared to be of no consequence."""
        return self.protocol.margin or self.outcomes.settings.margin

    @property
    def ratio_margin(self) -> float | None:
        """Largest ratio of two rates that was declared to be of no consequence."""
        return self.protocol.ratio_margin or self.outcomes.settings.ratio_margin

    @property
    def band(self) -> tuple[float, float] | None:
        """The margin as a band around no gap."""
        return None if self.margin is None else (-self.margin, self.margin)

    @property
    def alpha(self) -> float | None:
        """Significance level."""
        return self.protocol.alpha or self.outcomes.settings.alpha

    @property
    def minimum(self) -> Minimum:
        """How many patients a group needs; the usual numbers where none are declared."""
        return minimum_of(self._json)
