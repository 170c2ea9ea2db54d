"""The log of an index: rows that were added or removed since its files were written.

Each record has its length and a keyed digest that covers the record before it, too, so that none
can be changed, moved or taken from another index. A record is on the disk before the change is
acknowledged. A record that was cut off by a crash ends the log, and the next one replaces it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.privacy.private_files import open_private, sync_folder

try:
    import fcntl
except ImportError:  # pragma: no cover  not POSIX
    fcntl = None  # type: ignore[assignment]

__all__ = ["Change", "Position", "append_change", "read_changes"]

Floats = npt.NDArray[np.float32]

_FRAME = struct.Struct("<Q32s")
_HEAD = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Change:
    """One record: what was added, and what was removed, of the same change or before.

    Parameters
    ----------
    removed : list of int
        Rows.
    case_ids : list of str
        Of the added rows.
    vectors : float32 array, shape ``(n, d)``
    extra : dict
        Plain data stored with the index, as it is after the change.
    """

    removed: list[int]
    case_ids: list[str]
    vectors: Floats
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Position:
    """The end of a log: its length in bytes, and the digest of its last record."""

    length: int
    digest: bytes


def _digest(key: bytes | None, before: bytes, payload: bytes | memoryview) -> bytes:
    own = hmac.new(key or b"", b"medembed index log", hashlib.sha256).digest()
    found = hmac.new(own, before, hashlib.sha256)
    found.update(payload)
    return found.digest()


def _payload(change: Change) -> bytes:
    body = {"removed": change.removed, "ids": change.case_ids, "extra": change.extra}
    head = json.dumps(body, allow_nan=False).encode("ascii")
    head += b" " * (-(len(head) + _HEAD.size) % 4)
    rows = np.ascontiguousarray(change.vectors, dtype="<f4").tobytes()
    return _HEAD.pack(len(head)) + head + rows


def _change(payload: memoryview, dim: int) -> Change:
    (size,) = _HEAD.unpack_from(payload)
    body = json.loads(bytes(payload[_HEAD.size : _HEAD.size + size]))
    rows = np.frombuffer(payload, "<f4", offset=_HEAD.size + size).reshape(len(body["ids"]), dim)
    return Change(
        list(map(int, body["removed"])),
        list(map(str, body["ids"])),
        rows.astype(np.float32, copy=False),
        dict(body["extra"]),
    )


def read_changes(
    path: Path, key: bytes | None, start: bytes, dim: int, acknowledged: int = 0
) -> tuple[list[Change], Position]:
    """Read a log; one that does not exist has no records.

    Parameters
    ----------
    path : Path
    key : bytes or None
    start : bytes
        What the first record is bound to: the seal of the index.
    dim : int
        Dimension of the vectors.
    acknowledged : int
        Length that the log had at least, as far as is known.

    Returns
    -------
    changes : list of Change
    end : Position
        Behind the last whole record.

    Raises
    ------
    InputError
        If a record was changed, or acknowledged ones are missing.
    """
    try:
        data = memoryview(path.read_bytes())
    except FileNotFoundError:
        data = memoryview(b"")
    changes: list[Change] = []
    end = Position(0, start)
    while len(data) - end.length >= _FRAME.size:
        length, digest = _FRAME.unpack_from(data, end.length)
        stop = end.length + _FRAME.size + length
        payload = data[end.length + _FRAME.size : stop]
        if stop > len(data) or not hmac.compare_digest(digest, _digest(key, end.digest, payload)):
            if stop < len(data):
                raise InputError("the log of the index was changed", where=path.parent.name)
            break  # the last record, cut off
        try:
            changes.append(_change(payload, dim))
        except (ValueError, KeyError, TypeError, struct.error):
            raise InputError(
                "the log of the index does not match it", where=path.parent.name
            ) from None
        end = Position(stop, digest)
    if end.length < acknowledged:
        raise InputError("the log of the index was changed", where=path.parent.name)
    return changes, end


def append_change(path: Path, key: bytes | None, end: Position, change: Change) -> Position | None:
    """Write a record behind the others; it is on the disk when this returns.

    Returns
    -------
    Position or None
        The new end; None if somebody else has written a record there.

    Raises
    ------
    OSError
        On a full disk or the like; the log is as before.
    """
    payload = _payload(change)
    digest = _digest(key, end.digest, payload)
    is_new = not path.exists()
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when it is closed
        size = os.fstat(descriptor).st_size
        if size < end.length or (size > end.length and _is_record(descriptor, key, end, size)):
            return None
        try:
            os.ftruncate(descriptor, end.length)  # a record that was cut off
            at, left = end.length, memoryview(_FRAME.pack(len(payload), digest) + payload)
            while left:
                written = os.pwrite(descriptor, left, at)
                at, left = at + written, left[written:]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end.length)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)
    return Position(at, digest)


def _is_record(descriptor: int, key: bytes | None, end: Position, size: int) -> bool:
    """Return whether a whole record begins at ``end``."""
    frame = os.pread(descriptor, _FRAME.size, end.length)
    if len(frame) < _FRAME.size:
        return False
    length, digest = _FRAME.unpack(frame)
    if end.length + _FRAME.size + length > size:
        return False
    payload = os.pread(descriptor, length, end.length + _FRAME.size)
    return hmac.compare_digest(digest, _digest(key, end.digest, payload))
