"""What changed: against another model on the same queries, and since an earlier audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.change.comparison import compare_outcomes
from evaluation.change.drift import compare_audits
from evaluation.library_audit.attributes import UNKNOWN
from evaluation.library_audit.cases import AuditedCases
from evaluation.library_audit.outcomes import outcome_columns
from medembed.errors import InputError

if TYPE_CHECKING:
    from evaluation.library_audit.protocol import Hypothesis, Protocol

__all__ = ["check_earlier", "compare_models", "drift_section", "spelled_out"]

_STAMPED = ("date", "model", "library", "split", "protocol_sha256", "code")


def spelled_out(
    asked: Iterable[Hypothesis], attributes: Mapping[str, NDArray[np.str_]]
) -> list[tuple[str, str, str]]:
    """Spell out hypotheses: attribute, group and outcome of each test.

    Parameters
    ----------
    asked : iterable of Hypothesis
    attributes : mapping of str to str array of shape (n_cases,)

    Returns
    -------
    list of (attribute, group, outcome)
        Of groups that are there; a hypothesis without a group stands for each but "unknown".
    """
    tests: dict[tuple[str, str, str], None] = {}
    for one in asked:
        parts = [attributes[name].tolist() for name in one.attribute.split("*")]
        there = {"*".join(cell) for cell in zip(*parts, strict=True)}
        groups = [g for g in sorted(there) if UNKNOWN not in g.split("*")]
        for group in groups if one.group is None else [one.group]:
            if group in there:
                tests[one.attribute, group, one.outcome] = None
    return list(tests)


def compare_models(
    audited: AuditedCases,
    columns: Mapping[str, NDArray[np.float64]],
    model: str,
    other: AuditedCases,
    other_model: str,
    protocol: Protocol,
    seed: int,
) -> dict[str, Any]:
    """Compare the audited model with another one, query by query.

    Parameters
    ----------
    audited : AuditedCases
        Of the audited model: ``after``.
    columns : mapping of str to float64 array of shape (n_cases,)
        Its outcomes.
    model : str
        Its fingerprint.
    other : AuditedCases
        The same split in the vectors of another model: ``before``.
    other_model : str
    protocol : Protocol
    seed : int

    Returns
    -------
    dict
        ``Comparison.to_json()`` and ``models``: the fingerprints ``before`` and ``after``. Empty
        ``rows`` and a note where nothing can be compared.

    Notes
    -----
    Both models search the same pool: cases that lack a vector of either neither ask nor answer.
    """
    kept = set(audited.by_image.case_ids) & set(other.by_image.case_ids)
    noted = _noted(audited) & _noted(other)
    one, two = (side.among(kept, noted) for side in (other, audited))
    found: list[dict[str, NDArray[np.float64]]] = []
    why: dict[str, str] = {}
    for side in (one, two):
        same = side is two and len(two.cases) == len(audited.cases) and noted == _noted(audited)
        if same:
            found.append(dict(columns))
            continue
        measured, missing = outcome_columns(
            protocol.outcomes, side.by_image, side.paired, side.rows_of_pairs, seed
        )
        why |= missing
        found.append(measured)
    shared = [name for name in protocol.outcomes if name in found[0] and name in found[1]]
    stamped = {"models": {"before": other_model, "after": model}}
    if not shared:
        reason = next(iter(why.values()), "no outcome was measured with both models")
        return {"rows": [], "notes": [f"Not assessable: {reason}."], **stamped}
    before, after = (
        _table(whole, side, {name: values[name] for name in shared})
        for whole, side, values in ((other, one, found[0]), (audited, two, found[1]))
    )
    primary = [test for test in spelled_out(protocol.primary, one.attributes) if test[2] in shared]
    compared = compare_outcomes(
        before,
        after,
        shared,
        protocol.all_attributes,
        query="case_id",
        primary=primary,
        margin=protocol.margin,
        alpha=protocol.alpha,
        minimum=protocol.least,
        repetitions=protocol.repetitions,
        seed=seed,
    ).to_json()
    lost = [name for name in protocol.outcomes if name not in shared]
    notes = compared["notes"]
    if len(kept) < max(len(audited.cases), len(other.cases)):
        notes.append("Cases that lack a vector from either model are left out.")
    if lost:
        notes.append(f"Not measured with both models: {', '.join(lost)}.")
    return compared | stamped


def _noted(side: AuditedCases) -> set[str]:
    return set() if side.paired is None else set(side.paired.case_ids)


def _table(
    whole: AuditedCases, side: AuditedCases, columns: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Outcomes of the cases that are compared among all of a run: who is left out is counted."""
    place = {name: row for row, name in enumerate(side.by_image.case_ids)}
    rows = np.array([place.get(name, -1) for name in whole.by_image.case_ids])
    return {
        "case_id": list(whole.by_image.case_ids),
        "patient_id": whole.patients(),
        **whole.attributes,
        **{
            name: np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)
            for name, values in columns.items()
        },
    }


def check_earlier(earlier: Mapping[str, Any], protocol: Protocol) -> None:
    """Refuse what is no audit, or one that asked by other rules.

    Parameters
    ----------
    earlier : mapping
        The JSON of an earlier report.
    protocol : Protocol
        Of the audit that it is to be held against.

    Raises
    ------
    InputError
        One line that names what differs.
    """
    stamp, outcomes = (earlier.get(key) for key in ("stamp", "outcomes"))
    if not isinstance(stamp, Mapping) or not isinstance(outcomes, Mapping):
        raise InputError("not an audit's JSON", where="--before", hint="give its audit.json")
    if stamp.get("protocol_sha256") == protocol.digest:
        return
    held, own = earlier.get("protocol"), protocol.model_dump(mode="json")
    known = held if isinstance(held, Mapping) else {}
    other = [
        name for name in sorted(own) if name != "name" and known.get(name, own[name]) != own[name]
    ]
    raise InputError(
        "the earlier audit used a different protocol" + (f": {', '.join(other)}" if other else ""),
        where="--before",
        hint="use the earlier audit's protocol (--protocol, --by, --split)",
    )


def drift_section(earlier: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """List the verdicts that turned since an earlier audit.

    Parameters
    ----------
    earlier, report : mapping
        The JSON of two reports.

    Returns
    -------
    dict
        ``VerdictDrift.to_json()``, and ``earlier``: what the older report was made of.

    Raises
    ------
    InputError
        Where one is no audit, or they have no test in common.
    """
    drift = compare_audits(earlier, report).to_json()
    then, now = earlier["stamp"], report["stamp"]
    notes = drift["notes"]
    if then.get("library") == now["library"]:
        notes.append("Both audits are of the same cases.")
    if then.get("model") != now["model"]:
        notes.append(
            "The audits are of two different models. If the library still has both models' "
            "vectors, --against compares them on the same patients, with a test."
        )
    return drift | {"earlier": {name: then.get(name) for name in _STAMPED}}
