"""The page that a hospital's governance board reads, and the model card, from the same context.

On the first sheet is the answer; what a board needs is at most six printed sheets, and everything
else is folded behind one line that counts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from evaluation.report import markup
from evaluation.report.changes import Attempt, attempts, turned
from evaluation.report.contrasts import Compared, compare
from evaluation.report.headline import answer, by_adjusting
from evaluation.report.model import Report, Row, Section
from evaluation.report.names import Names
from evaluation.report.number_format import kind_of
from evaluation.report.outcome_tables import outcome_tables
from evaluation.report.section_tables import section_tables
from evaluation.report.tables import LOUD, MOST_ROWS, Table
from evaluation.report.texts import GUIDELINES, PLACES, TEXTS, TURNS, VERDICTS, heads, verdict_text
from evaluation.stats.verdict import Verdict

__all__ = ["answered", "context_of", "environment", "render"]

SECTIONS = (
    "zero_shot", "exposure", "counterfactual", "leakage", "modality_gap", "label_quality",
)  # fmt: skip
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
    made.filters.update(md=_markdown)
    made.globals.update({name: getattr(markup, name) for name in markup.__all__})
    made.globals.update(
        kind_of=kind_of, heads=heads, most_rows=MOST_ROWS, places=PLACES,
        verdict_text=verdict_text, verdicts=VERDICTS,
    )  # fmt: skip
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
        Where it is no report, or one of another version.

    Examples
    --------
    >>> "gives no answer" in render({"title": "Audit of nothing"})
    True
    """
    context = context_of(Report.from_json(report))
    return environment().get_template("page.html.j2").render(context)


@dataclass(frozen=True)
class Part:
    """A part of the page that compares groups.

    ``why`` it was not done is None where it was. ``found`` counts what a reader has to know of: new
    gaps, recommended mitigations, established rows of the others.
    """

    id: str
    section: Section
    why: str | None
    found: int
    tables: Sequence[Table] = ()
    attempts: Sequence[Attempt] = ()

    @property
    def title(self) -> str:
        """Its title on the page."""
        return PLACES[self.id]

    @property
    def alarming(self) -> bool:
        """Whether what was found is to a group's harm."""
        return bool(self.found) and self.id != "mitigation"


def context_of(report: Report) -> dict[str, Any]:
    """Lay out what the templates show."""
    compared, alpha = compare(report), report.alpha
    turns, turned_rows = turned(report)
    items = answered(report)
    parts = [_section(report, name) for name in SECTIONS]
    parts += [_change(report, name) for name in ("mitigation", "comparison")]
    new = turns.get(TURNS["new"], 0)
    parts.append(Part("drift", report.drift, report.why_not("drift"), new))
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
        "turns": turns,
        "turned": turned_rows,
        "smallest": _smallest(report),
        "items": items,
        "item_states": Counter(item["state"] for own in items.values() for item in own),
        "stamp_lines": _stamp_lines(report),
    }


def _section(report: Report, name: str) -> Part:
    tables = section_tables(report, name)
    return Part(name, getattr(report, name), report.why_not(name), _loud(tables), tables)


def _change(report: Report, name: str) -> Part:
    part = getattr(report, name)
    tried = attempts(report, part)
    found = sum(bool(one.recommended) for one in tried)
    if name == "comparison":
        found = _loud([one.table for one in tried])
    return Part(name, part, report.why_not(name), found, attempts=tried)


def _loud(tables: Sequence[Table]) -> int:
    return sum(n for table in tables for verdict, n in table.counts if verdict.name in LOUD)


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

    The topics are in our own words. Item numbers stand only where the published checklist was at
    hand: CLAIM and STANDING Together are named by topic.

    Returns
    -------
    dict of str to list of dict
        By guideline: ``number, topic, place`` on the page and ``state``: answered, not_done, or
        hospital where no audit of an archive can answer.

    References
    ----------
    TRIPOD+AI: Collins et al., BMJ 385:e078378, 2024. CLAIM 2024 update: Tejani et al., Radiology:
    Artificial Intelligence 6:e240300, 2024. STANDING Together: Alderman et al., Lancet Digital
    Health 7:e64, 2025. FUTURE-AI: Lekadir et al., BMJ 388:e081554, 2025.

    Examples
    --------
    >>> [item["state"] for item in answered(Report())["FUTURE-AI"]][:3]
    ['hospital', 'not_done', 'not_done']
    """

    def done(name: str) -> bool:
        if name == "protocol":
            return bool(report.protocol.model_fields_set)
        if name == "instrument":
            return report.instrument.false_alarm_rate is not None
        return report.why_not(name) is None

    def state(parts: str) -> str:
        if not parts:
            return "hospital"
        return "answered" if all(map(done, parts.split())) else "not_done"

    return {
        guideline: [
            {"number": number, "topic": topic, "place": place, "state": state(parts)}
            for number, topic, parts, place in items
        ]
        for guideline, items in GUIDELINES.items()
    }


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
