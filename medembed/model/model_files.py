"""The files of a model folder, and how their integrity is checked.

::

    model.json          settings, preprocessing, digests, fingerprint
    weights.safetensors the towers' weights
    tokens.json         how text becomes ids, with tokenizer.json if there is a vocabulary
    training.json       how it was trained; not part of the fingerprint

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
"""Increased whenever the same weights and settings would yield different vectors than before."""

MODEL_FORMAT = 2
"""Format of the files. Format 1 is still read: :mod:`medembed.model.format_1`."""

_FILES = {
    1: ("weights.safetensors", "tokens.json", "tokenizer.json", "graph.json"),
    2: ("weights.safetensors", "tokens.json", "tokenizer.json"),
}


def fingerprint_of(about: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Hex sha256 over the settings, the preprocessing, all files and the code's version.

    Parameters
    ----------
    about : mapping
        ``"architecture"`` and ``"preprocess"`` are used.
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


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read ``model.json`` and all small files; check every digest and the fingerprint.

    Returns
    -------
    about : dict
    files : dict of bytes
        All files except the weights, which safetensors reads.

    Raises
    ------
    ModelError
        If the folder is not a model, has another format, or was changed.
    """
    where = str(folder)
    folder = standing(folder)
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
        raise ModelError("model.json is incomplete", where=where) from error
    if not whole:
        if changed:
            what = f"{changed[0][0]} was changed or damaged after the model was saved"
        else:
            what = "model.json was changed, or written by another version of MedEmbed"
        raise ModelError(what, where=where, hint="train the model again")
    return about, files
