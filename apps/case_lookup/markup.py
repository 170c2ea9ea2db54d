"""HTML that cannot be broken by what stands in it: every plain string is escaped."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "join", "notice", "tag"]

_VOID = frozenset({"img", "br", "hr"})


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def _escaped(child: str | None) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escape(child)


def join(*children: str | None) -> Markup:
    """Put pieces beside one another; plain strings are escaped, None is nothing.

    Examples
    --------
    >>> join("a < b", Markup("<br>"))
    'a &lt; b<br>'
    """
    return Markup("".join(_escaped(child) for child in children))


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
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
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
