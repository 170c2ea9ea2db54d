"""Cache of a frozen encoder's features, computed once per encoder and file.

Training, embedding and later runs share it. The files are derived: deleted, they are built again.
Each is written whole and never changed, so that an interrupted run keeps what it has done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medembed.privacy.private_files import private_folder, replace_private

if TYPE_CHECKING:
    from torch import nn

    from medembed.encoders.tokenizers import Tokens
    from medembed.model.towers import ImageSide
    from medembed.preprocess import Preprocess

__all__ = ["MAX_BYTES", "FeatureCache", "image_key", "text_key", "token_key"]

Features = npt.NDArray[np.float32]

MAX_BYTES = 8 << 30
"""Most bytes of features that a library keeps; the encoder used longest ago goes first."""

_VERSION = 1
_MOST_FILES = 64
_LOG = logging.getLogger("medembed")


def image_key(side: ImageSide, preprocess: Preprocess) -> str:
    """Return the key of an image side's features: its weights, pooling and preprocessing."""
    pooling = {name: getattr(side, name, None) for name in ("grid", "max_pool", "own")}
    parts = (side.encoder, side.bottleneck)
    layers = [repr(part) for part in parts]  # their settings, which are not among the weights
    about = {"pooling": pooling, "layers": layers, "preprocess": preprocess.fingerprint}
    return _key(parts, about)


def token_key(encoder: nn.Module, tokens: Tokens) -> str:
    """Return the key of a text encoder's features: its weights and its tokenizer."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in tokens.files().items()}
    about = {"tokens": files, "max_length": tokens.max_length}
    return _key((encoder,), {**about, "architecture": getattr(encoder, "architecture", None)})


def _key(modules: Sequence[nn.Module], about: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([_VERSION, about], sort_keys=True).encode())
    for module in modules:
        digest.update(type(module).__name__.encode())
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def text_key(text: str) -> str:
    """Return the name under which the features of a text are kept; it does not tell the text."""
    return hashlib.sha256(text.encode()).hexdigest()


class FeatureCache:
    """Features of one encoder by item: a scan's images, or a text.

    Several processes may read and add at the same time. A file whose checksum is wrong is ignored,
    and what it held is computed again.

    Parameters
    ----------
    folder : Path
        The library's folder ``cache``.
    key : str
        As returned by :func:`image_key` or :func:`token_key`.
    max_bytes : int
        Upper limit for all encoders together; nothing is added beyond it.
    """

    def __init__(self, folder: Path, key: str, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder / f"features-{key[:16]}"
        self._max_bytes = max_bytes
        self._entries: dict[str, Features] = {}
        self._files: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        """Read what other processes have added."""
        for path in sorted(self.folder.glob("*.f32")):
            if path not in self._files:
                self._files.add(path)
                self._entries.update(_read(path))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def get(self, name: str) -> Features:
        """Return the features ``(m, width)`` of an item.

        Raises
        ------
        KeyError
            If they are not in the cache.
        """
        return self._entries[name]

    def add(self, items: Mapping[str, Features]) -> None:
        """Keep the features ``(m, width)`` of some items; they are on disk when this returns.

        They serve this process even if the limit on bytes leaves them no place on disk.
        """
        if not items:
            return
        self._entries.update(items)
        size = sum(part.nbytes for part in items.values())
        if not self._make_room(size):
            return
        private_folder(self.folder)
        self._write(items)
        if len(self._files) > _MOST_FILES:
            self._merge()

    def _write(self, items: Mapping[str, Features]) -> None:
        rows = np.ascontiguousarray(np.concatenate(list(items.values())), dtype=np.float32)
        about = json.dumps([[name, len(part)] for name, part in items.items()]).encode()
        about += b" " * (-len(about) % 4)  # aligned numbers
        path = self.folder / f"{secrets.token_hex(8)}.f32"
        with replace_private(path) as file:
            sums = [zlib.crc32(about), zlib.crc32(rows.tobytes()), len(about), rows.shape[1]]
            file.write(np.array(sums, dtype="<u8").tobytes() + about + rows.tobytes())
        self._files.add(path)

    def _merge(self) -> None:
        """Write many small files as one."""
        old = set(self._files)
        held: dict[str, Features] = {}
        for path in old:
            held.update(_read(path))
        self._files.clear()
        if held:
            self._write(held)
        for path in old:
            path.unlink(missing_ok=True)

    def _make_room(self, size: int) -> bool:
        """Remove the features of encoders used longest ago until ``size`` more bytes fit."""
        sizes: dict[Path, int] = {}
        ages: dict[Path, float] = {}
        for folder in self.folder.parent.glob("features-*"):
            stats = [path.stat() for path in folder.glob("*.f32")]
            sizes[folder] = sum(each.st_size for each in stats)
            ages[folder] = max((each.st_mtime for each in stats), default=0.0)
        total = sum(sizes.values()) + size
        for folder in sorted(ages, key=lambda each: ages[each]):
            if total <= self._max_bytes:
                break
            if folder != self.folder:
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]
        return total <= self._max_bytes


def _read(path: Path) -> dict[str, Features]:
    """Read a file of the cache; empty if it is damaged or gone."""
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
        sum_about, sum_rows, length, width = data[:32].view("<u8").tolist()
        about, rows = data[32 : 32 + length].tobytes(), data[32 + length :]
        if zlib.crc32(about) != sum_about or zlib.crc32(rows.data) != sum_rows:
            raise ValueError("checksum")
        table = np.asarray(rows).view(np.float32).reshape(-1, width)
        found, at = {}, 0
        for name, count in json.loads(about):
            found[str(name)] = table[at : at + count]
            at += count
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        _LOG.warning("%s: damaged features are computed again", path.parent.name)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return {}
    return found
