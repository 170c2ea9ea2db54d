"""A section into clauses: the reach that a negation, a doubt or a side can have."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["find_clauses"]

_LONGEST = 800  # no clause of a person is longer; keeps the reading linear whatever comes

# The end of a sentence, but not after an abbreviation, an initial, or within a number.
_END = re.compile(
    r"""(?=[.!?;\n,\s])(?:(?<!\bDr)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)(?<!\bNo)[.!](?=\s|$)
      | (?<=\w)\?(?=\s+[A-Z]|\s*$|\s*\n)
      | ;
      | \n[ \t]*\n
      | \n(?=[ \t]*(?:[-*•–]|\d{1,2}[.)]|[A-Z]))
      | [,]?\s\b(?i:but|however|although|though|whereas|except|nevertheless|otherwise|yet|
                   apart\ from|aside\ from|other\ than)\b
      | ,?\s(?i:and)\ (?=(?:the|there)\b(?!\s+(?:left|right)\b))
      | ,\s(?=(?:the|there|it)\s+(?:\w+\s+){0,4}
               (?:is|are|has|have|was|were|shows?|appears?|remains?)\b)
      | \swhile\s)
    """,
    re.VERBOSE,
)
_BULLET = re.compile(r"\s*(?:[-*•–]\s*|\d{1,2}[.)]\s+)?")


def find_clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the clauses between two places as half-open spans, in order, bullets left out."""
    here = start
    for match in _END.finditer(text, start, end):
        stop = match.end() if match.group() == "?" else match.start()
        yield from _pieces(text, here, stop)
        here = match.end()
    yield from _pieces(text, here, end)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    bullet = _BULLET.match(text, start, end)
    start = bullet.end() if bullet else start
    while end - start > _LONGEST:
        cut = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
        cut = cut if cut > 0 else start + _LONGEST
        yield start, cut
        start = cut
    if text[start:end].strip():
        yield start, end
