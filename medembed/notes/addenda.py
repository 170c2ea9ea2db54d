"""Corrections by an addendum to the report above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from medembed.notes.note import Assertion, Section, Side
from medembed.notes.patterns import Token, tokens_of
from medembed.notes.vocabulary import Vocabulary

__all__ = ["corrected"]

_NEAR = 3
_OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


def corrected(
    folded: str,
    sections: Sequence[Section],
    read: Sequence[tuple[Section, list[Assertion]]],
    vocabulary: Vocabulary,
) -> list[Assertion]:
    """Join the assertions of a report's sections and apply the corrections of addenda.

    If an addendum mentions a finding again, earlier assertions about it are removed: all of them if
    the addendum is a correction ("should read", "not left"), else the contradicting ones. An
    addendum that adds something ("also", another side) keeps the rest. One that corrects a side
    without naming a finding swaps the earlier sides.

    Parameters
    ----------
    folded : str
        The report in lower case.
    sections : sequence of Section
        All of them, in order.
    read : sequence of (Section, list of Assertion)
        The sections searched for findings, in order.
    vocabulary : Vocabulary
    """
    said: list[Assertion] = []
    headed = {s.start: before.end for before, s in pairwise(sections)}  # the heading included
    for section, stated in read:
        assertions = stated
        if section.name == "addendum":
            tokens = tokens_of(folded, headed.get(section.start, 0), section.end)
            corrects = _has(tokens, vocabulary, "corrects")
            if not assertions and corrects:
                said = _with_corrected_sides(said, tokens, vocabulary)
            last = {a.label: a for a in stated}
            if corrects or len({a.side for a in stated}) == 1:
                assertions = [a for a in stated if a.status == last[a.label].status]
            later = dict.fromkeys(
                (replace(a, start=0, end=0), corrects or _refers(folded, a, vocabulary))
                for a in assertions
            )  # each once, so that the time is linear in the text
            for again, meant in later:
                said = [a for old in said for a in _after(old, again, meant)]
        said += assertions
    return said


def _has(tokens: Sequence[Token], vocabulary: Vocabulary, name: str) -> bool:
    hits = (vocabulary.marks.longest(tokens, at, len(tokens)) for at in range(len(tokens)))
    return any(hit is not None and name in hit[1] for hit in hits)


def _refers(folded: str, later: Assertion, vocabulary: Vocabulary) -> bool:
    """Whether an addendum refers to a finding mentioned before: "the fracture"."""
    before = tokens_of(folded, max(0, later.start - _NEAR * 12), later.start)[-_NEAR:]
    return any(token.word in vocabulary.file.refers for token in before)


def _after(old: Assertion, later: Assertion, corrects: bool) -> list[Assertion]:
    """Return what remains of an assertion after a later one about the same finding."""
    if old.label != later.label or later.historical:
        return [old]
    if corrects:
        return []
    if old.status == later.status:
        return [old]
    if later.status == "absent" and later.side and old.side == "bilateral":
        return [replace(old, side=_OTHER.get(later.side, ""))]
    apart = {old.side, later.side} == {"left", "right"}
    return [old] if apart else []


def _with_corrected_sides(
    said: list[Assertion], tokens: Sequence[Token], vocabulary: Vocabulary
) -> list[Assertion]:
    """Swap earlier sides if an addendum only corrects a side."""
    sides: list[Side] = []
    for at in range(len(tokens)):
        hit = vocabulary.sides.longest(tokens, at, len(tokens))
        if hit is not None and hit[1][0] in ("left", "right"):
            sides.append("left" if hit[1][0] == "left" else "right")
    if len(set(sides)) == 1:
        wrong = _OTHER[sides[0]]  # "this should be right lower lobe"
        return [replace(a, side=sides[0]) if a.side == wrong else a for a in said]
    if not sides:
        return said
    labels = {a.label for a in said if a.side in _OTHER and a.status != "absent"}
    if len({a.side for a in said if a.side in _OTHER}) != 1 and len(labels) != 1:
        return [replace(a, side="") if a.side in _OTHER else a for a in said]
    return [replace(a, side=_OTHER.get(a.side, a.side)) for a in said]
