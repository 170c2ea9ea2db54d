"""Checkpoints, from which a training resumes exactly as if it had not stopped."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from medembed.errors import ModelError
from medembed.model.model_files import unwritable
from medembed.privacy.private_files import replace_private

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically.

    Raises
    ------
    ModelError
        If the file cannot be written; the previous checkpoint stays.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        with replace_private(path) as stream:
            stream.write(buffer.getbuffer())
    except OSError as error:
        raise unwritable(error) from error


def read_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """Read the state written under the same ``key``; None if there is none.

    The file is read with ``weights_only``: tensors and plain values, no code.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise ModelError(
            "the checkpoint cannot be read or contains code",
            where=path.name,
            hint="delete it to start over",
        ) from error
    return state if state.get("key") == key else None
