"""Which side a clause gives to a finding, and the same text seen in a mirror."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medembed.notes.findings import SIDED_FINDINGS
from medembed.notes.lexicon import Mention
from medembed.notes.lists import in_one_list
from medembed.notes.note import Side

__all__ = ["find_sides", "mirror_sides"]

# Words of side that tell nothing of where a finding lies.
_ELSEWHERE = re.compile(
    r"(?:shift\w*|deviat\w+|displace\w*|rotat\w+|convex\w*|tilt\w*)(?:\s+of\s+the\s+\w+)?\s+"
    r"(?:to|towards?)\s+the\s+(?:left|right)"
    r"|(?:left|right)[- ]convex"
    r"|(?:left|right)\s+(?:atri\w+|ventric\w+|heart|subclavian|internal|mastectomy|arm)",
)
_SIDE = re.compile(
    r"""\b(?:(?P<left>left(?:-?sided)?|lingular?|lll|lul)
          | (?P<right>right(?:-?sided)?|(?<!\w)middle\s+lobe|rll|rul|rml)
          | (?P<both>bilateral(?:ly)?|both|bibas(?:al|ilar)|biapical|biperihilar|bihilar))\b
      | (?<![\w.])(?:(?P<l>l)|(?P<r>r))(?=[ ](?!\d)|-?sided)
    """,
    re.VERBOSE,
)
_PLACED = re.compile(
    r"\b(?:in|on|of|at|within|over|overlying|involving|to|from|along|near|throughout|"
    r"affecting|across|by)\s+(?:the\s+|both\s+)?$",
)
_TURN = re.compile(r",|\band\b|\bwith\b|:")
_DENIES = re.compile(r"\b(?:no|not|nor|without)\b")
_ACCOMPANIES = re.compile(r"\bwith\s+(?:(?!no\b|new\b)[\w-]+\s+){0,3}$")
# "… in the right lobe and opacities in both bases": the second place is that of something else
_TELLS_ELSE = re.compile(
    r"(?:,|\band\b|\bwith\b)\s+"
    r"(?!(?:also|small\w*|larg\w+|less\w*|more|greater|extending)\s+\w+\s+(?:the\s+)?$)"
    r"(?:[\w-]+\s+){1,6}(?:in|on|of|at|within|over|involving)\s+(?:the\s+)?$"
)
_SWAP = re.compile(
    r"(?<![^\W_])(?P<word>left|right)(?=$|[\W_]|sided|wards?)|\b(?P<lobe>[RL](?=[UL]L\b))",
    re.IGNORECASE,
)


def find_sides(
    text: str, folded: str, start: int, end: int, mentions: Sequence[Mention]
) -> list[Side]:
    """Give each mention of a clause the side that the clause names for it.

    A side before a finding goes to the next finding ("left basal consolidation"), one in a phrase
    of place goes to the finding before it ("nodule in the left lung") unless there is none. What
    one item of a list has goes to those of the list that have none. Left and right together are
    bilateral. Only findings that lie on a side get one.

    Parameters
    ----------
    text, folded : str
        As written, where a single ``L`` or ``R`` tells a side, and in lower case.
    start, end : int
        Of the clause.
    mentions : sequence of Mention
        Of the clause, in order.

    Returns
    -------
    list of {"", "left", "right", "bilateral"}
    """
    found: list[set[str]] = [set() for _ in mentions]
    ahead: list[bool] = [False] * len(mentions)
    last: tuple[int, int] | None = None  # whose the last side was, and where it ended
    hidden = [match.span() for match in _ELSEWHERE.finditer(folded, start, end)]
    for match in _SIDE.finditer(folded, start, end):
        if any(low <= match.start() < high for low, high in hidden):
            continue
        if match.end() - match.start() == 1 and text[match.start()].islower():
            continue
        owner = _owner(folded, start, match, mentions)
        if owner is not None and not (
            last and last[0] == owner and _TELLS_ELSE.search(folded, last[1], match.start())
        ):
            last = (owner, match.end())
            found[owner].add(_side(match))
            ahead[owner] |= match.start() < mentions[owner].start
    _spread(folded, mentions, found, ahead)
    return [
        _merged(sides) if mention.label in SIDED_FINDINGS else ""
        for mention, sides in zip(mentions, found, strict=True)
    ]


def _side(match: re.Match[str]) -> str:
    if match["both"]:
        return "bilateral"
    return "left" if match["left"] or match["l"] else "right"


def _merged(sides: set[str]) -> Side:
    if "bilateral" in sides or len(sides) > 1:
        return "bilateral"
    return "left" if "left" in sides else "right" if "right" in sides else ""


def _owner(text: str, start: int, match: re.Match[str], mentions: Sequence[Mention]) -> int | None:
    """Which mention a word of side belongs to."""
    if not mentions:
        return None
    for i, mention in enumerate(mentions):
        if mention.start <= match.start() < mention.end:
            return i
    before = [i for i, m in enumerate(mentions) if m.end <= match.start()]
    after = [i for i, m in enumerate(mentions) if m.start >= match.end()]
    if not before or not after:
        return after[0] if after else before[-1]
    if _PLACED.search(text, max(start, match.start() - 24), match.start()):
        # "effusion and, on the left, a nodule" is rarer than "effusion on the left and a nodule"
        return before[-1]
    near = text[mentions[before[-1]].end : match.start()]
    far = text[match.end() : mentions[after[0]].start]
    if not _TURN.search(near) and _TURN.search(far):
        return before[-1]
    return after[0]


def _spread(
    text: str, mentions: Sequence[Mention], found: list[set[str]], ahead: list[bool]
) -> None:
    """Give what one item of a list has to its neighbours that have no side of their own."""
    own = [bool(sides) for sides in found]
    for i in range(1, len(mentions)):  # "right effusion and consolidation"
        joined = in_one_list(text, mentions[i - 1], mentions[i], _list_goes_on(text, mentions, i))
        gap = text[mentions[i - 1].end : mentions[i].start]
        same = mentions[i].label == mentions[i - 1].label and not _DENIES.search(gap)
        joined = joined or bool(_ACCOMPANIES.search(gap))
        if not own[i] and found[i - 1] and (joined or same):
            found[i] |= found[i - 1]
            ahead[i] = ahead[i - 1]
    for i in range(len(mentions) - 1, 0, -1):  # "effusion and consolidation on the right"
        joined = in_one_list(text, mentions[i - 1], mentions[i])
        if own[i] and not found[i - 1] and joined and not ahead[i]:
            found[i - 1] |= found[i]
            own[i - 1] = True
    for i in range(len(mentions) - 1):  # "effusion … : right effusion": the same named twice
        if not found[i] and mentions[i].label == mentions[i + 1].label:
            found[i] |= found[i + 1]


def _list_goes_on(text: str, mentions: Sequence[Mention], i: int) -> bool:
    """Whether a comma before mention ``i`` is one of a list that ends with and/or."""
    return i + 1 < len(mentions) and in_one_list(text, mentions[i], mentions[i + 1], comma=False)


def mirror_sides(text: str) -> str:
    """Swap left and right in a text, letter case kept; twice gives the text again.

    Examples
    --------
    >>> mirror_sides("LEFT effusion, right-sided nodule in the RUL, upright film")
    'RIGHT effusion, left-sided nodule in the LUL, upright film'
    """
    return _SWAP.sub(_mirrored, text)


def _mirrored(match: re.Match[str]) -> str:
    old = match.group()
    if match["lobe"]:
        return {"R": "L", "L": "R", "r": "l", "l": "r"}[old]
    new = "right" if old.lower() == "left" else "left"
    if old.isupper():
        return new.upper()
    return new.capitalize() if old[0].isupper() else new
