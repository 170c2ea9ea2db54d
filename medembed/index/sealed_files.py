"""Index files that survive a crash and are verified before use.

A folder holds ``index.json`` and the files it names. The files are written first, under new names,
and synced; replacing ``index.json`` activates them. On reading, every digest is verified before
any content is used, on the same bytes that are used.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import mmap
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from medembed.errors import InputError
from medembed.privacy.private_files import private_folder, replace_private

__all__ = ["Buffer", "Content", "read_sealed", "write_sealed"]

Buffer: TypeAlias = "bytes | memoryview"
Content: TypeAlias = "bytes | Sequence[Buffer]"

_HEAD = "index.json"
_MAX_HEAD_BYTES = 1 << 20
_PREFIX = "part-"
_ABANDONED_SECONDS = 3600.0


def _seal(body: bytes, key: bytes | None) -> str:
    if key is None:
        return "sha256:" + hashlib.sha256(body).hexdigest()
    own = hmac.new(key, b"medembed index files", hashlib.sha256).digest()
    return "hmac-sha256:" + hmac.new(own, body, hashlib.sha256).hexdigest()


def _canonical(head: Mapping[str, Any]) -> bytes:
    return json.dumps(head, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def write_sealed(
    folder: Path, head: Mapping[str, Any], files: Mapping[str, Content], key: bytes | None = None
) -> None:
    """Replace the content of ``folder`` atomically.

    Parameters
    ----------
    folder : Path
        Created if missing.
    head : mapping
        Plain data, stored in ``index.json``.
    files : mapping of str to bytes, or to buffers that are written one after the other
    key : bytes, optional
        Signs the head with HMAC-SHA256, so that only a holder of the key can have written it.
        Without a key, SHA-256 detects damage but not tampering.
    """
    private_folder(folder)
    named = _named(folder)
    token = secrets.token_hex(6)
    parts: dict[str, dict[str, Any]] = {}
    try:
        for name, data in files.items():
            own = f"{_PREFIX}{token}-{name}"
            digest, size = hashlib.sha256(), 0
            with replace_private(folder / own) as file:
                for buffer in (data,) if isinstance(data, bytes) else data:
                    file.write(buffer)
                    digest.update(buffer)
                    size += memoryview(buffer).nbytes
            parts[name] = {"file": own, "bytes": size, "sha256": digest.hexdigest()}
        body = {"head": dict(head), "parts": parts}
        sealed = {**body, "seal": _seal(_canonical(body), key)}
        with replace_private(folder / _HEAD) as file:
            file.write(json.dumps(sealed, indent=1, sort_keys=True, allow_nan=False).encode())
    except BaseException:
        for name in files:
            (folder / f"{_PREFIX}{token}-{name}").unlink(missing_ok=True)
        raise
    for own in named | _abandoned(folder, {part["file"] for part in parts.values()}):
        (folder / own).unlink(missing_ok=True)


def _abandoned(folder: Path, ours: set[str]) -> set[str]:
    """Return files of killed writers: not in use, and too old to be in the making."""
    limit = time.time() - _ABANDONED_SECONDS
    return {
        path.name
        for path in folder.glob(f"{_PREFIX}*")
        if path.name not in ours and path.stat().st_mtime < limit
    }


def _named(folder: Path) -> set[str]:
    """Return the files that the current head names; none if it cannot be read."""
    try:
        sealed = json.loads((folder / _HEAD).read_bytes())
        return {
            part["file"]
            for part in sealed["parts"].values()
            if Path(part["file"]).name == part["file"] and part["file"].startswith(_PREFIX)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def read_sealed(
    folder: Path, key: bytes | None = None, mapped: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Buffer]]:
    """Read and verify what :func:`write_sealed` wrote.

    Parameters
    ----------
    folder : Path
    key : bytes, optional
    mapped : collection of str
        Parts that are mapped, not read into memory. No file is rewritten in place, and one that
        is replaced stays readable where it is mapped.

    Raises
    ------
    InputError
        If something is missing, was changed, or is signed with another key.
    """
    try:
        with (folder / _HEAD).open("rb") as file:
            raw = file.read(_MAX_HEAD_BYTES + 1)
        if len(raw) > _MAX_HEAD_BYTES:
            raise InputError("index.json is too large", where=folder.name)
        sealed = json.loads(raw)
        body = {"head": dict(sealed["head"]), "parts": dict(sealed["parts"])}
        seal = str(sealed["seal"])
    except FileNotFoundError:
        raise InputError("this folder has no index", where=folder.name) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError("index.json cannot be read", where=folder.name) from None
    if not hmac.compare_digest(seal.encode(), _seal(_canonical(body), key).encode()):
        raise InputError("the index was changed or signed with another key", where=folder.name)
    files: dict[str, Buffer] = {}
    for name, part in body["parts"].items():
        files[name] = _read_part(folder, part, name in mapped)
    return body["head"], files


def _read_part(folder: Path, part: Mapping[str, Any], mapped: bool) -> Buffer:
    path = folder / Path(part["file"]).name
    try:
        size = path.stat().st_size
        data: Buffer = b""
        if size and size == part["bytes"]:
            data = _mapped(path) if mapped else path.read_bytes()
    except FileNotFoundError:
        raise InputError("an index file is missing", where=folder.name) from None
    if size != part["bytes"] or hashlib.sha256(data).hexdigest() != part["sha256"]:
        raise InputError("an index file was changed", where=folder.name)
    return data


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
