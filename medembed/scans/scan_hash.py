"""The hash of a scan's bytes, whatever the number and order of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["scan_sha256"]


def scan_sha256(file_digests: Sequence[str]) -> str:
    """Give the hash of a scan from the SHA-256 of each of its files.

    Parameters
    ----------
    file_digests : sequence of str
        Hex digests, at least one, in any order.

    Returns
    -------
    str
        The digest itself where there is one; else the SHA-256 over the sorted digests' bytes.

    Examples
    --------
    >>> a, b = "00" * 32, "11" * 32
    >>> scan_sha256([a]) == a
    True
    >>> scan_sha256([a, b]) == scan_sha256([b, a])
    True
    """
    if len(file_digests) == 1:
        return file_digests[0]
    digest = hashlib.sha256()
    for one in sorted(file_digests):
        digest.update(bytes.fromhex(one))
    return digest.hexdigest()
