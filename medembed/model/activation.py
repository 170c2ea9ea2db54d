"""When a model comes into use: once the library has its vectors, in one transaction.

A model that was trained waits (``pending_model``) while the active one serves. The folder of an
active model is never written over: before a newer model takes its name, it is kept beside it under
its name and fingerprint, and the library is told so first.
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
"""Name in the library's ``meta`` of the model that waits for its vectors."""

_ACTIVE = "active_model"
_LOST = 0.05
"""A model that lacks vectors of a larger part of the active one's cases is not activated by itself:
an archive that is not mounted looks like this. One case is always allowed."""


def versioned_name(name: str, fingerprint: str) -> str:
    """Folder of a model that serves while another has taken its name.

    ``@`` cannot stand in a name that a user gives, so that no model of theirs is written over.
    """
    return f"{name.partition('@')[0]}@{fingerprint[:12]}"


def name_in_library(library: CaseLibrary, fingerprint: str) -> str | None:
    """Name of the library's model with this fingerprint, the waiting and the active one first."""
    models = library.path / "models"
    first = [name for name in (library.get_meta(PENDING), library.active_model) if name]
    others = sorted(file.parent.name for file in models.glob("[!.]*/model.json"))
    for name in dict.fromkeys((*first, *others)):
        with suppress(ModelError):
            if stated_fingerprint(models / name) == fingerprint:
                return name
    return None


def propose(library: CaseLibrary, name: str) -> None:
    """Let a trained model wait for its vectors; the active one serves until then.

    Where the library has the vectors already, for it is an earlier model again, it becomes active.
    """
    if library.active_model == name:  # the very model: another one would have moved it aside
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
    """Make a model the active one; it waits no longer."""
    with library.database.write() as db:
        db.execute("DELETE FROM meta WHERE name = ?", (_ACTIVE,))
        db.execute("INSERT INTO meta VALUES (?, ?)", (_ACTIVE, name))
        db.execute("DELETE FROM meta WHERE name = ? AND value = ?", (PENDING, name))


def would_drop(library: CaseLibrary, fingerprint: str) -> tuple[int, bool]:
    """Cases that the active model finds and this one would not, and whether they are too many.

    Returns
    -------
    n, too_many : int, bool
        Too many also where the model has no image vector at all.
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
    """Keep the active model where a newer one of ``fingerprint`` is about to take its name.

    It is linked (or copied) under its versioned name, and then the library is told in one
    transaction: at no moment does the active model lack its folder.
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
    """Remove versions of ``name`` that no longer serve."""
    for folder in (library.path / "models").glob(f"{name}@*"):
        if folder.name not in (library.active_model, library.get_meta(PENDING)):
            shutil.rmtree(folder, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
