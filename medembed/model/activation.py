"""Activate a model once the library has its vectors, in one transaction.

A trained model is pending (``pending_model``) while the active one stays in use. The folder of an
active model is never overwritten: before a newer model takes its name, the folder is kept under a
versioned name and the library is updated to use it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from medembed.errors import ModelError
from medembed.model.model_files import standing, stated_fingerprint, unwritable
from medembed.privacy.private_files import DRAFT_SUFFIX, keep_private, sync_folder

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = [
    "PENDING",
    "activate",
    "keep_serving",
    "name_in_library",
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
    if has_vectors and not library.missing_vectors(fingerprint, "image"):
        activate(library, name)
    else:
        library.set_meta(PENDING, name)


def activate(library: CaseLibrary, name: str) -> None:
    """Make a model the active one; it is no longer pending."""
    with library.database.write() as db:
        db.execute("DELETE FROM meta WHERE name = ?", (_ACTIVE,))
        db.execute("INSERT INTO meta VALUES (?, ?)", (_ACTIVE, name))
        db.execute("DELETE FROM meta WHERE name = ? AND value = ?", (PENDING, name))


def would_drop(library: CaseLibrary, fingerprint: str) -> tuple[int, bool]:
    """Count cases that the active model finds and this one would not.

    Returns
    -------
    n : int
    too_many : bool
        Whether they are too many to activate the model automatically; always if it has no image
        vector at all.
    """
    missing = set(library.missing_vectors(fingerprint, "image"))
    if len(missing) == len(library):
        return len(missing), True
    if not library.active_model:
        return 0, False
    with suppress(ModelError):
        serving = stated_fingerprint(library.path / "models" / library.active_model)
        found = set(library.find()) - set(library.missing_vectors(serving, "image"))
        lost = len(found & missing)
        return lost, lost > max(1, _LOST * len(found))
    return 0, False


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
    """Remove versions of ``name`` that are no longer in use."""
    for folder in (library.path / "models").glob(f"{name}@*"):
        if folder.name not in (library.active_model, library.get_meta(PENDING)):
            shutil.rmtree(folder, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
