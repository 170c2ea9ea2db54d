"""The entries of a DICOM lookup table, in any byte layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medembed.errors import ScanError, ScanReason

__all__ = ["entries", "table_length"]


def table_length(descriptor: Sequence[float]) -> int:
    """Return the number of entries from the first value of a descriptor; 0 means 65536."""
    return int(descriptor[0]) % 2**16 or 2**16


def entries(
    data: object, length: int, *, little_endian: bool, reason: ScanReason
) -> npt.NDArray[np.float32]:
    """Read the entries of ``LUTData`` or ``RedPaletteColorLookupTableData``.

    pydicom leaves OW as bytes in the file's order, and turns US into integers.

    Parameters
    ----------
    data : bytes, int or sequence of int
    length : int
        Number of entries in the descriptor.
    little_endian : bool
        Byte order of the file.
    reason : str
        Reason of the error if there are too few entries.

    Returns
    -------
    float32 array, shape ``(length,)``
    """
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little_endian else ">u2")
    elif isinstance(data, int):
        words = np.array([data % 2**16])
    elif isinstance(data, Sequence):
        words = np.array([int(value) % 2**16 for value in data])
    else:
        raise ScanError("a lookup table has no data", reason=reason)
    if len(words) < length <= 2 * len(words):  # two 8-bit entries in each word, the low one first
        words = words.astype("<u2").view(np.uint8)
    if len(words) < length:
        raise ScanError("a lookup table is shorter than its descriptor states", reason=reason)
    return words[:length].astype(np.float32)
