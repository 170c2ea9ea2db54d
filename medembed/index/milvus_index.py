"""The noun :class:`MilvusIndex`: the nearest cases as a Milvus server finds them, then proven.

The server compares all eligible cases (an index of type FLAT) and names the nearest. Their scores
are computed again from our own vectors, in the arithmetic of :mod:`medembed.index.exact`, and a
bound on the server's rounding tells whether a case that it did not name could be among them. If
so, it is asked for more, and in the end all eligible vectors are compared here. So ids, scores and
ties are those of an exact :class:`medembed.index.CaseIndex`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.embeddings import Embeddings
from medembed.errors import IndexServerError, InputError, InternalError, QueryError
from medembed.index.exact import best_rows, order_candidates
from medembed.index.hits import Hits, Plan
from medembed.index.milvus_asking import Ask, ways
from medembed.index.milvus_collection import BUCKETS, MOST_HITS, MilvusCollection
from medembed.index.milvus_content import Content, content_of
from medembed.index.milvus_state import State
from medembed.index.search_notes import notes_on_count
from medembed.index.searching import unit_queries
from medembed.index.validation import checked_names, checked_vectors, whole_count

__all__ = ["MilvusIndex", "Writing"]

Writing = Callable[[], AbstractContextManager[bool]]
"""Held while the server is written; tells whether it may be, that is, whether ours is current."""

_GROWTH = 8
_QUERIES = 64
_TRIES = 3
_MANY_CHANGES = 4096

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class MilvusIndex:
    """Unit vectors of cases, searched by cosine on a Milvus server.

    Safe to use from several threads. A search finds out before and after whether the server holds
    exactly these vectors, and brings it up to date if not.

    Parameters
    ----------
    case_ids : sequence of str
    vectors : float32 array, shape ``(n, d)``, unit rows
        Kept, not copied; may be mapped from a file.
    fingerprint : str
        Fingerprint of the model.
    collection : MilvusCollection
        Of these cases and this model alone.
    key : bytes
        The library's secret key.
    sites : mapping of str to str, optional
        Site of each case: each has a partition of its own.
    writing : callable, optional
        As :data:`Writing`. Where the server may not be written, an answer is computed here.
    """

    def __init__(
        self,
        case_ids: Sequence[str],
        vectors: Floats,
        fingerprint: str,
        collection: MilvusCollection,
        *,
        key: bytes,
        sites: Mapping[str, str] | None = None,
        writing: Writing = lambda: nullcontext(True),
    ) -> None:
        self._lock = threading.RLock()
        self._fingerprint = fingerprint
        self._collection = collection
        self._key = key
        self._sites = sites
        self._writing = writing
        self._state = self._state_of(tuple(case_ids), vectors)

    def _state_of(self, ids: tuple[str, ...], vectors: Floats) -> State:
        names = np.empty(len(ids), dtype=object)
        names[:] = ids
        rank = np.empty(len(ids), dtype=np.intp)
        rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
        row_of = {name: row for row, name in enumerate(ids)}
        content = content_of(ids, vectors, self._key, self._sites)
        return State(ids, names, vectors, rank, row_of, content)

    def __len__(self) -> int:
        return len(self._state.ids)

    def __repr__(self) -> str:
        return f"MilvusIndex({counted(len(self), 'case')}, {counted(self.dim, 'dimension')})"

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._state.row_of

    @property
    def kind(self) -> Literal["milvus"]:
        """Where it searches."""
        return "milvus"

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model that made the vectors; may be empty for arrays."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Dimension of the vectors; 0 for an index built from nothing."""
        return int(self._state.vectors.shape[1])

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids in the order of the rows, which a bool mask refers to."""
        return self._state.ids

    @property
    def vectors(self) -> Floats:
        """The unit vectors, shape ``(n, d)``: ours, not the server's."""
        return self._state.vectors

    def mask(self, case_ids: Collection[str]) -> Mask:
        """Return which rows are those of the given cases; unknown ids are ignored."""
        return self._state.mask(checked_names(case_ids, QueryError))

    def positions_of(self, case_ids: Collection[str]) -> Rows:
        """Return the place of each case in :attr:`case_ids`; -1 for cases that are not here."""
        return self._state.rows_of(checked_names(case_ids, QueryError))

    def vector(self, case_id: str) -> Floats:
        """Return the vector of one case, shape ``(d,)``; QueryError if it has none."""
        state = self._state
        if case_id not in state.row_of:
            raise QueryError("the index has no vector for this case")
        vector: Floats = state.vectors[state.row_of[case_id]]
        return vector

    # the server's copy

    def synchronize(self, *, thorough: bool = False) -> tuple[int, int]:
        """Make the server hold exactly these cases; return how many were sent and removed.

        A changed vector counts as both. Nothing is done where the server may not be written.

        Parameters
        ----------
        thorough : bool
            Compare every row, not only what the collection says of itself.

        Raises
        ------
        IndexServerError
            If the server cannot be reached or refuses.
        """
        with self._lock:
            content = self._state.content
            if not self.dim or (not thorough and self._collection.state() == content.state):
                return 0, 0
            with self._writing() as may_write:
                return self._bring(content, thorough) if may_write else (0, 0)

    def _bring(self, content: Content, thorough: bool) -> tuple[int, int]:
        there = self._collection
        there.create()
        sums = None if thorough else there.sums()
        own = np.arange(content.keys.size, dtype=np.intp)
        listed: list[int] | None = None
        if sums is not None:
            differing = np.flatnonzero(sums != content.sums)
            if differing.size <= BUCKETS // 2:
                listed = differing.tolist()
                own = own[np.isin(content.buckets, differing)]
        keys, digests = there.listing(listed)
        rows = content.rows(keys)
        same = rows >= 0
        same[same] = content.digests[rows[same]] == digests[same]
        is_there = np.zeros(content.keys.size, dtype=bool)
        is_there[rows[same]] = True
        is_there[rows[~same & (rows >= 0)]] = False  # deleted by its number, in every partition
        new, gone = own[~is_there[own]], np.unique(keys[~same])
        if thorough and not new.size and not gone.size and there.state() == content.state:
            return 0, 0
        there.mark("")  # from here on nobody takes an answer from it
        there.delete(gone)
        for number, partition in enumerate(content.partitions):
            its = new[content.partition_of[new] == number]
            if its.size:
                there.send(
                    partition,
                    content.keys[its],
                    content.buckets[its],
                    content.digests[its],
                    self._state.vectors,
                    its,
                )
        if gone.size + new.size > _MANY_CHANGES:
            there.settle()
        there.mark(content.state, content.sums)
        return int(new.size), int(gone.size)

    # searching

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
        IndexServerError
            If the server cannot be reached or refuses.
        """
        state = self._state
        wanted = whole_count(k)
        unit = unit_queries(queries, self._fingerprint, state.vectors.shape[1], len(state.ids))
        mask = None if allowed is None else state.mask(allowed)
        matching = len(state.ids) if mask is None else int(mask.sum())
        take = min(wanted, matching)
        notes = notes_on_count(take, wanted)
        rows = np.empty((len(unit), take), dtype=np.intp)
        scores = np.empty((len(unit), take), dtype=np.float32)
        if take and len(unit):
            found = mask if matching < len(state.ids) else None
            self._fill(state, unit, found, rows, scores)
        return Hits(state.names[rows], scores, Plan("exact", matching, matching, notes), wanted)

    def _fill(
        self, state: State, queries: Floats, mask: Mask | None, rows: Rows, scores: Floats
    ) -> None:
        """Fill in rows and scores from answers of a server that held just this state."""
        for _ in range(_TRIES):
            if self._is_in_step(state):
                self._ask(state, queries, mask, rows, scores)
                if self._collection.state() == state.content.state:
                    return
        # others are changing the server, or it may not be written from here
        rows[:], scores[:] = best_rows(queries, state.vectors, state.rank, rows.shape[1], mask)

    def _is_in_step(self, state: State) -> bool:
        """Return whether the server holds this state, after bringing it there if need be."""
        if self._collection.state() == state.content.state:
            return True
        with self._lock:
            if self._state is state:
                self.synchronize()
        return self._collection.state() == state.content.state

    def _ask(
        self, state: State, queries: Floats, mask: Mask | None, rows: Rows, scores: Floats
    ) -> None:
        take = rows.shape[1]
        pending = np.arange(len(queries), dtype=np.intp)
        for ask in ways(state.content, mask, take):
            limit = ask.first_limit
            while pending.size and limit <= MOST_HITS:
                still = [
                    self._settle(state, queries, mask, rows, scores, ask, limit, block)
                    for block in np.array_split(pending, -(-pending.size // _QUERIES))
                ]
                pending = np.concatenate(still)
                if limit == MOST_HITS:
                    break
                limit = min(MOST_HITS, limit * _GROWTH)
            if not pending.size:
                return
        rows[pending], scores[pending] = best_rows(
            queries[pending], state.vectors, state.rank, take, mask
        )

    def _settle(
        self,
        state: State,
        queries: Floats,
        mask: Mask | None,
        rows: Rows,
        scores: Floats,
        ask: Ask,
        limit: int,
        block: Rows,
    ) -> Rows:
        """Fill in what the server's answers prove; return the queries that are still open."""
        take = rows.shape[1]
        # a score of the server errs by at most d * 2**-24; twice that, as its order of summing
        # and fused products are not known
        slack = 2 * (state.vectors.shape[1] + 4) * 2.0**-24
        near: list[list[Rows]] = [[] for _ in block]
        bound = np.full(block.size, -np.inf)
        for where in ask.filters:
            answers = self._collection.search(queries[block], limit, ask.partitions, where)
            if len(answers) != block.size:
                raise IndexServerError("the index server answered another number of queries")
            for place, (keys, fast) in enumerate(answers):
                found = self._checked(state, keys, mask if where else None)
                near[place].append(found if mask is None else found[mask[found]])
                if keys.size >= limit:
                    bound[place] = max(bound[place], float(fast.min()))
        still = []
        for place, query in enumerate(block):
            candidates = np.unique(np.concatenate(near[place]))
            if candidates.size >= take:
                best, own = order_candidates(
                    queries[query], state.vectors, state.rank, candidates, take
                )
                if own[-1] > bound[place] + slack:
                    rows[query], scores[query] = best, own
                    continue
            still.append(query)
        return np.array(still, dtype=np.intp)

    def _checked(self, state: State, keys: Keys, mask: Mask | None) -> Rows:
        found = state.content.rows(keys)
        if (found < 0).any():
            raise IndexServerError(
                "the index server returned a case that is not in the library",
                hint="run medembed verify LIBRARY",
            )
        if mask is not None and not mask[found].all():
            raise InternalError("the index server returned a case that the filter excludes")
        return found

    # changing it

    def add(self, vectors: npt.ArrayLike, case_ids: Sequence[str]) -> None:
        """Add cases, here and on the server; InputError, with nothing added, if an id exists."""
        names, unit = checked_vectors(vectors, case_ids)
        ids = tuple(names)
        if not ids:
            return
        if len(set(ids)) != len(ids):
            raise InputError("duplicate case id")
        with self._lock:
            old = self._state
            if any(name in old.row_of for name in ids):
                raise InputError("the index already holds one of these case ids; remove it first")
            if (old.ids or self.dim) and unit.shape[1] != self.dim:
                raise InputError(f"vectors have dimension {unit.shape[1]}, the index {self.dim}")
            rows = np.concatenate([old.vectors, unit]) if old.ids else unit
            self._collection.dim = int(unit.shape[1])
            self._state = self._state_of(old.ids + ids, rows)
            self.synchronize()

    def remove(self, case_ids: Collection[str]) -> None:
        """Remove cases, here and on the server; InputError, with nothing removed, if one lacks."""
        names = set(checked_names(case_ids, InputError))
        with self._lock:
            old = self._state
            if not names <= old.row_of.keys():
                raise InputError("the index does not hold one of these case ids")
            keep = np.array([name not in names for name in old.ids], dtype=bool)
            ids = tuple(name for name in old.ids if name not in names)
            self._state = self._state_of(ids, old.vectors[keep])
            self.synchronize()
