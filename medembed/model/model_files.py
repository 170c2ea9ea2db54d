"""What a model folder holds, and how it is known to be whole.

::

    model.json          settings, preprocessing, digests, fingerprint
    weights.safetensors the towers' weights
    tokens.json         how text becomes ids (with tokenizer.json if there is a vocabulary)
    training.json       how it was trained (no part of the fingerprint)

Folders of format 1 also hold graph.json, which is part of their fingerprint and is not read.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from medembed.errors import ModelError
from medembed.privacy.private_files import (
    DRAFT_SUFFIX,
    private_folder,
    replace_private,
    sync_folder,
)

__all__ = [
    "MODEL_FORMAT",
    "MODEL_VERSION",
    "fingerprint_of",
    "read_folder",
    "standing",
    "stated_fingerprint",
    "unwritable",
    "write_folder",
]

MODEL_VERSION = 2
"""Raised whenever the same weights and settings would give other vectors than before."""

MODEL_FORMAT = 2
"""Of the folder's files. Format 1 is still read: :mod:`medembed.model.format_1`."""

_FILES = {
    1: ("weights.safetensors", "tokens.json", "tokenizer.json", "graph.json"),
    2: ("weights.safetensors", "tokens.json", "tokenizer.json"),
}


def fingerprint_of(about: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Hex sha256 over the settings, the preprocessing, all files and the code's version.

    Parameters
    ----------
    about : mapping
        ``"architecture"`` and ``"preprocess"`` are read.
    digests : mapping of file name to hex sha256
    """
    from medembed.preprocess import PREPROCESS_VERSION

    parts = {
        "versions": [MODEL_VERSION, PREPROCESS_VERSION],
        "architecture": about["architecture"],
        "preprocess": about["preprocess"],
        "files": dict(digests),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Hex sha256 of each file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def unwritable(error: OSError) -> ModelError:
    """Say in one line that the machine does not let a model be written."""
    return ModelError(
        f"the model cannot be written: {error.strerror or type(error).__name__}",
        where="models",
        hint="what was there before is untouched; the same command resumes once this is mended",
    )


def write_folder(folder: Path, about: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a model folder whole or not at all: beside its place, then renamed.

    Raises
    ------
    ModelError
        Where something other than a model lies in its place, or the machine does not let it; then
        the model that was there stays.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "model.json").is_file():
        raise ModelError("the folder holds something that is not a model", where=str(folder))
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}{DRAFT_SUFFIX}")
    old = _old(folder)
    text = json.dumps(about, indent=1, sort_keys=True).encode()
    try:
        private_folder(beside)
        for name, data in {**files, "model.json": text}.items():
            with replace_private(beside / name) as stream:
                stream.write(data)
        if not folder.exists() and old.is_dir():  # a writer was killed between its two renames
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


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def standing(folder: Path) -> Path:
    """Where the model of this folder can be read; another place while it is being replaced."""
    return folder if folder.exists() or not _old(folder).is_dir() else _old(folder)


def stated_fingerprint(folder: Path) -> str:
    """Fingerprint that a model folder states; it is checked when the model is loaded.

    Raises
    ------
    ModelError
        Where there is no model, or it states none.
    """
    try:
        about = json.loads((standing(folder) / "model.json").read_bytes())
        return str(about["fingerprint"])
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"no model is called {folder.name!r}",
            hint="medembed show models LIBRARY lists them",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError("model.json cannot be read", where=folder.name) from None


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read ``model.json`` and all small files, and check every digest and the fingerprint.

    Returns
    -------
    about : dict
    files : dict of bytes
        All but the weights, which are read by safetensors.

    Raises
    ------
    ModelError
        Where the folder is no model, is of another version, or was changed.
    """
    where = str(folder)
    folder = standing(folder)
    try:
        about = json.loads((folder / "model.json").read_bytes())
    except FileNotFoundError:
        raise ModelError(
            "there is no model", where=where, hint="train one with medembed train"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError("model.json cannot be read", where=where) from error
    if not isinstance(about, dict) or about.get("format") not in _FILES:
        raise ModelError(
            "the model was saved in a format that this version of MedEmbed does not read",
            where=where,
            hint="train the model again",
        )
    files: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    for name in sorted(_FILES[about["format"]]):
        path = folder / name
        if not path.is_file():
            continue
        if name == "weights.safetensors":
            with path.open("rb") as stream:
                digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        else:
            files[name] = path.read_bytes()
            digests[name] = hashlib.sha256(files[name]).hexdigest()
    try:
        changed = sorted(
            set(digests.items()) ^ {(str(k), str(v)) for k, v in about["digests"].items()}
        )
        whole = not changed and about["fingerprint"] == fingerprint_of(about, digests)
    except (KeyError, AttributeError, TypeError) as error:
        raise ModelError("model.json lacks what it must hold", where=where) from error
    if not whole:
        if changed:
            what = f"{changed[0][0]} is not the one that was saved: it was changed or damaged"
        else:
            what = "model.json was changed, or written by another version of MedEmbed"
        raise ModelError(what, where=where, hint="train the model anew")
    return about, files
