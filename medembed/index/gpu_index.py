"""The noun :class:`GpuIndex`: a :class:`CaseIndex` of which a GPU compares the rows, then proven.

The GPU names the rows with the best float32 products. That they hold the answer is proven as for
FAISS on the processor (:func:`medembed.index.exact.settle`); cases that a filter excludes are left
out here. What is not proven, and a filter that leaves few cases, is compared on the processor. So
ids, scores and ties are those of a :class:`CaseIndex` of kind ``"exact"``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings
from medembed.index.case_index import CaseIndex
from medembed.index.exact import CODED_QUERIES, best_rows, settle, top_labels
from medembed.index.gpu_rows import MOST_NAMED, GpuRows, require_gpu
from medembed.index.hits import Hits, Plan
from medembed.index.search_notes import SearchNote, SearchNoteKind, notes_on_count
from medembed.index.searching import unit_queries
from medembed.index.snapshot import FEWEST_ROWS, Snapshot
from medembed.index.validation import whole_count

__all__ = ["GpuIndex"]

_SPARE = 16
_MOST_ANSWERS = 1 << 20
"""Most rows named at once: 12 MB."""

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class GpuIndex(CaseIndex):
    """Unit vectors of cases, searched by cosine on a GPU. Create it by :meth:`of`.

    Examples
    --------
    >>> import faiss
    >>> cases = CaseIndex.build(np.eye(3), ["a", "b", "c"])
    >>> index = GpuIndex.of(cases, GpuRows(faiss.IndexFlatIP))  # leave it out for a GPU
    >>> index.search([[1, 0.5, 0]], k=2).case_ids.tolist()
    [['a', 'b']]
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._gpu = GpuRows()

    @classmethod
    def of(cls, index: CaseIndex, gpu: GpuRows | None = None) -> Self:
        """Return an index of the same cases that is searched on a GPU.

        Parameters
        ----------
        index : CaseIndex
            Of any kind: a graph is not used.
        gpu : GpuRows, optional
            Where rows are copied to when they are first searched. Default: the first GPU that
            CUDA shows.

        Raises
        ------
        InputError
            If FAISS sees no GPU.
        """
        if gpu is None:
            require_gpu()
        made = cls.__new__(cls)
        vars(made).update(vars(CaseIndex.copy(index)))  # the same state and lock
        made._gpu = GpuRows() if gpu is None else gpu
        return made

    def copy(self) -> Self:
        """Return an index that can be changed while this one stays as it is, at no cost."""
        return type(self).of(self, self._gpu)

    @property
    def kind(self) -> Literal["gpu"]:  # type: ignore[override]  # where it searches
        """Where it searches."""
        return "gpu"

    def search(
        self,
        queries: npt.ArrayLike | Embeddings,
        k: int = 10,
        allowed: Mask | Collection[str] | None = None,
    ) -> Hits:
        """Find the ``k`` nearest cases of each query: as :meth:`CaseIndex.search`, and exact.

        Raises
        ------
        QueryError
            If a query is not finite, all zeros or of the wrong dimension, or if ``k`` or
            ``allowed`` is not valid.
        FingerprintError
            If the queries are Embeddings of another model.
        """
        wanted = whole_count(k)
        state = self._state
        unit = unit_queries(queries, self._fingerprint, state.rows.shape[1], state.n_rows)
        mask = state.alive if allowed is None else state.mask(allowed)
        matching = state.n_rows if mask is None else int(mask.sum())
        take = min(wanted, matching)
        notes = notes_on_count(take, wanted)
        rows = np.empty((len(unit), take), dtype=np.intp)
        scores = np.empty((len(unit), take), dtype=np.float32)
        if take and len(unit):
            left = self._ask(state, unit, mask, matching, rows, scores)
            if left.size:
                is_few = left.size <= CODED_QUERIES and state.n_rows >= FEWEST_ROWS
                coded = self._first_pass(state) if is_few else state.first_pass
                rows[left], scores[left] = best_rows(
                    unit[left], state.rows, state.ids, take, mask, coded
                )
            if self._gpu.has_failed:
                notes += (SearchNote(SearchNoteKind.GPU_FAILED),)
        return Hits(state.ids.names(rows), scores, Plan("exact", matching, matching, notes), wanted)

    def _ask(
        self,
        state: Snapshot,
        queries: Floats,
        mask: Mask | None,
        matching: int,
        rows: Rows,
        scores: Floats,
    ) -> Rows:
        """Fill in what the GPU's answers prove; return the queries that are still open."""
        enough = rows.shape[1] + _SPARE
        pending = np.arange(len(queries), dtype=np.intp)
        # enough if all excluded cases are near, or twice what chance asks for
        count = min(enough + state.n_rows - matching, 2 * enough * state.n_rows // matching)
        while pending.size and count <= MOST_NAMED:
            n_blocks = -(-pending.size // max(1, _MOST_ANSWERS // count))
            blocks = np.array_split(pending, n_blocks)
            pending = np.concatenate(
                [self._settle(state, queries, mask, count, block, rows, scores) for block in blocks]
            )
            count = MOST_NAMED if count < min(MOST_NAMED, state.n_rows) else MOST_NAMED + 1
        return pending

    def _settle(
        self,
        state: Snapshot,
        queries: Floats,
        mask: Mask | None,
        count: int,
        block: Rows,
        rows: Rows,
        scores: Floats,
    ) -> Rows:
        named = self._gpu.nearest(state.buffer, queries[block], count)
        if named is None:
            return block
        fast, labels, bound = named
        # a row behind those of this state was added while it was searched
        is_eligible = (labels >= 0) & (labels < state.n_rows)
        if mask is not None:
            is_eligible &= mask[np.where(is_eligible, labels, 0)]
        fast, labels = top_labels(
            np.where(is_eligible, fast, np.float32(-np.inf)), labels, fast.shape[1]
        )
        take = rows.shape[1]
        if fast.shape[1] < take:
            return block
        return settle(
            queries, state.rows, state.ids, take, fast, labels, bound, block, rows, scores
        )
