"""Remove a model that a library no longer needs: its vectors, its index, its folder."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medembed.errors import ModelError
from medembed.index.library_index import index_folder
from medembed.library.locks import writer_lock
from medembed.library.meta import MetaStore
from medembed.library.vectors import VectorStore
from medembed.model.activation import PENDING, previous_fingerprint
from medembed.model.embed_cases import embed_lock
from medembed.model.model_files import stated_fingerprint
from medembed.model.resolve import choose_model
from medembed.vector_exchange import short_fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.library import CaseLibrary

__all__ = ["RemovalReport", "remove_model"]


@dataclass(frozen=True)
class RemovalReport:
    """The outcome of :func:`remove_model`.

    Parameters
    ----------
    name : str
        Of the model, or of its imported vectors.
    fingerprint : str
    vectors : int
        Vectors of images and notes that were deleted.
    folder : bool
        Whether the model's folder was deleted too.
    """

    name: str
    fingerprint: str
    vectors: int
    folder: bool

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def remove_model(library: CaseLibrary, name: str, *, vectors_only: bool = False) -> RemovalReport:
    """Remove a model from a library; never the active one, nor the one to go back to.

    Parameters
    ----------
    library : CaseLibrary
    name : str
        Of a model or of imported vectors, or the first characters of a fingerprint.
    vectors_only : bool
        Keep the model's folder, so that it can be embedded with again.

    Raises
    ------
    ModelError
        If there is no such model, or it is the active or the previous one.
    LibraryBusyError
        If a process embeds with it.
    """
    choice = choose_model(library, name)
    fingerprint, folder = choice.fingerprint, _own_folder(library, choice.folder)
    shown = short_fingerprint(fingerprint) if folder is None else folder.name
    with writer_lock(embed_lock(library, fingerprint), "removing a model", 0):
        _check(library, fingerprint, shown)
        with library.database.write() as db:
            _check(library, fingerprint, shown)
            store = VectorStore(db)
            held = [s.n_vectors for s in store.embedding_sets() if s.fingerprint == fingerprint]
            if folder is None and not held:
                raise ModelError("the library has neither this model nor vectors of it")
            store.drop(fingerprint)
            meta = MetaStore(db)
            if folder is not None and meta.get(PENDING) == folder.name:
                meta.set(PENDING, None)
        shutil.rmtree(index_folder(library, fingerprint), ignore_errors=True)
        gone = folder is not None and not vectors_only
        if gone and folder is not None:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise ModelError(
                    f"its vectors are gone, its folder could not be deleted ({error.strerror})",
                    where=folder.name,
                    hint="delete the folder",
                ) from error
    return RemovalReport(shown, fingerprint, sum(held), gone)


def _check(library: CaseLibrary, fingerprint: str, shown: str) -> None:
    active = library.active_model
    if active and stated_fingerprint(library.path / "models" / active) == fingerprint:
        raise ModelError(
            "this is the active model",
            where=shown,
            hint="change over to another one first: medembed use LIBRARY MODEL",
        )
    if previous_fingerprint(library) == fingerprint:
        raise ModelError(
            "this is the model to go back to (medembed use --back)",
            where=shown,
            hint="it can be removed after the next change of the model",
        )


def _own_folder(library: CaseLibrary, folder: Path | None) -> Path | None:
    """The folder if it is the library's own: a model elsewhere is not ours to delete."""
    return folder if folder is not None and folder.parent == library.path / "models" else None
