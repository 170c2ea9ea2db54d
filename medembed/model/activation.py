"""Activate a model once the library has its vectors, in one transaction.

A trained model is pending (``pending_model``) while the active one stays in use. The folder of an
active model is never overwritten: before a newer model takes its name, the folder is kept under a
versioned name and the library is updated to use it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from medembed.errors import ModelError
from medembed.library.meta import MetaStore
from medembed.library.vectors import VectorStore
from medembed.model.model_files import standing, stated_fingerprint, unwritable
from medembed.model.model_history import note_activation, previous_activation
from medembed.privacy.private_files import DRAFT_SUFFIX, keep_private, sync_folder

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = [
    "PENDING",
    "activate",
    "keep_serving",
    "name_in_library",
    "previous_fingerprint",
    "propose",
    "versioned_name",
    "would_drop",
]

PENDING = "pending_model"
"""Key in the library's ``meta`` of the model awaiting its vectors."""

_ACTIVE = "active_model"
_LOST = 0.05
"""A model that lacks vectors for more than this share of the active one's cases is not activated
automatically: the archive may not be mounted. One case is always allowed."""


def versioned_name(name: str, fingerprint: str) -> str:
    """Folder name of an active model whose name a newer one has taken.

    Names given by users cannot contain ``@``, so no model of theirs is overwritten.
    """
    return f"{name.partition('@')[0]}@{fingerprint[:12]}"


def name_in_library(library: CaseLibrary, fingerprint: str) -> str | None:
    """Find the library's model with this fingerprint, trying the pending and active ones first."""
    models = library.path / "models"
    first = [name for name in (library.get_meta(PENDING), library.active_model) if name]
    others = sorted(file.parent.name for file in models.glob("[!.]*/model.json"))
    for name in dict.fromkeys((*first, *others)):
        with suppress(ModelError):
            if stated_fingerprint(models / name) == fingerprint:
                return name
    return None


def propose(library: CaseLibrary, name: str) -> None:
    """Mark a trained model as pending until it has its vectors; the active one stays in use.

    If the library already has its vectors, because it is an earlier model, it is activated.
    """
    if library.active_model == name:  # the same model: a different one would have been moved aside
        return
    fingerprint = stated_fingerprint(library.path / "models" / name)
    has_vectors = any(
        space.fingerprint == fingerprint and space.kind == "image" and space.n_vectors
        for space in library.embedding_sets()
    )
    if not (
        has_vectors
        and not library.missing_vectors(fingerprint, "image")
        and activate(library, name, may_lose=())
    ):
        library.set_meta(PENDING, name)


def activate(library: CaseLibrary, name: str, *, may_lose: Collection[str] | None = None) -> bool:
    """Make a model the active one, in one transaction; it is no longer pending.

    Parameters
    ----------
    library : CaseLibrary
    name : str
        Of a folder under ``models``.
    may_lose : collection of str, optional
        Cases that the active model finds and this one need not. None allows any.

    Returns
    -------
    bool
        False, with nothing changed, if other cases would be lost: they came in meanwhile.
    """
    models = library.path / "models"
    fingerprint = None
    with suppress(ModelError):  # a name without a folder fails when it is searched with
        fingerprint = stated_fingerprint(models / name)
    with library.database.write() as db:
        meta = MetaStore(db)
        serving, before = meta.get(_ACTIVE), None
        with suppress(ModelError):
            before = (serving, stated_fingerprint(models / serving)) if serving else None
        if may_lose is not None and before is not None and fingerprint is not None:
            lost = VectorStore(db).only_first(before[1], fingerprint, "image")
            if not set(lost) <= set(may_lose):
                return False
        meta.set(_ACTIVE, name)
        if meta.get(PENDING) == name:
            meta.set(PENDING, None)
        if fingerprint is not None:
            note_activation(db, name, fingerprint, before)
    return True


def previous_fingerprint(library: CaseLibrary) -> str | None:
    """Return the fingerprint of the model that was active before the present one, if any."""
    serving = ""
    with suppress(ModelError):
        if library.active_model:
            serving = stated_fingerprint(library.path / "models" / library.active_model)
    earlier = previous_activation(library, serving)
    return None if earlier is None else earlier.fingerprint


def would_drop(library: CaseLibrary, fingerprint: str) -> tuple[frozenset[str], bool]:
    """Find the cases that the active model finds and this one would not.

    Returns
    -------
    case_ids : frozenset of str
    too_many : bool
        Whether they are too many to activate the model automatically; always if it has no image
        vector at all.
    """
    missing = library.missing_vectors(fingerprint, "image")
    if len(missing) == len(library):
        return frozenset(missing), True
    if not library.active_model:
        return frozenset(), False
    with suppress(ModelError):
        serving = stated_fingerprint(library.path / "models" / library.active_model)
        store = VectorStore(library.database.read())
        lost = frozenset(store.only_first(serving, fingerprint, "image"))
        found = len(library) - len(library.missing_vectors(serving, "image"))
        return lost, len(lost) > max(1, _LOST * found)
    return frozenset(), False


def keep_serving(library: CaseLibrary, name: str, fingerprint: str) -> None:
    """Keep the active model when a newer one, of ``fingerprint``, is about to take its name.

    It is linked (or copied) to its versioned name and the library is then updated in one
    transaction, so that the active model always has a folder.
    """
    folder = library.path / "models" / name
    _sweep(library, name)
    if library.active_model != name:
        return
    serving = stated_fingerprint(folder)
    if serving == fingerprint:
        return
    kept = folder.with_name(versioned_name(name, serving))
    if not (kept / "model.json").is_file():
        beside = folder.with_name(f".{kept.name}.{secrets.token_hex(6)}{DRAFT_SUFFIX}")
        try:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(standing(folder), beside, copy_function=_link)
            keep_private(beside)
            beside.rename(kept)
            sync_folder(kept.parent)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise unwritable(error) from error
    with library.database.write() as db:
        db.execute(
            "UPDATE meta SET value = ? WHERE name = ? AND value = ?", (kept.name, _ACTIVE, name)
        )


def _sweep(library: CaseLibrary, name: str) -> None:
    """Remove versions of ``name`` that are no longer in use, nor the previous one."""
    previous = previous_fingerprint(library)
    for folder in (library.path / "models").glob(f"{name}@*"):
        if folder.name in (library.active_model, library.get_meta(PENDING)):
            continue
        with suppress(ModelError):
            if stated_fingerprint(folder) == previous:
                continue
        shutil.rmtree(folder, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
