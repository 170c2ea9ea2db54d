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
from medembed.index.changing import difference, with_change
from medembed.index.choice import Budget, Choice
from medembed.index.first_pass import FirstPass
from medembed.index.hits import Hits
from medembed.index.planner import NoteVectors, planned
from medembed.index.saved_state import SavedState, load_saved, new_generation, write_saved
from medembed.index.searching import search_snapshot, unit_queries
from medembed.index.snapshot import IndexKind, Snapshot, snapshot_of, with_graph
from medembed.index.validation import checked_cases, checked_names, checked_vectors, whole_count

__all__ = ["MOST_PENDING", "CaseIndex", "IndexKind"]

MOST_PENDING = 0.1
"""Share of rows in the log from which all files are written anew."""
_FEWEST_PENDING = 64

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
        choice: Choice,
        *,
        generation: int | None = None,
        lock: threading.RLock | None = None,
        saved: SavedState | None = None,
    ) -> None:
        self._lock = threading.RLock() if lock is None else lock
        self._requested_kind: IndexKind = kind
        self._fingerprint = fingerprint
        self._choice = choice
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
        budget: Budget | None = None,
        notes: NoteVectors | None = None,
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
            ``"exact"`` compares every case. So does ``"auto"``, except above two million cases
            where ``budget`` allows to miss some and comparing all takes longer than it allows.
            ``"hnsw"`` searches a graph if few cases are filtered out, else exactly.
        fingerprint : str, optional
            Fingerprint of the model that made the vectors.
        budget : Budget, optional
            What it may cost, and how much a graph must find. A graph that needs more memory, or
            finds less, is not used. :attr:`choice` tells what was chosen and why.
        notes : callable, optional
            Returns vectors of notes, given a number: a graph is measured with these as queries,
            too. Of the same model, shape ``(q, d)``, unit rows.

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
        ids, unit, own = checked_cases(vectors, case_ids, fingerprint)
        state = snapshot_of(CaseIds.build(ids), unit)
        state, choice = planned(state, kind, budget or Budget(), notes)
        return cls(state, kind, own, choice)

    def copy(self) -> CaseIndex:
        """Return an index that can be changed while this one stays as it is, at no cost."""
        with self._lock:
            return CaseIndex(
                self._state,
                self._requested_kind,
                self._fingerprint,
                self._choice,
                generation=self._generation,
                lock=self._lock,
                saved=self._saved,
            )

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
    def choice(self) -> Choice:
        """How it searches and why, and what was measured when this was chosen."""
        return self._choice

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

    def _first_pass(self, state: Snapshot) -> FirstPass | None:
        """Return codes, which files have already; make and keep them otherwise, if allowed."""
        if state.first_pass is not None or not self._choice.codes:
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
        changed = with_change(self._state, names, unit, gone)
        self._state = with_graph(changed, self._choice.kind == "hnsw")

    def sync(self, target: Embeddings, notes: NoteVectors | None = None) -> tuple[int, int]:
        """Make the index hold exactly ``target``; return how many were added and removed.

        A case with a changed vector counts as both. If most vectors change, the index is rebuilt,
        and how it searches is chosen again, with ``notes`` as in :meth:`build`.
        """
        with self._lock:
            if self._fingerprint:
                target.require(self._fingerprint)
            new, gone = difference(self._state, target)
            self._fingerprint = target.fingerprint
            if len(gone) + len(new) > len(target) - len(new):
                self._state = snapshot_of(CaseIds.build(target.case_ids), target.vectors)
                self._generation, self._saved = new_generation(), None
                self.choose_again(notes)
            else:
                self._change([target.case_ids[row] for row in new], target.vectors[new], gone)
            return len(new), len(gone)

    def choose_again(self, notes: NoteVectors | None = None) -> Choice:
        """Choose anew how to search the cases that are here now, within the same budget.

        For who writes the files anew: a graph is made and measured, and times are taken. ``notes``
        is as in :meth:`build`.
        """
        with self._lock:
            kind, budget = self._requested_kind, self._choice.budget
            self._state, self._choice = planned(self._state, kind, budget, notes)
            return self._choice

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
            head = (self._requested_kind, self._choice, self._fingerprint, generation)
            write_saved(Path(folder), key, self._state, head, extra)
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
        found = load_saved(Path(folder), key, fingerprint, trusting)
        index = cls(
            found.state,
            found.kind,
            found.fingerprint,
            found.choice,
            generation=found.saved.generation,
            saved=found.saved,
        )
        return index, found.extra
