"""The models of a comparison, and whether one was trained on the library it is compared on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.shadow.queries import ComparedModel
from medembed.model.activation import name_in_library
from medembed.vector_exchange import short_fingerprint

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.resolve import ModelChoice

__all__ = ["compared_model", "trained_here"]


def compared_model(library: CaseLibrary, choice: ModelChoice) -> ComparedModel:
    """Describe a model of a library, to be loaded when a text has to be encoded."""
    name = name_in_library(library, choice.fingerprint)
    return ComparedModel(
        name or short_fingerprint(choice.fingerprint),
        choice.fingerprint,
        None if choice.folder is None else _encoder(choice),
        choice.folder is not None and trained_here(library, choice.folder),
    )


def trained_here(library: CaseLibrary, folder: Path) -> bool:
    """Whether a model was, or may have been, trained on this library.

    A variant was if the model was that it was made from. A training that does not say on which
    library it ran counts.
    """
    training = _read(folder / "training.json")
    if training:
        where = training.get("library")
        return not isinstance(where, dict) or where.get("library_id") == library.library_id
    origin = _read(folder / "model.json").get("made_from")
    if not origin:
        return False
    name = name_in_library(library, str(origin))
    return name is None or trained_here(library, library.path / "models" / name)


def _encoder(choice: ModelChoice) -> Callable[[list[str]], NDArray[np.float32]]:
    return lambda texts: choice.load().encode_notes(texts)


def _read(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
