"""The audit of a library: from its cases and vectors to the JSON of a report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.audit import audit_outcomes, simulate_instrument
from evaluation.library_audit.attributes import TITLES, UNKNOWN, stratum_values
from evaluation.library_audit.cases import AuditedCases, TextSide, gather_queries
from evaluation.library_audit.mitigate import assess_plans
from evaluation.library_audit.model_comparison import check_earlier, compare_models, drift_section
from evaluation.library_audit.outcomes import OUTCOMES, Columns, MeasuredCases, outcome_columns
from evaluation.library_audit.protocol import Protocol
from evaluation.library_audit.sections import assess_sections, assessed
from evaluation.retrieval.coverage import Coverage, require_complete
from evaluation.stats.suppression import protect
from evaluation.stats.threads import one_thread
from medembed.errors import InputError, LibraryError
from medembed.model.resolve import choose_model

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["audit_library"]

REPORT_VERSION = 1
_NOT_ASKED = {
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
    allow_partial: bool = False,
    day: date | None = None,
    seed: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Audit how the search of a library treats each group of patients.

    Parameters
    ----------
    library, protocol, seed
    fingerprint : str, optional
        Model; by default that of the library's active one.
    text_side : TextSide, optional
        Without it, sections that search by words say that they could not be assessed.
    against : str, optional
        Fingerprint of another model of the library, to compare with on the same queries.
    earlier : mapping, optional
        The JSON of an earlier report, whose verdicts are set beside these.
    allow_partial : bool
        Audit the cases that have vectors if others of the split lack them; the report says so.
    day : date, optional
        Stamped into the report; without it a rerun is the same to the bit.
    progress : callable of (done, total), optional

    Returns
    -------
    dict
        Plain values, for :func:`evaluation.report.write_report`.

    Raises
    ------
    LibraryError, FingerprintError
        If there is nothing to audit, or (without ``allow_partial``) only some cases of the split
        have vectors.
    InputError
        If an attribute or an outcome cannot be used, ``against`` is the audited model, or
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
    coverage = require_complete(library, model, protocol.split, allow_partial=allow_partial)
    if against:
        require_complete(library, against, protocol.split, allow_partial=allow_partial)
    if protocol.mitigation or "zero_shot" in protocol.sections:  # fitted on these cases
        require_complete(library, model, "val", allow_partial=allow_partial)
    audited, merged = given.with_small_merged(protocol.least)
    other = gather_queries(library, protocol, against).renamed(merged) if against else None
    columns, missing = outcome_columns(protocol.outcomes, audited)
    if not columns:
        why = next(iter(missing.values()))
        raise LibraryError(f"no outcome of the protocol can be measured: {why}")
    measured = MeasuredCases(audited, columns, protocol, library, model, text_side, merged, seed)
    done(1)
    table, asked = _question(given, columns, protocol)  # the audit merges by itself, crossings too
    audit = audit_outcomes(
        table,
        **asked,
        **measured.options("margin", "ratio_margin", "repetitions", "permutations", "seed"),
    )
    done(2)
    sections = assess_sections(measured, step=lambda n: done(2 + n))
    instrument = comparison = None
    if cohorts := protocol.instrument.cohorts:
        instrument = simulate_instrument(table, **asked, cohorts=cohorts, seed=seed).to_json()
    if other is not None:
        models = {"models": {"before": against, "after": model}}
        comparison = assessed(compare_models, measured, other) | models
    lost = {h.outcome: missing[h.outcome] for h in protocol.primary if h.outcome in missing}
    report = {
        "version": REPORT_VERSION,
        "title": protocol.title,
        "question": protocol.question,
        "stamp": _stamp(measured, day),
        "protocol": protocol.model_dump(mode="json"),
        "gate": audit.gate().with_unmeasured(lost).to_json(),
        "outcomes": audit.to_json(),
        "describe_outcomes": {
            name: vars(OUTCOMES[name])
            | {"higher_is_better": True, "unit": audit.settings["kinds"][name]}
            for name in columns
        },
        "attributes": {
            name: {"title": TITLES.get(name, name.replace("_", " ").capitalize())}
            for name in protocol.attributes
        },
        "missing": _missing(given, merged, protocol, missing, coverage),
        **sections,
        "instrument": instrument,
        "comparison": comparison,
        "drift": None,
        "why": _NOT_ASKED,
        "mitigation": assess_plans(measured),
    }
    report = protect(report)
    if earlier is not None:  # of what both audits show, not of what they were made from
        report["drift"] = drift_section(earlier, report)
    done(steps)
    return report


def _question(
    audited: AuditedCases, columns: Columns, protocol: Protocol
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Table of queries, and what the audit and its measure of itself are asked alike."""
    strata = {
        f"stratum: {name}": stratum_values(audited.cases, name, protocol.age_bands)
        for name in protocol.strata
    }
    owners = {"patient_id": audited.by_image.owners.astype(str)}
    return {**owners, **audited.attributes, **strata, **columns}, {
        "outcomes": list(columns),
        "attributes": protocol.attributes,
        "strata": list(strata),
        "alpha": protocol.alpha,
        "intersections": protocol.intersections,
        "primary": [
            one.model_dump(exclude_none=True) for one in protocol.primary if one.outcome in columns
        ],
        "minimum": protocol.least,
        "overlap": protocol.overlap,
        "reference": protocol.reference,
    }


def _missing(
    given: AuditedCases,
    merged: Mapping[str, tuple[str, ...]],
    protocol: Protocol,
    unmeasured: Mapping[str, str],
    coverage: Coverage,
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
        if name in given.attributes and group not in given.attributes[name]
    ]
    absent += [f"{name} was not measured: {why}." for name, why in sorted(unmeasured.items())]
    if coverage.lacks:
        absent.append(f"Only {coverage.lacks} of the model; the others are not audited.")
    return {"unknown": unknown, "absent": absent}


def _stamp(measured: MeasuredCases, day: date | None) -> dict[str, Any]:
    cases, protocol = measured.cases.by_image, measured.protocol
    return {
        "protocol_sha256": protocol.digest,
        "protocol_name": protocol.name,
        "date": day.isoformat() if day else None,
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "seed": measured.seed,
        "model": measured.model,
        "library": hashlib.sha256("\n".join(sorted(cases.case_ids)).encode()).hexdigest(),
        "split": protocol.split,
        "n_cases": len(cases),
        "n_patients": len(np.unique(cases.owners)),
        "code": _version("medembed"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
