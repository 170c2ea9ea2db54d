"""The one door through which a report leaves: what is suppressed goes no further.

The audit suppresses small cells and their partners, over all its sections together, before it hands
its JSON out (``evaluation.library_audit.withholding``). This is the second lock: whatever a section
still carries of a group below the declared minimum is blanked before anything is rendered or
written. It can't tell which *other* cells would give it away: it has no patients at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from evaluation.report.number_format import finite
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError

__all__ = ["VERSION", "blanked", "checked", "minimum_of"]

VERSION = 1
"""Of the report's JSON that is understood here."""

_KEPT = frozenset({"attribute", "group", "outcome", "comparison", "family", "primary", "verdict"})
_KEPT_WORDS = frozenset({
    "reason", "precision", "measure", "finding", "space", "probe", "swap", "name", "target",
    "recommended", "higher_is_better", "turn", "verdict_before", "verdict_after",
})  # fmt: skip
_ROOMS = {
    "outcomes": ("table", "cells"),
    "missing": ("unknown",),
    "exposure": ("rows",),
    "leakage": ("rows",),
    "counterfactual": ("rows",),
    "modality_gap": ("rows",),
    "label_quality": ("rows",),
    "zero_shot": ("rows",),
    "mitigation": ("rows",),
    "comparison": ("rows", "table"),
    "drift": ("rows",),
}


def minimum_of(report: Mapping[str, Any]) -> Minimum:
    """Read how many patients a group needs, from the protocol, or else from the audit's settings.

    Parameters
    ----------
    report : mapping

    Returns
    -------
    Minimum
        The usual one where the report declares none.

    Examples
    --------
    >>> minimum_of({"protocol": {"minimum": {"reported": 5}}}).reported
    5
    """
    usual = Minimum()
    outcomes = report.get("outcomes")
    settings = outcomes.get("settings") if isinstance(outcomes, Mapping) else None
    for place in (report.get("protocol"), settings):
        declared = place.get("minimum") if isinstance(place, Mapping) else None
        if isinstance(declared, Mapping):
            reported = finite(declared.get("reported"))
            precise = finite(declared.get("precise"))
            return Minimum(
                usual.reported if reported is None else int(reported),
                usual.precise if precise is None else int(precise),
            )
    return usual


def checked(report: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a report with every number of a suppressed cell blanked.

    A row is suppressed where it says so (``precision``) or where its ``n_patients`` lies between 1
    and the declared minimum; a count of events there is blanked alone.

    Parameters
    ----------
    report : mapping
        Of version 1; see docs/reference/audit-report.md.

    Returns
    -------
    dict
        A copy; the given report is left as it is.

    Raises
    ------
    InputError
        Where it is no report, or one of another version.

    Examples
    --------
    >>> small = {"group": "x", "n_patients": 4, "auc": 0.9}
    >>> checked({"leakage": {"rows": [small]}})["leakage"]["rows"][0]["auc"] is None
    True
    """
    if not isinstance(report, Mapping):
        raise InputError("a report has to be a JSON object", where="report")
    if report.get("version", VERSION) != VERSION:
        raise InputError(
            "a report of another version",
            where="report",
            hint=f"this program reads version {VERSION}: run the audit again",
        )
    copy: dict[str, Any] = deepcopy(dict(report))
    minimum = minimum_of(copy)
    for room, tables in _ROOMS.items():
        section = copy.get(room)
        if not isinstance(section, dict):
            continue
        for table in tables:
            rows = section.get(table)
            if isinstance(rows, list):
                section[table] = [
                    _without_small(row, minimum.reported)
                    for row in rows
                    if isinstance(row, Mapping)
                ]
    _blank_detectable(copy)
    return copy


def blanked(row: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a row with its names and words alone, as one of a suppressed group.

    Examples
    --------
    >>> blanked({"group": "x", "n_patients": 4})
    {'group': 'x', 'n_patients': None, 'precision': 'suppressed'}
    """
    kept = _KEPT | _KEPT_WORDS
    blank = {key: value if key in kept else None for key, value in row.items()}
    return blank | {"precision": "suppressed"}


def _without_small(row: Mapping[str, Any], reported: int) -> dict[str, Any]:
    patients = finite(row.get("n_patients"))
    small = patients is not None and 0 < patients < reported
    if small or row.get("precision") == "suppressed":
        return blanked(row)
    events = finite(row.get("n_events"))
    if events is not None and 0 < events < reported:
        return {**row, "n_events": None}
    return dict(row)


def _blank_detectable(report: dict[str, Any]) -> None:
    """Leave no smallest gap of a suppressed group: it would tell how many there are."""
    outcomes, instrument = report.get("outcomes"), report.get("instrument")
    if not isinstance(outcomes, dict) or not isinstance(instrument, dict):
        return
    hidden = {
        (row.get("attribute"), row.get("group"))
        for table in ("table", "cells")
        for row in outcomes.get(table) or []
        if row.get("precision") == "suppressed"
    }
    rows = instrument.get("detectable")
    if isinstance(rows, list):
        instrument["detectable"] = [
            {**row, "smallest_gap": None, "precision": "suppressed"}
            if (row.get("attribute"), row.get("group")) in hidden
            else dict(row)
            for row in rows
            if isinstance(row, Mapping)
        ]
