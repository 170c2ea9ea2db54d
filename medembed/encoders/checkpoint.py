"""Read a checkpoint that was made elsewhere: its settings and its weights, never its code.

Weights come from safetensors alone, because the other formats can run code when they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from medembed.counted import counted, counted_line
from medembed.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Checkpoint", "load_weights", "open_checkpoint"]

_WEIGHTS = ("model.safetensors", "open_clip_model.safetensors")
_FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_NEVER_WEIGHTS = (r"(^|\.)position_ids$", r"\.rotary_emb\.inv_freq$")  # buffers of older versions
_NEVER_MISSED = (r"(^|\.)num_batches_tracked$", *_NEVER_WEIGHTS)


@dataclass(frozen=True)
class Checkpoint:
    """A folder with settings and weights.

    Parameters
    ----------
    name : str
        Last part of the folder's path or of the hub's name; safe to show and to keep.
    folder : Path
        Where it lies on this machine; never shown or kept.
    """

    name: str
    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        """Content of ``config.json``; empty if there is none."""
        found = self.read_json("config.json")
        return found if isinstance(found, dict) else {}

    def has(self, name: str) -> bool:
        """Return whether the folder has this file."""
        return self._inside(name).is_file()

    def part(self, name: str) -> Checkpoint:
        """Return the subfolder ``name``, such as ``1_Pooling``; an empty name is the folder itself.

        Raises
        ------
        ModelError
            If the name leads out of the folder.
        """
        return Checkpoint(self.name, self._inside(name)) if name else self

    def read_json(self, name: str) -> Any:
        """Parse a JSON file of the folder.

        Returns
        -------
        dict, list or None
            None if there is no such file.

        Raises
        ------
        ModelError
            If it is no JSON.
        """
        try:
            return json.loads(self._inside(name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ModelError(f"{name} cannot be read", where=self.name) from error

    def tensors(self) -> dict[str, torch.Tensor]:
        """Read all weights; those of any floating type become float32.

        Returns
        -------
        dict of str to Tensor

        Raises
        ------
        ModelError
            If there are no safetensors, a part of them is missing, or they are damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        out: dict[str, torch.Tensor] = {}
        for path in self.weight_files():
            try:
                part = load_file(path)
            except (OSError, SafetensorError) as error:
                raise ModelError(
                    f"{path.name} is damaged or not complete",
                    where=self.name,
                    hint="copy or download it again",
                ) from error
            out |= {k: v.float() if v.is_floating_point() else v for k, v in part.items()}
        return out

    def weight_files(self) -> list[Path]:
        """Find the files of the weights: one, or the parts that an index names.

        Raises
        ------
        ModelError
            If there are none, several to choose from, or a part is missing.
        """
        for name in _WEIGHTS:
            index = self.read_json(f"{name}.index.json")
            if index is not None:
                return self._parts_of(index, f"{name}.index.json")
            if self.has(name):
                return [self._inside(name)]
        found = sorted(self.folder.glob("*.safetensors"))
        if len(found) == 1:
            return found
        if found:
            raise ModelError(
                f"it has {counted(len(found), 'safetensors file')}, none named model.safetensors",
                where=self.name,
                hint="keep the one that is meant, named model.safetensors",
            )
        others = sorted(
            each.name for each in self.folder.glob("*") if each.suffix in (".bin", ".pt", ".pth")
        )
        raise ModelError(
            f"{others[0]} is not read, because it can contain code"
            if others
            else "it has no weights",
            where=self.name,
            hint="give a folder with model.safetensors; "
            "docs/guides/bring-your-own-encoder.md shows how to convert pytorch_model.bin",
        )

    def _parts_of(self, index: Any, name: str) -> list[Path]:
        try:
            files = sorted(set(index["weight_map"].values()))
            parts = [self._inside(each) for each in files]
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{name} is not valid", where=self.name) from error
        total, absent = len(parts), [path.name for path in parts if not path.is_file()]
        if absent:
            raise ModelError(
                f"{counted_line(len(absent), f'of {total} weight files [is|are] missing')}, "
                f"the first is {absent[0]}",
                where=self.name,
                hint="copy or download them again",
            )
        return parts

    def _inside(self, name: str) -> Path:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise ModelError("a file outside the checkpoint's folder is named", where=self.name)
        return self.folder / path


