"""Which model is meant: one rule for searching, embedding and indexing, without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medembed.errors import FingerprintError, ModelError
from medembed.model.activation import PENDING, versioned_name
from medembed.model.model_files import standing, stated_fingerprint

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["ModelChoice", "choose_model", "find_model"]


@dataclass(frozen=True, eq=False)
class ModelChoice:
    """A model by its fingerprint, loaded only when something has to be encoded.

    Parameters
    ----------
    fingerprint : str
    folder : Path or None
        None where only its vectors are there: cases can be looked up, texts and images cannot.
    loaded : DualEncoder or None
    """

    fingerprint: str
    folder: Path | None = None
    loaded: DualEncoder | None = None

    def load(self) -> DualEncoder:
        """Give the model; imports torch.

        A training may have put a newer model in the folder since it was chosen; the chosen one is
        then kept beside it, under its fingerprint.

        Raises
        ------
        ModelError
            Where it cannot be loaded.
        FingerprintError
            Where its folder holds another model by now, and it is not kept.
        """
        if self.loaded is not None:
            return self.loaded
        if self.folder is None:
            raise ModelError(
                "the library has vectors but no model to encode a text or an image with",
                hint="give one with --model, or train one: medembed train LIBRARY --config demo",
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
                hint="medembed embed LIBRARY, then search again",
            )
        return model

    @property
    def collapsed(self) -> bool:
        """Whether training marked it as of no use: see :mod:`medembed.training.collapse`."""
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
    """Find the model that is meant.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder, name, folder, fingerprint, or None
        A name is one of the library's models; of a fingerprint whose vectors the library keeps,
        the first characters do. None is the active model; where none is active, the
        only one that the library has image vectors of, or the one that waits for its vectors.
    newest : bool
        With None: take the one that waits for its vectors before the active one, as embedding
        does.

    Raises
    ------
    ModelError
        Where there is none, or its folder cannot be read.
    """
    if model is not None and not isinstance(model, str | Path):
        return ModelChoice(model.fingerprint, None, model)
    if model is not None:
        folder = library.path / "models" / model
        if not (standing(folder) / "model.json").is_file():
            folder = Path(model)
        if not folder.exists():
            stored = {s.fingerprint for s in library.embedding_sets() if s.n_vectors}
            alike = [name for name in stored if model and name.startswith(str(model))]
            if len(alike) == 1:
                return ModelChoice(alike[0], _folder_of(library, alike[0]))
        return ModelChoice(stated_fingerprint(folder), folder)
    active, pending = library.active_model, library.get_meta(PENDING)
    name = (pending or active) if newest else active
    if name is None and not newest:
        spaces = library.embedding_sets()
        known = [s.fingerprint for s in spaces if s.kind == "image" and s.n_vectors]
        if len(known) == 1:
            return ModelChoice(known[0], _folder_of(library, known[0]))
        if known and not pending:
            raise ModelError(
                f"the library has vectors of {len(known)} models and none is active",
                hint="name one with --model",
            )
        name = pending
    if name is None:
        raise ModelError(
            "the library has no model yet", hint="train one: medembed train LIBRARY --config demo"
        )
    folder = library.path / "models" / name
    return ModelChoice(stated_fingerprint(folder), folder)


def find_model(library: CaseLibrary, name: str | None = None, *, newest: bool = False) -> Path:
    """Folder of a model: by its name in the library, a path, or as :func:`choose_model` finds it.

    Raises
    ------
    ModelError
        Where there is none.
    """
    folder = choose_model(library, name, newest=newest).folder
    if folder is None:
        raise ModelError(
            "the library has vectors but no model", hint="medembed train LIBRARY --config starter"
        )
    return folder


def _folder_of(library: CaseLibrary, fingerprint: str) -> Path | None:
    """Folder under ``models`` that states this fingerprint."""
    for file in sorted((library.path / "models").glob("[!.]*/model.json")):
        try:
            if stated_fingerprint(file.parent) == fingerprint:
                return file.parent
        except ModelError:
            continue
    return None
