"""Texts and numbers as HTML: what goes in is escaped, and each number carries its exact value.

A number of the JSON is a ``data`` element whose ``value`` is unrounded. One that counts rows has
the class ``tally``, one worked out from others the class ``derived``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from evaluation.report.number_format import Kind, figure, finite
from evaluation.report.records import RowPrecision
from evaluation.report.texts import SECTION_VERDICTS, TEXTS, VERDICTS, VerdictText

if TYPE_CHECKING:
    from markupsafe import Markup

    from evaluation.report.rows import Row

__all__ = [
    "badge", "count", "gap", "joined", "listed", "number", "p_value", "patients", "say", "span",
    "sub", "tally", "verdict_text", "wrapped",
]  # fmt: skip


def say(key: str, **values: Any) -> Markup:
    """Fill in a text of the catalogue.

    Examples
    --------
    >>> str(say("split")), str(say("span", low="<1", high=2))
    ('Data split', '&lt;1 to 2')
    """
    from markupsafe import escape

    return escape(TEXTS[key]).format(**values)


def count(key: str, n: int, **values: Any) -> Markup:
    """Fill in a text that has a singular and a plural; ``n`` is shown as a tally."""
    return say(f"{key}.{'one' if n == 1 else 'many'}", n=tally(n), **values)


def wrapped(text: Any, tag: str = "span", name: str = "") -> Markup:
    """Put a text into an element of that class."""
    from markupsafe import Markup

    shown = Markup(' class="{}"').format(name) if name else ""
    return Markup("<{0}{1}>{2}</{0}>").format(tag, shown, text)


def joined(parts: Iterable[Any], mark: str = "; ") -> Markup:
    """Join what is there."""
    from markupsafe import escape

    return escape(mark).join(part for part in parts if part)


def sub(*parts: Any) -> Markup:
    """Write a line beneath a value; nothing where there is nothing to write."""
    line = joined(parts)
    return wrapped(line, name="sub") if line else line


def number(value: Any, kind: Kind = "plain", none: str = "none", name: str = "") -> Markup:
    """Write a number of the report, or the text of that key where there is none."""
    from markupsafe import Markup

    text = figure(value, kind)
    if text is None:
        return wrapped(say(none), name="none")
    shown = Markup(' class="{}"').format(name) if name else Markup("")
    return Markup('<data{} value="{}">{}</data>').format(shown, repr(finite(value)), text)


def tally(value: int) -> Markup:
    """Write how many rows there are of something."""
    from markupsafe import Markup

    return Markup('<data class="tally" value="{}">{:,}</data>').format(value, value)


def gap(value: Any, kind: Kind, name: str = "") -> Markup:
    """Write a gap with its unit."""
    shown, known = number(value, kind, "no_number", name), finite(value)
    if known is None or not kind.startswith(("points", "size", "margin")):
        return shown
    one = str(figure(known, kind)).strip("+\N{MINUS SIGN}") in {"1", "1.0"}
    return say("points.one" if one else "points.many", size=shown)


def span(low: Any, high: Any, kind: Kind) -> Markup | str:
    """Write both ends of an interval; nothing where one is missing."""
    if finite(low) is None or finite(high) is None:
        return ""
    return wrapped(say("span", low=number(low, kind), high=number(high, kind)), name="nw")


def p_value(value: Any) -> Markup | str:
    """Write a p; nothing where there is none."""
    return "" if finite(value) is None else wrapped(say("p", p=number(value, "p")), name="nw")


def listed(words: Sequence[Any], most: int = 4) -> Markup:
    """Join words as a sentence does, and count those beyond the first few."""
    from markupsafe import Markup

    shown, more = list(words[:most]), len(words) - most
    comma = Markup(", ")
    if more > 0:
        return comma.join(shown) + say("list.more", n=tally(more))
    return say("list.and").join(filter(None, [comma.join(shown[:-1]), *shown[-1:]]))


def patients(row: Row, reported: int) -> Markup:
    """Write how many patients a row rests on; of a suppressed one only that they are few."""
    if row.precision == RowPrecision.SUPPRESSED:
        return wrapped(say("patients.few", n=reported), name="few")
    if finite(row.n_patients) is None:
        return wrapped(say("patients.withheld"), name="none")
    key = "patients.one" if row.n_patients == 1 else "patients.many"
    return say(key, n=number(row.n_patients, "count"))


def verdict_text(verdict: str, section: str = "") -> VerdictText:
    """Find the words of a verdict; those of an unknown one are its own name.

    Examples
    --------
    >>> verdict_text("exceeds").words, verdict_text("exceeds", "exposure").words
    ('Gap found', 'Beyond chance')
    >>> verdict_text("never_heard_of").words
    'Never heard of'
    """
    known = VERDICTS.get(verdict)
    if known is None:
        words = str(verdict).replace("_", " ")
        return VerdictText("other", "•", words[:1].upper() + words[1:])
    own = SECTION_VERDICTS.get(section, {}).get(verdict)
    return known if own is None else VerdictText(known.name, known.sign, own, known.meaning)


def badge(verdict: VerdictText) -> Markup:
    """Show a verdict by sign, words and color."""
    from markupsafe import Markup

    return Markup(
        '<span class="badge v-{}"><span class="sign" aria-hidden="true">{}</span> {}</span>'
    ).format(verdict.name, verdict.sign, verdict.words)
