"""What changed: by a mitigation, from one model to another, and since an earlier audit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.report.collapse import Counts, Fold, counted, fold_rows
from evaluation.report.forest_svg import Axis, gap_axis, row_svg
from evaluation.report.number_format import finite
from evaluation.report.verdicts import verdict_of
from evaluation.report.view_model import Names, Row, Section, interval, names, section

__all__ = ["Attempt", "Change", "changes"]

MOST_ROWS = 40

_TURNS = {
    "new": "New gap",
    "settled": "ResolvedPatient",
    "no_longer_shown": "No longer shown",
    "no_longer_assessable": "No longer assessable",
    "now_assessable": "Now assessable",
    "other": "Other",
}
"""In the order in which they matter; each with its name on the page."""


Reason = tuple[str, list[str]]


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried, and what it did to each group.

    Parameters
    ----------
    name : str
    recommended : bool or None
        None where nothing is recommended or not, as between two models.
    reasons : list of (str, list of str)
        For the recommendation or against it, each with the groups and outcomes of which it holds.
    losses : list of dict
        Of every group that came off worse than before, established or not, its largest loss, and
        ``shown_more``: in how many other outcomes it did; the largest first.
    fold : Fold
    """

    name: str
    recommended: bool | None
    reasons: list[Reason]
    losses: list[Row]
    fold: Fold


@dataclass(frozen=True)
class Change:
    """A section of changes.

    Parameters
    ----------
    body : Section
    axis : Axis or None
    attempts : list of Attempt
        Those that are recommended first.
    counts : list of (Verdict, int)
        Rows by verdict.
    turns : dict of str to int
        How many verdicts turned in which way since an earlier audit.
    fold : Fold or None
        Of the verdicts that turned.
    """

    body: Section
    axis: Axis | None = None
    attempts: list[Attempt] = field(default_factory=list)
    counts: Counts = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)
    fold: Fold | None = None

    @property
    def recommended(self) -> list[str]:
        """What is recommended of all that was tried."""
        return [one.name for one in self.attempts if one.recommended]

    @property
    def worse(self) -> int:
        """Rows in which a group is established to come off worse."""
        return sum(count for verdict, count in self.counts if verdict.name == "worse")


def changes(report: Mapping[str, Any], margin: float | None) -> dict[str, Change]:
    """Read the sections ``mitigation``, ``comparison`` and ``drift``.

    Parameters
    ----------
    report : mapping
    margin : float or None

    Returns
    -------
    dict of Change
        By the report's key.
    """
    naming = names(report)
    compared = section(report, "comparison", "table")
    compared = compared if compared.done else section(report, "comparison")
    return {
        "mitigation": _mitigation(report, naming, margin),
        "comparison": _change(compared, naming, margin, None),
        "drift": _drift(section(report, "drift"), naming),
    }


def _mitigation(report: Mapping[str, Any], naming: Names, margin: float | None) -> Change:
    part = report.get("mitigation")
    given = part.get("summary") if isinstance(part, Mapping) else None
    summary = {str(one.get("name")): one for one in given or [] if isinstance(one, Mapping)}
    return _change(section(report, "mitigation"), naming, margin, summary)


def _change(
    body: Section,
    naming: Names,
    margin: float | None,
    summary: Mapping[str, Mapping[str, Any]] | None,
) -> Change:
    """Draw changes on one axis, attempt by attempt; without a summary they are all of one."""
    if not body.done:
        return Change(body)
    rows = [_changed(row, naming) for row in body.rows]
    rows.sort(key=_weight)
    proportions = all(row["shown_unit"] == "proportion" for row in rows)
    spreads = [interval(row, "change", "ci_low", "ci_high") for row in rows]
    axis = gap_axis(spreads, None, "points" if proportions else "signed")
    for row, spread in zip(rows, spreads, strict=True):
        row["shown_svg"] = row_svg(
            axis,
            spread,
            band=None if margin is None else (-margin, margin),
            tone=row["shown_verdict"].name if row.get("verdict") else "",
        )
    if summary is None:
        attempts = [_attempt("", None, [], rows, margin)]
    else:
        tried = dict.fromkeys([*summary, *(str(row.get("name") or "Unnamed") for row in rows)])
        attempts = [_tried(name, summary.get(name), rows, margin) for name in tried]
        attempts.sort(key=lambda one: not one.recommended)
    return Change(body, axis, attempts, counted(rows))


