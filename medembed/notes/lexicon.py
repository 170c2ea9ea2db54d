"""Classification of the words of a sentence: findings, triggers, joints, marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from medembed.notes.ellipsis import unnamed_finding
from medembed.notes.patterns import Phrases, Token, tokens_of
from medembed.notes.vocabulary import How, Vocabulary
from medembed.notes.vocabulary_file import TriggerGroup

__all__ = ["Joint", "Mention", "Sentence", "Trigger", "read_sentence", "walk"]

T = TypeVar("T")

_ASIDE = 4  # words in "though small and unchanged,"


@dataclass(frozen=True)
class Mention:
    """Words that name a finding, or a lookalike.

    Parameters
    ----------
    label : str
        Empty for what looks like a finding and is none.
    how : {"named", "normal", "doubtful", "none"}
    first, last : int
        Half-open range of tokens.
    start, end : int
        Where they stand in the report.
    """

    label: str
    how: How
    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True)
class Trigger:
    """Words that determine the status of a finding.

    Parameters
    ----------
    groups : tuple of TriggerGroup
    first, last : int
        Half-open range of tokens.
    """

    groups: tuple[TriggerGroup, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Joint:
    """A comma, a joining word, or both: ``", or"``.

    Parameters
    ----------
    kind : {"comma", "and", "or", "with", "paren", "break"}
    first, last : int
        Half-open range of tokens.
    comma : bool
        Whether a comma is in it.
    """

    kind: str
    first: int
    last: int
    comma: bool = False


@dataclass
class Sentence:
    """A sentence with classified words.

    Parameters
    ----------
    tokens : list of Token
    mentions, triggers, joints : list
        In order, without overlap.
    marks : dict of str to dict of int to int
        By name: where a marked phrase begins and ends, in tokens.
    links : frozenset of int
        Tokens behind "consistent with" and the like: what follows is where the finding before is.
    held : frozenset of int
        Tokens of triggers, also of those that only look like one.
    """

    tokens: list[Token]
    mentions: list[Mention]
    triggers: list[Trigger]
    joints: list[Joint] = field(default_factory=list)
    marks: dict[str, dict[int, int]] = field(default_factory=dict)
    links: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()

    def marked(self, name: str, at: int) -> bool:
        """Whether a phrase of this name begins at a token."""
        return at in self.marks.get(name, {})

    def any_marked(self, name: str, first: int, last: int) -> bool:
        """Whether a phrase of this name begins in a range."""
        return any(first <= at < last for at in self.marks.get(name, {}))


def read_sentence(folded: str, start: int, end: int, vocabulary: Vocabulary) -> Sentence | None:
    """Classify the words of a sentence; None if it names no finding.

    Parameters
    ----------
    folded : str
        The report in lower case.
    start, end : int
        Of the sentence.
    vocabulary : Vocabulary
    """
    tokens = tokens_of(folded, start, end)
    mentions: list[Mention] = []
    for first, last, namings in walk(vocabulary.namings, tokens):
        names = [n for n in namings if n.label] or namings[:1]
        mentions += [
            Mention(n.label, n.how, first, last, tokens[first].start, tokens[last - 1].end)
            for n in names
        ]
    if not any(mention.label for mention in mentions):
        return None
    named = mentions[-1]
    entry = vocabulary.findings.get(named.label)
    if entry and (entry.sided or entry.device):
        place = unnamed_finding(tokens, range(named.first, named.last), vocabulary)
        if place is not None:
            again = tokens[named.first : named.last]
            mentions.append(replace(named, first=place, last=place + len(again)))
            tokens[place:place] = again
    taken = {at for mention in mentions for at in range(mention.first, mention.last)}
    triggers = [
        Trigger(groups, first, last)
        for first, last, groups in walk(vocabulary.triggers, tokens, taken)
        if not _is_compound(tokens, first)
    ]
    held = {at for trigger in triggers for at in range(trigger.first, trigger.last)}
    marks: dict[str, dict[int, int]] = {}
    for at in range(len(tokens)):
        if at in taken and (at == 0 or at - 1 in taken):
            continue
        for stop, marked in vocabulary.marks.all_at(tokens, at, len(tokens)):
            for name in marked:
                if name == "previously" and at in held:
                    continue  # "not seen previously"
                if name == "ends" and _is_aside(tokens, at, vocabulary):
                    continue
                marks.setdefault(name, {})[at] = stop
    withs = vocabulary.file.withs
    links = frozenset(
        t.last
        for t in triggers
        if all(g.kind == "ignored" for g in t.groups) and tokens[t.last - 1].word in withs
    )
    triggers = [
        Trigger(groups, trigger.first, trigger.last)
        for trigger in triggers
        if (groups := tuple(g for g in trigger.groups if g.kind != "ignored"))
    ]
    sentence = Sentence(tokens, mentions, triggers, [], marks, links, frozenset(held))
    sentence.joints = _joints(tokens, taken | held, vocabulary)
    return sentence


def _is_aside(tokens: Sequence[Token], at: int, vocabulary: Vocabulary) -> bool:
    """Whether "though" is only an aside: "effusion, though small, is present"."""
    if at == 0 or tokens[at - 1].word != ",":
        return False
    words = [token.word for token in tokens[at + 1 : at + 2 + _ASIDE]]
    if "," not in words or words.index(",") + 1 >= len(words):
        return False
    comma = words.index(",")
    aside, following = words[:comma], words[comma + 1]
    return following in vocabulary.verbs and not vocabulary.verbs.intersection(aside)


def _is_compound(tokens: Sequence[Token], at: int) -> bool:
    """Whether a word is the end of a compound: "HER2-negative"."""
    if at < 2 or tokens[at - 1].word != "-":
        return False
    touches = tokens[at - 2].end == tokens[at - 1].start and tokens[at - 1].end == tokens[at].start
    return touches and tokens[at - 2].word[-1].isalnum()


def walk(
    phrases: Phrases[T], tokens: Sequence[Token], taken: set[int] | frozenset[int] = frozenset()
) -> list[tuple[int, int, tuple[T, ...]]]:
    """Yield the phrases in a sentence from left to right, the longest at each position."""
    found = []
    at = 0
    while at < len(tokens):
        hit = phrases.longest(tokens, at, len(tokens), taken)
        if hit is None:
            at += 1
        else:
            found.append((at, hit[0], hit[1]))
            at = hit[0]
    return found


def _joints(tokens: Sequence[Token], held: set[int], vocabulary: Vocabulary) -> list[Joint]:
    joints: list[Joint] = []
    at = 0
    while at < len(tokens):
        kinds = []
        first = at
        while at < len(tokens) and at not in held:
            kind = _joint_kind(tokens, at, vocabulary)
            if not kind:
                break
            kinds.append(kind)
            at += 1
        if kinds:
            named = next(
                (k for k in ("break", "paren", "with", "or", "and") if k in kinds), "comma"
            )
            joints.append(Joint(named, first, at, "comma" in kinds))
        else:
            at += 1
    return joints


def _joint_kind(tokens: Sequence[Token], at: int, vocabulary: Vocabulary) -> str:
    word = tokens[at].word
    file = vocabulary.file
    if word == ",":
        return "comma"
    if word == "(":
        return "paren"
    if word == ":":
        return "break"
    if word in ("-", "–", "—"):
        before = at > 0 and tokens[at - 1].end < tokens[at].start
        behind = at + 1 < len(tokens) and tokens[at].end < tokens[at + 1].start
        if before and not behind and vocabulary.sides.longest(tokens, at + 1, len(tokens)):
            return "break"  # "no consolidation -left effusion"
        return "break" if before and behind else ""
    if word == "/":
        sides = at > 0 and at + 1 < len(tokens)
        letters = sides and tokens[at - 1].word[0].isalpha() and tokens[at + 1].word[0].isalpha()
        return "or" if letters else ""
    if word in file.ors:
        return "or"
    if word in file.ands:
        return "and"
    if word in file.withs:
        return "with"
    return ""
