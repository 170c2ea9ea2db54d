"""Tables with one drawing a row: of the outcomes, of each further section, and of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from evaluation.report import markup as html
from evaluation.report.axes import Axis
from evaluation.report.model import Interval, Report, Row
from evaluation.report.number_format import Kind
from evaluation.report.texts import VERDICTS, VerdictText
from evaluation.stats.verdict import Verdict

__all__ = [
    "LOUD", "MOST_ROWS", "ORDER", "Counts", "Line", "Table", "counted", "cut",
    "why", "withheld", "within_note",
]  # fmt: skip

MOST_ROWS = 100
"""Rows of a table on the page; established ones at four times as many."""
LOUD = frozenset({"exceeds", "differs", "worse", "other"})
"""Names of verdicts that a reader has to know of; ``other`` is one that is not known here."""
ORDER = [*VERDICTS, "other"]
"""Names of verdicts, those that weigh first."""

Counts = list[tuple[VerdictText, int]]
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table.

    ``level`` and ``value`` are the cells beside the drawing, ``subs`` is beneath the name. Drawn
    are ``spread``, hollow beneath it ``second``, and behind both ``band``. ``tag`` says that it was
    declared. Rows of one ``heading`` follow one another.
    """

    name: str
    level: Markup
    value: Markup
    spread: Interval
    verdict: VerdictText
    subs: Markup
    tag: str = ""
    second: Interval | None = None
    band: tuple[float, float] | None = None
    heading: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table and what is folded away of it.

    ``columns`` are the heads of name, level, drawing, value and verdict; ``reference`` is where
    there is no difference on the axis. ``counts`` are of every row that is not in sight,
    ``left_out`` are those that only the files hold. ``higher`` says whether higher is better, None
    where the axis has no better end.
    """

    title: str
    caption: str
    columns: list[str]
    axis: Axis
    reference: float | None = 0.0
    shown: Sequence[Line] = ()
    folded: Sequence[Line]
    counts: Counts
    left_out: int
    higher: bool | None = None
    harm: str = ""
    tag: str = ""


def counted(verdicts: Iterable[VerdictText]) -> Counts:
    """Count verdicts, those that weigh first."""
    found: dict[VerdictText, int] = {}
    for verdict in verdicts:
        found[verdict] = found.get(verdict, 0) + 1
    return sorted(found.items(), key=lambda pair: (ORDER.index(pair[0].name), pair[0].words))


def cut(rows: Sequence[_T], loud: Callable[[_T], bool]) -> list[_T]:
    """Keep as many rows as a page can hold; those that weigh are cut last."""
    weigh = [n for n, row in enumerate(rows) if loud(row)][: 4 * MOST_ROWS]
    others = [n for n, row in enumerate(rows) if not loud(row)]
    kept = weigh + others[: max(0, MOST_ROWS - len(weigh))]
    return [rows[n] for n in sorted(kept)]


def within_note(report: Report, row: Row, kind: Kind) -> Markup | str:
    """Explain ``within`` beside an interval that reaches beyond the margin."""
    if row.verdict != Verdict.WITHIN or report.alpha is None:
        return ""
    inner = html.span(row.interval("inner"), kind)
    if inner:
        level = html.number(1 - 2 * report.alpha, "share", name="derived")
        return html.say("within.inner", level=level, span=inner)
    low, high = row.gap_ci_low, row.gap_ci_high
    if report.margin is None or low is None or high is None or max(-low, high) < report.margin:
        return ""
    return html.say("within.explained")


def withheld(row: Row, *cells: Markup | str) -> Markup:
    """Join the parts of a cell; of a suppressed row they are withheld."""
    return (
        html.wrapped(html.say("withheld"), name="none")
        if row.is_suppressed
        else html.joined(cells, "")
    )


def why(row: Row, verdict: str) -> str:
    """Give the reason where there is no number."""
    return row.reason if verdict == Verdict.NOT_ASSESSABLE and not row.is_suppressed else ""
