"""The index files of a library: derived data, signed with its key, rebuilt if they do not match."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medembed.embeddings import Embeddings
from medembed.errors import FingerprintError, InputError, LibraryBusyError, LibraryError
from medembed.index.case_index import MOST_PENDING, CaseIndex, IndexKind
from medembed.index.choice import Budget
from medembed.index.search_notes import SearchNote, SearchNoteKind

if TYPE_CHECKING:
    from medembed.index.planner import NoteVectors
    from medembed.library import CaseLibrary
    from medembed.library.vectors import VectorChanges

__all__ = [
    "COLUMNS_FOLDER",
    "NOVELTY_FOLDER",
    "WORTH_FOLDER",
    "LibraryIndex",
    "compact_index",
    "current_index",
    "index_folder",
    "library_revision",
    "open_index",
]

NOVELTY_FOLDER = "novelty"
"""Beside the folders of the indexes: the calibration of the novelty check."""

COLUMNS_FOLDER = "columns"
"""Beside them: the columns of the cases, for conditions."""

WORTH_FOLDER = "worth"
"""Beside them, a folder for each model: what its scores are worth."""

_PATIENCE_SECONDS = 60.0
_SAVE_SECONDS = 10.0
"""While vectors arrive, who searches writes them to the files once in this time, and not for each
change: the files are derived, and whoever embeds writes them at the end."""
_SMALL = 10_000
"""Up to this many cases, all files are written anew rather than much appended."""


@dataclass(frozen=True, eq=False)
class LibraryIndex:
    """An index of a library's image vectors, up to date when it was opened.

    Parameters
    ----------
    index : CaseIndex
    revision : str
        Revision of the library's vectors that the index was built from.
    state : {"kept", "made", "updated", "rebuilt"}
        What :func:`open_index` had to do.
    notes : tuple of SearchNote
        The same with its numbers; empty if the files were kept.
    stamp : dict
        Up to which change of the library the index is; stored with the files.
    saved_at : float
        Seconds of a steady clock, when this process last wrote the files.
    """

    index: CaseIndex
    revision: str
    state: Literal["kept", "made", "updated", "rebuilt"]
    notes: tuple[SearchNote, ...] = ()
    stamp: Mapping[str, Any] = field(default_factory=dict)
    saved_at: float = -math.inf


def index_folder(library: CaseLibrary, fingerprint: str) -> Path:
    """Return the folder of the index files for one model."""
    safe = re.fullmatch(r"[0-9A-Za-z][\w-]{0,100}", fingerprint, re.ASCII)
    name = fingerprint if safe else hashlib.sha256(fingerprint.encode()).hexdigest()
    return library.path / "index" / name


def library_revision(library: CaseLibrary, fingerprint: str) -> str:
    """Return the revision of the library's vectors of one model; every change gives a new one."""
    from medembed.library.vectors import VectorStore  # indexing arrays needs no library

    return f"{library.library_id}/{VectorStore(library.database.read()).revision(fingerprint)}"


def current_index(
    library: CaseLibrary, fingerprint: str, held: LibraryIndex | None = None
) -> LibraryIndex:
    """Return ``held`` if it is up to date, else one that is.

    What has changed since ``held`` is read and added to what it has in memory, so that a search
    after a change costs what the change costs; once in ten seconds at most it is written to the
    files, too. If these were written anew meanwhile, they are opened. Searches that still use
    ``held`` are not disturbed.

    Parameters
    ----------
    library, fingerprint
        As in :func:`open_index`.
    held : LibraryIndex, optional
        What this function or :func:`open_index` returned before.
    """
    if held is None:
        return open_index(library, fingerprint)
    index = held.index
    is_ours = not index.has_files or index.is_saved_in(index_folder(library, fingerprint))
    if not is_ours:
        opened = open_index(library, fingerprint)
        # What others keep for a revision is in the order of the cases, which must not change then.
        same = opened.revision == held.revision
        return held if same and opened.index.case_ids != index.case_ids else opened
    if held.revision == library_revision(library, fingerprint):
        return held
    return _brought_up(library, fingerprint, held) or open_index(library, fingerprint)


