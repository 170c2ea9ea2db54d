"""The noun :class:`CaseIndex`: nearest cases by cosine, exact wherever exactness is at stake."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import FingerprintError, InputError, QueryError
from medembed.index.exact import best_rows, order_candidates
from medembed.index.hits import Hits, Plan
from medembed.index.hnsw import Graph
from medembed.index.sealed_files import read_sealed, write_sealed
from medembed.index.snapshot import State, state_of
from medembed.index.validation import allowed_rows, checked_names, checked_vectors, whole_count

__all__ = ["AUTO_EXACT_ROWS", "CaseIndex", "IndexKind"]

IndexKind = Literal["auto", "exact", "hnsw"]

AUTO_EXACT_ROWS = 200_000
"""Up to so many cases ``kind="auto"`` scans them all: exact, and some 10 ms for a query."""

_GRAPH_DROPS = 512
"""The graph is asked for so many nodes more than needed at most, to make up for those dropped."""

_FORMAT = 1

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class CaseIndex:
    """Unit vectors of cases, searched by cosine. Made by :meth:`build` or :meth:`load`.

    One thread may change it while others search: each search sees the index before or after a
    change, never between.

    Examples
    --------
    >>> index = CaseIndex.build(np.eye(3), ["a", "b", "c"])
    >>> hits = index.search([[1, 0.5, 0]], k=2)
    >>> hits.case_ids.tolist(), hits.plan.method
    ([['a', 'b']], 'exact')
    """

    def __init__(self, state: State, kind: IndexKind, fingerprint: str) -> None:
        self._lock = threading.RLock()
        self._asked: IndexKind = kind
        self._fingerprint = fingerprint
        self._state = self._settled(state)

    @classmethod
    def build(
        cls,
        vectors: npt.ArrayLike | Embeddings,
        case_ids: Sequence[str] | None = None,
        kind: IndexKind = "auto",
        *,
        fingerprint: str = "",
    ) -> CaseIndex:
        """Build an index of bare arrays or of :class:`medembed.Embeddings`.

        Parameters
        ----------
        vectors : array, shape ``(n, d)``, or Embeddings
            Rows of any length above 0; kept as unit float32. May be empty.
        case_ids : sequence of str
            One for each row, none twice. Left out where ``vectors`` is Embeddings.
        kind : {"auto", "exact", "hnsw"}
            ``"exact"`` compares every case. ``"hnsw"`` walks an approximate graph where nearly
            all cases may answer and is exact elsewhere. ``"auto"`` is exact up to
            :data:`AUTO_EXACT_ROWS` cases.
        fingerprint : str, optional
            The model that the vectors come from.

        Raises
        ------
        InputError
            Where a vector is not finite or has no direction, or the ids do not fit.
        """
        if kind not in get_args(IndexKind):
            raise InputError(
                f"no index kind is called {kind!r}",
                hint=f"there are: {', '.join(get_args(IndexKind))}",
            )
        if isinstance(vectors, Embeddings):
            if fingerprint:
                vectors.require(fingerprint)
            if case_ids is not None and tuple(case_ids) != vectors.case_ids:
                raise InputError("case ids that are not those of the embeddings")
            return cls(state_of(vectors.case_ids, vectors.vectors, None), kind, vectors.fingerprint)
        if case_ids is None:
            raise InputError("bare vectors need their case ids")
        ids, unit = checked_vectors(vectors, case_ids)
        return cls(state_of(ids, unit, None), kind, fingerprint)

    def _settled(self, state: State) -> State:
        """Give the state its graph where its kind and size ask for one."""
        wanted = self._asked == "hnsw" or (
            self._asked == "auto" and len(state.ids) > AUTO_EXACT_ROWS
        )
        if not wanted or not state.ids:
            return replace(state, graph=None)
        if state.graph is None or state.graph.dead > _GRAPH_DROPS // 2:
            return replace(state, graph=Graph.build(state.vectors))
        return state

    def __len__(self) -> int:
        return len(self._state.ids)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._state.row_of

    @property
    def kind(self) -> Literal["exact", "hnsw"]:
        """What it is now; ``"auto"`` has been settled."""
        return "exact" if self._state.graph is None else "hnsw"

    @property
    def requested(self) -> IndexKind:
        """The kind that was asked for, ``"auto"`` included."""
        return self._asked

    @property
    def fingerprint(self) -> str:
        """The model that the vectors come from; empty for bare arrays."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Number of components of a vector; 0 where nothing has said it yet."""
        return int(self._state.vectors.shape[1])

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids in the order of the rows, which is the order a bool mask speaks of."""
        return self._state.ids

    @property
    def vectors(self) -> Floats:
        """The unit vectors, shape ``(n, d)``, read-only."""
        return self._state.vectors

    def vector(self, case_id: str) -> Floats:
        """Vector of one case, shape ``(d,)``; QueryError where it has none."""
        state = self._state
        if case_id not in state.row_of:
            raise QueryError("the index has no vector of this case")
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
            Rows of any length above 0; scores are cosines.
        k : int
            At least 1. Where fewer cases may answer, there are fewer hits.
        allowed : bool array ``(n,)`` or collection of case ids, optional
            Who may answer; ids that the index does not hold are passed over. Under a filter that
            leaves out more than a few hundred cases, those that remain are all compared.

        Raises
        ------
        QueryError
            Where the query is not finite, has no direction or the wrong dimension, or ``k`` or
            ``allowed`` make no sense.
        FingerprintError
            Where the queries are Embeddings of another model.
        """
        state = self._state
        wanted = whole_count(k)
        asked = self._unit_queries(queries, state)
        mask = None if allowed is None else allowed_rows(allowed, state.row_of)
        matching = len(state.ids) if mask is None else int(mask.sum())
        take = min(wanted, matching)
        notes = []
        if take < wanted:
            some = f"only {take} of the {wanted} requested cases match"
            notes.append(some if take else "no cases match")
        dropped = len(state.ids) - matching + (state.graph.dead if state.graph else 0)
        if take and state.graph is not None and dropped <= _GRAPH_DROPS:
            rows, scores = self._walk(state, state.graph, asked, take, dropped, mask)
            plan = Plan("ann", len(state.ids), matching, tuple(notes))
        elif take:
            rows, scores = best_rows(
                asked,
                state.vectors,
                state.rank,
                take,
                None if mask is None else np.flatnonzero(mask),
            )
            plan = Plan("exact", matching, matching, tuple(notes))
        else:
            rows = np.empty((len(asked), 0), dtype=np.intp)
            scores = np.empty((len(asked), 0), dtype=np.float32)
            plan = Plan("exact", 0, 0, tuple(notes))
        return Hits(state.names[rows], scores, plan, wanted)

    def _unit_queries(self, queries: npt.ArrayLike | Embeddings, state: State) -> Floats:
        if isinstance(queries, Embeddings):
            if self._fingerprint:
                queries.require(self._fingerprint)
            unit = queries.vectors
        else:
            try:
                array = np.asarray(queries)
                unit = unit_rows(array[np.newaxis] if array.ndim == 1 else array)
            except InputError as error:
                raise QueryError(f"a query cannot be used: {error.what}") from None
            except ValueError:
                raise QueryError("queries have shape (q, d), all of one length") from None
        if unit.shape[1] != state.vectors.shape[1] and (state.ids or state.vectors.shape[1]):
            raise QueryError(
                f"queries of {unit.shape[1]} components for an index of {state.vectors.shape[1]}"
            )
        return unit

    def _walk(
        self,
        state: State,
        graph: Graph,
        queries: Floats,
        take: int,
        dropped: int,
        mask: Mask | None,
    ) -> tuple[Rows, Floats]:
        rows = np.empty((len(queries), take), dtype=np.intp)
        scores = np.empty((len(queries), take), dtype=np.float32)
        with self._lock:
            found = graph.candidates(queries, take + dropped)
        own = None if mask is None else np.flatnonzero(mask)
        for query, near in enumerate(found):
            kept = near[near < len(state.ids)]
            kept = kept if mask is None else kept[mask[kept]]
            if kept.size < take:  # the graph has islands: compare all
                one, its_scores = best_rows(
                    queries[query : query + 1], state.vectors, state.rank, take, own
                )
                rows[query], scores[query] = one[0], its_scores[0]
            else:
                rows[query], scores[query] = order_candidates(
                    queries[query], state.vectors, state.rank, kept, take
                )
        return rows, scores

    def add(self, vectors: npt.ArrayLike, case_ids: Sequence[str]) -> None:
        """Add cases; InputError, and nothing added, where an id is there already."""
        ids, unit = checked_vectors(vectors, case_ids)
        if not ids:
            return
        with self._lock:
            old = self._state
            if any(name in old.row_of for name in ids):
                raise InputError("a case id that the index holds already; remove it first")
            if (old.ids or self.dim) and unit.shape[1] != self.dim:
                raise InputError(
                    f"vectors of {unit.shape[1]} components for an index of {self.dim}"
                )
            rows = np.concatenate([old.vectors, unit]) if old.ids else unit
            if old.graph is not None:
                old.graph.add(unit, len(old.ids))
            self._state = self._settled(state_of(old.ids + ids, rows, old.graph))

    def remove(self, case_ids: Collection[str]) -> None:
        """Take cases out; InputError, and nothing removed, where one is not there."""
        names = set(checked_names(case_ids, InputError))
        with self._lock:
            old = self._state
            if not names <= old.row_of.keys():
                raise InputError("a case id that the index does not hold")
            keep = np.array([name not in names for name in old.ids], dtype=bool)
            graph = None
            if old.graph is not None:
                new_row = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.intp)
                graph = old.graph.renumbered(new_row)
            ids = tuple(name for name in old.ids if name not in names)
            self._state = self._settled(state_of(ids, old.vectors[keep], graph))

    def bring_to(self, target: Embeddings) -> tuple[int, int]:
        """Make the index hold just ``target``; gives how many were added and removed.

        A case whose vector changed counts as both. Where most would change, it is built anew.
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
                self._state = self._settled(state_of(target.case_ids, target.vectors, None))
            else:
                self.remove(gone)
                self.add(target.vectors[new], [target.case_ids[row] for row in new])
            return len(new), len(gone)

    def save(
        self, folder: str | Path, *, key: bytes | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """Write to ``folder``, all or nothing: killed at any moment, the old or the new is there.

        Parameters
        ----------
        folder : path
        key : bytes, optional
            Seals the files, so that nobody without it can change them unnoticed.
        extra : dict, optional
            Plain data kept beside it, given back by :meth:`load_with_extra`.
        """
        with self._lock:
            if self._state.graph is not None and self._state.graph.dead:
                # A removed case's vector must not live on in a file.
                self._state = replace(self._state, graph=Graph.build(self._state.vectors))
            state = self._state
            files = {
                "ids": json.dumps(state.ids).encode(),
                "vectors": _npy(state.vectors),
            }
            if state.graph is not None:
                files["graph"] = state.graph.to_bytes()
            head = {
                "format": _FORMAT,
                "kind": self._asked,
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
            Where a file is missing or was changed, or the key is another one.
        FingerprintError
            Where ``fingerprint`` is given and the index comes from another model.
        """
        return cls.load_with_extra(folder, key=key, fingerprint=fingerprint)[0]

    @classmethod
    def load_with_extra(
        cls, folder: str | Path, *, key: bytes | None = None, fingerprint: str = ""
    ) -> tuple[CaseIndex, dict[str, Any]]:
        """Read the index and the plain data that was saved beside it."""
        folder = Path(folder)
        head, files = read_sealed(folder, key)
        if head.get("format") != _FORMAT or head.get("kind") not in get_args(IndexKind):
            raise InputError("an index of another version", where=folder.name)
        if fingerprint and head["fingerprint"] != fingerprint:
            raise FingerprintError(
                "an index of another model", where=folder.name, hint="build it anew"
            )
        try:
            vectors = np.load(BytesIO(files["vectors"]), allow_pickle=False)
            ids, unit = checked_vectors(vectors, json.loads(files["ids"]))
            if unit.shape != (head["cases"], head["dim"]):
                raise InputError("an index whose parts do not fit", where=folder.name)
            graph = Graph.from_bytes(files["graph"], *unit.shape) if "graph" in files else None
        except (KeyError, ValueError, TypeError):
            raise InputError("an index whose parts do not fit", where=folder.name) from None
        return cls(state_of(ids, unit, graph), head["kind"], head["fingerprint"]), dict(
            head["extra"]
        )


def _npy(array: Floats) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
