"""Findings of a query that the vocabulary does not know."""

from __future__ import annotations

from medembed.notes.language import detect
from medembed.notes.patterns import Token, tokens_of
from medembed.notes.vocabulary import Vocabulary, load_vocabulary

__all__ = ["is_known_finding", "unknown_findings"]

_SHORT = 12
"""Words up to which each word of a query is taken to name something that is looked for."""
_SHORTEST_WORD = 4


def is_known_finding(label: str, vocabulary: Vocabulary | None = None) -> bool:
    """Whether a vocabulary has a finding of this label."""
    return label in (vocabulary or load_vocabulary("en")).findings


def unknown_findings(text: str, vocabulary: Vocabulary | None = None) -> tuple[str, ...]:
    """Give the words of a query that seem to name a finding and are not in the vocabulary.

    In a short query that is every word which names no finding, place, size, side or the like; in a
    longer text, a pasted report, only words that end as diseases do ("-itis").

    Parameters
    ----------
    text : str
        In another language than the vocabulary's, nothing is given.
    vocabulary : Vocabulary, optional
        By default the package's for English.

    Examples
    --------
    >>> unknown_findings("left effusion with eggshell sign")
    ('eggshell',)
    >>> unknown_findings("small left effusion, no pneumothorax")
    ()
    """
    vocabulary = vocabulary or load_vocabulary("en")
    if (detect(text) or vocabulary.language) != vocabulary.language:
        return ()
    tokens = tokens_of(text.lower())
    is_short = sum(token.word[0].isalpha() for token in tokens) <= _SHORT
    found: list[str] = []
    at, last = 0, -1
    while at < len(tokens):
        known = _known(tokens, at, vocabulary)
        if known > at:
            at = known
            continue
        word = tokens[at].word
        named = word.endswith(vocabulary.file.finding_endings)
        if word.isalpha() and len(word) >= _SHORTEST_WORD and (is_short or named):
            if last == at - 1 and found:
                found[-1] = f"{found[-1]} {word}"
            else:
                found.append(word)
            last = at
        at += 1
    return tuple(dict.fromkeys(found))


def _known(tokens: list[Token], at: int, vocabulary: Vocabulary) -> int:
    """Token behind the longest phrase at a place that the vocabulary knows; ``at`` if none."""
    if tokens[at].word in vocabulary.function or tokens[at].word in vocabulary.relations:
        return at + 1
    known = (
        vocabulary.namings,
        vocabulary.triggers,
        vocabulary.sides,
        vocabulary.marks,
        vocabulary.plain,
        vocabulary.patient,
        vocabulary.headings,
    )
    hits = (phrases.longest(tokens, at, len(tokens)) for phrases in known)
    return max((hit[0] for hit in hits if hit), default=at)
