"""The audit of a library: from its cases and vectors to the JSON of a report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit import Audit, audit_outcomes, simulate_instrument
from evaluation.library_audit.attributes import TITLES, UNKNOWN, stratum_values
from evaluation.library_audit.cases import AuditedCases, TextSide, gather_queries
from evaluation.library_audit.mitigate import assess_plans
from evaluation.library_audit.model_comparison import check_earlier, compare_models, drift_section
from evaluation.library_audit.outcomes import OUTCOMES, outcome_columns
from evaluation.library_audit.protocol import Protocol
from evaluation.library_audit.sections import assess_sections
from evaluation.stats.suppression import protect
from evaluation.stats.threads import one_thread
from medembed.errors import InputError, LibraryError
from medembed.model.resolve import choose_model

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["REPORT_VERSION", "audit_library"]

REPORT_VERSION = 1
_UNASKED = {
    "mitigation": "The protocol declares no way to mitigate.",
    "comparison": "No other model was named.",
    "drift": "No earlier audit was named.",
}
_PACKAGES = ("medembed", "numpy", "scipy", "pandas", "fairlearn", "scikit-learn")


@one_thread()
def audit_library(
    library: CaseLibrary,
    protocol: Protocol,
    *,
    fingerprint: str | None = None,
    text_side: TextSide | None = None,
    against: str | None = None,
    earlier: Mapping[str, Any] | None = None,
    day: date | None = None,
    seed: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Audit how the search of a library treats each group of patients.

    Parameters
    ----------
    library : CaseLibrary
    protocol : Protocol
    fingerprint : str, optional
        Model; by default that of the library's active one.
    text_side : TextSide, optional
        What needs it is left out without it, and said.
    against : str, optional
        Fingerprint of another model of the library, to compare with on the same queries.
    earlier : mapping, optional
        The JSON of an earlier report, whose verdicts are set beside these.
    day : date, optional
        Stamped into the report; None leaves the day open, so that a rerun is the same to the bit.
    seed : int
    progress : callable of (done, total), optional

    Returns
    -------
    dict
        Plain values, for :func:`evaluation.report.write_report`.

    Raises
    ------
    LibraryError, FingerprintError
        Where there is nothing to audit.
    InputError
        Where an attribute or an outcome cannot be used, ``against`` is the audited model, or
        ``earlier`` is no audit by this protocol.
    """
    model = fingerprint or choose_model(library).fingerprint
    steps = 3 + len(protocol.sections)
    if earlier is not None:
        check_earlier(earlier, protocol)
    if against == model:
        raise InputError("the model to compare with is the audited one", where="--against")

    def done(count: int) -> None:
        if progress:
            progress(count, steps)

    done(0)
    given = gather_queries(library, protocol, model)
    audited, merged = given.with_small_merged(protocol.least)
    other = gather_queries(library, protocol, against).renamed(merged) if against else None
    columns, missing = outcome_columns(
        protocol.outcomes, audited.by_image, audited.paired, audited.rows_of_pairs, seed
    )
    if not columns:
        raise LibraryError(
            f"no outcome of the protocol can be measured: {next(iter(missing.values()))}"
        )
    done(1)
    audit = _audit(given, columns, protocol, seed)  # it merges by itself, and crossings too
    done(2)
    sections = assess_sections(
        audited, protocol, library, model, columns, text_side, seed, step=lambda n: done(2 + n)
    )
    instrument = _instrument(given, columns, protocol, seed)
    passed = _gate(audit, protocol, missing)
    report = {
        "version": REPORT_VERSION,
        "title": protocol.title,
        "question": protocol.question,
        "stamp": _stamp(protocol, model, audited, day, seed),
        "protocol": protocol.model_dump(mode="json"),
        "gate": passed,
        "outcomes": audit.to_json(),
        "describe_outcomes": {
            name: {
                "title": OUTCOMES[name].title,
                "harm": OUTCOMES[name].harm,
                "higher_is_better": True,
                "unit": audit.settings["kinds"].get(name, OUTCOMES[name].unit),
            }
            for name in columns
        },
        "attributes": {
            name: {"title": TITLES.get(name, name.replace("_", " ").capitalize())}
            for name in protocol.attributes
        },
        "missing": _missing(given, merged, protocol, missing),
        **sections,
        "instrument": instrument,
        "comparison": None,
        "drift": None,
        "why": dict(_UNASKED),
    }
    report["mitigation"] = assess_plans(
        audited, protocol, library, model, columns, text_side, merged, seed
    )
    if other is not None and against:
        report["comparison"] = compare_models(
            audited, columns, model, other, against, protocol, seed
        )
    report = protect(report)
    if earlier is not None:  # of what both audits show, not of what they were made from
        report["drift"] = drift_section(earlier, report)
    done(steps)
    return report


