"""Escape every text of a case before it goes onto the page: :func:`escaped`.

A report, a site name or a header value may contain anything: HTML, Markdown, formulas, Streamlit
shortcodes (``:red[…]``, ``:material/home:``), invisible characters, or marks that reverse the
reading direction. On the page, each is a character like any other.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape
from typing import Literal

__all__ = ["Into", "Markup", "escaped", "join", "notice", "tag"]

Into = Literal["html", "markdown", "text"]
"""Where a text goes: into our HTML, into a label that Streamlit parses as Markdown, or into one
that it shows verbatim."""

_VOID = frozenset({"img", "br", "hr"})

# Unicode characters that are drawn as nothing (UAX 44, Default_Ignorable)
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # all ASCII punctuation: CommonMark 0.31, 2.4
# Streamlit searches the rendered Markdown for these again, where no backslash helps
_SHORTCODE = re.compile(r":(?=\S)|@|www(?=\.)|[-<>=~](?=[-<>=~])", re.IGNORECASE)
_JOINER = "\u2060"  # word joiner: zero width, no line break


class Markup(str):
    """A string that is already HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Give it to ``st.html``, which searches any other string for indents and file names."""
        return str(self)


def escaped(text: str, into: Into) -> str:
    r"""Escape a text so that the page shows its characters, whatever they are.

    Invisible characters (controls, direction marks, zero width) are shown as their code, such as
    ``[U+202E]``. HTML keeps line breaks and tabs; elsewhere a text becomes one line.

    Parameters
    ----------
    text : str
        From a case, a file or a person: anything.
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
    visible = _visible(text)
    if into == "html":
        return escape(visible)
    line = " ".join(visible.split())
    if into == "text":
        return line
    joined = _SHORTCODE.sub(lambda match: match[0] + _JOINER, line)
    return _PUNCTUATION.sub(r"\\\1", joined)


def _visible(text: str) -> str:
    """Replace each invisible character with its code."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # fast path: an image's data URI has megabytes
    plain = text.isascii() or _INVISIBLE.isdisjoint(text)
    if plain and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return "".join(char if _is_visible(char) else f"[U+{ord(char):04X}]" for char in text)


def _is_visible(char: str) -> bool:
    if char in "\n\t":
        return True
    printed = char.isprintable() or unicodedata.category(char) == "Zs"  # blanks of any width
    return printed and char not in _INVISIBLE


def _html(child: str | None) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escaped(child, "html")


def join(*children: str | None) -> Markup:
    """Concatenate pieces; plain strings are escaped, None is skipped.

    Examples
    --------
    >>> join("a < b", Markup("<br>"))
    'a &lt; b<br>'
    """
    return Markup("".join(_html(child) for child in children))


def tag(element: str, *children: str | None, **attributes: str | None) -> Markup:
    """Make one element; ``class_`` becomes ``class``, ``aria_label`` becomes ``aria-label``.

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
    """Make a quiet message in place of content that cannot be shown."""
    return tag("div", tag("h3", line), tag("p", more, class_="rr-quiet"), class_="rr-notice")
