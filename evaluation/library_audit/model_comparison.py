"""What changed: against another model on the same queries, and since an earlier audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.change.comparison import compare_outcomes
from evaluation.change.drift import compare_audits
from evaluation.library_audit.cases import AuditedCases
from evaluation.library_audit.outcomes import Columns, MeasuredCases, outcome_columns, spelled_out
from evaluation.library_audit.sections import Section
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.library_audit.protocol import Protocol

__all__ = ["check_earlier", "compare_models", "drift_section"]

_STAMPED = ("date", "model", "library", "split", "protocol_sha256", "code")


def compare_models(measured: MeasuredCases, other: AuditedCases) -> Section:
    """Compare the audited model with another one, query by query.

    Both models search the same pool: cases that lack a vector of either neither ask nor answer.

    ``before`` is the other model, of the same split, and ``after`` the audited one; it is an
    InputError if no outcome was measured with both.
    """
    audited, protocol = measured.cases, measured.protocol
    kept = set(audited.by_image.case_ids) & set(other.by_image.case_ids)
    noted = _noted(audited) & _noted(other)
    one, two = (side.among(kept, noted) for side in (other, audited))
    old, lost = outcome_columns(protocol.outcomes, one)
    new, gone = measured.columns, dict[str, str]()
    if len(two.cases) < len(audited.cases) or noted != _noted(audited):
        new, gone = outcome_columns(protocol.outcomes, two)
    shared = [name for name in protocol.outcomes if name in old and name in new]
    if not shared:
        why = [*lost.values(), *gone.values(), "no outcome was measured with both models"]
        raise InputError(why[0])
    primary = [test for test in spelled_out(protocol.primary, one.attributes) if test[2] in shared]
    compared = compare_outcomes(
        _table(other, one, {name: old[name] for name in shared}),
        _table(audited, two, {name: new[name] for name in shared}),
        shared,
        protocol.all_attributes,
        query="case_id",
        primary=primary,
        **measured.options("margin", "alpha", "minimum", "repetitions", "seed"),
    ).to_json()
    if len(kept) < max(len(audited.cases), len(other.cases)):
        compared["notes"].append("Cases that lack a vector from either model are left out.")
    unshared = [name for name in protocol.outcomes if name not in shared]
    if unshared:
        compared["notes"].append(f"Not measured with both models: {', '.join(unshared)}.")
    return compared


def _noted(side: AuditedCases) -> set[str]:
    return set() if side.paired is None else set(side.paired.case_ids)


def _table(whole: AuditedCases, side: AuditedCases, columns: Columns) -> dict[str, Any]:
    """Outcomes of the cases that are compared among all of a run: who is left out is counted."""
    ids = whole.by_image.case_ids
    table: dict[str, Any] = {"case_id": list(ids), "patient_id": whole.patients()}
    table |= whole.attributes
    compared = np.isin(ids, side.by_image.case_ids)
    for name, values in columns.items():
        table[name] = np.full(len(ids), np.nan)
        table[name][compared] = values
    return table


def check_earlier(earlier: Mapping[str, Any], protocol: Protocol) -> None:
    """Refuse the JSON of what is no audit, or of one by another protocol, naming what differs."""
    stamp, outcomes = (earlier.get(key) for key in ("stamp", "outcomes"))
    if not isinstance(stamp, Mapping) or not isinstance(outcomes, Mapping):
        raise InputError("not an audit's JSON", where="--before", hint="give its audit.json")
    if stamp.get("protocol_sha256") == protocol.digest:
        return
    held, own = earlier.get("protocol"), protocol.model_dump(mode="json", exclude={"name"})
    known = held if isinstance(held, Mapping) else {}
    other = [name for name in sorted(own) if known.get(name, own[name]) != own[name]]
    raise InputError(
        "the earlier audit used a different protocol" + (f": {', '.join(other)}" if other else ""),
        where="--before",
        hint="use the earlier audit's protocol (--protocol, --by, --split)",
    )


def drift_section(earlier: Mapping[str, Any], report: Mapping[str, Any]) -> Section:
    """List the verdicts that turned since an earlier audit, and what that one was made of."""
    drift = compare_audits(earlier, report).to_json()
    then, now = earlier["stamp"], report["stamp"]
    if then.get("library") == now["library"]:
        drift["notes"].append("Both audits are of the same cases.")
    if then.get("model") != now["model"]:
        drift["notes"].append(
            "The audits are of two different models. If the library still has both models' "
            "vectors, --against compares them on the same patients, with a test."
        )
    return drift | {"earlier": {name: then.get(name) for name in _STAMPED}}
