"""Which model a search uses, found without importing torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medembed.errors import FingerprintError, ModelError

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model import DualEncoder

__all__ = ["ModelChoice", "choose_model"]


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

        Raises
        ------
        ModelError
            Where it cannot be loaded.
        FingerprintError
            Where its folder holds another model by now.
        """
        if self.loaded is not None:
            return self.loaded
        if self.folder is None:
            raise ModelError(
                "the library has vectors but no model to encode a text or an image with",
                hint="give one with --model, or train one: medembed train LIBRARY --config demo",
            )
        from medembed.model import DualEncoder

        model = DualEncoder.load(self.folder)
        if model.fingerprint != self.fingerprint:
            raise FingerprintError(
                "the model was replaced while it was in use",
                where=self.folder.name,
                hint="medembed embed LIBRARY, then search again",
            )
        return model


def choose_model(library: CaseLibrary, model: DualEncoder | str | Path | None) -> ModelChoice:
    """Find the model to search with.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder, name, folder, or None
        A name is one of the library's models; None is its active model or, where none is active,
        the only one that it has image vectors of.

    Raises
    ------
    ModelError
        Where there is none, or its folder cannot be read.
    """
    if model is not None and not isinstance(model, str | Path):
        return ModelChoice(model.fingerprint, None, model)
    name = model if model is not None else library.active_model
    if name is not None:
        folder = library.path / "models" / name
        if not (folder / "model.json").is_file() and model is not None:
            folder = Path(name)
        return ModelChoice(_fingerprint_in(folder), folder)
    known = [s.fingerprint for s in library.vector_spaces() if s.kind == "image" and s.n_vectors]
    if len(known) == 1:
        return ModelChoice(known[0])
    if known:
        raise ModelError(
            f"the library has vectors of {len(known)} models and none is active",
            hint="name one with --model",
        )
    raise ModelError(
        "the library has no model yet", hint="train one: medembed train LIBRARY --config demo"
    )


def _fingerprint_in(folder: Path) -> str:
    """Fingerprint that a model folder states; it is checked when the model is loaded."""
    try:
        about = json.loads((folder / "model.json").read_bytes())
        fingerprint = str(about["fingerprint"])
    except FileNotFoundError:
        raise ModelError(
            "there is no such model", where=folder.name, hint="medembed show models lists them"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError("model.json cannot be read", where=folder.name) from None
    return fingerprint
