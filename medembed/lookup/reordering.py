"""Reorder the first hits of a search by reading each image together with the text.

The scores that are shown stay those of the search. The order is that of ``scale * score + weight *
reading``: the search's own score, scaled as the towers were trained, and the reranker's. Only the
first 50 hits are read, and the set of these stays the same: filters and the exclusion of the
query's own patient come before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medembed.errors import QueryError
from medembed.index import SearchNote, SearchNoteKind
from medembed.model.reranking import CANDIDATES, ImageTokens

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["Reordered", "Reordering"]


@dataclass(frozen=True)
class Reordered:
    """Hits in the order in which they are shown.

    Parameters
    ----------
    near : sequence of (str, float)
        Case and score.
    scores : mapping of str to float
        The reranker's score of each case that was read, with its weight.
    notes : tuple of SearchNote
    """

    near: Sequence[tuple[str, float]]
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[SearchNote, ...] = ()


class Reordering:
    """Reads the first hits of searches in one library.

    Parameters
    ----------
    library : CaseLibrary
    model : callable
        Returns the model; called for queries with a text.
    """

    def __init__(self, library: CaseLibrary, model: Callable[[], DualEncoder]) -> None:
        self._library = library
        self._model = model
        self._tokens: ImageTokens | None = None
        self._lock = threading.Lock()

    def applies(self, wanted: bool | None, text: str) -> bool:
        """Return whether the hits are to be reordered.

        Parameters
        ----------
        wanted : bool or None
            None: as the model says.
        text : str
            What the query affirms; may be empty.

        Raises
        ------
        QueryError
            If it is wanted and cannot be done.
        """
        if wanted is False or (wanted is None and not text):
            return False
        reranker = getattr(self._model(), "reranker", None)
        if wanted is None:
            return reranker is not None and reranker.about.default
        if not text:
            raise QueryError(
                "the query affirms nothing that could be read together with the images",
                where="rerank",
                hint="give a text, or leave out rerank",
            )
        if reranker is None:
            raise QueryError(
                "this model has no reranker",
                where="rerank",
                hint="train one with medembed train LIBRARY --config rerank",
            )
        return True

    def reorder(
        self, near: Sequence[tuple[str, float]], text: str, share: float = 1.0
    ) -> Reordered:
        """Reorder the first hits.

        A case whose image cannot be read counts with the mean of the others.

        Parameters
        ----------
        near : sequence of (str, float)
            Case and score, best first.
        text : str
        share : float
            Weight of the text in the query.
        """
        reranker = getattr(self._model(), "reranker", None)
        if reranker is None or not near:
            return Reordered(near)
        first, behind = near[:CANDIDATES], near[CANDIDATES:]
        cases = {c.case_id: c for c in self._library.select([name for name, _ in first])}
        here = [name for name, _ in first if name in cases]  # others were erased meanwhile
        with self._lock:
            if self._tokens is None:
                self._tokens = ImageTokens(self._library, self._model())
            tokens = self._tokens.of([cases[name] for name in here])
        images = {name: rows for name, rows in zip(here, tokens, strict=True) if rows is not None}
        read: dict[str, float] = {}
        if images:
            found = reranker.scores(list(images.values()), text)
            read = dict(zip(images, found.tolist(), strict=True))
        scores = np.array([read.get(name, np.nan) for name, _ in first])
        fused = reranker.fused([score for _, score in first], scores, share)
        order = np.argsort(-fused, kind="stable")
        weight = share * reranker.about.weight
        note = SearchNote(SearchNoteKind.RERANKED, (len(first), len(first) - len(images)))
        return Reordered(
            [*(first[at] for at in order), *behind],
            {name: weight * score for name, score in read.items()},
            (note,),
        )
