"""Where a training stands, written so that it goes on exactly as if it had not stopped."""

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
    """Write tensors and plain values, beside the place and then renamed.

    Raises
    ------
    ModelError
        Where the machine does not let it; the checkpoint before stays.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        with replace_private(path) as stream:
            stream.write(buffer.getbuffer())
    except OSError as error:
        raise unwritable(error) from error


def read_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """Give the state written under the same ``key``; None where there is none of it.

    The file is read with ``weights_only``: tensors and plain values, no code.

    Raises
    ------
    ModelError
        Where it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise ModelError(
            "the checkpoint cannot be read, or holds more than tensors and plain values",
            where=path.name,
            hint="delete it to start anew",
        ) from error
    return state if state.get("key") == key else None
