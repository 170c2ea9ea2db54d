"""The page that a hospital's governance board reads, and the model card, from the same context.

On the first sheet is the answer; what a board needs is at most six printed sheets, and everything
else is folded behind one line that counts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from evaluation.report import markup
from evaluation.report.changes import attempts, turned
from evaluation.report.contrasts import Compared, compare
from evaluation.report.headline import answer, by_adjusting
from evaluation.report.model import Report, Row
from evaluation.report.names import Names
from evaluation.report.number_format import kind_of
from evaluation.report.outcome_tables import outcome_tables
from evaluation.report.section_tables import section_tables
from evaluation.report.tables import LOUD, MOST_ROWS
from evaluation.report.texts import GUIDELINES, PLACES, TEXTS, VERDICTS, heads, verdict_text
from evaluation.stats.verdict import Verdict

__all__ = ["answered", "context_of", "environment", "render"]

SECTIONS = (
    "zero_shot", "exposure", "counterfactual", "leakage", "modality_gap", "label_quality",
)  # fmt: skip
CHANGES = ("mitigation", "comparison")
MOST_SMALLEST = 4
"""Smallest gaps of declared questions that stay in sight."""
_STAMPED = (
    "protocol_name", "protocol_sha256", "date", "split", "model", "library", "seed", "code",
)  # fmt: skip


@cache
def environment() -> Environment:
    """Set up the templates: all are escaped but the Markdown card, which has ``md``."""
    made = Environment(
        loader=PackageLoader("evaluation.report", "templates"),
        autoescape=select_autoescape(disabled_extensions=("md.j2",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["md"] = _markdown
    made.globals |= {name: getattr(markup, name) for name in markup.__all__}
    made.globals |= {"kind_of": kind_of, "heads": heads, "verdict_text": verdict_text}
    made.globals |= {"most_rows": MOST_ROWS, "places": PLACES, "verdicts": VERDICTS}
    return made


def render(report: Report | Mapping[str, Any]) -> str:
    """Render a report as one HTML page that needs nothing beside itself.

    It has no script, no font, image or style from elsewhere, and makes no request at all.

    Parameters
    ----------
    report : Report or mapping
        The JSON of a whole audit; a part that is missing or null is shown as not done.

    Raises
    ------
    InputError
        Where it is no report, or one of another version.

    Examples
    --------
    >>> "gives no answer" in render({"title": "Audit of nothing"})
    True
    """
    context = context_of(Report.from_json(report))
    return environment().get_template("page.html.j2").render(context)


def context_of(report: Report) -> dict[str, Any]:
    """Lay out what the templates show."""
    compared, alpha, items = compare(report), report.alpha, answered(report)
    turns, turned_rows = turned(report)
    return {
        "report": report,
        "names": Names(report),
        "level": None if alpha is None else markup.number(1 - alpha, "share", name="derived"),
        "inner": None if alpha is None else markup.number(1 - 2 * alpha, "share", name="derived"),
        "answer": answer(report, compared),
        "tables": outcome_tables(report, compared),
        "referenced": any(one.row.comparison.startswith("against:") for one in compared),
        "cluster": report.protocol.cluster or report.outcomes.settings.cluster,
        "weight": report.protocol.weight or report.outcomes.settings.weight,
        "adjusted": any(one.row.gap_naive is not None for one in compared),
        "by_adjusting": by_adjusting(compared),
        "unassessed": _unassessed(compared),
        "parts": [_part(report, name) for name in (*SECTIONS, *CHANGES, "drift")],
        "turns": turns,
        "turned": turned_rows,
        "smallest": _smallest(report),
        "items": items,
        "item_states": Counter(item["state"] for own in items.values() for item in own),
        "stamp_lines": _stamp_lines(report),
    }


def _part(report: Report, name: str) -> dict[str, Any]:
    """Lay out a part that compares groups; ``found`` counts what a reader has to know of."""
    tables = section_tables(report, name) if name in SECTIONS else []
    tried = attempts(report, getattr(report, name)) if name in CHANGES else []
    made = [*tables, *(one["table"] for one in tried)]
    found = sum(n for table in made for verdict, n in table.counts if verdict.name in LOUD)
    if name == "mitigation":
        found = sum(bool(one["recommended"]) for one in tried)
    if name == "drift":
        found = sum(row.turn == "new" for row in report.drift.rows)
    why = report.why_not(name)
    return {"id": name, "why": why, "found": found, "tables": tables, "attempts": tried}


def _unassessed(compared: Sequence[Compared]) -> list[tuple[Compared, str, list[str]]]:
    """Gather the comparisons without a number: one line for a group and a reason."""
    lines: dict[tuple[str, str | None, str], tuple[Compared, str, list[str]]] = {}
    for one in compared:
        if one.verdict == Verdict.NOT_ASSESSABLE:
            reason = one.row.reason or TEXTS["no_reason"]
            key = (one.row.attribute, one.row.group, reason)
            outcomes = lines.setdefault(key, (one, reason, []))[2]
            if one.outcome not in outcomes:
                outcomes.append(one.outcome)
    return list(lines.values())


def _smallest(report: Report) -> dict[str, Any]:
    """Lay out the smallest gaps that would be noticed; those of declared questions are in sight."""
    declared = {(r.attribute, r.group, r.outcome) for r in report.outcomes.rows if r.primary}
    asked: list[Row] = []
    others: list[Row] = []
    for row in report.instrument.rows:
        named = (row.attribute, row.group, row.outcome) in declared
        (asked if named and len(asked) < MOST_SMALLEST else others).append(row)
    sizes = [row.smallest_gap for row in report.instrument.rows if row.smallest_gap is not None]
    fine = sum(report.margin is not None and size <= report.margin for size in sizes)
    return {"shown": asked, "folded": others, "fine": fine, "total": len(asked) + len(others)}


def answered(report: Report) -> dict[str, list[dict[str, str]]]:
    """Tell of each item of the reporting guidelines whether this very report answers it.

    Returns
    -------
    dict of str to list of dict
        By guideline: ``number, topic, place`` on the page, and ``state``: answered, not_done, or
        hospital where no audit of an archive can answer.

    Examples
    --------
    >>> [item["state"] for item in answered(Report())["FUTURE-AI"]][:3]
    ['hospital', 'not_done', 'not_done']
    """
    done = {name for name in ("outcomes", "missing", *SECTIONS, "mitigation", "drift")
            if report.why_not(name) is None}  # fmt: skip
    if report.protocol.model_fields_set:
        done.add("protocol")
    if report.instrument.false_alarm_rate is not None:
        done.add("instrument")
    found: dict[str, list[dict[str, str]]] = {}
    for guideline, items in GUIDELINES.items():
        for number, topic, part, place in items:
            state = "hospital" if not part else "answered" if part in done else "not_done"
            item = {"number": number, "topic": topic, "place": place, "state": state}
            found.setdefault(guideline, []).append(item)
    return found


def _stamp_lines(report: Report) -> list[tuple[str, Any]]:
    """List what the report was made of, in a fixed order, and every version."""
    lines = [(TEXTS[f"stamp.{key}"], getattr(report.stamp, key)) for key in _STAMPED]
    lines = [(title, value) for title, value in lines if value is not None]
    return [*lines, *sorted(report.stamp.versions.items())]


def _markdown(text: Any) -> str:
    """Let a value stand in Markdown as its words: no markup, no line of its own."""
    if isinstance(text, Markup):
        text = text.replace('<span class="sub">', "; ").striptags().removeprefix("; ")
    plain = " ".join(str(text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + one if one in "\\`*_[]()#|~!" else one for one in plain)
