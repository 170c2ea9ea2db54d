"""The noun :class:`CaseIndex`: nearest cases by cosine similarity, exact under filters."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.embeddings import Embeddings
from medembed.errors import InputError, QueryError
from medembed.index.case_ids import CaseIds
from medembed.index.first_pass import FirstPass
from medembed.index.hits import Hits
from medembed.index.saved_state import FORMAT, SavedState, load_saved, new_generation
from medembed.index.sealed_files import write_sealed
from medembed.index.searching import search_snapshot, unit_queries
from medembed.index.snapshot import (
    IndexKind,
    Snapshot,
    changed,
    snapshot_files,
    snapshot_of,
    with_graph,
)
from medembed.index.validation import checked_names, checked_vectors, whole_count

__all__ = ["MOST_PENDING", "CaseIndex", "IndexKind"]

MOST_PENDING = 0.1
"""Share of rows in the log from which all files are written anew."""
_FEWEST_PENDING = 64
_BLOCK_ROWS = 1 << 14

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

    def __init__(
        self,
        state: Snapshot,
        kind: IndexKind,
        fingerprint: str,
        *,
        generation: int | None = None,
        lock: threading.RLock | None = None,
        saved: SavedState | None = None,
    ) -> None:
        self._lock = threading.RLock() if lock is None else lock
        self._requested_kind: IndexKind = kind
        self._fingerprint = fingerprint
        self._state = state
        self._generation = new_generation() if generation is None else generation
        self._saved = saved

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
            Rows of any nonzero length; stored as unit float32. May be empty. An array of unit
            float32 rows that nobody can write to is used as it is, without a copy.
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
            ids: Sequence[str] = vectors.case_ids
            unit, fingerprint = vectors.vectors, vectors.fingerprint
        elif case_ids is None:
            raise InputError("arrays of vectors need case ids")
        else:
            ids, unit = checked_vectors(vectors, case_ids)
        return cls(snapshot_of(CaseIds.build(ids), unit, kind == "hnsw"), kind, fingerprint)

    def copy(self) -> CaseIndex:
        """Return an index that can be changed while this one stays as it is, at no cost."""
        with self._lock:
            return CaseIndex(
                self._state,
                self._requested_kind,
                self._fingerprint,
                generation=self._generation,
                lock=self._lock,
                saved=self._saved,
            )

    @property
    def _is_graphed(self) -> bool:
        return self._requested_kind == "hnsw"

    def __len__(self) -> int:
        return len(self._state)

    def __repr__(self) -> str:
        return f"CaseIndex({counted(len(self), 'case')}, {self.dim} dimensions, {self.kind})"

    def __contains__(self, case_id: object) -> bool:
        return isinstance(case_id, str) and bool(self._state.rows_of([case_id])[0] >= 0)

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
        return int(self._state.rows.shape[1])

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases, in the order of a bool mask over the cases."""
        return self._state.case_ids

    @property
    def vectors(self) -> Floats:
        """The unit vectors, shape ``(n, d)``, in the same order, read-only."""
        return self._state.vectors

    @property
    def generation(self) -> int:
        """A number that changes when rows get other numbers, and only then.

        Within a generation a case keeps its row, new cases get new rows behind the others, and
        the rows of removed cases stay unused.
        """
        return self._generation

    @property
    def n_rows(self) -> int:
        """Number of rows, those of removed cases included: the length of a mask over the rows."""
        return self._state.n_rows

    @property
    def n_pending(self) -> int:
        """Rows that were added behind those of the files, and rows of removed cases."""
        state = self._state
        return state.ids.n_tail + len(state.removed)

    def rows_of(self, case_ids: Collection[str]) -> Rows:
        """Return the row of each case within this generation; -1 for cases that are not here."""
        return self._state.rows_of(checked_names(case_ids, QueryError))

    def positions_of(self, case_ids: Collection[str]) -> Rows:
        """Return the place of each case in :attr:`case_ids`; -1 for cases that are not here."""
        state = self._state
        rows = state.rows_of(checked_names(case_ids, QueryError))
        return rows if state.kept is None else np.where(rows < 0, -1, state.kept.searchsorted(rows))

    def rows_at(self, rows: Rows) -> Floats:
        """Return the vectors of rows, shape ``(len(rows), d)``."""
        vectors: Floats = self._state.rows[rows]
        return vectors

    def row_ids(self, first: int = 0) -> npt.NDArray[np.object_]:
        """Return the id of each row from ``first`` on, those of removed cases included."""
        state = self._state
        return state.ids.names(np.arange(first, state.n_rows, dtype=np.intp))

    def mask(self, case_ids: Collection[str]) -> Mask:
        """Return for each case whether it is one of the given ones; unknown ids are ignored."""
        state = self._state
        mask = state.mask(checked_names(case_ids, QueryError))
        return mask if state.kept is None else mask[state.kept]

    def vector(self, case_id: str) -> Floats:
        """Return the vector of one case, shape ``(d,)``; QueryError if it has none."""
        state = self._state
        row = int(state.rows_of([case_id])[0])
        if row < 0:
            raise QueryError("the index has no vector for this case")
        vector: Floats = state.rows[row]
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
        allowed : bool array ``(n,)`` or ``(n_rows,)``, or collection of case ids, optional
            Eligible cases, by case or by row; ids missing from the index are ignored. If a filter
            excludes more than a few hundred cases, the remaining ones are searched exactly.

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
        return search_snapshot(state, unit, wanted, allowed, self._first_pass, self._lock)

    def _first_pass(self, state: Snapshot) -> FirstPass:
        """Return codes, which files have already; make and keep them otherwise."""
        if state.first_pass is not None:
            return state.first_pass
        with self._lock:
            current = self._state
            is_current = state.buffer.is_part_of(current.buffer)
            known = current.first_pass if is_current else None
            if known is not None and len(known) <= state.n_rows:
                return known
            coded = FirstPass.build(state.rows)
            if is_current:
                self._state = replace(current, first_pass=coded)
            return coded

    def add(self, vectors: npt.ArrayLike, case_ids: Sequence[str]) -> None:
        """Add cases; InputError, with nothing added, if an id exists already."""
        self.change(vectors, case_ids)

    def remove(self, case_ids: Collection[str]) -> None:
        """Remove cases; InputError, with nothing removed, if one is missing."""
        self.change([], [], remove=case_ids)

    def update(self, vectors: npt.ArrayLike, case_ids: Sequence[str]) -> None:
        """Add cases, or replace their vectors where they exist, in one step."""
        self.change(vectors, case_ids, replace=True)

    def change(
        self,
        vectors: npt.ArrayLike,
        case_ids: Sequence[str],
        *,
        remove: Collection[str] = (),
        replace: bool = False,
    ) -> None:
        """Remove cases and add others in one step.

        Parameters
        ----------
        vectors : array, shape ``(n, d)``
        case_ids : sequence of str
            One for each row.
        remove : collection of str
            Cases to remove.
        replace : bool
            Whether a case that exists gets the new vector; else it is refused.

        Raises
        ------
        InputError
            With nothing changed, if one to remove is missing, or one to add exists.
        """
        names, unit = checked_vectors(vectors, case_ids)
        if len(set(names)) != len(names):
            raise InputError("duplicate case id")
        gone = list(dict.fromkeys(checked_names(remove, InputError)))
        with self._lock:
            if replace:
                there = self._state.rows_of(names) >= 0
                old = [name for name, is_old in zip(names, there, strict=True) if is_old]
                gone = list(dict.fromkeys([*gone, *old]))
            if names or gone:
                self._change(names, unit, gone)

    def _change(self, names: list[str], unit: Floats, gone: list[str]) -> None:
        """Remove the cases ``gone``, then add those with ``names``; all or nothing."""
        old = self._state
        rows = old.rows_of(gone)
        if (rows < 0).any():
            raise InputError("the index does not hold one of these case ids")
        present = old.rows_of(names)
        if np.setdiff1d(present[present >= 0], rows).size:
            raise InputError("the index already holds one of these case ids; remove it first")
        if names and (old.n_rows or self.dim) and unit.shape[1] != self.dim:
            raise InputError(f"vectors have dimension {unit.shape[1]}, the index {self.dim}")
        self._state = with_graph(changed(old, rows.tolist(), names, unit), self._is_graphed)

    def sync(self, target: Embeddings) -> tuple[int, int]:
        """Make the index hold exactly ``target``; return how many were added and removed.

        A case with a changed vector counts as both. If most vectors change, the index is rebuilt.
        """
        with self._lock:
            old = self._state
            if self._fingerprint:
                target.require(self._fingerprint)
            rows = old.rows_of(list(target.case_ids))
            same = rows >= 0
            for at in range(0, len(rows) if old.rows.shape[1] == target.dim else 0, _BLOCK_ROWS):
                here = slice(at, at + _BLOCK_ROWS)
                same[here] &= (old.rows[rows[here]] == target.vectors[here]).all(axis=1)
            n_same = int(same.sum())
            new, gone = np.flatnonzero(~same), len(old) - n_same
            self._fingerprint = target.fingerprint
            if gone + len(new) > n_same:
                self._state = snapshot_of(
                    CaseIds.build(target.case_ids), target.vectors, self._is_graphed
                )
                self._generation, self._saved = new_generation(), None
            else:
                left = np.ones(old.n_rows, dtype=bool) if old.alive is None else old.alive.copy()
                left[rows[same]] = False
                removed = old.ids.names(np.flatnonzero(left)).tolist()
                names = [target.case_ids[row] for row in new]
                self._change(names, target.vectors[new], removed)
            return len(new), gone

    def save(
        self, folder: str | Path, *, key: bytes | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """Write to ``folder`` atomically: after a crash, the old or the new index is there.

        An index that was loaded from this folder appends what has changed to the log of its files,
        until that is a tenth of them; then, and in all other cases, the files are written anew.

        Parameters
        ----------
        folder : path
        key : bytes, optional
            Signs the files, so that changes by anyone without the key are detected.
        extra : dict, optional
            Plain data stored with the index; :meth:`load_with_extra` returns it.
        """
        with self._lock:
            few = self.n_pending <= max(_FEWEST_PENDING, MOST_PENDING * len(self))
            if not (few and self.save_changes(folder, key=key, extra=extra)):
                self.compact(folder, key=key, extra=extra)

    def save_changes(
        self, folder: str | Path, *, key: bytes | None = None, extra: dict[str, Any] | None = None
    ) -> bool:
        """Append what has changed since it was loaded or saved to the log in ``folder``.

        Returns
        -------
        bool
            False, with nothing written, if this index does not come from there, or the files or
            their log have been written by somebody else since.
        """
        with self._lock:
            saved = self._saved
            after = None if saved is None else saved.append(Path(folder), key, self._state, extra)
            if after is not None:
                self._saved = after
            return after is not None

    def compact(
        self, folder: str | Path, *, key: bytes | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """Write all files anew, as :meth:`save` does if much has changed.

        An index that was loaded from ``folder`` then uses the new files: its rows get new numbers.
        """
        with self._lock:
            moves = self._saved is not None and self._saved.is_of(Path(folder))
            is_clean = not self.n_pending
            generation = self._generation if is_clean and not moves else new_generation()
            head = {
                "format": FORMAT,
                "kind": self._requested_kind,
                "cases": len(self),
                "dim": self.dim,
                "fingerprint": self._fingerprint,
                "generation": generation,
                "extra": extra or {},
            }
            write_sealed(Path(folder), head, snapshot_files(self._state), key)
            if moves:
                again, _ = self.load_with_extra(folder, key=key)
                self._state, self._saved = again._state, again._saved
                self._generation = again._generation

    @property
    def has_files(self) -> bool:
        """Whether the index was loaded from files, so that its rows are theirs."""
        return self._saved is not None

    def is_saved_in(self, folder: str | Path) -> bool:
        """Return whether the files that the index was loaded from are in this folder now."""
        return self._saved is not None and self._saved.is_in(Path(folder))

    @classmethod
    def load(
        cls, folder: str | Path, *, key: bytes | None = None, fingerprint: str = ""
    ) -> CaseIndex:
        """Read what :meth:`save` wrote. Vectors and ids stay in their files until they are needed.

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
        cls,
        folder: str | Path,
        *,
        key: bytes | None = None,
        fingerprint: str = "",
        trusting: bool = True,
    ) -> tuple[CaseIndex, dict[str, Any]]:
        """Read the index and the plain data saved with it.

        Parameters
        ----------
        folder, key, fingerprint
            As in :meth:`load`.
        trusting : bool
            Whether a large file that is unchanged since it was last verified on this machine is
            not hashed again.
        """
        kind, own, state, saved, extra = load_saved(Path(folder), key, fingerprint, trusting)
        index = cls(
            with_graph(state, kind == "hnsw"),
            kind,
            own,
            generation=saved.generation,
            saved=saved,
        )
        return index, extra
