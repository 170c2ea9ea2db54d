"""Find the model to use: one rule for searching, embedding and indexing, without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medembed.errors import FingerprintError, ModelError
from medembed.model.activation import PENDING, versioned_name
from medembed.model.model_files import standing, stated_fingerprint
from medembed.vector_exchange import EXTERNAL

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["ModelChoice", "choose_model", "find_model"]


@dataclass(frozen=True, eq=False)
class ModelChoice:
    """A model identified by its fingerprint and loaded when something has to be encoded.

    Parameters
    ----------
    fingerprint : str
    folder : Path or None
        None if only its vectors exist: a case can be the query, a text or an image cannot.
    loaded : DualEncoder or None
    """

    fingerprint: str
    folder: Path | None = None
    loaded: DualEncoder | None = None

    def load(self) -> DualEncoder:
        """Load the model.

        If a training has replaced the model in the folder since it was chosen, the chosen one is
        loaded from its versioned folder.

        Raises
        ------
        ModelError
            If it cannot be loaded.
        FingerprintError
            If its folder holds another model now and it was not kept.
        """
        if self.loaded is not None:
            return self.loaded
        if self.folder is None and self.fingerprint.startswith(EXTERNAL):
            raise ModelError(
                f"the library has no encoder for the imported vectors "
                f"{self.fingerprint.removeprefix(EXTERNAL)!r}, so no text and no image can be "
                "compared with them",
                hint="search by --case or --vector, or choose a --model",
            )
        if self.folder is None:
            raise ModelError(
                "the library has vectors but no model to encode a text or an image",
                hint="name one with --model, or train one: medembed train LIBRARY",
            )
        from medembed.model.dual_encoder import DualEncoder

        kept = self.folder.with_name(versioned_name(self.folder.name, self.fingerprint))
        try:
            model = DualEncoder.load(self.folder)
        except ModelError:
            if not kept.is_dir():
                raise
            model = DualEncoder.load(kept)
        if model.fingerprint != self.fingerprint and kept.is_dir():
            model = DualEncoder.load(kept)
        if model.fingerprint != self.fingerprint:
            raise FingerprintError(
                "the model was replaced while it was in use",
                where=self.folder.name,
                hint="run medembed embed LIBRARY, then search again",
            )
        return model

    @property
    def collapsed(self) -> bool:
        """Whether training marked the model as collapsed: :mod:`medembed.training.collapse`."""
        if self.folder is None:
            return False
        try:
            kept = json.loads((standing(self.folder) / "training.json").read_bytes())
            return bool(kept["collapse"]["collapsed"])
        except (OSError, ValueError, KeyError, TypeError):
            return False


def choose_model(
    library: CaseLibrary,
    model: DualEncoder | str | Path | None = None,
    *,
    newest: bool = False,
) -> ModelChoice:
    """Find the model to use.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder, name, folder, fingerprint, or None
        A name refers to one of the library's models or imported vectors; the first characters of
        a fingerprint to vectors that the library keeps. None is the active model or, if none is
        active, the only one with image vectors in the library, or the one awaiting its vectors.
    newest : bool
        With None: prefer the model awaiting its vectors to the active one, as embedding does.

    Raises
    ------
    ModelError
        If there is none, or its folder cannot be read.
    """
    if model is not None and not isinstance(model, str | Path):
        return ModelChoice(model.fingerprint, None, model)
    if model is not None:
        folder = library.path / "models" / model
        if not (standing(folder) / "model.json").is_file():
            stored = {s.fingerprint for s in library.embedding_sets() if s.n_vectors}
            external = f"{EXTERNAL}{str(model).removeprefix(EXTERNAL)}"
            if external in stored:
                return ModelChoice(external)
            folder = Path(model)
        if not folder.exists():
            alike = [name for name in stored if model and name.startswith(str(model))]
            if len(alike) == 1:
                return ModelChoice(alike[0], _folder_of(library, alike[0]))
        return ModelChoice(stated_fingerprint(folder), folder)
    active, pending = library.active_model, library.get_meta(PENDING)
    name = (pending or active) if newest else active
    if name is not None and name == active:
        return _active(library, active)
    if name is None and not newest:
        known = library.embedded_by("image")
        if len(known) == 1:
            return ModelChoice(known[0], _folder_of(library, known[0]))
        if known and not pending:
            raise ModelError(
                f"the library has vectors of {len(known)} models, and none is active",
                hint="name one with --model",
            )
        name = pending
    if name is None:
        raise ModelError("the library has no model yet", hint="train one: medembed train LIBRARY")
    folder = library.path / "models" / name
    return ModelChoice(stated_fingerprint(folder), folder)


def _active(library: CaseLibrary, name: str) -> ModelChoice:
    """Return the active model: its name and what its folder holds, both of one moment.

    A training that takes the name first moves the active model to another one, so a name that is
    still active after the folder was read belongs to what was read.
    """
    while True:
        folder = library.path / "models" / name
        try:
            choice = ModelChoice(stated_fingerprint(folder), folder)
        except ModelError:
            if library.active_model == name:
                raise
            choice = None
        now = library.active_model
        if choice is not None and now in (name, None):
            return choice
        name = now or name


def find_model(library: CaseLibrary, name: str | None = None, *, newest: bool = False) -> Path:
    """Return a model's folder, by its name in the library, its path, or :func:`choose_model`.

    Raises
    ------
    ModelError
        If there is none.
    """
    choice = choose_model(library, name, newest=newest)
    if choice.folder is None:
        imported = choice.fingerprint.startswith(EXTERNAL)
        raise ModelError(
            "these vectors were imported; their model is not in the library"
            if imported
            else "the library has vectors but no model",
            hint="choose another --model, or train one: medembed train LIBRARY",
        )
    return choice.folder


def _folder_of(library: CaseLibrary, fingerprint: str) -> Path | None:
    """Find the folder under ``models`` with this fingerprint."""
    for file in sorted((library.path / "models").glob("[!.]*/model.json")):
        try:
            if stated_fingerprint(file.parent) == fingerprint:
                return file.parent
        except ModelError:
            continue
    return None
