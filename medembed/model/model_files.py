"""The files of a model folder, and how their integrity is checked.

::

    model.json            settings, preprocessing, digests, fingerprint
    weights.safetensors   the towers' weights
    tokens.json           how text becomes ids, with tokenizer.json if there is a vocabulary
    image.onnx, text.onnx each side for ONNX Runtime, if it could be exported
    study.onnx            pools the images of a case, in models that do
    reranker.json         how to use the reranker, if one was trained, and what it gained
    reranker.safetensors  its weights
    reranker.onnx         the same for ONNX Runtime
    training.json         how it was trained; no digest is kept of it

The fingerprint covers the settings, the weights and the tokenizer. The ONNX files are made from
these and checked against them, and exporters of different versions write different bytes, so that
only their digests are kept. A reranker changes the order of a search's hits, not the vectors that a
library keeps by fingerprint: of its files, too, only the digests are kept. An int8 variant has
other vectors than its weights, and its ONNX files belong to its fingerprint.

Folders of formats 1 and 2 have no ONNX files and run in torch. Those of format 1 also hold
graph.json, which is part of their fingerprint and is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.encoders.tokenizers import read_tokens
from medembed.errors import ModelError
from medembed.model.onnx_side import SideName
from medembed.preprocess import PREPROCESS_VERSION, Preprocess
from medembed.privacy.private_files import (
    DRAFT_SUFFIX,
    private_folder,
    replace_private,
    sync_folder,
)

if TYPE_CHECKING:
    from medembed.model.new_files import NewModelFiles

__all__ = [
    "MODEL_FORMAT",
    "MODEL_VERSION",
    "ONNX_FILES",
    "RERANKER_FILES",
    "WEIGHTS",
    "ModelFiles",
    "digests_of",
    "fingerprint_of",
    "standing",
    "stated_fingerprint",
    "unwritable",
    "write_folder",
    "write_model",
]

MODEL_VERSION = 2
"""Increased whenever the same weights and settings would yield different vectors than before."""

MODEL_FORMAT = 3
"""Format of the files. Formats 1 (:mod:`medembed.model.format_1`) and 2 are still read."""

WEIGHTS = "weights.safetensors"
ONNX_FILES: dict[SideName, str] = {
    "image": "image.onnx",
    "text": "text.onnx",
    "study": "study.onnx",
}

RERANKER_FILES = ("reranker.json", "reranker.onnx", "reranker.safetensors")

_KEPT = ("format", "architecture", "preprocess", "precision", "made_from")
_FILES = {
    1: (WEIGHTS, "tokens.json", "tokenizer.json", "graph.json"),
    2: (WEIGHTS, "tokens.json", "tokenizer.json"),
    3: (WEIGHTS, "tokens.json", "tokenizer.json", *ONNX_FILES.values(), *RERANKER_FILES),
}


def fingerprint_of(about: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Hex sha256 over the settings, the preprocessing, the files and the code's version.

    Parameters
    ----------
    about : mapping
        ``"architecture"``, ``"preprocess"`` and, for an int8 variant, ``"precision"`` are used.
    digests : mapping of file name to hex sha256
        Those of ONNX files count for an int8 variant only, those of a reranker never.
    """
    parts: dict[str, Any] = {
        "versions": [MODEL_VERSION, PREPROCESS_VERSION],
        "architecture": about["architecture"],
        "preprocess": about["preprocess"],
        "files": dict(digests),
    }
    if about.get("precision", "float32") == "float32":
        left_out = {*ONNX_FILES.values(), *RERANKER_FILES}
        parts["files"] = {name: value for name, value in digests.items() if name not in left_out}
    else:
        parts["precision"] = about["precision"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Hex sha256 of each file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def unwritable(error: OSError) -> ModelError:
    """Return the one-line error for a model that cannot be written."""
    return ModelError(
        f"the model cannot be written: {error.strerror or type(error).__name__}",
        where="models",
        hint="the previous model is unchanged; fix this and run the same command to resume",
    )


def write_folder(folder: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a model folder atomically: under another name first, then renamed.

    Raises
    ------
    ModelError
        If the folder holds something other than a model, or cannot be written; the previous model
        is then kept.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "model.json").is_file():
        raise ModelError("the folder contains something other than a model", where=str(folder))
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}{DRAFT_SUFFIX}")
    old = _old(folder)
    text = json.dumps(about, indent=1, sort_keys=True).encode()
    try:
        private_folder(beside)
        for name, data in {**files, "model.json": text}.items():
            with replace_private(beside / name) as stream:
                stream.write(data)
        if (
            not folder.exists() and old.is_dir()
        ):  # an earlier process was killed between its two renames
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        with suppress(OSError):
            if not folder.exists() and old.is_dir():
                old.rename(folder)
        raise unwritable(error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def write_model(
    folder: Path, files: ModelFiles | NewModelFiles, further: Mapping[str, bytes]
) -> None:
    """Write a model folder atomically from a model's files and further ones.

    Raises
    ------
    ModelError
        As :func:`write_folder`, or if a file was changed after the model was saved.
    """
    parts = {name: files.read(name) for name in files.names}
    about = {
        **{key: value for key, value in files.about.items() if key in _KEPT},
        "digests": digests_of(parts),
        "fingerprint": files.fingerprint,
        "dim": int(files.architecture["projection"]["dim"]),
    }
    if files.serving:
        about["serving"] = files.serving
    write_folder(folder, about, {**further, **parts})


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def standing(folder: Path) -> Path:
    """Path to read the model from: the folder, or its old version while it is being replaced."""
    return folder if folder.exists() or not _old(folder).is_dir() else _old(folder)


def stated_fingerprint(folder: Path) -> str:
    """Read the fingerprint in ``model.json``; it is verified when the model is loaded.

    Raises
    ------
    ModelError
        If there is no model, or ``model.json`` has no fingerprint.
    """
    try:
        about = json.loads((standing(folder) / "model.json").read_bytes())
        return str(about["fingerprint"])
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"there is no model named {folder.name!r}",
            hint="list the models: medembed show models LIBRARY",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError("model.json cannot be read", where=folder.name) from None


class ModelFiles:
    """The files of a model folder, held open.

    A training that replaces the folder meanwhile changes nothing here. Each file's digest is
    checked when the file is read, so that a search by text does not read the image side.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    folder : Path
        Where they were when they were opened.
    about : dict
        ``model.json``.
    architecture : dict
        The settings of the towers under today's names, also for format 1.
    preprocess : Preprocess
    tokens : Tokens
    fingerprint : str
    serving : dict
        What runs each side, and how far its ONNX file is from torch.
    training : dict
        How the model was trained; empty if unknown.

    Raises
    ------
    ModelError
        If the folder is not a model, has another format, lacks a file, or ``model.json`` was
        changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._where = str(folder)
        self._open: dict[str, int] = {}
        weakref.finalize(self, _close_all, self._open)
        folder = standing(folder)
        self.about = _read_about(folder, self._where)
        try:
            for name in sorted(_FILES[self.about["format"]]):
                with suppress(FileNotFoundError):
                    self._open[name] = os.open(folder / name, os.O_RDONLY)
            self._digests = {str(name): str(value) for name, value in self.about["digests"].items()}
            self.fingerprint = str(self.about["fingerprint"])
            self.serving: dict[str, dict[str, Any]] = dict(self.about.get("serving", {}))
            self.architecture: dict[str, Any] = _architecture(self.about)
            self.preprocess = Preprocess.from_config(self.about["preprocess"])
            expected = fingerprint_of(self.about, self._digests)
        except OSError as error:
            raise ModelError("the model cannot be read", where=self._where) from error
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise ModelError("model.json is incomplete", where=self._where) from error
        differing = sorted(set(self._digests) ^ set(self._open))
        if differing:
            raise self._changed(differing[0])
        if self.fingerprint != expected:
            raise ModelError(
                "model.json was changed, or written by another version of MedEmbed",
                where=self._where,
                hint="train the model again",
            )
        self.tokens = read_tokens(self._small())
        self.training = _read_training(folder, self._where)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files with a digest."""
        return tuple(self._digests)

    def read(self, name: str) -> bytes:
        """Read a file whole and check its digest.

        Raises
        ------
        ModelError
            If the file was changed after the model was saved, or cannot be read.
        """
        try:
            file = self._open[name]
            size = os.fstat(file).st_size
            parts, at = [], 0
            while at < size and (part := os.pread(file, size - at, at)):
                parts.append(part)
                at += len(part)
        except (KeyError, OSError) as error:
            raise ModelError(f"{name} cannot be read", where=self._where) from error
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if hashlib.sha256(data).hexdigest() != self._digests[name]:
            raise self._changed(name)
        return data

    def _small(self) -> dict[str, bytes]:
        """Read all files except the weights, the ONNX files and the reranker."""
        left_out = {WEIGHTS, *ONNX_FILES.values(), *RERANKER_FILES}
        return {name: self.read(name) for name in self.names if name not in left_out}

    def _changed(self, name: str) -> ModelError:
        return ModelError(
            f"{name} was changed or damaged after the model was saved",
            where=self._where,
            hint="train the model again",
        )


def _close_all(files: dict[str, int]) -> None:
    for file in files.values():
        os.close(file)


def _read_about(folder: Path, where: str) -> dict[str, Any]:
    try:
        about = json.loads((folder / "model.json").read_bytes())
    except FileNotFoundError:
        raise ModelError(
            "there is no model", where=where, hint="train one: medembed train"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError("model.json cannot be read", where=where) from error
    if not isinstance(about, dict) or about.get("format") not in _FILES:
        raise ModelError(
            "the model was saved in a format that this version of MedEmbed does not read",
            where=where,
            hint="train the model again",
        )
    return about


def _architecture(about: Mapping[str, Any]) -> dict[str, Any]:
    if about["format"] != 1:
        return dict(about["architecture"])
    from medembed.model.format_1 import upgrade_settings

    return upgrade_settings(about["architecture"])


def _read_training(folder: Path, where: str) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "training.json").read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ModelError("training.json cannot be read", where=where) from error
