"""The page that a hospital's governance board reads: rendered from the report's JSON alone.

Every number on the page stands in a ``data`` element whose ``value`` is the number as it stands in
the JSON, unrounded, so that a reader's program can check the page against ``audit.json``. Numbers
that only count rows of the report carry the class ``tally``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from evaluation.report.changes import Change, changes
from evaluation.report.collapse import fold_outcomes
from evaluation.report.forest_svg import axis_svg
from evaluation.report.guidelines import Answered, answered
from evaluation.report.headline import (
    MOST_NAMED,
    answer,
    by_adjusting,
    by_outcome,
    changed_by_adjusting,
    primaries,
)
from evaluation.report.number_format import (
    Kind,
    figure,
    finite,
    gap_kind,
    in_steps,
    level_kind,
    plural,
)
from evaluation.report.section_tables import Part, parts
from evaluation.report.verdicts import VERDICTS
from evaluation.report.view_model import Row, names, outcome_readings, read_report, section
from evaluation.stats.suppression import minimum_of
from medembed.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["context_of", "environment", "render"]

PLACES = {
    "answer": "The answer",
    "groups": "Groups against everyone else",
    "unassessed": "What could not be assessed",
    "missing": "Who is missing from the archive",
    "zero_shot": "Named findings",
    "exposure": "Who appears among the results",
    "counterfactual": "Words for a group",
    "leakage": "Reading a group off the image",
    "modality_gap": "Images and their reports",
    "label_quality": "How good the labels are",
    "mitigation": "What was tried against gaps",
    "comparison": "Change from another model",
    "drift": "Verdicts since an earlier audit",
    "instrument": "How far this can be trusted",
    "methods": "Methods",
    "reporting": "Reporting guidelines",
    "stamp": "Stamp",
}
"""Sections of the page in their order, by id."""

_ESTABLISHED = {
    "zero_shot": "established among the gaps in named findings",
    "exposure": "shown more or less often than chance explains",
    "counterfactual": "of the swapped words move the results more than a placebo",
    "leakage": "of the attempts to read a group off succeed",
    "modality_gap": "unlike everyone else",
    "label_quality": "with other labels than everyone else",
}

_STAMPED = {
    "protocol_name": "Protocol",
    "protocol_sha256": "Protocol, SHA-256",
    "date": "Date",
    "split": "Part of the archive",
    "model": "Model, fingerprint",
    "library": "Library, fingerprint",
    "seed": "Seed",
    "code": "MedEmbed",
}


@cache
def environment() -> Environment:
    """Set up the templates: all are escaped but the Markdown card, whose values go through ``md``.

    Returns
    -------
    jinja2.Environment

    Raises
    ------
    InputError
        Where jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, select_autoescape
    except ImportError:
        raise InputError(
            "the report needs jinja2", where="report", hint="pip install 'medembed[audit]'"
        ) from None
    made = Environment(
        loader=PackageLoader("evaluation.report", "templates"),
        autoescape=select_autoescape(disabled_extensions=("md.j2",), default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(n=_number, tally=_tally, svg=_svg, axis=_axis, listed=_listed)
    made.filters.update(t=_text, md=_markdown)
    made.globals.update(
        patients=_patients,
        plural=plural,
        in_steps=in_steps,
        level_kind=level_kind,
        gap_kind=gap_kind,
        finite=finite,
        by_outcome=by_outcome,
        by_adjusting=by_adjusting,
    )
    return made


def render(report: Mapping[str, Any]) -> str:
    """Render a report as one HTML page that needs nothing beside itself.

    Parameters
    ----------
    report : mapping
        The JSON of a whole audit, version 1; a section that is missing or null is said not to have
        been done.

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
    return environment().get_template("page.html.j2").render(context_of(read_report(report)))


def context_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out what the templates show.

    Parameters
    ----------
    report : mapping
        As :func:`evaluation.report.view_model.read_report` gives it.

    Returns
    -------
    dict
    """
    protocol, settings = _mapping(report.get("protocol")), _mapping(report.get("outcomes"))
    settings = _mapping(settings.get("settings"))
    margin = _declared("margin", protocol, settings)
    alpha = _declared("alpha", protocol, settings)
    outcomes, rows = outcome_readings(report, margin)
    compared = section(report, "outcomes", "table")
    stamp = _mapping(report.get("stamp"))
    naming, further, changed = names(report), parts(report, margin), changes(report, margin)
    instrument, items = _mapping(report.get("instrument")), answered(report)
    return {
        "report": report,
        "protocol": protocol,
        "settings": settings,
        "stamp": stamp,
        "gate": _mapping(report.get("gate")),
        "margin": margin,
        "alpha": alpha,
        "level": None if alpha is None else 1 - alpha,
        "minimum": minimum_of(report),
        "outcomes": outcomes,
        "folded": fold_outcomes(outcomes, rows, _declared_outcomes(protocol)),
        "outcome_notes": compared.notes,
        "outcomes_why": compared.why,
        "answer": answer(rows, further["zero_shot"].found),
        "overview": _overview(further, changed),
        "most_named": MOST_NAMED,
        "primaries": primaries(report, rows),
        "changed": changed_by_adjusting(rows),
        "unassessed": _unassessed(rows),
        "only_scores": bool(outcomes) and all(one.gap == "signed" for one in outcomes),
        "missing": _mapping(report.get("missing")),
        "parts": {**further, **changed},
        "models": _mapping(_mapping(report.get("comparison")).get("models")),
        "overlap": _mapping(_mapping(report.get("comparison")).get("overlap")),
        "earlier": _mapping(_mapping(report.get("drift")).get("earlier")),
        "instrument": instrument,
        "detectable": _detectable(instrument, rows, margin),
        "items": items,
        "item_states": _states(items),
        "names": naming,
        "verdicts": list(VERDICTS.values()),
        "contents": list(PLACES.items()),
        "places": PLACES,
        "undone": [
            *(PLACES[name] for name, part in further.items() if not part.body.done),
            *(PLACES[name] for name, part in changed.items() if not part.body.done),
        ],
        "stamp_lines": _stamp_lines(stamp),
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _declared(key: str, *places: Mapping[str, Any]) -> float | None:
    for place in places:
        number = finite(place.get(key))
        if number is not None:
            return number
    return None


def _declared_outcomes(protocol: Mapping[str, Any]) -> set[str]:
    """Name the outcomes of which a question was declared."""
    asked = protocol.get("primary")
    questions = asked if isinstance(asked, list | tuple) else ()
    return {str(one.get("outcome")) for one in questions if isinstance(one, Mapping)}


def _states(items: Mapping[str, Sequence[Answered]]) -> dict[str, int]:
    """Count the guidelines' items by whether this report answers them."""
    states = [line.state for lines in items.values() for line in lines]
    words = {
        "answered": "answered",
        "not done": "not in this report",
        "hospital": "for the hospital",
    }
    return {said: states.count(state) for state, said in words.items() if state in states}


@dataclass(frozen=True)
class Line:
    """What another part of the audit established.

    Parameters
    ----------
    id, title, words : str
    count : int or None
        None where it was not done.
    alarming : bool
    """

    id: str
    title: str
    words: str
    count: int | None
    alarming: bool


def _overview(further: Mapping[str, Part], changed: Mapping[str, Change]) -> list[Line]:
    lines = []
    for name, words in _ESTABLISHED.items():
        part = further[name]
        found = part.found if part.body.done else None
        lines.append(Line(name, PLACES[name], words, found, bool(found)))
    tried, compared, drift = (changed[name] for name in ("mitigation", "comparison", "drift"))
    for name, change, words, count, alarming in (
        ("mitigation", tried, "of what was tried is recommended", len(tried.recommended), False),
        ("comparison", compared, "established to be worse than before", compared.worse, True),
        ("drift", drift, "not found by the earlier audit", drift.turns.get("New gap", 0), True),
    ):
        found = count if change.body.done else None
        lines.append(Line(name, PLACES[name], words, found, alarming and bool(found)))
    return lines


def _detectable(
    instrument: Mapping[str, Any], rows: Sequence[Row], margin: float | None
) -> dict[str, Any]:
    """Part the smallest gaps that could be found: those of the declared questions stay in sight."""
    declared = {
        (row.get("attribute"), row.get("group"), row.get("outcome"))
        for row in rows
        if row.get("primary")
    }
    given = [row for row in instrument.get("detectable") or [] if isinstance(row, Mapping)]
    shown, folded = (
        [
            row
            for row in given
            if ((row.get("attribute"), row.get("group"), row.get("outcome")) in declared) is named
        ]
        for named in (True, False)
    )
    sizes = [finite(row.get("smallest_gap")) for row in given]
    fine = sum(size is not None and margin is not None and size <= margin for size in sizes)
    return {"all": len(given), "fine": fine, "shown": shown, "folded": folded}


def _stamp_lines(stamp: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """List what the report was made of, in a fixed order, and every version."""
    lines = [(title, stamp[key]) for key, title in _STAMPED.items() if stamp.get(key) is not None]
    versions = _mapping(stamp.get("versions"))
    return [*lines, *((str(name), str(version)) for name, version in sorted(versions.items()))]


def _unassessed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Gather the comparisons without a figure: one line for a group and a reason."""
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if row["shown_verdict"].name != "not_assessable":
            continue
        reason = str(row.get("reason") or "no reason was recorded")
        key = (str(row.get("attribute")), str(row.get("group")), reason)
        line = lines.setdefault(key, {"row": row, "reason": reason, "outcomes": []})
        if row["shown_outcome"] not in line["outcomes"]:
            line["outcomes"].append(row["shown_outcome"])
    return list(lines.values())


def _text(value: Any, kind: Kind, none: str = "not measured") -> str:
    text = figure(value, kind)
    return none if text is None else text


def _markdown(text: Any) -> str:
    """Let a value stand in Markdown as what it says: no markup, no line of its own."""
    plain = " ".join(str(text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + one if one in "\\`*_[]()#|~!" else one for one in plain)


def _number(value: Any, kind: Kind = "plain", none: str = "not measured") -> Markup:
    from markupsafe import Markup

    text = figure(value, kind)
    if text is None:
        return Markup('<span class="none">{}</span>').format(none)
    return Markup('<data value="{}">{}</data>').format(repr(finite(value)), text)


def _tally(value: int) -> Markup:
    from markupsafe import Markup

    return Markup('<data class="tally" value="{}">{:,}</data>').format(value, value)


def _svg(drawn: str) -> Markup:
    from markupsafe import Markup

    return Markup(drawn)  # noqa: S704 - numbers and fixed words only: evaluation.report.forest_svg


def _axis(axis: Any) -> Markup:
    return _svg(axis_svg(axis))


def _listed(words: Sequence[str], most: int = 4) -> str:
    """Join words as a sentence does, and count those beyond the first few."""
    shown, more = list(words[:most]), len(words) - most
    if more > 0:
        return ", ".join(shown) + f" and {more} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def _patients(row: Mapping[str, Any], reported: int, *, bare: bool = False) -> Markup:
    """Say how many patients a row rests on; of a suppressed one only that they are few."""
    from markupsafe import Markup

    noun = "" if bare else " patients"
    if row.get("precision") == "suppressed":
        return Markup('<span class="few">fewer than {}</span>{}').format(reported, noun)
    if finite(row.get("n_patients")) is None:
        words = "withheld" if bare else "number of patients withheld"
        return Markup('<span class="none">{}</span>').format(words)
    if row["n_patients"] == 1 and not bare:
        noun = " patient"
    return Markup("{}{}").format(_number(row["n_patients"], "count"), noun)
