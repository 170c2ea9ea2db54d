"""Tables with one drawing a row: of the outcomes, of each further section, and of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from evaluation.report.forest_svg import Axis, Interval, row_svg
from evaluation.report.markup import (
    joined,
    number,
    say,
    span,
    wrapped,
)
from evaluation.report.model import Report
from evaluation.report.number_format import Kind, finite
from evaluation.report.records import RowVerdict
from evaluation.report.rows import OutcomeRow, Row, SectionRow
from evaluation.report.texts import TEXTS, VERDICTS, VerdictText

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "LOUD", "MOST_ROWS", "ORDER", "Counts", "Line", "Table", "columns", "counted", "cut", "drawn",
    "margin_band", "some", "spread", "why", "withheld", "within_note",
]  # fmt: skip

MOST_ROWS = 100
"""Rows of a table on the page; established ones at four times as many."""
LOUD = frozenset({"exceeds", "differs", "worse", "other"})
"""Names of verdicts that a reader has to know of; ``other`` is one that is not known here."""
ORDER = [*VERDICTS, "other"]
"""Names of verdicts, those that weigh first."""

Counts = list[tuple[VerdictText, int]]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Parameters
    ----------
    name : str
    level, value : Markup or str
        Cells beside the drawing.
    spread : Interval
        What is drawn.
    verdict : VerdictText
    subs : Markup or str
        Beneath the name.
    tag : str
        That it was declared, or what a mitigation aims at.
    second : Interval, optional
        Drawn beneath, hollow.
    band : (low, high), optional
        Drawn behind.
    heading : str
        Rows of one heading follow one another.
    svg : str
        The drawing.
    """

    name: str
    level: Markup | str
    value: Markup | str
    spread: Interval
    verdict: VerdictText
    subs: Markup | str = ""
    tag: str = ""
    second: Interval | None = None
    band: tuple[float, float] | None = None
    heading: str = ""
    svg: str = ""

    @property
    def established(self) -> bool:
        """Whether something was established that a reader has to know."""
        return self.verdict.name in LOUD


@dataclass(frozen=True)
class Table:
    """A table and what is folded away of it.

    Parameters
    ----------
    title, caption : str
    columns : list of str
        Heads of name, level, drawing, value and verdict.
    axis : Axis
    shown, folded : list of Line
    counts : list of (VerdictText, int)
        Of every row that is not in sight.
    left_out : int
        Rows that only the files hold.
    higher : bool or None
        Whether higher is better; None where the axis has no better end.
    harm, tag : str
    """

    title: str
    caption: str
    columns: list[str]
    axis: Axis
    shown: list[Line]
    folded: list[Line]
    counts: Counts
    left_out: int = 0
    higher: bool | None = None
    harm: str = ""
    tag: str = ""

    @property
    def hidden(self) -> int:
        """How many rows are not in sight."""
        return sum(n for _, n in self.counts)


def counted(verdicts: Iterable[VerdictText]) -> Counts:
    """Count verdicts, those that weigh first."""
    found: dict[VerdictText, int] = {}
    for verdict in verdicts:
        found[verdict] = found.get(verdict, 0) + 1
    return sorted(found.items(), key=lambda pair: (ORDER.index(pair[0].name), pair[0].words))


def cut(rows: Sequence[_T], loud: Callable[[_T], bool]) -> list[_T]:
    """Keep as many rows as a page can hold; those that weigh are cut last."""
    weigh = [row for row in rows if loud(row)]
    kept = set(map(id, weigh[: 4 * MOST_ROWS]))
    others = [row for row in rows if id(row) not in kept and not loud(row)]
    kept |= set(map(id, others[: max(0, MOST_ROWS - len(kept))]))
    return [row for row in rows if id(row) in kept]


def drawn(lines: Iterable[Line], axis: Axis, reference: float | None = 0.0) -> list[Line]:
    """Draw each row on the axis."""
    return [
        replace(
            line,
            svg=row_svg(
                axis, line.spread, line.second, band=line.band, reference=reference,
                tone=line.verdict.name,
            ),
        )
        for line in lines
    ]  # fmt: skip


def spread(row: Row, point: str, low: str = "ci_low", high: str = "ci_high") -> Interval:
    """Take a point and its interval out of a row."""
    return Interval(*(finite(getattr(row, name)) for name in (point, low, high)))


def columns(key: str) -> list[str]:
    """Heads of a table's columns."""
    return TEXTS[f"{key}.columns"].split("|")


def within_note(report: Report, row: OutcomeRow | SectionRow, kind: Kind) -> Markup | str:
    """Explain ``within`` beside an interval that reaches beyond the margin."""
    margin, alpha = report.margin, report.alpha
    low, high = finite(row.gap_ci_low), finite(row.gap_ci_high)
    if row.verdict != RowVerdict.WITHIN or alpha is None:
        return ""
    level = number(1 - 2 * alpha, "share", name="derived")
    inner = span(row.inner_low, row.inner_high, kind)
    if inner:
        return say("within.inner", level=level, span=inner)
    if margin is None or low is None or high is None or max(-low, high) < margin:
        return ""
    return say("within.explained")


def some(key: str, value: float | None, kind: Kind, name: str) -> Markup | str:
    """Fill a number into a text; nothing where there is none."""
    return "" if finite(value) is None else say(key, **{name: number(value, kind)})


def withheld(row: Row, *cells: Markup | str) -> Markup:
    """Join the parts of a cell; of a suppressed row they are withheld."""
    return wrapped(say("withheld"), name="none") if row.is_suppressed else joined(cells, "")


def why(row: Row, verdict: VerdictText) -> str:
    """Give the reason where there is no number."""
    return row.reason or "" if verdict.name == "not_assessable" and not row.is_suppressed else ""


def margin_band(report: Report) -> tuple[float, float] | None:
    """Give the margin as a band around no gap."""
    return None if report.margin is None else (-report.margin, report.margin)
