"""What changed: by a mitigation, from one model to another, and since an earlier audit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from evaluation.report import markup as html
from evaluation.report.model import Change, Report, Row, Tried
from evaluation.report.names import Names
from evaluation.report.number_format import kind_of
from evaluation.report.section_tables import table_of
from evaluation.report.texts import TEXTS, TURNS

__all__ = ["attempts", "turned"]

MOST_LOSSES = 8


def attempts(report: Report, part: Change) -> list[dict[str, Any]]:
    """Lay out each mitigation, recommended ones first, or the comparison with another model.

    Returns
    -------
    list of dict
        ``name, recommended`` (None of another model), ``reasons``, each with the groups and
        outcomes that it names, ``losses``, which names the groups that are worse off, and
        ``table``.
    """
    names, made = Names(report), []
    unnamed = [Tried(name=name) for name in dict.fromkeys(row.name for row in part.rows)]
    for one in part.summary or unnamed:
        own = [row for row in part.rows if row.name == one.name]
        rows = sorted(own, key=lambda row: _weight(names, row))
        attempt = {
            "name": one.name or TEXTS["unnamed"],
            "recommended": one.recommended,
            "reasons": _reasons(names, one.reasons, rows),
            "losses": _losses(names, rows),
            "table": table_of(report, "changes", rows),
        }
        made.append(attempt)
    return sorted(made, key=lambda one: not one["recommended"])


def _loss(names: Names, row: Row) -> float:
    better = row.higher_is_better
    if better is None:
        better = names.describe(row.measured).higher_is_better
    return (-1 if better else 1) * (row.change or 0.0)


def _weight(names: Names, row: Row) -> tuple[bool, bool, bool, float]:
    """Whom it was meant for, everyone, who is worse off; the largest loss first."""
    meant = row.target or row.primary
    return not meant, row.attribute != "all", row.verdict != "worse", -_loss(names, row)


def _reasons(
    names: Names, given: Sequence[str], rows: Sequence[Row]
) -> list[tuple[str, list[str]]]:
    """Give each reason once, with the titles of the groups and outcomes that it names by column."""
    known = {
        f"{'all patients' if row.attribute == 'all' else f'{row.attribute} {row.group}'}, "
        f"{row.measured}": f"{names.of(row)}, {names.outcome(row.measured)}"
        for row in rows
    }
    found = re.compile("|".join(re.escape(raw) for raw in sorted(known, key=len, reverse=True)))
    gathered: dict[str, list[str]] = {}
    for reason in given:
        named = [known[match] for match in found.findall(reason)] if known else []
        words = (found.sub("", reason) if named else reason).strip(" ;:.")
        gathered.setdefault(words[:1].upper() + words[1:], []).extend(named)
    return list(gathered.items())


def _losses(names: Names, rows: Sequence[Row]) -> Markup:
    """Name every group that is worse off, with its largest loss: an average must not hide one."""
    own: dict[tuple[str, str | None], list[Row]] = {}
    for row in sorted(rows, key=lambda row: -_loss(names, row)):
        if _loss(names, row) > 0:
            own.setdefault((row.attribute, row.group), []).append(row)
    lost = []
    for largest, *others in own.values():
        kind = kind_of("gap", names.describe(largest.measured).unit)
        worse = any(row.verdict == "worse" for row in (largest, *others))
        words = {
            "group": names.of(largest),
            "change": html.gap(largest.change, kind),
            "outcome": names.outcome(largest.measured),
            "established": html.say("losses.established") if worse else "",
        }
        lost.append(html.say("losses.one_of", **words))
    if not lost:
        return html.say("losses.none")
    return html.say("losses", groups=html.listed(lost, MOST_LOSSES))


def turned(report: Report) -> tuple[dict[str, int], list[tuple[str, Row]]]:
    """Count how verdicts changed since an earlier audit, and list those that did.

    Returns
    -------
    counts : dict of str to int
        By the words of each change, those that matter most first; then the unchanged ones.
    rows : list of (words, row)
    """
    order = list(TURNS)
    rows = [row for row in report.drift.rows if row.turn != "same"]
    rows.sort(key=lambda row: order.index(row.turn) if row.turn in order else len(order))
    shown = [(TURNS.get(row.turn, TURNS["other"]), row) for row in rows]
    counts = Counter(words for words, _ in shown)
    return dict(counts) | {TEXTS["drift.unchanged"]: len(report.drift.rows) - len(rows)}, shown
