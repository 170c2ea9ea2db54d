"""The page that a hospital's governance board reads, rendered from the report's records alone.

On the first sheet is the answer; what a board needs is at most six printed sheets, and everything
else is folded behind one line that counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from evaluation.report import markup
from evaluation.report.changes import Attempt, Drifted, attempts, drifted
from evaluation.report.contrasts import Compared, compare
from evaluation.report.forest_svg import axis_svg
from evaluation.report.guidelines import answered
from evaluation.report.headline import answer, by_adjusting
from evaluation.report.model import Report
from evaluation.report.names import Names
from evaluation.report.outcome_tables import outcome_tables
from evaluation.report.records import RowVerdict
from evaluation.report.section_tables import section_tables
from evaluation.report.tables import LOUD, MOST_ROWS, Table
from evaluation.report.texts import PLACES, TEXTS, VERDICTS
from medembed.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["context_of", "environment", "render"]

SECTIONS = (
    "zero_shot", "exposure", "counterfactual", "leakage", "modality_gap", "label_quality",
)  # fmt: skip
CHANGES = ("mitigation", "comparison", "drift")
MOST_SMALLEST = 4
"""Smallest gaps of declared questions that stay in sight."""
_STAMPED = (
    "protocol_name", "protocol_sha256", "date", "split", "model", "library", "seed", "code",
)  # fmt: skip


@cache
def environment() -> Environment:
    """Set up the templates: all are escaped but the Markdown card, whose values go through ``md``.

    Raises
    ------
    InputError
        Where jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    except ImportError:
        raise InputError(
            "the report needs jinja2", where="report", hint="pip install 'medembed[audit]'"
        ) from None
    made = Environment(
        loader=PackageLoader("evaluation.report", "templates"),
        autoescape=select_autoescape(disabled_extensions=("md.j2",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(svg=_svg, axis=lambda axis: _svg(axis_svg(axis)), md=_markdown)
    made.globals.update({name: getattr(markup, name) for name in markup.__all__})
    made.globals.update(heads=lambda key: TEXTS[f"{key}.columns"].split("|"))
    return made


def render(report: Report | Mapping[str, Any]) -> str:
    """Render a report as one HTML page that needs nothing beside itself.

    Parameters
    ----------
    report : Report or mapping
        The JSON of a whole audit; a part that is missing or null is shown as not done.

    Returns
    -------
    str
        HTML: no script, no font, image or style from elsewhere, and no request at all.

    Raises
    ------
    InputError
        Where it is no report, one of another version, or jinja2 is missing.

    Examples
    --------
    >>> "gives no answer" in render({"title": "Audit of nothing"})
    True
    """
    context = context_of(Report.from_json(report))
    return environment().get_template("page.html.j2").render(context)


@dataclass(frozen=True)
class Shown:
    """A part of the page that compares groups.

    Parameters
    ----------
    id, title : str
    why : str or None
        Why it was not done; None where it was.
    found : int
        How many rows a reader has to know of; of mitigations, those that are recommended.
    notes : tuple of str
    tables : list of Table
    attempts : list of Attempt
    drift : Drifted or None
    """

    id: str
    title: str
    why: str | None
    found: int
    notes: tuple[str, ...]
    tables: list[Table]
    attempts: list[Attempt]
    drift: Drifted | None

    @property
    def alarming(self) -> bool:
        """Whether what was found is to a group's harm."""
        return bool(self.found) and self.id != "mitigation"


def context_of(report: Report) -> dict[str, Any]:
    """Lay out what the templates show."""
    compared = compare(report)
    parts = [_part(report, name) for name in (*SECTIONS, *CHANGES)]
    alpha, items = report.alpha, answered(report)
    states = [line.state for lines in items.values() for line in lines]
    return {
        "report": report,
        "names": Names(report),
        "margin": report.margin,
        "alpha": alpha,
        "level": None if alpha is None else markup.number(1 - alpha, "share", name="derived"),
        "inner": None if alpha is None else markup.number(1 - 2 * alpha, "share", name="derived"),
        "minimum": report.minimum,
        "answer": answer(report, compared),
        "tables": outcome_tables(report, compared),
        "adjusted": any(one.row.gap_naive is not None for one in compared),
        "by_adjusting": by_adjusting(compared),
        "unassessed": _unassessed(compared),
        "parts": parts,
        "undone": [part.title for part in parts if part.why is not None],
        "smallest": _smallest(report),
        "items": items,
        "item_states": {
            state: states.count(state) for state in dict.fromkeys(states)
        },
        "verdicts": list(VERDICTS.values()),
        "places": PLACES,
        "stamp_lines": _stamp_lines(report),
        "most_rows": MOST_ROWS,
    }  # fmt: skip


def _part(report: Report, name: str) -> Shown:
    part = getattr(report, name)
    tables = section_tables(report, name) if name in SECTIONS else []
    tried = attempts(report, part) if name in {"mitigation", "comparison"} else []
    drift = drifted(report) if name == "drift" else None
    if drift:
        found = drift.new
    elif name == "mitigation":
        found = sum(bool(one.recommended) for one in tried)
    else:
        made = [*tables, *(one.table for one in tried)]
        found = sum(n for table in made for verdict, n in table.counts if verdict.name in LOUD)
    return Shown(name, PLACES[name], report.why_not(name), found, part.notes, tables, tried, drift)


def _unassessed(compared: list[Compared]) -> list[tuple[Compared, str, list[str]]]:
    """Gather the comparisons without a number: one line for a group and a reason."""
    lines: dict[tuple[str, str | None, str], tuple[Compared, str, list[str]]] = {}
    for one in compared:
        if one.verdict != RowVerdict.NOT_ASSESSABLE:
            continue
        reason = one.row.reason or TEXTS["no_reason"]
        key = (one.row.attribute, one.row.group, reason)
        outcomes = lines.setdefault(key, (one, reason, []))[2]
        if one.outcome not in outcomes:
            outcomes.append(one.outcome)
    return list(lines.values())


def _smallest(report: Report) -> dict[str, Any]:
    """Lay out the smallest gaps that would be noticed; those of declared questions are in sight."""
    rows = report.instrument.detectable
    primary = [row for row in report.outcomes.table if row.primary]
    declared = {(row.attribute, row.group, row.outcome) for row in primary}
    asked = [row for row in rows if (row.attribute, row.group, row.outcome) in declared]
    known = [row.smallest_gap for row in rows if row.smallest_gap is not None]
    return {
        "shown": asked[:MOST_SMALLEST],
        "folded": [row for row in rows if row not in asked[:MOST_SMALLEST]],
        "fine": sum(report.margin is not None and size <= report.margin for size in known),
        "total": len(rows),
    }


def _stamp_lines(report: Report) -> list[tuple[str, Any]]:
    """List what the report was made of, in a fixed order, and every version."""
    stamp = report.stamp
    lines = [(TEXTS[f"stamp.{key}"], getattr(stamp, key)) for key in _STAMPED]
    lines = [(title, value) for title, value in lines if value is not None]
    return [*lines, *sorted((str(name), str(one)) for name, one in stamp.versions.items())]


def _svg(drawn: str) -> Markup:
    from markupsafe import Markup

    return Markup(drawn)  # noqa: S704 - numbers and fixed words only: evaluation.report.forest_svg


def _markdown(text: Any) -> str:
    """Let a value stand in Markdown as its words: no markup, no line of its own."""
    from markupsafe import Markup

    if isinstance(text, Markup):
        text = text.replace('<span class="sub">', "; ").striptags().removeprefix("; ")
    plain = " ".join(str(text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + one if one in "\\`*_[]()#|~!" else one for one in plain)
