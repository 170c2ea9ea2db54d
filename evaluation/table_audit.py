"""Audit a table of per-query outcomes of any system: its protocol, and the JSON of its report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.audit import Audit, audit_outcomes, simulate_instrument
from evaluation.change.drift import compare_audits
from evaluation.labels import UNKNOWN, group_labels
from evaluation.library_audit.protocol import Hypothesis, InstrumentPlan, MinimumSizes
from evaluation.stats import Minimum
from evaluation.stats.suppression import protect
from evaluation.tables import column_numbers, read_table
from medembed.config.files import read_yaml
from medembed.errors import ConfigError, InputError

__all__ = ["OutcomeText", "TableProtocol", "audit_table", "load_table_protocol"]

REPORT_VERSION = 1
_NEEDS_A_LIBRARY = (
    "exposure", "leakage", "counterfactual", "modality_gap", "label_quality", "zero_shot",
    "mitigation", "comparison",
)  # fmt: skip
_WHY_NOT = "This audit is of a table of outcomes; this section needs a library."


class OutcomeText(BaseModel):
    """An outcome in words.

    Parameters
    ----------
    title, harm : str
        For a reader who is no statistician: what it measures, and what a low value does to whom.
    kind : {"proportion", "score"} or None
        None: a column of only 0 and 1 is a proportion.
    higher_is_better : bool
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    harm: str = ""
    kind: Literal["proportion", "score"] | None = None
    higher_is_better: bool = True


class TableProtocol(BaseModel):
    """A declared audit of a table with one row per query.

    Parameters
    ----------
    name, title, question : str
    patient : str
        Column of patients' pseudonyms.
    attributes, outcomes, strata : tuple of str
        Columns: groups; what is compared; the mix of cases that gaps are adjusted to.
    describe : mapping of outcome to OutcomeText
    intersections : tuple of tuple of str
        Attributes that are crossed.
    primary : tuple of Hypothesis
        Tested as one family, which the gate depends on.
    contrasts : {"rest", "largest", "all"}
        Each group with the rest; besides, with the largest group; besides, all pairs.
    margin, alpha : float
        Largest gap of no consequence, in the outcomes' unit; chance of any false alarm within a
        family.
    minimum : MinimumSizes
    overlap : float
        Least share of a group's queries in strata that the rest has.
    expected : mapping of attribute to groups
        Groups that ought to be in the table; those that are not are named as missing.
    instrument : InstrumentPlan
    repetitions, permutations : int
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "table"
    title: str = "Fairness audit of a table of outcomes"
    question: str = "Does the system serve each group of patients as well as the others?"
    patient: str = "patient_id"
    attributes: tuple[str, ...] = Field(min_length=1)
    outcomes: tuple[str, ...] = Field(min_length=1)
    describe: dict[str, OutcomeText] = Field(default_factory=dict)
    strata: tuple[str, ...] = ()
    intersections: tuple[tuple[str, str], ...] = ()
    primary: tuple[Hypothesis, ...] = ()
    contrasts: Literal["rest", "largest", "all"] = "rest"
    margin: float = Field(default=0.05, gt=0)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum: MinimumSizes = MinimumSizes()
    overlap: float = Field(default=0.8, ge=0, le=1)
    expected: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    instrument: InstrumentPlan = InstrumentPlan()
    repetitions: int = Field(default=2000, ge=200)
    permutations: int = Field(default=999, ge=99)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        crossed = {"*".join(pair) for pair in self.intersections}
        for what, names, known in (
            ("describe", self.describe, self.outcomes),
            ("expected", self.expected, self.attributes),
            (
                "intersections",
                [one for pair in self.intersections for one in pair],
                self.attributes,
            ),
            ("primary", [one.outcome for one in self.primary], self.outcomes),
            ("primary", [one.attribute for one in self.primary], {*self.attributes, *crossed}),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{what} names {name!r}, which is not audited")
        if self.minimum.precise < self.minimum.reported:
            raise ValueError("minimum.precise is below minimum.reported")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the table needs."""
        named = (self.patient, *self.attributes, *self.outcomes, *self.strata)
        return tuple(dict.fromkeys(named))

    @property
    def digest(self) -> str:
        """Hex sha256 over all that is declared, the name aside."""
        held = self.model_dump(mode="json", exclude={"name"})
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def load_table_protocol(path: str | Path) -> TableProtocol:
    """Read the protocol of a table's audit from a YAML file.

    Raises
    ------
    ConfigError
        If the file cannot be read; names the key that does not fit.
    """
    file = Path(path)
    try:
        return TableProtocol.model_validate({"name": file.stem, **read_yaml(file)})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{key}: {message}" if key else message,
            where=file.name,
            hint="see docs/guides/audit.md, Auditing a table",
        ) from None


