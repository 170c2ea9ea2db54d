"""The noun :class:`CaseIndex`: nearest cases by cosine similarity, exact under filters."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.embeddings import Embeddings
from medembed.errors import FingerprintError, InputError, QueryError
from medembed.index.exact import best_rows, order_candidates
from medembed.index.hits import Hits, Plan
from medembed.index.hnsw import HnswGraph
from medembed.index.sealed_files import read_sealed, write_sealed
from medembed.index.search_notes import SearchNote, SearchNoteKind
from medembed.index.snapshot import (
    MOST_SPARE_NODES,
    Snapshot,
    prepared,
    read_snapshot,
    snapshot_files,
    snapshot_of,
    without_removed,
)
from medembed.index.validation import (
    allowed_rows,
    checked_names,
    checked_queries,
    checked_vectors,
    whole_count,
)

__all__ = ["CaseIndex", "IndexKind"]

IndexKind = Literal["auto", "exact", "hnsw"]

_FORMAT = 1

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class CaseIndex:
    """Unit vectors of cases, searched by cosine. Create it by :meth:`build` or :meth:`load`.

    One thread may change it while others search: each search sees the index before or after a
    change, never in between.

    Examples
    --------
    >>> index = CaseIndex.build(np.eye(3), ["a", "b", "c"])
    >>> hits = index.search([[1, 0.5, 0]], k=2)
    >>> hits.case_ids.tolist(), hits.plan.method
    ([['a', 'b']], 'exact')
    """

    def __init__(self, state: Snapshot, kind: IndexKind, fingerprint: str) -> None:
        self._lock = threading.RLock()
        self._requested_kind: IndexKind = kind
        self._fingerprint = fingerprint
        self._state = prepared(state, self._is_graphed)

    @classmethod
    def build(
        cls,
        vectors: npt.ArrayLike | Embeddings,
        case_ids: Sequence[str] | None = None,
        kind: IndexKind = "auto",
        *,
        fingerprint: str = "",
    ) -> CaseIndex:
        """Build an index from arrays or from :class:`medembed.Embeddings`.

        Parameters
        ----------
        vectors : array, shape ``(n, d)``, or Embeddings
            Rows of any nonzero length; stored as unit float32. May be empty.
        case_ids : sequence of str
            One for each row, unique. Omit if ``vectors`` is Embeddings.
        kind : {"auto", "exact", "hnsw"}
            ``"exact"`` compares every case, and so does ``"auto"``: approximate search is for who
            asks for it. ``"hnsw"`` searches a graph if few cases are filtered out, else exactly.
        fingerprint : str, optional
            Fingerprint of the model that made the vectors.

        Raises
        ------
        InputError
            If a vector is not finite or all zeros, or the ids do not match the rows.
        """
        if kind not in get_args(IndexKind):
            raise InputError(
                f"unknown index kind {kind!r}",
                hint=f"use one of: {', '.join(get_args(IndexKind))}",
            )
        if isinstance(vectors, Embeddings):
            if fingerprint:
                vectors.require(fingerprint)
            if case_ids is not None and tuple(case_ids) != vectors.case_ids:
                raise InputError("the case ids differ from those of the embeddings")
            return cls(
                snapshot_of(vectors.case_ids, vectors.vectors, None), kind, vectors.fingerprint
            )
        if case_ids is None:
            raise InputError("arrays of vectors need case ids")
        ids, unit = checked_vectors(vectors, case_ids)
        return cls(snapshot_of(ids, unit, None), kind, fingerprint)

    @property
    def _is_graphed(self) -> bool:
        return self._requested_kind == "hnsw"

    def __len__(self) -> int:
        return len(self._state.ids)

    def __repr__(self) -> str:
        return f"CaseIndex({counted(len(self), 'case')}, {self.dim} dimensions, {self.kind})"

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._state.row_of

    @property
    def kind(self) -> Literal["exact", "hnsw"]:
        """Kind of search in use; ``"auto"`` is resolved."""
        return "exact" if self._state.graph is None else "hnsw"

    @property
    def requested_kind(self) -> IndexKind:
        """Kind given to :meth:`build`, possibly ``"auto"``."""
        return self._requested_kind

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
        """The unit vectors, shape ``(n, d)``, read-only."""
        return self._state.vectors

    def mask(self, case_ids: Collection[str]) -> Mask:
        """Return which rows are those of the given cases; unknown ids are ignored."""
        return allowed_rows(case_ids, self._state.row_of)

    def vector(self, case_id: str) -> Floats:
        """Return the vector of one case, shape ``(d,)``; QueryError if it has none."""
        state = self._state
        if case_id not in state.row_of:
            raise QueryError("the index has no vector for this case")
        vector: Floats = state.vectors[state.row_of[case_id]]
        return vector

    def search(
        self,
        queries: npt.ArrayLike | Embeddings,
        k: int = 10,
        allowed: Mask | Collection[str] | None = None,
    ) -> Hits:
        """Find the ``k`` nearest cases of each query.

        Parameters
        ----------
        queries : array, shape ``(q, d)`` or ``(d,)``, or Embeddings
            Rows of any nonzero length.
        k : int
            At least 1. If fewer cases are eligible, fewer hits are returned.
        allowed : bool array ``(n,)`` or collection of case ids, optional
            Eligible cases; ids missing from the index are ignored. If a filter excludes more than
            a few hundred cases, the remaining ones are searched exactly.

        Raises
        ------
        QueryError
            If a query is not finite, all zeros or of the wrong dimension, or if ``k`` or
            ``allowed`` is not valid.
        FingerprintError
            If the queries are Embeddings of another model.
        """
        state = self._state
        wanted = whole_count(k)
        dim = state.vectors.shape[1]
        unit_queries = checked_queries(queries, self._fingerprint, dim, len(state.ids))
        mask = None if allowed is None else allowed_rows(allowed, state.row_of)
        matching = len(state.ids) if mask is None else int(mask.sum())
        take = min(wanted, matching)
        notes: tuple[SearchNote, ...] = ()
        if not take:
            notes = (SearchNote(SearchNoteKind.NO_MATCH),)
        elif take < wanted:
            notes = (SearchNote(SearchNoteKind.FEWER_HITS, (take, wanted)),)
        dropped = len(state.ids) - matching + (state.graph.n_deleted if state.graph else 0)
        if take and state.graph is not None and dropped <= MOST_SPARE_NODES:
            rows, scores = self._search_graph(state, state.graph, unit_queries, take, dropped, mask)
            plan = Plan("ann", len(state.ids), matching, notes)
        elif take:
            rows, scores = best_rows(
                unit_queries,
                state.vectors,
                state.rank,
                take,
                mask,
                state.first_pass,
            )
            plan = Plan("exact", matching, matching, notes)
        else:
            rows = np.empty((len(unit_queries), 0), dtype=np.intp)
            scores = np.empty((len(unit_queries), 0), dtype=np.float32)
            plan = Plan("exact", 0, 0, notes)
        return Hits(state.names[rows], scores, plan, wanted)

    def _search_graph(
        self,
        state: Snapshot,
        graph: HnswGraph,
        queries: Floats,
        take: int,
        dropped: int,
        mask: Mask | None,
    ) -> tuple[Rows, Floats]:
        rows = np.empty((len(queries), take), dtype=np.intp)
        scores = np.empty((len(queries), take), dtype=np.float32)
        with self._lock:
            found = graph.candidates(queries, take + dropped)
        for query, near in enumerate(found):
            kept = near[near < len(state.ids)]
            near_size = kept.size
            kept = kept if mask is None else kept[mask[kept]]
            # An unconnected graph, or many excluded cases near the query: what lies behind them
            # may be missing, so compare all.
            if kept.size < take or near_size - kept.size > take:
                one, its_scores = best_rows(
                    queries[query : query + 1],
                    state.vectors,
                    state.rank,
                    take,
                    mask,
                    state.first_pass,
                )
                rows[query], scores[query] = one[0], its_scores[0]
            else:
                rows[query], scores[query] = order_candidates(
                    queries[query], state.vectors, state.rank, kept, take
                )
        return rows, scores

    def add(self, vectors: npt.ArrayLike, case_ids: Sequence[str]) -> None:
        """Add cases; InputError, with nothing added, if an id exists already."""
        ids, unit = checked_vectors(vectors, case_ids)
        if not ids:
            return
        with self._lock:
            old = self._state
            if any(name in old.row_of for name in ids):
                raise InputError("the index already holds one of these case ids; remove it first")
            if (old.ids or self.dim) and unit.shape[1] != self.dim:
                raise InputError(f"vectors have dimension {unit.shape[1]}, the index {self.dim}")
            rows = np.concatenate([old.vectors, unit]) if old.ids else unit
            if old.graph is not None:
                old.graph.add(unit, len(old.ids))
            self._state = prepared(
                snapshot_of(old.ids + ids, rows, old.graph, old.first_pass), self._is_graphed
            )

    def remove(self, case_ids: Collection[str]) -> None:
        """Remove cases; InputError, with nothing removed, if one is missing."""
        names = set(checked_names(case_ids, InputError))
        with self._lock:
            old = self._state
            if not names <= old.row_of.keys():
                raise InputError("the index does not hold one of these case ids")
            keep = np.array([name not in names for name in old.ids], dtype=bool)
            new_row = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.intp)
            graph = old.graph.renumbered(new_row) if old.graph is not None else None
            coded = old.first_pass.renumbered(new_row) if old.first_pass is not None else None
            ids = tuple(name for name in old.ids if name not in names)
            self._state = prepared(
                snapshot_of(ids, old.vectors[keep], graph, coded), self._is_graphed
            )

    def sync(self, target: Embeddings) -> tuple[int, int]:
        """Make the index hold exactly ``target``; return how many were added and removed.

        A case with a changed vector counts as both. If most vectors change, the index is rebuilt.
        """
        with self._lock:
            old = self._state
            if self._fingerprint:
                target.require(self._fingerprint)
            same = {
                name
                for name, vector in zip(target.case_ids, target.vectors, strict=True)
                if name in old.row_of and np.array_equal(old.vectors[old.row_of[name]], vector)
            }
            gone = [name for name in old.ids if name not in same]
            new = [row for row, name in enumerate(target.case_ids) if name not in same]
            self._fingerprint = target.fingerprint
            if len(gone) + len(new) > len(same):
                self._state = prepared(
                    snapshot_of(target.case_ids, target.vectors, None), self._is_graphed
                )
            else:
                self.remove(gone)
                self.add(target.vectors[new], [target.case_ids[row] for row in new])
            return len(new), len(gone)

    def save(
        self, folder: str | Path, *, key: bytes | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """Write to ``folder`` atomically: after a crash, the old or the new index is there.

        Parameters
        ----------
        folder : path
        key : bytes, optional
            Signs the files, so that changes by anyone without the key are detected.
        extra : dict, optional
            Plain data stored with the index; :meth:`load_with_extra` returns it.
        """
        with self._lock:
            self._state = state = without_removed(self._state)
            files = snapshot_files(state)
            head = {
                "format": _FORMAT,
                "kind": self._requested_kind,
                "cases": len(state.ids),
                "dim": self.dim,
                "fingerprint": self._fingerprint,
                "extra": extra or {},
            }
        write_sealed(Path(folder), head, files, key)

    @classmethod
    def load(
        cls, folder: str | Path, *, key: bytes | None = None, fingerprint: str = ""
    ) -> CaseIndex:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If a file is missing or was changed, or the key is wrong.
        FingerprintError
            If ``fingerprint`` is given and the index comes from another model.
        """
        return cls.load_with_extra(folder, key=key, fingerprint=fingerprint)[0]

    @classmethod
    def load_with_extra(
        cls, folder: str | Path, *, key: bytes | None = None, fingerprint: str = ""
    ) -> tuple[CaseIndex, dict[str, Any]]:
        """Read the index and the plain data saved with it."""
        folder = Path(folder)
        head, files = read_sealed(folder, key, mapped=("vectors",))
        if head.get("format") != _FORMAT or head.get("kind") not in get_args(IndexKind):
            raise InputError("index files of another version", where=folder.name)
        if fingerprint and head["fingerprint"] != fingerprint:
            raise FingerprintError(
                "index files of another model", where=folder.name, hint="rebuild the index"
            )
        try:
            state = read_snapshot(files)
            matches = state.vectors.shape == (head["cases"], head["dim"])
        except (KeyError, ValueError, TypeError):
            matches = False
        if not matches:
            raise InputError("index files that do not match each other", where=folder.name)
        return cls(state, head["kind"], head["fingerprint"]), dict(head["extra"])
