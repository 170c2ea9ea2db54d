"""Split a section into sentences, which bound the reach of negation, doubt and side."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medembed.notes.vocabulary import Vocabulary

__all__ = ["find_sentences"]

_LONGEST = 800  # no real sentence is longer; keeps parsing linear for any input
_WRAPPED = 60  # least line length of a text that counts as wrapped

_STOP = re.compile(
    r"""(?P<stop>[.!])(?=\s|$)
      | (?P<joined>(?<=\d)\.(?=[A-Z][a-z])
          | (?:(?<=[^\W\d_]{2})[.!]|(?<=[^\W\d_]\))[.!])
            (?=[^\W\d_]{2}|[LR][ ]|\d{1,2}[.)\s]|\[))
      | (?P<ask>\?)(?=\s+[A-Z]|\s*$|\s*\n)
      | ;
      | \.{2,}|…
      | \\\.br\\
      | \n[ \t]*\n
      | \n(?=[ \t]*(?:[-*•–>▪]|\d{1,2}[.)]\s|\[[ xX]?\]|[☐☑☒✓✗]))
      | (?<=\w)\s(?=\d{1,2}[.)]\s*[A-Z][\w\s])
      | (?P<line>\r?\n)(?=[ \t]*(?P<next>[A-Z]\S*))
    """,
    re.VERBOSE,
)
_BULLET = re.compile(r"\s*(?:[-*•–>▪](?!\s?v?e\b)\s*|\d{1,2}[.)](?!\d)\s*)?")
_LAST_WORD = re.compile(r"([^\W_]+)$")


def find_sentences(
    text: str, start: int, end: int, vocabulary: Vocabulary
) -> Iterator[tuple[int, int]]:
    """Yield the sentences between two positions as half-open spans, without bullets.

    A line break ends a sentence only if the next line begins with a capital and the line before
    can end there: a wrapped line, or one that ends with "of" or a comma, continues.
    """
    here = start
    width = _width(text, start, end)
    for match in _STOP.finditer(text, start, end):
        if _continues(text, here, match, vocabulary, width):
            continue
        stop = match.end() if match["ask"] else match.start()
        yield from _pieces(text, here, stop)
        here = match.end()
    yield from _pieces(text, here, end)


def _width(text: str, start: int, end: int) -> int:
    return max(map(len, text[start:end].split("\n")), default=0)


def _continues(
    text: str, here: int, match: re.Match[str], vocabulary: Vocabulary, width: int
) -> bool:
    """Whether the sentence continues after an apparent end."""
    at = match.start()
    word = _LAST_WORD.search(text, max(here, at - 24), at)
    last = word[1].lower() if word else ""
    if match["stop"] or match["joined"]:
        if last in vocabulary.abbreviations:
            return True
        if last == "no":
            return bool(re.match(r"[.]\s*\d", text[at : at + 8]))
        single = len(last) == 1 and last.isalpha() and word is not None
        return single and bool(re.match(r"\.\s+[^\W\d_]", text[at : at + 8]))
    if match["ask"]:
        return text[here:at].rstrip()[-1:] in {"", ",", "(", ":", "/"}  # "effusion, ? nodule"
    if match["line"] is None:
        return False
    line_start = text.rfind("\n", here, at) + 1 or here
    line = text[line_start:at].rstrip()
    if line.endswith(",") or last in vocabulary.open_line:
        return True
    if line.endswith((":", ")")) or not line:
        return False
    fits = len(line) + 1 + len(match["next"]) <= width
    capitals = match["next"].isupper() and len(match["next"]) > 1
    if fits or width < _WRAPPED or not capitals:
        return False
    return match["next"].lower() not in vocabulary.starters


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
