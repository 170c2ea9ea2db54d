"""The one way by which a text of a case comes onto the page: :func:`escaped`.

A report, a name of a site or a value of a header may hold anything: HTML, Markdown, formulas,
shortcodes of Streamlit's (``:red[…]``, ``:material/home:``), characters that turn the direction of
reading or that nobody sees. On the page each of them is a character like any other.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape
from typing import Literal

__all__ = ["Into", "Markup", "escaped", "join", "notice", "tag"]

Into = Literal["html", "markdown", "text"]
"""Where a text goes: into HTML of ours, into a label that Streamlit reads as Markdown, or into one
that it shows as it is."""

_VOID = frozenset({"img", "br", "hr"})

# Marks, letters and signs of Unicode that are drawn as nothing (UAX 44, Default_Ignorable)
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # each of ASCII: CommonMark 0.31, 2.4
# Streamlit looks for these once more in what Markdown has made of a text, where no backslash helps
_SHORTCODE = re.compile(r":(?=\S)|@|www(?=\.)|[-<>=~](?=[-<>=~])", re.IGNORECASE)
_JOINER = "\u2060"  # a word joiner: without width, and no line is broken at it


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def escaped(text: str, into: Into) -> str:
    r"""Make a text stand on the page as its characters, whatever they are.

    Characters without a picture (controls, direction marks, zero width) stand as their code, such
    as ``[U+202E]``. In HTML, line breaks and tabs are kept; elsewhere a text is one line.

    Parameters
    ----------
    text : str
        Of a case, a file or a person: anything.
    into : {"html", "markdown", "text"}

    Examples
    --------
    >>> escaped("a < b", "html")
    'a &lt; b'
    >>> print(escaped("*no* effusion", "markdown"))
    \*no\* effusion
    >>> escaped("left\u202e thgir", "text")
    'left[U+202E] thgir'
    """
    seen = _seen(text)
    if into == "html":
        return escape(seen)
    line = " ".join(seen.split())
    if into == "text":
        return line
    joined = _SHORTCODE.sub(lambda found: found[0] + _JOINER, line)
    return _PUNCTUATION.sub(r"\\\1", joined)


def _seen(text: str) -> str:
    """Put the code of each character that has no picture in its place."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = text.isascii() or _UNSEEN.isdisjoint(
        text
    )  # of a picture's megabytes neither is looked at
    if plain and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return "".join(char if _has_picture(char) else f"[U+{ord(char):04X}]" for char in text)


def _has_picture(char: str) -> bool:
    if char in "\n\t":
        return True
    printed = char.isprintable() or unicodedata.category(char) == "Zs"  # blanks of any width
    return printed and char not in _UNSEEN


def _html(child: str | None) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escaped(child, "html")


def join(*children: str | None) -> Markup:
    """Put pieces beside one another; plain strings are escaped, None is nothing.

    Examples
    --------
    >>> join("a < b", Markup("<br>"))
    'a &lt; b<br>'
    """
    return Markup("".join(_html(child) for child in children))


def tag(element: str, *children: str | None, **attributes: str | None) -> Markup:
    """Make one element; ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``.

    Parameters
    ----------
    element : str
        Name of the element.
    *children : str or None
        Escaped unless they are :class:`Markup`.
    **attributes : str or None
        Always escaped; None leaves the attribute out.

    Examples
    --------
    >>> tag("span", "64 y & F", class_="who")
    '<span class="who">64 y &amp; F</span>'
    """
    parts = [
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value, "html")}"'
        for name, value in attributes.items()
        if value is not None
    ]
    opening = f"<{element}{''.join(parts)}>"
    if element in _VOID:
        return Markup(opening)
    return Markup(f"{opening}{join(*children)}</{element}>")


def notice(line: str, more: str) -> Markup:
    """Make a calm remark in place of what could not be shown."""
    return tag("div", tag("h3", line), tag("p", more, class_="rr-quiet"), class_="rr-notice")
