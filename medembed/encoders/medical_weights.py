"""Read weights of medical networks: safetensors, or a PyTorch file that holds tensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.encoders.checkpoint import Checkpoint, open_checkpoint
from medembed.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["read_state", "tensors_of_file"]

_PICKLED = (".pt", ".pth", ".ckpt", ".tar")
_INNER = ("state_dict", "model", "net", "model_state_dict")
_PREFIXES = ("module.", "net.", "swinViT.", "backbone.")
_CONVERT = (
    "where you trust the file, write its tensors with: from safetensors.torch import save_file; "
    "save_file(network.state_dict(), 'model.safetensors')"
)


def read_state(source: str, revision: str = "main") -> tuple[str, dict[str, torch.Tensor]]:
    """Read the tensors of a file or folder, without the prefixes of wrappers.

    Parameters
    ----------
    source : str
        A ``.safetensors``, ``.pt`` or ``.pth`` file, or a folder or hub name with one.
    revision : str

    Returns
    -------
    name : str
        Safe to show: the last part of the path.
    tensors : dict of str to Tensor
        Floating ones as float32.

    Raises
    ------
    ModelError
        If the file holds anything but tensors, is damaged, or does not exist.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path.name, _without_wrappers(tensors_of_file(path))
    checkpoint = open_checkpoint(source, revision)
    pickled = sorted(p for p in checkpoint.folder.glob("*") if p.suffix in _PICKLED)
    if len(pickled) == 1 and not any(checkpoint.folder.glob("*.safetensors")):
        return checkpoint.name, _without_wrappers(tensors_of_file(pickled[0]))
    return checkpoint.name, _without_wrappers(checkpoint.tensors())


def tensors_of_file(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of one file; of a PyTorch file nothing else is ever read."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            "the file holds code besides its weights and is not read",
            where=path.name,
            hint=_CONVERT,
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError) as error:
        raise ModelError("the file is damaged, or no file of weights", where=path.name) from error
    for name in _INNER:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    tensors = {
        str(key): value.float() if value.is_floating_point() else value
        for key, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise ModelError("the file holds no weights by name", where=path.name, hint=_CONVERT)
    return tensors


def weights_of_bundle(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Read ``models/model.safetensors`` or ``models/model.pt`` of a MONAI bundle."""
    for name in ("model.safetensors", "model.pt"):
        path = checkpoint.folder / "models" / name
        if path.is_file():
            return _without_wrappers(tensors_of_file(path), ("module.",))
    raise ModelError(
        "the bundle has no weights",
        where=checkpoint.name,
        hint="it needs models/model.safetensors or models/model.pt",
    )


def _without_wrappers(
    tensors: dict[str, torch.Tensor], prefixes: tuple[str, ...] = _PREFIXES
) -> dict[str, torch.Tensor]:
    """Remove prefixes that all keys have."""
    while tensors:
        shared = [p for p in prefixes if all(key.startswith(p) for key in tensors)]
        if not shared:
            break
        tensors = {key.removeprefix(shared[0]): value for key, value in tensors.items()}
    return tensors
