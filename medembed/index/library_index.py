"""The index files of a library: derived, sealed with its key, made anew where they do not fit."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medembed.embeddings import Embeddings
from medembed.errors import FingerprintError, InputError, LibraryError
from medembed.index.case_index import CaseIndex, IndexKind
from medembed.index.novelty import Novelty, calibrate

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["LibraryIndex", "index_folder", "library_stamp", "open_index"]

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class LibraryIndex:
    """An index of a library's image vectors, up to date when it was opened.

    Parameters
    ----------
    cases : CaseIndex
    novelty : Novelty
    stamp : str
        State of the library's vectors that it was made of.
    state : {"kept", "made", "updated", "rebuilt"}
        What had to be done to open it.
    said : str
        The same for a person; empty where it was kept.
    """

    cases: CaseIndex
    novelty: Novelty
    stamp: str
    state: Literal["kept", "made", "updated", "rebuilt"]
    said: str = ""


def index_folder(library: CaseLibrary, fingerprint: str) -> Path:
    """Where the files for one model lie."""
    safe = re.fullmatch(r"[0-9A-Za-z][\w-]{0,100}", fingerprint, re.ASCII)
    name = fingerprint if safe else hashlib.sha256(fingerprint.encode()).hexdigest()
    return library.path / "index" / name


def library_stamp(library: CaseLibrary, fingerprint: str) -> str:
    """State of the library's vectors of one model; another after every change to them."""
    spaces = [
        f"{space.kind}:{space.dimensions}:{space.revision}:{space.n_vectors}"
        for space in library.vector_spaces()
        if space.fingerprint == fingerprint
    ]
    return "/".join([library.library_id, *sorted(spaces)])


def _load(folder: Path, key: bytes, fingerprint: str) -> tuple[CaseIndex, dict[str, Any]]:
    """Read the files; once more if another process has just replaced them."""
    try:
        return CaseIndex.load_with_extra(folder, key=key, fingerprint=fingerprint)
    except (InputError, OSError):
        return CaseIndex.load_with_extra(folder, key=key, fingerprint=fingerprint)


def open_index(
    library: CaseLibrary, fingerprint: str, kind: IndexKind | None = None
) -> LibraryIndex:
    """Open the index of ``library`` for one model, built or brought up to date where needed.

    Missing, damaged and foreign files are replaced without asking, and ``said`` tells so. Where
    the folder cannot be written to, the index works all the same and is made again next time.

    Parameters
    ----------
    library : CaseLibrary
    fingerprint : str
        Of the model.
    kind : {"auto", "exact", "hnsw"}, optional
        As in :meth:`CaseIndex.build`. None keeps the kind that is there, and is ``"auto"`` where
        there is none.

    Raises
    ------
    FingerprintError
        Where the library has no image vectors of this model.
    """
    from medembed.library.locks import writer_lock  # bare arrays are indexed without a library

    # Taken before the vectors are read: what changes in between is seen the next time.
    stamp = library_stamp(library, fingerprint)
    folder = index_folder(library, fingerprint)
    fresh = not (folder / "index.json").exists()
    stale: CaseIndex | None = None
    try:
        if not fresh:
            index, extra = _load(folder, library.key, fingerprint)
            if kind in (None, index.requested):
                if extra.get("stamp") == stamp:
                    return LibraryIndex(
                        index, Novelty.from_json(extra.get("novelty", {})), stamp, "kept"
                    )
                stale = index
    except (InputError, OSError):
        stale = None
    try:
        images = Embeddings.from_library(library, fingerprint, "image")
    except FingerprintError:
        shutil.rmtree(folder, ignore_errors=True)  # what left the library leaves the files too
        raise
    try:
        notes = Embeddings.from_library(library, fingerprint, "note")
    except FingerprintError:
        notes = None
    state: Literal["made", "updated", "rebuilt"]
    if stale is not None:
        added, removed = stale.bring_to(images)
        index, state = stale, "updated"
        said = f"the index was brought up to date: {added} vectors added, {removed} taken out"
    else:
        index = CaseIndex.build(images, kind=kind or "auto")
        state = "made" if fresh else "rebuilt"
        said = f"the index was {state}: {len(index)} cases"
        if state == "rebuilt" and kind is None:
            said += ", since its files were damaged or of another library"

    def n_words(case_ids: Sequence[str]) -> list[int]:
        return [len(c.note.text.split()) for c in library.select(case_ids) if c.note]

    novelty = calibrate(images, notes, library.patients(), n_words)
    try:
        with writer_lock(
            folder.with_name(f".{folder.name}.lock"), "writing an index", _PATIENCE_SECONDS
        ):
            extra = {"stamp": stamp, "novelty": novelty.to_json()}
            index.save(folder, key=library.key, extra=extra)
    except (OSError, LibraryError):
        said += "; its files could not be written"
    return LibraryIndex(index, novelty, stamp, state, said)
