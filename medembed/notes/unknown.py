"""Findings of a query that are missing from the vocabulary."""

from __future__ import annotations

from medembed.notes.language import detect
from medembed.notes.patterns import Token, tokens_of
from medembed.notes.vocabulary import Vocabulary, load_vocabulary

__all__ = ["SHORT", "is_known_finding", "unknown_findings", "unread_words"]

SHORT = 12
"""Up to this many words, every word of a query may name a finding."""
_SHORTEST_WORD = 4


def is_known_finding(label: str, vocabulary: Vocabulary | None = None) -> bool:
    """Return whether a vocabulary has a finding with this label."""
    return label in (vocabulary or load_vocabulary("en")).findings


def unknown_findings(text: str, vocabulary: Vocabulary | None = None) -> tuple[str, ...]:
    """Return words of a query that seem to name a finding missing from the vocabulary.

    In a short query, this is every word that is not a finding, place, size, side or similar; in a
    longer text, such as a pasted report, only words with the ending of a disease ("-itis").

    Parameters
    ----------
    text : str
        The result is empty for another language than the vocabulary's.
    vocabulary : Vocabulary, optional
        Default: the packaged English one.

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
    is_short = sum(token.word[0].isalpha() for token in tokens) <= SHORT
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


def unread_words(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the words, in small letters, that no phrase of the vocabulary covers: names, too.

    Unlike :func:`unknown_findings`, it leaves out no word, however short or in whatever language.
    """
    tokens = tokens_of(text.lower())
    found: list[str] = []
    at = 0
    while at < len(tokens):
        known = _known(tokens, at, vocabulary)
        if known == at and any(char.isalpha() for char in tokens[at].word):
            found.append(tokens[at].word)
        at = max(known, at + 1)
    return tuple(dict.fromkeys(found))


def _known(tokens: list[Token], at: int, vocabulary: Vocabulary) -> int:
    """Return the token after the longest known phrase at a position; ``at`` if there is none."""
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
