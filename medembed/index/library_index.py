"""The index files of a library: derived data, signed with its key, rebuilt if they do not match."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medembed.embeddings import Embeddings
from medembed.errors import FingerprintError, InputError, LibraryError
from medembed.index.case_index import CaseIndex, IndexKind
from medembed.index.search_notes import SearchNote, SearchNoteKind

if TYPE_CHECKING:
    from medembed.index.backend import SearchIndex
    from medembed.library import CaseLibrary

__all__ = ["NOVELTY_FOLDER", "LibraryIndex", "index_folder", "library_revision", "open_index"]

NOVELTY_FOLDER = "novelty"
"""Beside the folders of the indexes: the calibration of the novelty check."""

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class LibraryIndex:
    """An index of a library's image vectors, up to date when it was opened.

    Parameters
    ----------
    index : SearchIndex
    revision : str
        Revision of the library's vectors that the index was built from.
    state : {"kept", "made", "updated", "rebuilt"}
        What :func:`open_index` had to do.
    notes : tuple of SearchNote
        The same with its numbers; empty if the files were kept.
    """

    index: SearchIndex
    revision: str
    state: Literal["kept", "made", "updated", "rebuilt"]
    notes: tuple[SearchNote, ...] = ()


def index_folder(library: CaseLibrary, fingerprint: str) -> Path:
    """Return the folder of the index files for one model."""
    safe = re.fullmatch(r"[0-9A-Za-z][\w-]{0,100}", fingerprint, re.ASCII)
    name = fingerprint if safe else hashlib.sha256(fingerprint.encode()).hexdigest()
    return library.path / "index" / name


def library_revision(library: CaseLibrary, fingerprint: str) -> str:
    """Return the revision of the library's vectors of one model; every change gives a new one."""
    from medembed.library.vectors import VectorStore  # indexing arrays needs no library

    return f"{library.library_id}/{VectorStore(library.database.read()).revision(fingerprint)}"


def _load(folder: Path, key: bytes, fingerprint: str) -> tuple[CaseIndex, dict[str, Any]]:
    """Read the files; retry once, in case another process has just replaced them."""
    try:
        return CaseIndex.load_with_extra(folder, key=key, fingerprint=fingerprint)
    except (InputError, OSError):
        return CaseIndex.load_with_extra(folder, key=key, fingerprint=fingerprint)


def open_index(
    library: CaseLibrary, fingerprint: str, kind: IndexKind | None = None
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

    Raises
    ------
    FingerprintError
        If the library has no image vectors of this model.
    """
    from medembed.library.locks import writer_lock  # indexing arrays needs no library

    # Read before the vectors: the next call notices any change in between.
    revision = library_revision(library, fingerprint)
    folder = index_folder(library, fingerprint)
    fresh = not (folder / "index.json").exists()
    stale: CaseIndex | None = None
    try:
        if not fresh:
            index, extra = _load(folder, library.key, fingerprint)
            if kind in (None, index.requested_kind):
                if extra.get("stamp") == revision:
                    return LibraryIndex(
                        index,
                        revision,
                        "kept",
                    )
                stale = index
    except (InputError, OSError):
        stale = None
    try:
        images = Embeddings.from_library(library, fingerprint, "image")
    except FingerprintError:
        shutil.rmtree(
            folder, ignore_errors=True
        )  # vectors deleted from the library must not remain in the files
        raise
    state: Literal["made", "updated", "rebuilt"]
    if stale is not None:
        added, removed = stale.sync(images)
        index, state = stale, "updated"
        done = [SearchNote(SearchNoteKind.INDEX_UPDATED, (added, removed))]
    else:
        index = CaseIndex.build(images, kind=kind or "auto")
        state = "made" if fresh else "rebuilt"
        what = SearchNoteKind.INDEX_BUILT
        if not fresh:
            what = SearchNoteKind.INDEX_REBUILT if kind else SearchNoteKind.INDEX_REPLACED
        done = [SearchNote(what, (len(index),))]

    try:
        with writer_lock(
            folder.with_name(f".{folder.name}.lock"), "writing an index", _PATIENCE_SECONDS
        ):
            # Erased meanwhile? That must not come back in a file; the next opening saves.
            if library_revision(library, fingerprint) == revision:
                index.save(folder, key=library.key, extra={"stamp": revision})
    except (OSError, LibraryError):
        done.append(SearchNote(SearchNoteKind.INDEX_NOT_SAVED))
    return LibraryIndex(index, revision, state, tuple(done))
