"""What changed: by a mitigation, from one model to another, and since an earlier audit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.report.axes import Axis, Interval, gap_axis
from evaluation.report.markup import (
    gap,
    listed,
    number,
    p_value,
    patients,
    say,
    span,
    sub,
    wrapped,
)
from evaluation.report.model import Change, Report, Row
from evaluation.report.names import Names
from evaluation.report.number_format import gap_kind, level_kind
from evaluation.report.tables import Line, Table, folded, withheld
from evaluation.report.texts import TEXTS, TURNS, heads, verdict_text

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Attempt", "attempts", "turned"]

MOST_LOSSES = 8


@dataclass(frozen=True)
class Attempt:
    """One mitigation, or another model (``recommended`` None), and what it did to each group.

    ``reasons`` are for the recommendation or against it, each with the groups and outcomes that it
    names; ``losses`` names the groups that are worse off, each with its largest loss.
    """

    name: str
    recommended: bool | None
    reasons: list[tuple[str, list[str]]]
    losses: Markup
    table: Table


def attempts(report: Report, part: Change) -> list[Attempt]:
    """Lay out each mitigation, recommended ones first, or the comparison with another model."""
    if not part.summary:
        return [
            _attempt(report, name, None, [], part)
            for name in dict.fromkeys(row.name for row in part.rows)
        ]
    tried = sorted(part.summary, key=lambda one: not one.recommended)
    return [_attempt(report, one.name, one.recommended, one.reasons, part) for one in tried]


def _attempt(
    report: Report, name: str, recommended: bool | None, reasons: Sequence[str], part: Change
) -> Attempt:
    names = Names(report)
    own = [row for row in part.rows if row.name == name]
    rows = sorted(own, key=lambda row: _weight(names, row))
    points = all(_unit(names, row) == "proportion" for row in rows)

    def axis(kept: Sequence[Line]) -> Axis:
        return gap_axis([line.spread for line in kept], None, "points" if points else "signed")

    return Attempt(
        name or TEXTS["unnamed"],
        recommended,
        _reasons(names, reasons, rows),
        _losses(names, rows),
        folded(
            [_line(report, names, row) for row in rows],
            axis,
            title=name,
            caption=TEXTS["changes.caption"],
            columns=heads("changes"),
        ),
    )


def _measure(row: Row) -> str:
    """Name the outcome: mitigations call it a measure."""
    return row.measure or row.outcome


def _unit(names: Names, row: Row) -> str:
    return names.describe(_measure(row)).unit


def _loss(names: Names, row: Row) -> float:
    better = row.higher_is_better
    if better is None:
        better = names.describe(_measure(row)).higher_is_better
    return (-1 if better else 1) * (row.change or 0.0)


def _weight(names: Names, row: Row) -> tuple[bool, bool, bool, float]:
    """Whom it was meant for, everyone, who is worse off; the largest loss first."""
    meant = row.target or row.primary
    return not meant, row.attribute != "all", row.verdict != "worse", -_loss(names, row)


def _line(report: Report, names: Names, row: Row) -> Line:
    unit = _unit(names, row)
    kind, level = gap_kind(unit), level_kind(unit)
    gaps: Markup | str = ""
    if row.gap_before is not None and row.gap_after is not None:
        before, after = number(row.gap_before, kind), number(row.gap_after, kind)
        gaps = say("changes.gap", before=before, after=after)
    low = say("low_precision") if row.precision == "low" else ""
    sizes = sub(names.outcome(_measure(row)), patients(row, report.minimum.reported), low)
    return Line(
        name=names.of(row),
        level=withheld(row, number(row.before, level), ", ", number(row.after, level)),
        value=withheld(
            row,
            wrapped(gap(row.change, kind), "strong"),
            sub(span(row.ci_low, row.ci_high, kind), p_value(row.p_adjusted)),
            sub(gaps),
        ),
        spread=Interval(row.change, row.ci_low, row.ci_high),
        verdict=verdict_text(row.verdict),
        subs=sizes + sub(row.reason if row.name or row.change is None else ""),
        tag=TEXTS["changes.meant" if row.target else "groups.declared"]
        if row.target or row.primary
        else "",
        band=report.band,
    )


def _reasons(
    names: Names, given: Sequence[str], rows: Sequence[Row]
) -> list[tuple[str, list[str]]]:
    """Give each reason once, with the titles of the groups and outcomes that it names by column."""
    known = {
        f"{'all patients' if row.attribute == 'all' else f'{row.attribute} {row.group}'}, "
        f"{_measure(row)}": f"{names.of(row)}, {names.outcome(_measure(row))}"
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
    if not own:
        return say("losses.none")
    lost = [
        say(
            "losses.one_of",
            group=names.of(losses[0]),
            change=gap(losses[0].change, gap_kind(_unit(names, losses[0]))),
            outcome=names.outcome(_measure(losses[0])),
            established=say("losses.established")
            if any(row.verdict == "worse" for row in losses)
            else "",
        )
        for losses in own.values()
    ]
    return say("losses", groups=listed(lost, MOST_LOSSES))


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
