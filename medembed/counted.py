"""Counts in messages, with words that agree with them."""

from __future__ import annotations

import re

__all__ = ["counted", "counted_line"]

_CHOICE = re.compile(r"\[([^][|]*)\|([^][|]*)\]")


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a count and its noun, in the singular for 1.

    Parameters
    ----------
    n : int
    noun : str
        In the singular.
    plural : str
        Default: the noun with an s.

    Examples
    --------
    >>> counted(1, "case"), counted(12, "case"), counted(0, "study", "studies")
    ('1 case', '12 cases', '0 studies')
    """
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def counted_line(n: int, text: str) -> str:
    """Return a count and what it counts, in the words that agree with it.

    Parameters
    ----------
    n : int
    text : str
        ``[a|b]`` is a for 1 and b for other counts.

    Examples
    --------
    >>> counted_line(1, "[study has|studies have] no report")
    '1 study has no report'
    >>> counted_line(2, "[study has|studies have] no report")
    '2 studies have no report'
    """
    return f"{n} " + _CHOICE.sub(r"\1" if n == 1 else r"\2", text)
