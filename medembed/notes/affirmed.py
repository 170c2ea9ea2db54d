"""Separation of what a query asks for from what it denies: "effusion without cardiomegaly"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medembed.notes.clauses import find_sentences
from medembed.notes.lexicon import Mention, Sentence, read_sentence
from medembed.notes.note import Note
from medembed.notes.parse import fold
from medembed.notes.patterns import tokens_of
from medembed.notes.unknown import unknown_findings
from medembed.notes.vocabulary import Vocabulary

__all__ = ["SplitText", "split_denied"]

_JOINTS = frozenset(("but", "though", "although", "aber", "jedoch", "pero"))


@dataclass(frozen=True)
class SplitText:
    """A query text in two parts.

    Parameters
    ----------
    affirmed : str
        The text without its denials; empty if nothing is left that says what to look for.
    denied : tuple of (label, words)
        The denied findings and the words that name them, in order.
    """

    affirmed: str
    denied: tuple[tuple[str, str], ...]


def split_denied(note: Note, vocabulary: Vocabulary) -> SplitText:
    """Cut the denials out of a query text.

    A denial reaches from its trigger to the finding that it denies. A statement of normality
    ("normal heart size") denies a finding too, but describes what to look for: it stays.

    Parameters
    ----------
    note : Note
        The query, parsed with the vocabulary; a text in another language stays as it is.
    vocabulary : Vocabulary

    Examples
    --------
    >>> from medembed.notes import load_vocabulary, read_note
    >>> split_denied(read_note("left effusion without enlarged heart"), load_vocabulary("en"))
    SplitText(affirmed='left effusion', denied=(('cardiomegaly', 'enlarged heart'),))
    >>> split_denied(read_note("No evidence of pneumothorax."), load_vocabulary("en"))
    SplitText(affirmed='', denied=(('pneumothorax', 'pneumothorax'),))
    """
    text = note.text
    absent = {
        (a.start, a.end) for a in note.assertions if a.status == "absent" and not a.historical
    }
    if not absent:
        return SplitText(text, ())
    folded = fold(text)
    kept: list[str] = []
    denied: list[tuple[str, str]] = []
    for start, end in find_sentences(text, 0, len(text), vocabulary):
        sentence = read_sentence(folded, start, end, vocabulary)
        if sentence is None:
            kept.append(text[start:end])
            continue
        named = [m for m in sentence.mentions if m.label]
        out = [m for m in named if m.how != "normal" and (m.start, m.end) in absent]
        others = [m for m in named if m not in out]
        denied += [(m.label, text[m.start : m.end]) for m in out]
        rest = text[start:end]
        for first, last in sorted(_denials(sentence, out, others), reverse=True):
            rest = rest[: max(first - start, 0)] + " " + rest[last - start :]
        rest = _trimmed(rest, vocabulary)
        if others or (rest and unknown_findings(rest, vocabulary)):
            kept.append(rest)
    affirmed = ". ".join(part.strip() for part in kept if part.strip())
    return SplitText(affirmed, tuple(dict.fromkeys(denied)))


def _denials(
    sentence: Sentence, denied: list[Mention], others: list[Mention]
) -> list[tuple[int, int]]:
    """Return the spans from trigger to finding, overlapping ones joined."""
    tokens = sentence.tokens
    triggers = [
        t for t in sentence.triggers if any(g.kind in ("absent", "contrast") for g in t.groups)
    ]
    spans: list[tuple[int, int]] = []
    for mention in denied:
        first, last = mention.start, mention.end
        before = [t for t in triggers if t.last <= mention.first]
        after = [t for t in triggers if t.first >= mention.last]
        if before and not any(before[-1].last <= m.first < mention.first for m in others):
            first = tokens[before[-1].first].start
        elif after and not any(mention.last <= m.first < after[0].first for m in others):
            last = tokens[after[0].last - 1].end
        spans.append((first, last))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _trimmed(text: str, vocabulary: Vocabulary) -> str:
    """Drop signs and joining words that a cut left at either end."""
    file = vocabulary.file
    loose = {*file.ands, *file.ors, *file.withs, *vocabulary.function, *_JOINTS}
    tokens = tokens_of(fold(text))
    while tokens and (tokens[-1].word in loose or not tokens[-1].word[0].isalnum()):
        tokens.pop()
    while tokens and (tokens[0].word in loose or not tokens[0].word[0].isalnum()):
        tokens.pop(0)
    if not tokens:
        return ""
    return re.sub(r"\s+", " ", text[tokens[0].start : tokens[-1].end])