def audit_table(
    path: str | Path,
    protocol: TableProtocol,
    *,
    earlier: Mapping[str, Any] | None = None,
    day: date | None = None,
    seed: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Audit a csv, tsv or parquet file with one row per query, of any system.

    Parameters
    ----------
    path : str or Path
        Missing outcomes are "not measured"; missing attributes are the group "unknown".
    protocol : TableProtocol
    earlier : mapping, optional
        The JSON of an earlier report by the same protocol, whose verdicts are compared with these.
    day : date, optional
        Stamped into the report; None makes a rerun byte-identical.
    seed : int
    progress : callable of (done, total), optional

    Returns
    -------
    dict
        Plain values, for :func:`evaluation.report.write_report`; sections that need a library are
        None.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column, an outcome is not numeric, a query has no
        patient, or ``earlier`` is no audit by this protocol.
    """
    if earlier is not None and _stamp_of(earlier).get("protocol_sha256") != protocol.digest:
        raise InputError(
            "no audit, or one by another protocol", where="--before", hint="use the same protocol"
        )

    def done(count: int) -> None:
        if progress:
            progress(count, 2)

    done(0)
    file = Path(path)
    table = _columns(file, protocol)
    asked: dict[str, Any] = {
        "outcomes": protocol.outcomes,
        "attributes": protocol.attributes,
        "patient": protocol.patient,
        "strata": protocol.strata,
        "alpha": protocol.alpha,
        "intersections": protocol.intersections,
        "primary": [one.model_dump(exclude_none=True) for one in protocol.primary],
        "minimum": Minimum(protocol.minimum.reported, protocol.minimum.precise),
        "kinds": {name: text.kind for name, text in protocol.describe.items() if text.kind},
        "overlap": protocol.overlap,
        "seed": seed,
    }
    audit = audit_outcomes(
        table, **asked, margin=protocol.margin, contrasts=protocol.contrasts,
        repetitions=protocol.repetitions, permutations=protocol.permutations,
    )  # fmt: skip
    done(1)
    instrument = None
    if protocol.instrument.cohorts:
        found = simulate_instrument(table, **asked, cohorts=protocol.instrument.cohorts)
        instrument = found.to_json()
    gate = audit.gate()
    report = {
        "version": REPORT_VERSION,
        "title": protocol.title,
        "question": protocol.question,
        "stamp": {
            "protocol_sha256": protocol.digest,
            "protocol_name": protocol.name,
            "date": day.isoformat() if day else None,
            "versions": {name: version(name) for name in ("medembed", "numpy", "scipy", "pandas")},
            "seed": seed,
            "table_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "n_cases": audit.settings["n_queries"],
            "n_patients": audit.settings["n_patients"],
            "code": version("medembed"),
        },
        "protocol": protocol.model_dump(mode="json"),
        "gate": {"passed": gate.passed, "reasons": list(gate.reasons)},
        "outcomes": audit.to_json(),
        "describe_outcomes": {
            name: _described(protocol.describe.get(name, OutcomeText()), name, audit)
            for name in protocol.outcomes
        },
        "attributes": {
            name: {"title": name.replace("_", " ").capitalize()} for name in protocol.attributes
        },
        "missing": _missing(table, audit, protocol),
        "instrument": instrument,
        **dict.fromkeys(_NEEDS_A_LIBRARY),
        "drift": None,
        "why": dict.fromkeys(_NEEDS_A_LIBRARY, _WHY_NOT) | {"drift": "No earlier audit was named."},
    }
    report = protect(report)
    if earlier is not None:
        then = _stamp_of(earlier)
        kept = {name: then.get(name) for name in ("date", "seed", "code", "n_cases", "n_patients")}
        report["drift"] = compare_audits(earlier, report).to_json() | {"earlier": kept}
    done(2)
    return report


def _stamp_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    stamp = report.get("stamp")
    return stamp if isinstance(stamp, Mapping) else {}


def _columns(file: Path, protocol: TableProtocol) -> dict[str, Any]:
    """The columns of the protocol, outcomes as numbers."""
    table = read_table(file, protocol.columns)
    if not len(table):
        raise InputError("a table without a query", where=file.name)
    columns: dict[str, Any] = {
        name: table[name].to_numpy(dtype=object) for name in protocol.columns
    }
    blank = group_labels(columns[protocol.patient]) == UNKNOWN
    columns[protocol.patient] = np.where(blank, None, columns[protocol.patient])
    for name in protocol.outcomes:
        columns[name] = column_numbers(table[name])
        wrong = np.flatnonzero(np.isinf(columns[name]))
        if len(wrong):
            raise InputError(
                f"values that are not finite numbers: {len(wrong)}, the first in row "
                f"{wrong[0] + 2}",
                where=name,
                hint="leave a cell empty if it was not measured",
            )
    return columns


def _described(text: OutcomeText, name: str, audit: Audit) -> dict[str, Any]:
    return {
        "title": text.title or name.replace("_", " "),
        "harm": text.harm,
        "higher_is_better": text.higher_is_better,
        "unit": audit.settings["kinds"][name],
    }


def _missing(table: Mapping[str, Any], audit: Audit, protocol: TableProtocol) -> dict[str, Any]:
    """Patients of unknown groups, as far as the audit shows them, and groups that are absent."""
    total = audit.settings["n_patients"]
    shown = {
        row["attribute"]: row["n_patients"]
        for row in audit.to_json()["cells"]
        if row["group"] == UNKNOWN
    }
    unknown, absent = [], []
    for name in protocol.attributes:
        groups = set(group_labels(table[name]).tolist())
        n = shown.get(name) if UNKNOWN in groups else 0
        share = None if n is None or total is None else n / total
        unknown.append({"attribute": name, "n_patients": n, "share": share})
        absent += [
            f"No query of the group {group!r} of {name} is in the table."
            for group in protocol.expected.get(name, ())
            if group not in groups
        ]
    return {"unknown": unknown, "absent": absent}
