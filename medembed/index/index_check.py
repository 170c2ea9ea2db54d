"""Check the index files of a library, and build again those that do not match it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from medembed.counted import counted
from medembed.embeddings import Embeddings
from medembed.errors import InputError, MedEmbedError
from medembed.index.backend import SERVER_KEEPS, index_backend, set_index_backend
from medembed.index.backend import open_index as open_on_backend
from medembed.index.library_index import (
    COLUMNS_FOLDER,
    NOVELTY_FOLDER,
    WORTH_FOLDER,
    LibraryIndex,
    index_folder,
    open_index,
)
from medembed.index.sealed_files import read_sealed
from medembed.library.elsewhere import is_elsewhere
from medembed.library.verification import Check, CheckState

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.library import CaseLibrary

__all__ = ["verify_indexes"]


def verify_indexes(library: CaseLibrary) -> Iterator[Check]:
    """Check every index of a library: its seal, its digests, and that it is of this revision.

    An index that was changed, or is behind, is built again or updated; one of vectors that the
    library no longer has is removed. Nothing is built that was not there. The columns of the cases
    are checked by :func:`medembed.columns.columns_check.verify_columns`.
    """
    made = {
        index_folder(library, space.fingerprint): space.fingerprint
        for space in library.embedding_sets()
        if space.kind == "image" and space.n_vectors
    }
    for folder in sorted((library.path / "index").glob("[!.]*")):
        if not folder.is_dir() or folder.is_symlink() or folder.name == COLUMNS_FOLDER:
            continue
        what = f"index {folder.name[:12]}"
        if folder.name == NOVELTY_FOLDER:
            yield _check_novelty(library, folder)
            continue
        if folder.name == WORTH_FOLDER:
            yield _check_worth(library, folder, {each.name for each in made})
            continue
        if folder not in made:
            shutil.rmtree(folder, ignore_errors=True)
            yield Check(what, CheckState.REPAIRED, "removed: the library has no such vectors")
            continue
        try:
            opened = _verified(library, made[folder], folder)
        except MedEmbedError as error:
            yield Check(what, CheckState.LEFT, str(error.what))
            continue
        if opened.state == "kept":
            yield Check(what, CheckState.OK, counted(len(opened.index), "case"))
        else:
            yield Check(what, CheckState.REPAIRED, "; ".join(map(str, opened.notes)))
    if index_backend(library) != "local":
        yield from _check_server(library, sorted(made.values()))
    elif is_elsewhere(library.database.read()):
        if set_index_backend(library, "local"):
            yield Check("index server", CheckState.REPAIRED, "vectors dropped: it is not used")
        else:
            yield Check("index server", CheckState.LEFT, SERVER_KEEPS)


def _check_server(library: CaseLibrary, fingerprints: list[str]) -> Iterator[Check]:
    """Compare every row on the index server with the library, and repair what differs."""
    what = "index server"
    try:
        for fingerprint in fingerprints:
            index = open_on_backend(library, fingerprint).index
            sent, removed = index.synchronize(thorough=True)  # type: ignore[attr-defined]
            if sent or removed:
                detail = f"{counted(sent, 'vector')} sent, {removed} removed"
                yield Check(what, CheckState.REPAIRED, detail)
            else:
                yield Check(what, CheckState.OK, counted(len(index), "case"))
    except MedEmbedError as error:
        yield Check(what, CheckState.LEFT, str(error))


def _verified(library: CaseLibrary, fingerprint: str, folder: Path) -> LibraryIndex:
    """Hash every file, and compare every vector with the library's."""
    opened = open_index(library, fingerprint, trusting=False)
    if opened.state == "kept":
        images = Embeddings.from_library(library, fingerprint, "image")
        if opened.index.copy().sync(images) != (0, 0):
            shutil.rmtree(folder, ignore_errors=True)
            return open_index(library, fingerprint)
    return opened


def _check_novelty(library: CaseLibrary, folder: Path) -> Check:
    """Check the seal of the novelty check's calibration, which belongs to no model."""
    try:
        read_sealed(folder, library.key)
    except (InputError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        return Check(
            "novelty check", CheckState.REPAIRED, "removed: medembed index LIBRARY calibrates it"
        )
    return Check("novelty check", CheckState.OK, "calibrated")


def _check_worth(library: CaseLibrary, folder: Path, models: set[str]) -> Check:
    """Check the seals of what scores are worth; that of a model without vectors is removed."""
    removed = kept = 0
    for each in sorted(folder.glob("[!.]*")):
        try:
            if each.name not in models:
                raise InputError("the library has no such vectors", where=each.name)
            read_sealed(each, library.key)
            kept += 1
        except (InputError, OSError):
            shutil.rmtree(each, ignore_errors=True)
            removed += 1
    if removed:
        return Check(
            "worth of scores", CheckState.REPAIRED, "removed: medembed index LIBRARY measures it"
        )
    return Check("worth of scores", CheckState.OK, counted(kept, "model"))