def _changed(row: Row, naming: Names) -> Row:
    measure = row.get("measure") or row.get("outcome")
    described = naming.describe(measure)
    higher = row.get("higher_is_better", described.get("higher_is_better", True)) is not False
    change = finite(row.get("change"))
    return {
        **row,
        "shown_group": naming.group(row.get("attribute"), row.get("group")),
        "shown_measure": naming.outcome(measure),
        "shown_raw": f"all patients, {measure}"
        if row.get("attribute") == "all"
        else f"{row.get('attribute')} {row.get('group')}, {measure}",
        "shown_unit": str(described.get("unit") or "score"),
        "shown_verdict": verdict_of(row.get("verdict")),
        "shown_suppressed": row.get("precision") == "suppressed",
        "shown_meant": bool(row.get("target") or row.get("primary")),
        "shown_loss": 0.0 if change is None else (-change if higher else change),
    }


def _weight(row: Row) -> tuple[bool, bool, bool, float]:
    """Whom it was meant for, everyone, who is worse off; the largest loss first."""
    everyone = row.get("attribute") == "all"
    worse = row["shown_verdict"].name == "worse"
    return not row["shown_meant"], not everyone, not worse, -row["shown_loss"]


def _tried(
    name: str, given: Mapping[str, Any] | None, rows: Sequence[Row], margin: float | None
) -> Attempt:
    own = [row for row in rows if str(row.get("name") or "Unnamed") == name]
    if given is None:
        recommended = bool(own) and all(row.get("recommended") is True for row in own)
        said = [str(row["reason"]) for row in own if row.get("reason")]
        return _attempt(name, recommended, _gathered(said, own), own, margin)
    said = [str(reason) for reason in given.get("reasons") or []]
    return _attempt(name, given.get("recommended") is True, _gathered(said, own), own, margin)


def _gathered(said: Sequence[str], rows: Sequence[Row]) -> list[Reason]:
    """Say each reason once, with the titles of the groups and outcomes that it names by column."""
    known = {row["shown_raw"]: f"{row['shown_group']}, {row['shown_measure']}" for row in rows}
    found = re.compile("|".join(re.escape(raw) for raw in sorted(known, key=len, reverse=True)))
    gathered: dict[str, list[str]] = {}
    for reason in said:
        named = [known[match] for match in found.findall(reason)] if known else []
        words = found.sub("", reason) if named else reason
        words = words.strip(" ;:.")
        gathered.setdefault(words[:1].upper() + words[1:], []).extend(named)
    return list(gathered.items())


def _attempt(
    name: str,
    recommended: bool | None,
    reasons: list[Reason],
    rows: Sequence[Row],
    margin: float | None,
) -> Attempt:
    def in_sight(row: Row) -> bool:
        weighs = row["shown_meant"] or row["shown_verdict"].name == "worse"
        return bool(weighs) or (recommended is None and _moved(row, margin))

    whole = sum(in_sight(row) or row["shown_loss"] > 0 for row in rows)  # no loss is left out
    fold = fold_rows(rows, max(MOST_ROWS, whole), in_sight)
    return Attempt(name, recommended, reasons, _by_group(rows), fold)


def _moved(row: Row, margin: float | None) -> bool:
    """Whether a change is established for the better, or estimated as a loss beyond the margin."""
    heavy = margin is not None and row["shown_loss"] > margin
    return bool(heavy) or row["shown_verdict"].name == "improved"


def _by_group(rows: Sequence[Row]) -> list[Row]:
    """Find the largest loss of each group, and whether any of its losses is established."""
    own: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: -row["shown_loss"]):
        if row["shown_loss"] > 0:
            own.setdefault((str(row.get("attribute")), str(row.get("group"))), []).append(row)
    return [
        {
            **lost[0],
            "shown_more": len(lost) - 1,
            "shown_established": sum(row["shown_verdict"].name == "worse" for row in lost),
        }
        for lost in own.values()
    ]


def _drift(body: Section, naming: Names) -> Change:
    """Verdicts that turned since an earlier audit; those that did not are only counted."""
    if not body.done:
        return Change(body)
    order = {name: place for place, name in enumerate(_TURNS)}
    turned = [row for row in body.rows if row.get("turn") not in {None, "same"}]
    turned.sort(key=lambda row: order.get(str(row.get("turn")), len(order)))
    turns: dict[str, int] = {}
    for row in turned:
        words = _TURNS.get(str(row.get("turn")), _TURNS["other"])
        turns[words] = turns.get(words, 0) + 1
        row["shown_turn"] = words
        row["shown_group"] = naming.group(row.get("attribute"), row.get("group"))
        row["shown_measure"] = naming.outcome(row.get("outcome"))
        row["shown_unit"] = str(naming.describe(row.get("outcome")).get("unit") or "score")
        row["shown_before"] = verdict_of(row.get("verdict_before"))
        row["shown_verdict"] = verdict_of(row.get("verdict_after"))
    turns["Unchanged"] = len(body.rows) - len(turned)
    return Change(body, turns=turns, fold=fold_rows(turned, MOST_ROWS))
