"""The sealed head: how long the chain is and where it ends, in a file of its own.

Without it, entries could be cut off at the end, and what remains would still be a chain. The file
is also the lock under which entries are appended, so that the head never goes back.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from medembed.errors import InputError, LibraryBusyError, LibraryError
from medembed.machine_faults import file_errors
from medembed.privacy import Pseudonymizer
from medembed.privacy.private_files import open_private

try:
    import fcntl
except ImportError:  # pragma: no cover  not POSIX
    fcntl = None  # type: ignore[assignment]

__all__ = ["HEAD_NAME", "Head", "HeadFault", "HeadFile"]

HEAD_NAME = "journal.head"

_BYTES = 512  # one sector, always overwritten in place: needs no space and is never half new
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.01
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class HeadFault(Enum):
    """Why there is no head to compare with."""

    MISSING = "head_missing"
    DAMAGED = "head_damaged"


@dataclass(frozen=True)
class Head:
    """Where the chain ends; keep one outside to prove later that nothing before it was changed.

    Parameters
    ----------
    journal : str
        Random name of the journal, 32 hexadecimal digits.
    count : int
        Number of the last entry.
    digest : str
        Its digest, 64 hexadecimal digits.
    time : str
        Its time, UTC.
    """

    journal: str
    count: int
    digest: str
    time: str

    def to_json(self) -> dict[str, str | int]:
        """Return the fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Head:
        """Read a head that was kept outside.

        Raises
        ------
        InputError
            If it is none.
        """
        try:
            found = json.loads(text)
            head = cls(*(found[name] for name in ("journal", "count", "digest", "time")))
            fine = type(head.count) is int and all(
                type(value) is str for value in (head.journal, head.digest, head.time)
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            fine = False
        if not fine:
            raise InputError(
                "not the head of a journal",
                where=where,
                hint="give a file that medembed journal LIBRARY --head has written",
            )
        return head

    def seal(self, names: Pseudonymizer) -> str:
        """Return the keyed digest of the head."""
        parts = (self.journal, str(self.count), self.digest, self.time)
        return names.digest("journal head", *parts).hex()


class HeadFile:
    """The file of the head, and the lock of the journal's writers.

    The lock (``flock``) ends with its process. Two threads of a process exclude each other by other
    means: they share the open file.
    """

    def __init__(self, path: Path, names: Pseudonymizer) -> None:
        self.path = path
        self._names = names
        self._open: dict[int, int] = {}  # by process: a forked child must open its own

    @contextmanager
    def locked(self, wait_seconds: float) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises
        ------
        LibraryBusyError
            If another process still holds it after that time.
        LibraryError
            If the file system has no locks, or the file cannot be opened.
        """
        with file_errors(self.path.name):
            descriptor = self._lock(time.monotonic() + wait_seconds)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _lock(self, deadline: float) -> int:
        if fcntl is None:  # pragma: no cover  not POSIX
            raise LibraryError("this system has no file locks", where=self.path.name)
        pause = _FIRST_PAUSE
        while True:
            descriptor = self._descriptor()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_at(descriptor):
                    return descriptor
                self.close()  # the file was removed or replaced: lock the one that is there
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                raise LibraryError(
                    "this file system does not support locks",
                    where=self.path.name,
                    hint="keep the library on a local disk, or on NFS with locks",
                ) from error
            if time.monotonic() >= deadline:
                raise LibraryBusyError(
                    "another process is writing to the journal",
                    where=self.path.name,
                    hint="wait until it ends and try again",
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _descriptor(self) -> int:
        descriptor = self._open.get(os.getpid())
        if descriptor is None:
            descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
            self._open[os.getpid()] = descriptor
        return descriptor

    def _is_at(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def write(self, head: Head) -> None:
        """Write the head; only while the lock is held.

        It is not synced: a head that is older than the chain is no fault, and the next one replaces
        it.
        """
        text = json.dumps({**head.to_json(), "seal": head.seal(self._names)}, sort_keys=True)
        with file_errors(self.path.name):
            os.pwrite(self._open[os.getpid()], text.encode().ljust(_BYTES - 1) + b"\n", 0)

    def read(self) -> Head | HeadFault:
        """Return the head, or why there is none."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return HeadFault.MISSING
        if not data:
            return HeadFault.MISSING
        return parse_head(data, self._names)

    def forked(self) -> None:
        """Close the parent's file in a forked child, which would keep its lock otherwise."""
        while self._open:
            _, descriptor = self._open.popitem()
            os.close(descriptor)

    def close(self) -> None:
        """Close the file of this process."""
        descriptor = self._open.pop(os.getpid(), None)
        if descriptor is not None:
            os.close(descriptor)


def parse_head(data: bytes, names: Pseudonymizer) -> Head | HeadFault:
    """Read a sealed head from the bytes of its file."""
    try:
        head = Head.from_json(data, HEAD_NAME)
        wanted = json.dumps({**head.to_json(), "seal": head.seal(names)}, sort_keys=True)
        same = hmac.compare_digest(wanted.encode().ljust(_BYTES - 1) + b"\n", data)
    except (InputError, ValueError, TypeError, RecursionError):
        return HeadFault.DAMAGED
    return head if same else HeadFault.DAMAGED
