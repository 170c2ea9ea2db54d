"""Audit a table of per-query outcomes of any system: its protocol, and the JSON of its report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluation.audit import Audit, audit_outcomes, simulate_instrument
from evaluation.change.drift import compare_audits
from evaluation.labels import UNKNOWN, group_labels
from evaluation.library_audit.protocol import AuditProtocol
from evaluation.stats.suppression import protect
from evaluation.tables import column_numbers, read_table
from medembed.config.files import read_yaml
from medembed.errors import InputError

__all__ = ["OutcomeText", "TableProtocol", "audit_table", "load_table_protocol"]

REPORT_VERSION = 1
_NEEDS_A_LIBRARY = (
    "exposure", "leakage", "counterfactual", "modality_gap", "label_quality", "zero_shot",
    "mitigation", "comparison",
)  # fmt: skip
_WHY_NOT = "This audit is of a table of outcomes; this section needs a library."


class OutcomeText(BaseModel):
    """An outcome in words, for a reader who is no statistician: what it measures, whom it harms.

    Without a ``kind`` a column of only 0 and 1 is a proportion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    harm: str = ""
    kind: Literal["proportion", "score"] | None = None
    higher_is_better: bool = True


class TableProtocol(AuditProtocol):
    """A declared audit of a table with one row per query.

    Parameters
    ----------
    patient : str
        Column of patients' pseudonyms.
    attributes, outcomes, strata : tuple of str
        Columns.
    describe : mapping of outcome to OutcomeText
    contrasts : {"rest", "largest", "all"}
        Each group with the rest; besides, with the largest group; besides, all pairs.
    bands : mapping of attribute or stratum to tuple of float or int
        Where a numeric column is cut, or into how many equal parts of the patients.
    weight, cluster : str or None
        Columns of sampling weights, and of units that patients are nested in.
    """

    name: str = "table"
    title: str = "Fairness audit of a table of outcomes"
    question: str = "Does the system serve each group of patients as well as the others?"
    patient: str = "patient_id"
    describe: dict[str, OutcomeText] = Field(default_factory=dict)
    contrasts: Literal["rest", "largest", "all"] = "rest"
    weight: str | None = None
    cluster: str | None = None

    @model_validator(mode="after")
    def _described(self) -> Self:
        for name in self.describe:
            if name not in self.outcomes:
                raise ValueError(f"describe names {name!r}, which is not audited")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the table needs."""
        named = (self.patient, *self.attributes, *self.outcomes, *self.strata)
        named += tuple(name for name in (self.weight, self.cluster) if name)
        return tuple(dict.fromkeys(named))


def load_table_protocol(path: str | Path) -> TableProtocol:
    """Read the protocol of a table's audit from a YAML file.

    Raises
    ------
    ConfigError
        If the file cannot be read; names the key that does not fit.
    """
    file = Path(path)
    values = {"name": file.stem, **read_yaml(file)}
    return TableProtocol.read(values, file.name, "see docs/guides/audit.md, Auditing a table")


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
        name: getattr(protocol, name)
        for name in (
            "outcomes", "attributes", "patient", "strata", "alpha", "intersections", "overlap",
            "reference", "bands", "weight", "cluster",
        )
    }  # fmt: skip
    asked |= {
        "primary": [one.model_dump(exclude_none=True) for one in protocol.primary],
        "minimum": protocol.least,
        "kinds": {name: text.kind for name, text in protocol.describe.items() if text.kind},
        "seed": seed,
    }
    audit = audit_outcomes(
        table, **asked, margin=protocol.margin, ratio_margin=protocol.ratio_margin,
        contrasts=protocol.contrasts, repetitions=protocol.repetitions,
        permutations=protocol.permutations,
    )  # fmt: skip
    done(1)
    instrument = None
    if cohorts := protocol.instrument.cohorts:
        instrument = simulate_instrument(table, **asked, cohorts=cohorts).to_json()
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
        "gate": audit.gate().to_json(),
        "outcomes": audit.to_json(),
        "describe_outcomes": {
            name: {
                "title": text.title or name.replace("_", " "),
                "harm": text.harm,
                "higher_is_better": text.higher_is_better,
                "unit": audit.settings["kinds"][name],
            }
            for name in protocol.outcomes
            for text in [protocol.describe.get(name, OutcomeText())]
        },
        "attributes": {
            name: {"title": name.replace("_", " ").capitalize()} for name in protocol.attributes
        },
        "missing": _missing(audit, protocol),
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
    for name in filter(None, (protocol.patient, protocol.cluster)):
        columns[name] = np.where(group_labels(columns[name]) == UNKNOWN, None, columns[name])
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


def _missing(audit: Audit, protocol: TableProtocol) -> dict[str, Any]:
    """Patients of unknown groups, as far as the audit shows them, and groups that are absent."""
    total = audit.settings["n_patients"]
    sizes = {
        (row["attribute"], row["group"]): row["n_patients"] for row in audit.to_json()["cells"]
    }
    unknown, absent = [], []
    for name in protocol.attributes:
        groups = {group for attribute, group in sizes if attribute == name}
        groups |= set(audit.settings["merged"].get(name, ()))
        n = sizes.get((name, UNKNOWN)) if UNKNOWN in groups else 0
        share = None if n is None or total is None else n / total
        unknown.append({"attribute": name, "n_patients": n, "share": share})
        absent += [
            f"No query of the group {group!r} of {name} is in the table."
            for group in protocol.expected.get(name, ())
            if group not in groups
        ]
    return {"unknown": unknown, "absent": absent}