def open_checkpoint(source: str, revision: str = "main") -> Checkpoint:
    """Find a checkpoint in a local folder or, if there is no such folder, on a hub.

    Of a hub's repository, settings, tokenizer and safetensors are fetched and nothing else. What
    was fetched before is used without a connection.

    Parameters
    ----------
    source : str
        A folder, or ``owner/name``.
    revision : str
        Branch, tag or commit of the repository; a folder has none.

    Raises
    ------
    ModelError
        If there is no such folder and the hub does not give it.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return Checkpoint(folder.resolve().name, folder)
    if folder.exists():
        raise ModelError(
            "a folder is expected, and this is a file",
            where=folder.name,
            hint="give the folder that has config.json and model.safetensors",
        )
    name = folder.name
    if not _HUB_NAME.fullmatch(source):
        raise ModelError("there is no such folder", where=name or None)
    return Checkpoint(name, _fetch(source, revision, name))


def _fetch(source: str, revision: str, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(source, revision=revision, allow_patterns=[*_FETCHED], max_workers=4)
        )
    except RevisionNotFoundError as error:
        raise ModelError("the hub has no such revision of it", where=name) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            "there is no such folder, and no such repository on the hub",
            where=name,
            hint="check the name; a repository with conditions of access needs you to log in",
        ) from error
    except Exception as error:  # its HTTP client, and so its errors, differ between versions
        raise ModelError(
            "there is no such folder, and the hub cannot be reached",
            where=name,
            hint="give a local folder, or fetch it once on a machine with a connection",
        ) from error


def load_weights(
    net: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    drop: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> None:
    """Load weights and account for every key, so that nothing stays random and nothing is lost.

    A prefix that all of a network's keys have on one side only (``bert.``, ``model.``) is added or
    removed.

    Parameters
    ----------
    net : nn.Module
        Changed in place.
    tensors : mapping of str to Tensor
        As :meth:`Checkpoint.tensors` returns them.
    name : str
        Of the checkpoint, for messages.
    drop : iterable of str
        Regular expressions, searched in the checkpoint's keys: heads and towers not used here.
    optional : iterable of str
        Regular expressions, searched in the network's keys: these may be missing.

    Raises
    ------
    ModelError
        If a key is missing, unexpected, of another shape, quantized or not finite.
    """
    import torch

    wanted: dict[str, torch.Tensor] = net.state_dict()
    dropped = [re.compile(each) for each in (*drop, *_NEVER_WEIGHTS)]
    given = {
        key: tensor
        for key, tensor in tensors.items()
        if key in wanted or not any(each.search(key) for each in dropped)
    }
    renamed = _renamed(given, wanted)
    unexpected = sorted(key for key in given if renamed.get(key) not in wanted)
    found = {renamed[key]: tensor for key, tensor in given.items() if key not in unexpected}
    tied = {wanted[key].data_ptr() for key in found if wanted[key].numel()}
    waived = [re.compile(each) for each in (*optional, *_NEVER_MISSED)]
    missing = sorted(
        key
        for key in wanted.keys() - found.keys()
        if wanted[key].data_ptr() not in tied and not any(each.search(key) for each in waived)
    )
    refuse_keys(name, missing, unexpected, len(wanted))
    for key, tensor in found.items():
        target = wanted[key]
        if tensor.shape != target.shape:
            raise ModelError(
                f"{key} has the shape {tuple(tensor.shape)}, and by its settings it should have "
                f"{tuple(target.shape)}",
                where=name,
            )
        if target.is_floating_point() and not tensor.is_floating_point():
            raise ModelError(
                f"{key} is quantized ({str(tensor.dtype).removeprefix('torch.')})",
                where=name,
                hint="give the checkpoint before it was quantized",
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{key} has values that are not finite", where=name)
    net.load_state_dict(found, strict=False)


def refuse_keys(name: str, missing: list[str], unexpected: list[str], total: int) -> None:
    """Raise a :class:`ModelError` if keys of a checkpoint are missing or left over."""
    if missing:
        others = counted_line(len(unexpected), "[has another name|have other names], as")
        also = f"; {others} {unexpected[0]}" if unexpected else ""
        raise ModelError(
            f"{counted_line(len(missing), f'of {total} weights [is|are] missing')}, the first is "
            f"{missing[0]}{also}",
            where=name,
            hint="give the checkpoint as its own library saved it",
        )
    if unexpected:
        raise ModelError(
            f"{counted_line(len(unexpected), 'weight[ belongs|s belong]')} to no part of its "
            f"network, the first is {unexpected[0]}",
            where=name,
            hint="its settings describe another network than its weights",
        )


def _renamed(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Map the keys given to those wanted by one prefix, that which fits the most."""
    best: dict[str, str] = {key: key for key in given}
    most = len(wanted.keys() & best.keys())
    if most == len(wanted):
        return best
    for prefix in sorted(_prefixes(given), key=lambda each: (len(each), each)):
        cut = {key: key.removeprefix(prefix) for key in given if key.startswith(prefix)}
        if (fit := len(wanted.keys() & set(cut.values()))) > most:
            best, most = cut, fit
    for prefix in sorted(_prefixes(wanted), key=lambda each: (len(each), each)):
        put = {key: prefix + key for key in given}
        if (fit := len(wanted.keys() & set(put.values()))) > most:
            best, most = put, fit
    return best


def _prefixes(keys: Iterable[str]) -> set[str]:
    return {
        key[: dot.end()] for key in keys for dot in list(re.finditer(r"\.", key))[:3]
    }  # deeper ones would map one layer to another
