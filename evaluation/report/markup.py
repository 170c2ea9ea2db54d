"""Texts and numbers as HTML: what goes in is escaped, and each number carries its exact value.

A number of the JSON is a ``data`` element whose ``value`` is unrounded. One that counts rows has
the class ``tally``, one worked out from others the class ``derived``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from evaluation.report.model import Interval, Report, Row
from evaluation.report.number_format import Kind, figure
from evaluation.report.texts import TEXTS, VerdictText

__all__ = [
    "badge", "count", "effect", "gap", "interval", "joined", "level", "listed", "number",
    "patients", "say", "some", "span", "sub", "tally", "wrapped",
]  # fmt: skip


def say(key: str, **values: Any) -> Markup:
    """Fill in a text of the catalog.

    Examples
    --------
    >>> str(say("split")), str(say("span", low="<1", high=2))
    ('Data split', '&lt;1 to 2')
    """
    return escape(TEXTS[key]).format(**values)


def plural(key: str, is_one: bool, **values: Any) -> Markup:
    """Fill in a text that has a singular and a plural."""
    one, many = TEXTS[key].split("|")
    return escape(one if is_one else many).format(**values)


def count(key: str, n: int, **values: Any) -> Markup:
    """Fill in a text that has a singular and a plural; ``n`` is shown as a tally."""
    return plural(key, n == 1, n=tally(n), **values)


def wrapped(text: Any, tag: str = "span", name: str = "") -> Markup:
    """Put a text into an element of that class."""
    shown = Markup(' class="{}"').format(name) if name else ""
    return Markup("<{0}{1}>{2}</{0}>").format(tag, shown, text)


def joined(parts: Iterable[Any], mark: str = "; ") -> Markup:
    """Join what is there."""
    return escape(mark).join(part for part in parts if part)


def sub(*parts: Any) -> Markup:
    """Write a line beneath a value; nothing where there is nothing to write."""
    line = joined(parts)
    return wrapped(line, name="sub") if line else line


def number(value: float | None, kind: Kind = "plain", none: str = "none", name: str = "") -> Markup:
    """Write a number of the report, or the text of that key where there is none."""
    if value is None:
        return wrapped(say(none), name="none")
    shown = Markup(' class="{}"').format(name) if name else ""
    text = figure(value, kind)
    return Markup('<data{} value="{}">{}</data>').format(shown, repr(float(value)), text)


def some(key: str, value: float | None, kind: Kind, name: str) -> Markup:
    """Fill a number into a text; nothing where there is none."""
    return Markup("") if value is None else say(key, **{name: number(value, kind)})


def tally(value: int) -> Markup:
    """Write how many rows there are of something."""
    return Markup('<data class="tally" value="{}">{:,}</data>').format(value, value)


def gap(value: float | None, kind: Kind, name: str = "") -> Markup:
    """Write a gap with its unit."""
    shown, text = number(value, kind, "no_number", name), figure(value, kind)
    if text is None or not kind.startswith(("points", "size", "margin")):
        return shown
    one = text.strip("+\N{MINUS SIGN}") in {"1", "1.0"}
    return plural("points", one, size=shown)


def span(ends: Interval, kind: Kind) -> Markup:
    """Write both ends of an interval; nothing where one is missing."""
    if ends.low is None or ends.high is None:
        return Markup("")
    return wrapped(say("span", low=number(ends.low, kind), high=number(ends.high, kind)), name="nw")


def interval(report: Report, ends: Markup) -> Markup:
    """Name the level of an interval that is written; nothing where there is none."""
    if not ends or report.alpha is None:
        return say("interval.bare", span=ends) if ends else ends
    return say("interval", level=number(1 - report.alpha, "share", name="derived"), span=ends)


def level(values: Iterable[float | None], ends: Interval, kind: Kind) -> Markup:
    """Write the level of an outcome, with its interval beneath."""
    return joined([number(one, kind) for one in values], ", ") + sub(span(ends, kind))


def effect(found: Interval, kind: Kind, p: float | None) -> Markup:
    """Write a gap in bold, with its interval and p beneath."""
    return wrapped(gap(found.point, kind), "strong") + sub(span(found, kind), _p(p))


def _p(value: float | None) -> Markup:
    """Write a p; nothing where there is none."""
    return Markup("") if value is None else wrapped(some("p", value, "p", "p"), name="nw")


def listed(words: Sequence[Any], most: int = 4) -> Markup:
    """Join words as a sentence does, and count those beyond the first few."""
    shown, more = list(words[:most]), len(words) - most
    comma = Markup(", ")
    if more > 0:
        return comma.join(shown) + say("list.more", n=tally(more))
    return say("list.and").join(filter(None, [comma.join(shown[:-1]), *shown[-1:]]))


def patients(row: Row, reported: int) -> Markup:
    """Write how many patients a row rests on; of a suppressed one only that they are few."""
    if row.is_suppressed:
        return wrapped(say("patients.few", n=reported), name="few")
    if row.n_patients is None:
        return wrapped(say("patients.withheld"), name="none")
    return plural("n_patients", row.n_patients == 1, n=number(row.n_patients, "count"))


def badge(verdict: VerdictText) -> Markup:
    """Show a verdict by sign, words and color."""
    return Markup(
        '<span class="badge v-{}"><span class="sign" aria-hidden="true">{}</span> {}</span>'
    ).format(verdict.name, verdict.sign, verdict.words)
