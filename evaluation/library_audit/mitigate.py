"""Declared ways to mitigate, fitted on other patients and assessed on those who are audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.library_audit.cases import AuditedCases, TextSide, gather_queries
from evaluation.library_audit.group_thresholds import by_thresholds
from evaluation.library_audit.mitigation_runs import Attempt, Material, by_lists, by_vectors
from evaluation.mitigation import MitigationEffect, assess_mitigation, mitigation_section
from medembed.errors import InputError, LibraryError

if TYPE_CHECKING:
    from evaluation.library_audit.protocol import MitigationPlan, Protocol
    from medembed.library import CaseLibrary

__all__ = ["assess_plans"]

_TITLES = {
    "rerank": "Reranking: each {} in proportion in every top k (DetConstSort)",
    "exposure": "Reranking: exposure of each {} in proportion to relevance",
    "erase": "Erasing {} from the vectors (LEACE, refitted on unit vectors)",
    "correlation": "Erasing {} from the vectors (CorrelationRemover, refitted on unit vectors)",
    "thresholds": "Separate finding thresholds by {}",
}


def assess_plans(
    audited: AuditedCases,
    protocol: Protocol,
    library: CaseLibrary,
    model: str,
    columns: Mapping[str, NDArray[np.float64]],
    text_side: TextSide | None,
    merged: Mapping[str, tuple[str, ...]],
    seed: int,
) -> dict[str, Any] | None:
    """Assess every way that the protocol declares, before and after, group by group.

    Parameters
    ----------
    audited : AuditedCases
        Who is asked; nothing is fitted on them.
    protocol : Protocol
        Each of its n ways is held to alpha / n.
    library : CaseLibrary
    model : str
    columns : mapping of str to float64 array of shape (n_cases,)
        Outcomes as they are.
    text_side : TextSide or None
        Needed by thresholds.
    merged : mapping of attribute to groups
        Small ones among the audited that were merged, and are so among those a way is fitted on.
    seed : int

    Returns
    -------
    dict or None
        ``rows, summary, notes`` as the report takes them; None where nothing is declared. A way
        that cannot be done here stands in the summary with its reason and has no row.
    """
    if not protocol.mitigation:
        return None
    fits: dict[str, AuditedCases] = {}
    effects: list[MitigationEffect] = []
    undone: list[dict[str, Any]] = []
    notes: list[str] = []
    for plan, name in zip(protocol.mitigation, _names(protocol), strict=True):
        try:
            material = Material(
                plan,
                protocol,
                audited,
                _fit(plan, protocol, library, model, merged, fits),
                columns,
                seed,
            )
            if plan.way == "thresholds":
                attempt = by_thresholds(material, text_side)
            elif plan.way in ("erase", "correlation"):
                attempt = by_vectors(material)
            else:
                attempt = by_lists(material)
            effects.append(_assess(name, attempt, audited, protocol, seed))
        except (InputError, LibraryError) as error:
            reason = f"Not assessable: {error}."
            undone.append({"name": name, "recommended": False, "reasons": [reason]})
            notes.append(f"{name}: {reason[0].lower()}{reason[1:]}")
            continue
        notes += [f"{name}: {note}" for note in attempt.notes]
    section = mitigation_section(effects)
    section["summary"] += undone
    section["notes"] = [*notes, *section["notes"]]
    if not section["rows"]:
        section["why"] = "None of the declared mitigations could be assessed."
    return section


def _names(protocol: Protocol) -> list[str]:
    names: list[str] = []
    for plan in protocol.mitigation:
        word = plan.attribute.replace("_", " ")
        title = _TITLES[plan.way].format(word)
        title = title[0].upper() + title[1:]
        alike = sum(name == title or name.startswith(f"{title} (") for name in names)
        names.append(f"{title} ({alike + 1})" if alike else title)
    return names


def _fit(
    plan: MitigationPlan,
    protocol: Protocol,
    library: CaseLibrary,
    model: str,
    merged: Mapping[str, tuple[str, ...]],
    fits: dict[str, AuditedCases],
) -> AuditedCases | None:
    """Give the cases that a way is fitted on; None where nothing is fitted."""
    if plan.way == "rerank":
        return None
    if protocol.split in (plan.fit_split, "all"):
        raise InputError("it would be fitted on the audited patients")
    if plan.fit_split not in fits:
        fits[plan.fit_split] = gather_queries(library, protocol, model, plan.fit_split).renamed(
            merged
        )
    return fits[plan.fit_split]


def _assess(
    name: str, attempt: Attempt, audited: AuditedCases, protocol: Protocol, seed: int
) -> MitigationEffect:
    outcomes = [one for one in attempt.before if one in attempt.after]
    targets = [test for test in attempt.targets if test[2] in outcomes]
    if not targets:
        raise InputError("no patient whom it is meant to help, or no outcome of theirs, is here")
    same = {"patient_id": audited.patients(), **audited.attributes}
    return assess_mitigation(
        name,
        {**same, **attempt.before},
        {**same, **attempt.after},
        outcomes,
        protocol.all_attributes,
        targets=targets,
        fitted_on=attempt.fitted_on,
        higher_is_better=attempt.higher_is_better,
        margin=protocol.margin,
        alpha=protocol.alpha,
        tried=len(protocol.mitigation),
        minimum=protocol.least,
        repetitions=protocol.repetitions,
        seed=seed,
    )