def open_index(
    library: CaseLibrary,
    fingerprint: str,
    kind: IndexKind | None = None,
    *,
    budget: Budget | None = None,
    trusting: bool = True,
) -> LibraryIndex:
    """Open the index of ``library`` for one model; build or update it if needed.

    Missing, damaged and foreign files are replaced, and ``notes`` report it. If the folder is
    not writable, the index works nevertheless and is built again the next time.

    Parameters
    ----------
    library : CaseLibrary
    fingerprint : str
        Fingerprint of the model.
    kind : {"auto", "exact", "hnsw"}, optional
        As in :meth:`CaseIndex.build`. None keeps the kind of the existing files; ``"auto"`` if
        there are none.
    budget : Budget, optional
        As in :meth:`CaseIndex.build`. None keeps that of the existing files, if ``kind`` is None,
        too; else there is none.
    trusting : bool
        As in :meth:`CaseIndex.load_with_extra`.

    Raises
    ------
    FingerprintError
        If the library has no image vectors of this model.
    """
    folder = index_folder(library, fingerprint)
    fresh = not (folder / "index.json").exists()
    stale: CaseIndex | None = None
    if not fresh:
        stamp = _stamp(library, fingerprint)
        try:
            index, extra = _load(folder, library.key, fingerprint, trusting)
        except (InputError, OSError):
            index = None
        if index is not None and kind is None:
            kind, budget = index.requested_kind, budget or index.choice.budget
        if index is not None and (kind, budget or Budget()) == (
            index.requested_kind,
            index.choice.budget,
        ):
            opened = LibraryIndex(index, str(extra.get("stamp")), "kept", stamp=extra)
            if opened.revision == stamp["stamp"]:
                return replace(opened, stamp=stamp)
            if (brought := _brought_up(library, fingerprint, opened)) is not None:
                return brought
            stale = index
    return _made(library, fingerprint, kind, budget, stale, fresh)


def compact_index(
    library: CaseLibrary,
    fingerprint: str,
    kind: IndexKind | None = None,
    *,
    budget: Budget | None = None,
) -> LibraryIndex:
    """Open the index, and write its files anew if much has been appended to them.

    For who writes vectors, at the end: a search never does it for a large library. How to search
    is chosen again then. Arguments and errors are those of :func:`open_index`.
    """
    opened = open_index(library, fingerprint, kind, budget=budget)
    index = opened.index
    if index.n_pending <= MOST_PENDING * len(index):
        return opened
    index = index.copy()
    index.choose_again(_notes(library, fingerprint))
    saved = _save(library, fingerprint, index, opened.stamp, anew=True, wait=_PATIENCE_SECONDS)
    return replace(opened, index=index) if saved else opened


def _stamp(library: CaseLibrary, fingerprint: str) -> dict[str, Any]:
    """Return up to which change the vectors are that are read after this call.

    A change during the call may be read twice, and never not.
    """
    from medembed.library.vectors import VectorStore  # indexing arrays needs no library

    store = VectorStore(library.database.read())
    change = list(store.last_change())
    space = store.space(fingerprint, "image")
    return {"change": change, "space": space, "stamp": library_revision(library, fingerprint)}


def _notes(library: CaseLibrary, fingerprint: str) -> NoteVectors:
    """Return how to read vectors of notes: they ask as a text does, when a graph is measured."""
    from medembed.library.vectors import VectorStore  # indexing arrays needs no library

    return lambda count: VectorStore(library.database.read()).sample(fingerprint, "note", count)


def _load(
    folder: Path, key: bytes, fingerprint: str, trusting: bool = True
) -> tuple[CaseIndex, dict[str, Any]]:
    """Open the files; retry once, in case another process has just replaced them."""
    load = CaseIndex.load_with_extra
    try:
        return load(folder, key=key, fingerprint=fingerprint, trusting=trusting)
    except (InputError, OSError):
        return load(folder, key=key, fingerprint=fingerprint, trusting=trusting)