def _question(
    audited: AuditedCases, columns: Mapping[str, NDArray[np.float64]], protocol: Protocol
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Table of queries, and what the audit and its measure of itself are asked alike."""
    strata = {
        f"stratum: {name}": stratum_values(audited.cases, name, protocol.age_bands)
        for name in protocol.strata
    }
    owners = {"patient_id": audited.by_image.owners.astype(str)}
    primary = [
        {"attribute": h.attribute, "outcome": h.outcome}
        | ({"group": h.group} if h.group is not None else {})
        for h in protocol.primary
        if h.outcome in columns
    ]
    asked: dict[str, Any] = {
        "outcomes": list(columns),
        "attributes": list(protocol.attributes),
        "strata": list(strata),
        "alpha": protocol.alpha,
        "intersections": [list(pair) for pair in protocol.intersections],
        "primary": primary,
        "minimum": protocol.least,
        "overlap": protocol.overlap,
        "reference": protocol.reference,
    }
    return {**owners, **audited.attributes, **strata, **columns}, asked


def _audit(
    audited: AuditedCases,
    columns: Mapping[str, NDArray[np.float64]],
    protocol: Protocol,
    seed: int,
) -> Audit:
    table, asked = _question(audited, columns, protocol)
    return audit_outcomes(
        table,
        **asked,
        margin=protocol.margin,
        ratio_margin=protocol.ratio_margin,
        repetitions=protocol.repetitions,
        permutations=protocol.permutations,
        seed=seed,
    )


def _instrument(
    audited: AuditedCases,
    columns: Mapping[str, NDArray[np.float64]],
    protocol: Protocol,
    seed: int,
) -> dict[str, Any] | None:
    """What the audit does on fair archives of this one's shape; None where not asked for."""
    if not protocol.instrument.cohorts:
        return None
    table, asked = _question(audited, columns, protocol)
    found = simulate_instrument(table, **asked, cohorts=protocol.instrument.cohorts, seed=seed)
    return found.to_json()


def _gate(audit: Audit, protocol: Protocol, missing: Mapping[str, str]) -> dict[str, Any]:
    """The audit's own answer, undecided at best where a primary outcome could not be measured."""
    lost = {h.outcome: missing[h.outcome] for h in protocol.primary if h.outcome in missing}
    return audit.gate().with_unmeasured(lost).to_json()


def _missing(
    given: AuditedCases,
    merged: Mapping[str, tuple[str, ...]],
    protocol: Protocol,
    unmeasured: Mapping[str, str],
) -> dict[str, Any]:
    """Who is unknown or absent, by the groups as they were before small ones were merged."""
    owners = given.by_image.owners
    n_all = len(np.unique(owners))
    unknown = []
    for name, groups in given.attributes.items():
        n = len(np.unique(owners[groups == UNKNOWN]))
        row: dict[str, Any] = {"attribute": name, "n_patients": n, "share": n / n_all}
        if UNKNOWN in merged.get(name, ()):  # beside the merged group it would tell the others
            row |= {"n_patients": None, "share": None}
        if 0 < n < protocol.least.reported:
            row["precision"] = "suppressed"
        unknown.append(row)
    absent = [
        f"No case of the group {group!r} of {TITLES.get(name, name).lower()} is in the archive."
        for name, groups in protocol.expected.items()
        for group in groups
        if name in given.attributes and group not in set(given.attributes[name].tolist())
    ]
    absent += [f"{name} was not measured: {why}." for name, why in sorted(unmeasured.items())]
    return {"unknown": unknown, "absent": absent}


def _stamp(
    protocol: Protocol, model: str, audited: AuditedCases, day: date | None, seed: int
) -> dict[str, Any]:
    held = hashlib.sha256("\n".join(sorted(audited.by_image.case_ids)).encode()).hexdigest()
    return {
        "protocol_sha256": protocol.digest,
        "protocol_name": protocol.name,
        "date": day.isoformat() if day else None,
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "seed": seed,
        "model": model,
        "library": held,
        "split": protocol.split,
        "n_cases": len(audited.cases),
        "n_patients": len(np.unique(audited.by_image.owners)),
        "code": _version("medembed"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
