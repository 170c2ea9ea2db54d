"""What is known of index files on this machine, so that 2 GB are not hashed at every opening.

``checked.json`` notes of each file whose digest was verified its device, number, size and times
of change. The system sets the time of a change of content or name (``ctime``) itself, and nobody
can set it back, so that a file with the same stamp has the content that was verified. A copy, a
restored backup and a file on another machine have other stamps and are hashed again. What a stamp
cannot show is a disk that returns other bytes than were written; ``medembed verify`` hashes every
file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medembed.privacy.private_files import replace_private

__all__ = ["FileStamps", "Stamp", "read_stamps", "stamp_of", "write_stamps"]

Stamp = tuple[int, int, int, int, int]

_NAME = "checked.json"
_MAX_BYTES = 1 << 16
_TICK_SECONDS = 0.02
"""Longer than the clock of a file system stands still: two changes could have one time."""


@dataclass
class FileStamps:
    """Stamps of files, for one ``index.json``.

    Parameters
    ----------
    seal : str
        Of ``index.json``.
    files : dict of str to tuple of int
    log : int
        Acknowledged length of the log in bytes.
    """

    seal: str
    files: dict[str, Stamp] = field(default_factory=dict)
    log: int = 0


def stamp_of(file: Path | int) -> Stamp:
    """Return device, number, size, and times of change of a file or descriptor."""
    found = os.fstat(file) if isinstance(file, int) else file.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _seal(body: bytes, key: bytes | None) -> str:
    own = hmac.new(key or b"", b"medembed checked files", hashlib.sha256).digest()
    return hmac.new(own, body, hashlib.sha256).hexdigest()


def _body(stamps: FileStamps) -> bytes:
    return json.dumps([stamps.seal, stamps.files, stamps.log], sort_keys=True).encode()


def read_stamps(folder: Path, seal: str, key: bytes | None) -> FileStamps:
    """Read the stamps that belong to an ``index.json``; none if they are missing or not ours."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with (folder / _NAME).open("rb") as file:
            kept = json.loads(file.read(_MAX_BYTES))
        files = {str(name): tuple(map(int, stamp)) for name, stamp in kept["files"].items()}
        stamps = FileStamps(str(kept["index"]), files, int(kept["log"]))  # type: ignore[arg-type]
        own = _seal(_body(stamps), key)
        if stamps.seal == seal and hmac.compare_digest(own, str(kept["seal"])):
            return stamps
    return FileStamps(seal)


def write_stamps(folder: Path, stamps: FileStamps, key: bytes | None) -> None:
    """Keep stamps; without them everything is hashed again, so that a failure is none."""
    latest = max((stamp[4] for stamp in stamps.files.values()), default=0) / 1e9
    time.sleep(min(max(0.0, latest + _TICK_SECONDS - time.time()), _TICK_SECONDS))
    kept = {
        "index": stamps.seal,
        "files": stamps.files,
        "log": stamps.log,
        "seal": _seal(_body(stamps), key),
    }
    with suppress(OSError), replace_private(folder / _NAME) as file:
        file.write(json.dumps(kept, indent=1, sort_keys=True).encode())