def _brought_up(library: CaseLibrary, fingerprint: str, held: LibraryIndex) -> LibraryIndex | None:
    """Apply what has changed in the library; None if that is not known, or is most of it."""
    from medembed.library.vectors import VectorStore  # indexing arrays needs no library

    stamp = _stamp(library, fingerprint)
    own, since = held.stamp, held.stamp.get("change")
    is_same = str(own.get("stamp")).startswith(f"{library.library_id}/")
    if not is_same or own.get("space") != stamp["space"] or not isinstance(since, list):
        return None
    changes = VectorStore(library.database.read()).changes(
        fingerprint, "image", (int(since[0]), int(since[1]))
    )
    if changes is None or changes.space != stamp["space"]:
        return None
    index = held.index.copy()
    if changes.vectors.size and index.dim != changes.vectors.shape[1]:
        return None
    added, removed = _apply(index, changes)
    if not len(index):
        return None
    notes = [SearchNote(SearchNoteKind.INDEX_UPDATED, (added, removed))]
    now, saved_at = time.monotonic(), held.saved_at
    if now - saved_at >= _SAVE_SECONDS:
        anew = len(index) <= _SMALL and index.n_pending > MOST_PENDING * len(index)
        if _save(library, fingerprint, index, stamp, anew=anew, wait=0.0) is None:
            notes.append(SearchNote(SearchNoteKind.INDEX_NOT_SAVED))
        saved_at = now
    return LibraryIndex(index, stamp["stamp"], "updated", tuple(notes), stamp, saved_at)


def _apply(index: CaseIndex, changes: VectorChanges) -> tuple[int, int]:
    """Add and remove what differs; return how many were added and removed."""
    gone = [name for name in changes.gone if name in index]
    rows = index.rows_of(changes.case_ids)
    known = np.flatnonzero(rows >= 0)
    same = np.zeros(len(rows), dtype=bool)
    same[known] = (index.rows_at(rows[known]) == changes.vectors[known]).all(axis=1)
    new = np.flatnonzero(~same)
    index.change(
        changes.vectors[new], [changes.case_ids[at] for at in new], remove=gone, replace=True
    )
    return len(new), len(gone) + int((rows[new] >= 0).sum())


def _made(
    library: CaseLibrary,
    fingerprint: str,
    kind: IndexKind | None,
    budget: Budget | None,
    stale: CaseIndex | None,
    fresh: bool,
) -> LibraryIndex:
    """Build the index of all vectors, or bring an older one to them."""
    folder = index_folder(library, fingerprint)
    stamp = _stamp(library, fingerprint)
    try:
        images = Embeddings.from_library(library, fingerprint, "image")
    except FingerprintError:
        shutil.rmtree(
            folder, ignore_errors=True
        )  # vectors deleted from the library must not remain in the files
        raise
    state: Literal["made", "updated", "rebuilt"]
    if stale is not None:
        added, removed = stale.sync(images, _notes(library, fingerprint))
        index, state = stale, "updated"
        done = [SearchNote(SearchNoteKind.INDEX_UPDATED, (added, removed))]
    else:
        index = CaseIndex.build(
            images, kind=kind or "auto", budget=budget, notes=_notes(library, fingerprint)
        )
        state = "made" if fresh else "rebuilt"
        what = SearchNoteKind.INDEX_BUILT
        if not fresh:
            what = SearchNoteKind.INDEX_REBUILT if kind else SearchNoteKind.INDEX_REPLACED
        done = [SearchNote(what, (len(index),))]
    saved = _save(library, fingerprint, index, stamp, anew=True, wait=_PATIENCE_SECONDS)
    if saved:
        with suppress(InputError, OSError):  # its vectors are in the files now, not in memory
            opened, extra = _load(folder, library.key, fingerprint)
            if extra == stamp:
                index = opened
    elif saved is None:
        done.append(SearchNote(SearchNoteKind.INDEX_NOT_SAVED))
    return LibraryIndex(index, stamp["stamp"], state, tuple(done), stamp)


def _save(
    library: CaseLibrary,
    fingerprint: str,
    index: CaseIndex,
    stamp: Mapping[str, Any],
    *,
    anew: bool,
    wait: float,
) -> bool | None:
    """Append to the files, or write them anew.

    Returns
    -------
    bool or None
        False if they are left to others, who have what the library has; None if they cannot be
        written.
    """
    from medembed.library.locks import writer_lock  # indexing arrays needs no library

    folder = index_folder(library, fingerprint)
    try:
        with writer_lock(folder.with_name(f".{folder.name}.lock"), "writing an index", wait):
            # Erased meanwhile? That must not come back in a file; the next opening saves.
            if library_revision(library, fingerprint) != stamp["stamp"]:
                return False
            if anew:
                index.compact(folder, key=library.key, extra=dict(stamp))
                return True
            return index.save_changes(folder, key=library.key, extra=dict(stamp))
    except LibraryBusyError:
        return None if wait else False
    except (OSError, LibraryError):
        return None
