"""Ellipsis: the second half of a sentence refers to a finding without naming it.

"The effusion persists on the left but has resolved on the right": the second half is parsed as if
it named the finding again; otherwise its words would apply to the first side.
"""

from __future__ import annotations

from collections.abc import Sequence

from medembed.notes.patterns import Token
from medembed.notes.vocabulary import Vocabulary

__all__ = ["unnamed_finding"]

_ABSENT = ("gone", "absent")
_SIDED = ("left", "right")


def unnamed_finding(tokens: Sequence[Token], named: range, vocabulary: Vocabulary) -> int | None:
    """Return the token before which a sentence omits the finding that it named last.

    Parameters
    ----------
    tokens : sequence of Token
        Tokens of the sentence.
    named : range
        Tokens of its last finding.
    vocabulary : Vocabulary

    Returns
    -------
    int or None
        None if there is no ellipsis: each half must name one side, and the second half must begin
        with its side ("the right is unchanged") or differ in status.
    """
    turn = next((at for at in range(named.stop, len(tokens)) if _turns(tokens, at, vocabulary)), -1)
    if turn < 0:
        return None
    before, after = range(turn), range(turn + 1, len(tokens))
    one, other = _side(tokens, before, vocabulary), _side(tokens, after, vocabulary)
    if not one or not other or one[0] == other[0]:
        return None
    if not _denies(tokens, after, vocabulary) and not _describes(tokens, after, vocabulary):
        return None
    differ = _denies(tokens, before, vocabulary) != _denies(tokens, after, vocabulary)
    ones = vocabulary.file.classes.get("pronoun", ())
    one_at = next((at for at in after if tokens[at].word in ones), None)
    if differ and one_at is not None and one_at < other[1]:
        return one_at  # "but a small one on the right"
    first = turn + 1
    while first < len(tokens) and tokens[first].word in vocabulary.file.refers:
        first += 1  # "but the left persists"
    if first != other[1] and not differ:
        return None
    place = other[2] if first == other[1] else turn + 1
    return place if place < len(tokens) and _speaks(tokens, place, vocabulary) else None


def _turns(tokens: Sequence[Token], at: int, vocabulary: Vocabulary) -> bool:
    if tokens[at].word in (",", *vocabulary.file.ands):
        return at + 1 < len(tokens) and not _turns(tokens, at + 1, vocabulary)
    hit = vocabulary.marks.longest(tokens, at, len(tokens))
    return hit is not None and "ends" in hit[1]


def _side(
    tokens: Sequence[Token], where: range, vocabulary: Vocabulary
) -> tuple[str, int, int] | None:
    """Return the only side named in a part of a sentence, and its tokens."""
    found = [
        (hit[1][0], at, hit[0])
        for at in where
        if (hit := vocabulary.sides.longest(tokens, at, where.stop))
    ]
    return found[0] if len(found) == 1 and found[0][0] in _SIDED else None


def _denies(tokens: Sequence[Token], where: range, vocabulary: Vocabulary) -> bool:
    at = where.start
    while at < where.stop:
        hit = vocabulary.triggers.longest(tokens, at, where.stop)
        if hit and any(group.kind in _ABSENT for group in hit[1]):
            return True
        at = hit[0] if hit else at + 1
    return False


def _describes(tokens: Sequence[Token], where: range, vocabulary: Vocabulary) -> bool:
    """Whether words describe a finding: "is unchanged", "a small one", but not "is clear"."""
    if any(tokens[at].word in vocabulary.file.classes.get("sound", ()) for at in where):
        return False
    for at in where:
        hit = vocabulary.marks.longest(tokens, at, where.stop)
        if hit is not None and {"still", "sizes", "large"}.intersection(hit[1]):
            return True
    return False


def _speaks(tokens: Sequence[Token], at: int, vocabulary: Vocabulary) -> bool:
    """Whether a verb or an equivalent begins here: "persists", "has resolved"."""
    if tokens[at].word in vocabulary.file.classes.get("pronoun", ()):
        at += 1  # "the right one is small"
    if at < len(tokens) and tokens[at].word in vocabulary.verbs:
        return True
    mark = vocabulary.marks.longest(tokens, at, len(tokens))
    if mark is not None and "still" in mark[1]:
        return True
    hit = vocabulary.triggers.longest(tokens, at, len(tokens))
    return hit is not None and any(group.kind == "gone" for group in hit[1])
