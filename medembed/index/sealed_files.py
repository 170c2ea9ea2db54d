"""Index files that survive a crash and are verified before use.

A folder holds ``index.json`` and the files it names. The files are written first, under new names,
and synced; replacing ``index.json`` activates them. On reading, every digest is verified before
any content is used. A large file is not hashed again while it is the same file, unchanged since its
digest was verified on this machine (:mod:`medembed.index.file_stamps`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import mmap
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from medembed.errors import InputError
from medembed.index.file_stamps import FileStamps, Stamp, read_stamps, stamp_of, write_stamps
from medembed.privacy.private_files import private_folder, replace_private

__all__ = [
    "HEAD",
    "Buffer",
    "Content",
    "SealedFolder",
    "Spacious",
    "open_sealed",
    "read_sealed",
    "write_sealed",
]

Buffer: TypeAlias = "bytes | memoryview"


@dataclass(frozen=True, eq=False)
class Spacious:
    """A file with room behind its content, which is a hole on the disk.

    Parameters
    ----------
    buffers : iterable of bytes-like
        The content.
    size : int
        Bytes of the file.
    """

    buffers: Iterable[Buffer]
    size: int


Content: TypeAlias = "bytes | Iterable[Buffer] | Spacious"

HEAD = "index.json"
"""The file at the head of the others."""
_MAX_HEAD_BYTES = 1 << 20
_PREFIX = "part-"
_ABANDONED_SECONDS = 3600.0
_BLOCK_BYTES = 1 << 22
_ALWAYS_HASHED = 1 << 20
"""Files up to this size are hashed whenever they are read."""


@dataclass(frozen=True, eq=False)
class SealedFolder:
    """Verified files.

    Parameters
    ----------
    head : dict
        Plain data from ``index.json``.
    files : dict of str to bytes-like
    hashed : set of str
        Files whose digest was computed now.
    seal : str
        Seal of ``index.json``.
    stamp : tuple of int
        Stamp of ``index.json``: another one means other files.
    log : Path
        Where the log of changes belongs; it may not exist.
    acknowledged : int
        Bytes of the log that had been acknowledged, as far as is known.
    """

    head: dict[str, Any]
    files: dict[str, Buffer]
    hashed: frozenset[str]
    seal: str
    stamp: Stamp
    log: Path
    acknowledged: int


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
    files : mapping of str to bytes, to buffers that are written one after the other, or Spacious
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
                buffers = data.buffers if isinstance(data, Spacious) else data
                for buffer in (buffers,) if isinstance(buffers, bytes) else buffers:
                    file.write(buffer)
                    digest.update(buffer)
                    size += memoryview(buffer).nbytes
                if isinstance(data, Spacious) and data.size > size:
                    file.truncate(data.size)
            parts[name] = {"file": own, "bytes": size, "sha256": digest.hexdigest()}
            if isinstance(data, Spacious):
                parts[name]["size"] = max(size, data.size)
        body = {"head": dict(head), "parts": parts, "log": f"{_PREFIX}{token}-log"}
        sealed = {**body, "seal": _seal(_canonical(body), key)}
        with replace_private(folder / HEAD) as file:
            file.write(json.dumps(sealed, indent=1, sort_keys=True, allow_nan=False).encode())
    except BaseException:
        for name in files:
            (folder / f"{_PREFIX}{token}-{name}").unlink(missing_ok=True)
        raise
    files_now = {part["file"] for part in parts.values()}
    write_stamps(
        folder,
        FileStamps(str(sealed["seal"]), {own: stamp_of(folder / own) for own in files_now}),
        key,
    )
    for own in named | _abandoned(folder, {*files_now, str(body["log"])}):
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
        sealed = json.loads((folder / HEAD).read_bytes())
        named = {part["file"] for part in sealed["parts"].values()} | {sealed.get("log", "")}
        return {name for name in named if Path(name).name == name and name.startswith(_PREFIX)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _read_head(folder: Path, key: bytes | None) -> tuple[dict[str, Any], str]:
    """Return the verified content of ``index.json`` and its seal."""
    try:
        with (folder / HEAD).open("rb") as file:
            raw = file.read(_MAX_HEAD_BYTES + 1)
        if len(raw) > _MAX_HEAD_BYTES:
            raise InputError("index.json is too large", where=folder.name)
        sealed = json.loads(raw)
        body: dict[str, Any] = {"head": dict(sealed["head"]), "parts": dict(sealed["parts"])}
        if "log" in sealed:
            body["log"] = str(sealed["log"])
        seal = str(sealed["seal"])
    except FileNotFoundError:
        raise InputError("this folder has no index", where=folder.name) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError("index.json cannot be read", where=folder.name) from None
    if not hmac.compare_digest(seal.encode(), _seal(_canonical(body), key).encode()):
        raise InputError("the index was changed or signed with another key", where=folder.name)
    return body, seal


def read_sealed(folder: Path, key: bytes | None = None) -> tuple[dict[str, Any], dict[str, Buffer]]:
    """Read what :func:`write_sealed` wrote into memory, and verify it, byte by byte.

    Raises
    ------
    InputError
        If something is missing, was changed, or is signed with another key.
    """
    body, _ = _read_head(folder, key)
    files: dict[str, Buffer] = {}
    for name, part in body["parts"].items():
        with _opened(folder, part) as file:
            files[name] = file.read(part["bytes"])
        if hashlib.sha256(files[name]).hexdigest() != part["sha256"]:
            raise InputError("an index file was changed", where=folder.name)
    return body["head"], files


def open_sealed(
    folder: Path,
    key: bytes | None = None,
    *,
    private: Collection[str] = (),
    trusting: bool = True,
) -> SealedFolder:
    """Map what :func:`write_sealed` wrote, verified.

    No file is rewritten in place, and one that is replaced stays readable where it is mapped.

    Parameters
    ----------
    folder : Path
    key : bytes, optional
    private : collection of str
        Files that are mapped copy-on-write, with the room behind them, to be written in memory.
    trusting : bool
        Whether a large file needs no new digest if it is unchanged since the last one.

    Raises
    ------
    InputError
        If something is missing, was changed, or is signed with another key.
    """
    try:
        head = stamp_of(folder / HEAD)
    except OSError:
        head = (0, 0, 0, 0, 0)  # missing, as reading it will tell
    body, seal = _read_head(folder, key)
    known = read_stamps(folder, seal, key)
    files: dict[str, Buffer] = {}
    hashed: set[str] = set()
    for name, part in body["parts"].items():
        with _opened(folder, part) as file:
            stamp = stamp_of(file.fileno())
            if not (
                trusting
                and part["bytes"] > _ALWAYS_HASHED
                and known.files.get(part["file"]) == stamp
            ):
                hashed.add(name)
                if _digest(file, part["bytes"]) != part["sha256"]:
                    raise InputError("an index file was changed", where=folder.name)
            access = mmap.ACCESS_COPY if name in private else mmap.ACCESS_READ
            size = part.get("size", part["bytes"])
            files[name] = memoryview(mmap.mmap(file.fileno(), 0, access=access)) if size else b""
            known.files[part["file"]] = stamp
    if any(body["parts"][name]["bytes"] > _ALWAYS_HASHED for name in hashed):
        write_stamps(folder, known, key)
    log = folder / Path(body.get("log", f"{_PREFIX}none-log")).name
    return SealedFolder(body["head"], files, frozenset(hashed), seal, head, log, known.log)


def _opened(folder: Path, part: Mapping[str, Any]) -> Any:
    """Open a file of the size that it should have."""
    path = folder / Path(part["file"]).name
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError("an index file is missing", where=folder.name) from None
    if path.stat().st_size != part.get("size", part["bytes"]):
        file.close()
        raise InputError("an index file was changed", where=folder.name)
    return file


def _digest(file: Any, size: int) -> str:
    """Hash the content of a file, by reading: hashed where it is mapped, it fills memory.

    The room behind the content must be empty; else no digest fits.
    """
    digest = hashlib.sha256()
    while size and (block := file.read(min(size, _BLOCK_BYTES))):
        digest.update(block)
        size -= len(block)
    while block := file.read(_BLOCK_BYTES):
        if block.count(0) != len(block):
            return ""
    return digest.hexdigest()
