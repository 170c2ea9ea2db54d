"""Hash of a scan over its files, independent of their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from medembed.errors import InputError

__all__ = ["file_sha256", "scan_sha256"]

_BLOCK = 2**20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def scan_sha256(file_digests: Sequence[str]) -> str:
    """Return the hash of a scan from the hashes of its files.

    Parameters
    ----------
    file_digests : sequence of str
        SHA-256 of each file, in hex, in any order.

    Returns
    -------
    str
        For one file its own hash; for several the SHA-256 of their sorted hashes.

    Raises
    ------
    InputError
        If there is no file.

    Examples
    --------
    >>> one, other = "ab" * 32, "cd" * 32
    >>> scan_sha256([one]) == one, scan_sha256([one, other]) == scan_sha256([other, one])
    (True, True)
    """
    if not file_digests:
        raise InputError("a scan needs at least one file")
    if len(file_digests) == 1:
        return file_digests[0]
    digest = hashlib.sha256()
    for one in sorted(file_digests):
        digest.update(bytes.fromhex(one))
    return digest.hexdigest()
