"""Whether two findings stand in one list, so that what is said of one is said of both."""

from __future__ import annotations

import re

from medembed.notes.lexicon import Mention

__all__ = ["in_one_list"]

_GAP = re.compile(
    r"\s*(?P<link>,?\s*(?:and/or|and|or|nor|&|plus|with|versus|vs\.?)\b|[,/&+])(?P<words>(?:\s+[\w-]+){0,4})\s*",
)
_NO_LIST = re.compile(
    r"\b(?:no|not|without|is|are|was|were|has|have|in|at|on|of|which|there|possibl[ey]|probabl[ey]|"
    r"likely|cannot|resolved)\b",
)


def in_one_list(text: str, one: Mention, other: Mention, comma: bool = True) -> bool:
    """Whether only a conjunction and a few words that describe stand between two mentions.

    Parameters
    ----------
    text : str
        In lower case.
    one, other : Mention
        In the order of the text.
    comma : bool
        Whether a bare comma joins as well.
    """
    if other.start == one.start:
        return True  # one word that names two findings
    match = _GAP.fullmatch(text, one.end, max(one.end, other.start))
    if match is None or _NO_LIST.search(match["words"]):
        return False
    return comma or match["link"].strip() not in (",", "/")
