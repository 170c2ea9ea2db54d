"""Rank the cases of a gallery for a query: by its vector, what its texts state, and their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.index import Hits, SearchNote
from medembed.lookup.fused import AGREEMENT_WEIGHT, fused_hits
from medembed.lookup.note_words import WordMatch
from medembed.lookup.query_text import QueryTextReader, ReadText, term_notes

if TYPE_CHECKING:
    from medembed.lookup.gallery import Gallery
    from medembed.lookup.terms import QueryTerms

__all__ = ["Ranked", "rank"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ranked:
    """The best cases, and what their scores consist of.

    Parameters
    ----------
    hits : Hits
    agreements, bm25 : mapping of str to float
        Of each hit with the terms of the texts, and of its note with their words; empty if they
        do not count.
    agreement_weight : float
        Of the agreement beside the cosine.
    bm25_weight : float
        Of the words beside these two.
    words : tuple of str
        The words that were looked up.
    notes : tuple of SearchNote
    """

    hits: Hits
    agreements: Mapping[str, float] = field(default_factory=dict)
    bm25: Mapping[str, float] = field(default_factory=dict)
    agreement_weight: float = 0.0
    bm25_weight: float = 0.0
    words: tuple[str, ...] = ()
    notes: tuple[SearchNote, ...] = ()


def rank(
    vector: Floats,
    texts: Sequence[ReadText],
    reader: QueryTextReader,
    gallery: Gallery,
    k: int,
    allowed: npt.NDArray[np.bool_] | None = None,
    *,
    by_words: bool = True,
) -> Ranked:
    """Find the ``k`` best of the eligible cases, exactly if anything but the vector counts.

    Parameters
    ----------
    vector : float32 array, shape ``(1, d)``
        Of the whole query.
    texts : sequence of ReadText
    reader : QueryTextReader
    gallery : Gallery
    k : int
    allowed : bool array, shape ``(n,)``, optional
        Eligible cases; default: all.
    by_words : bool
        Whether BM25 of the notes counts.
    """
    stating = [text for text in texts if text.weight and text.terms.terms]
    words = _words(texts, reader, gallery) if by_words else None
    if not stating and words is None:
        return Ranked(gallery.index.search(vector, k, allowed))
    n = len(gallery.index)
    agreement, notes = np.zeros(n, dtype=np.float32), list[SearchNote]()
    weight = sum(AGREEMENT_WEIGHT * text.weight for text in stating)
    if stating:
        statements = reader.statements(gallery)
        total = sum(text.weight for text in stating)
        for text in stating:
            share = np.float32(text.weight / total)
            agreement += share * statements.agreement(text.terms.terms)
            notes += [note for note in term_notes(text.terms, statements) if note not in notes]
    columns = reader.words(gallery)
    hits = fused_hits(vector, gallery.index, columns.rank, agreement, weight, k, allowed, words)
    names = [name for name, _ in hits.of(0)]
    rows = gallery.index.positions_of(names)
    return Ranked(
        hits,
        dict(zip(names, agreement[rows].tolist(), strict=True)) if stating else {},
        dict(zip(names, words.shares[rows].tolist(), strict=True)) if words else {},
        weight,
        words.weight if words else 0.0,
        words.words if words else (),
        tuple(notes),
    )


def _words(
    texts: Sequence[ReadText], reader: QueryTextReader, gallery: Gallery
) -> WordMatch | None:
    """Return how well the notes match the words of all texts, weighted; None if not at all."""
    matches = [
        (text.weight, _match(text.terms, reader, gallery))
        for text in texts
        if text.weight and text.terms.unread
    ]
    weight = sum(share * match.weight for share, match in matches)
    if not weight:
        return None
    shares = np.zeros(len(gallery.index), dtype=np.float32)
    for share, match in matches:
        shares += np.float32(share * match.weight / weight) * match.shares
    words = dict.fromkeys(word for _, match in matches for word in match.words)
    return WordMatch(shares, weight, tuple(words))


def _match(terms: QueryTerms, reader: QueryTextReader, gallery: Gallery) -> WordMatch:
    columns = reader.words(gallery)
    if not terms.terms:
        return columns.match(terms.words, terms.unread)
    statements = reader.statements(gallery)
    return columns.match(terms.words, terms.unread, statements.opposed(terms))
