"""A token bucket for each client, shared by all workers of one service."""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import secrets
import struct
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Buckets"]

_SLOTS = 4096
_PROBES = 8
_ENTRY = struct.Struct("<8sdd")  # whose it is, tokens, when they were counted
_KEY_BYTES = 16


class Buckets:
    """Grants each client so many tokens a second, and twice as many at once.

    The buckets are in a file that is mapped into the memory of each worker, so that a client that
    reaches several workers has one bucket. A client is kept as a keyed digest only. A bucket that
    has filled up again is nobody's: a new client may take its place.

    Parameters
    ----------
    rate : float
        Tokens a second; 0 grants everything.
    file : Path or None
        Shared by the workers; None keeps the buckets in this process.
    now : callable
        The clock, the same for all processes of this machine.
    """

    def __init__(
        self, rate: float, file: Path | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.burst = max(1.0, 2 * rate)
        self._now = now
        size = _KEY_BYTES + _SLOTS * _ENTRY.size
        self._file = -1
        if file is None:
            self._memory = mmap.mmap(-1, size)
        else:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file).st_size < size:
                os.truncate(self._file, size)
            self._memory = mmap.mmap(self._file, size)
        if not any(self._memory[:_KEY_BYTES]):
            self._memory[:_KEY_BYTES] = secrets.token_bytes(_KEY_BYTES)
        if file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._key = bytes(self._memory[:_KEY_BYTES])

    def close(self) -> None:
        """Unmap the file."""
        self._memory.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def take(self, client: str) -> float:
        """Take one token.

        Returns
        -------
        float
            0 if there was one; else the seconds until there is.
        """
        if not self.rate:
            return 0.0
        whose = hashlib.blake2b(client.encode("utf-8", "replace"), key=self._key, digest_size=8)
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            return self._take(whose.digest())
        finally:
            if self._file >= 0:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take(self, whose: bytes) -> float:
        now = self._now()
        start = int.from_bytes(whose, "little") % _SLOTS
        best, most = -1, -math.inf
        for step in range(_PROBES):
            at = _KEY_BYTES + (start + step) % _SLOTS * _ENTRY.size
            owner, tokens, counted = _ENTRY.unpack_from(self._memory, at)
            left = self._left(tokens, counted, now) if any(owner) else self.burst
            if owner == whose:
                best, most = at, left
                break
            if left > most:
                best, most = at, left
        granted = most >= 1
        _ENTRY.pack_into(self._memory, best, whose, most - granted, now)
        return 0.0 if granted else (1 - most) / self.rate

    def _left(self, tokens: float, counted: float, now: float) -> float:
        return min(self.burst, tokens + max(0.0, now - counted) * self.rate)
