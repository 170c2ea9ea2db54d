"""What changed: by a mitigation, from one model to another, and since an earlier audit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.report.forest_svg import gap_axis
from evaluation.report.markup import (
    badge,
    gap,
    joined,
    listed,
    number,
    p_value,
    patients,
    say,
    span,
    sub,
    verdict_text,
    wrapped,
)
from evaluation.report.model import Change, Report
from evaluation.report.names import Names
from evaluation.report.number_format import finite, gap_kind, level_kind
from evaluation.report.records import RowPrecision, RowVerdict
from evaluation.report.rows import ChangeRow
from evaluation.report.tables import (
    Line,
    Table,
    columns,
    counted,
    cut,
    drawn,
    spread,
    withheld,
)
from evaluation.report.texts import TEXTS, TURNS

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Attempt", "Drifted", "attempts", "drifted"]

MOST_LOSSES = 8


@dataclass(frozen=True)
class Attempt:
    """One mitigation, or another model, and what it did to each group.

    Parameters
    ----------
    name : str
    recommended : bool or None
        None for another model.
    reasons : list of (str, list of str)
        For the recommendation or against it, each with the groups and outcomes that it names.
    losses : Markup
        The groups that are worse off than before, established or not, each with its largest loss.
    table : Table
    """

    name: str
    recommended: bool | None
    reasons: list[tuple[str, list[str]]]
    losses: Markup
    table: Table


def attempts(report: Report, part: Change) -> list[Attempt]:
    """Lay out each mitigation of a report, or its comparison with another model.

    Recommended ones come first.
    """
    if not part.summary:
        named = dict.fromkeys(row.name for row in part.rows)
        return [_attempt(report, name, None, (), _rows(part, name)) for name in named]
    made = [
        _attempt(report, one.name, one.recommended, one.reasons, _rows(part, one.name))
        for one in part.summary
    ]
    return sorted(made, key=lambda one: not one.recommended)


def _rows(part: Change, name: str) -> list[ChangeRow]:
    return [row for row in part.rows if row.name == name]


def _attempt(
    report: Report,
    name: str,
    recommended: bool | None,
    reasons: Sequence[str],
    given: Sequence[ChangeRow],
) -> Attempt:
    names = Names(report)
    if recommended is None and any(row.recommended is not None for row in given):
        recommended = all(row.recommended for row in given)
        reasons = [row.reason for row in given if row.reason]
    rows = sorted(given, key=lambda row: _weight(names, row))
    lines = [_line(report, names, row) for row in rows]
    kept = cut(lines, lambda line: line.established)
    points = all(names.unit(_measure(row)) == "proportion" for row in rows)
    axis = gap_axis([line.spread for line in kept], None, "points" if points else "signed")
    table = Table(
        title=name,
        caption=TEXTS["changes.caption"],
        columns=columns("changes"),
        axis=axis,
        shown=[],
        folded=drawn(kept, axis),
        counts=counted(line.verdict for line in lines),
        left_out=len(lines) - len(kept),
    )
    return Attempt(
        name or TEXTS["unnamed"],
        recommended,
        _reasons(names, reasons, rows),
        _losses(names, rows),
        table,
    )


def _measure(row: ChangeRow) -> str:
    return row.measure or row.outcome


def _loss(names: Names, row: ChangeRow) -> float:
    change = finite(row.change) or 0.0
    higher = row.higher_is_better
    better = names.higher_is_better(_measure(row)) if higher is None else higher
    return -change if better else change


def _weight(names: Names, row: ChangeRow) -> tuple[bool, bool, bool, float]:
    """Whom it was meant for, everyone, who is worse off; the largest loss first."""
    meant = row.target or row.primary
    return (
        not meant, row.attribute != "all", row.verdict != RowVerdict.WORSE, -_loss(names, row)
    )  # fmt: skip


def _line(report: Report, names: Names, row: ChangeRow) -> Line:
    unit = names.unit(_measure(row))
    kind, level = gap_kind(unit), level_kind(unit)
    gaps = ""
    if finite(row.gap_before) is not None and finite(row.gap_after) is not None:
        before, after = number(row.gap_before, kind), number(row.gap_after, kind)
        gaps = say("changes.gap", before=before, after=after)
    low = say("low_precision") if row.precision == RowPrecision.LOW else ""
    tag = TEXTS["changes.meant"] if row.target else TEXTS["groups.declared"] if row.primary else ""
    return Line(
        name=names.of(row),
        level=withheld(row, number(row.before, level), ", ", number(row.after, level)),
        value=withheld(
            row,
            wrapped(gap(row.change, kind), "strong"),
            sub(span(row.ci_low, row.ci_high, kind), p_value(row.p_adjusted)),
            sub(gaps),
        ),
        spread=spread(row, "change"),
        verdict=verdict_text(row.verdict),
        subs=joined(
            [
                sub(names.outcome(_measure(row)), patients(row, report.minimum.reported), low),
                sub(row.reason) if row.reason and (row.name or row.change is None) else "",
            ],
            "",
        ),
        tag=tag,
        band=None if report.margin is None else (-report.margin, report.margin),
    )


def _reasons(
    names: Names, given: Sequence[str], rows: Sequence[ChangeRow]
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


def _losses(names: Names, rows: Sequence[ChangeRow]) -> Markup:
    """Name every group that is worse off, with its largest loss: an average must not hide one."""
    own: dict[tuple[str, str | None], list[ChangeRow]] = {}
    for row in sorted(rows, key=lambda row: -_loss(names, row)):
        if _loss(names, row) > 0:
            own.setdefault((row.attribute, row.group), []).append(row)
    if not own:
        return say("losses.none")
    lost = [
        say(
            "losses.one_of",
            group=names.of(worst),
            change=gap(worst.change, gap_kind(names.unit(_measure(worst)))),
            outcome=names.outcome(_measure(worst)),
            established=say("losses.established")
            if any(row.verdict == RowVerdict.WORSE for row in (worst, *others))
            else "",
        )
        for worst, *others in own.values()
    ]
    return say("losses", groups=listed(lost, MOST_LOSSES))


@dataclass(frozen=True)
class Drifted:
    """Verdicts since an earlier audit.

    Parameters
    ----------
    turns : list of (str, int)
        How many verdicts changed in which way, and how many did not.
    rows : list of list of Markup
        Cells of those that changed.
    new : int
        Gaps that the earlier audit did not find.
    """

    turns: list[tuple[str, int]]
    rows: list[list[Markup]]
    new: int


def drifted(report: Report) -> Drifted:
    """Lay out the verdicts that changed; those that did not are only counted."""
    names, order = Names(report), list(TURNS)
    turned = [row for row in report.drift.rows if row.turn not in {"same", ""}]
    turned.sort(key=lambda row: order.index(row.turn) if row.turn in order else len(order))
    found: dict[str, int] = {}
    rows = []
    for row in turned:
        words = TURNS.get(row.turn, TURNS["other"])
        found[words] = found.get(words, 0) + 1
        kind = gap_kind(names.unit(row.outcome))
        rows.append(
            [
                joined([names.of(row), sub(names.outcome(row.outcome))], ""),
                joined([number(row.gap_before, kind), number(row.gap_after, kind)], ", "),
                badge(verdict_text(row.verdict_before)),
                badge(verdict_text(row.verdict_after)),
                joined([words], ""),
            ]
        )
    found[TEXTS["drift.unchanged"]] = len(report.drift.rows) - len(turned)
    return Drifted(list(found.items()), rows, found.get(TURNS["new"], 0))
