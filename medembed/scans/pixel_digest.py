"""Digests of pixels, independent of file, header and format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["combine_pixel_digests", "frame_digest", "pixel_digest"]

# A table of the values that occur is faster than sorting up to here (64 MiB).
_MAX_SPAN = 2**24
# Up to here the table stays in the processor's cache, and so do blocks of this many pixels.
_SMALL_SPAN = 2**16
_BLOCK = 2**15

_COMMON: Final = "~"
"""Prefix of a digest that does not distinguish patients."""
_FEWEST_VALUES = 16
"""Masks, screens of text and clipped films have fewer; an 8-bit export of a film has more."""
_MOST_OF_ONE_VALUE = 0.95
"""A blank frame with a burnt-in side mark or a line of text holds more of one value."""


def frame_digest(frame: npt.NDArray[np.generic]) -> str:
    """Digest of one frame: SHA-256 over its shape and the dense ranks of its values.

    The smallest value has rank 0, the next larger one rank 1, and so on, so that any increasing
    map of the values (rescale, another bit depth, a window that clips nothing) gives the same
    digest. MONOCHROME1 has to be inverted first, as in :class:`~medembed.scans.Scan`.

    Two patients may have the same mask, blank film or screen of text. Such a frame (fewer than 16
    values, or one value in more than 95% of its pixels) has a digest with a ``"~"`` before it:
    useful to find duplicate slices, but ignored for identifying a scan.

    Parameters
    ----------
    frame : array, shape ``(h, w)``, finite

    Returns
    -------
    str
        64 hex digits, after a ``"~"`` if the frame identifies nothing; ``""`` for a frame of
        one value.

    Examples
    --------
    >>> a = np.arange(20).reshape(4, 5)
    >>> frame_digest(a) == frame_digest(a * 2.5 - 1024)
    True
    >>> frame_digest(a > 9)[:1]
    '~'
    >>> frame_digest(np.zeros((2, 2)))
    ''
    """
    low, high = float(frame.min()), float(frame.max())
    if low == high:
        return ""
    if high - low < _SMALL_SPAN and max(-low, high) < _MAX_SPAN:
        quick = _small_digest(frame, low, int(high - low) + 1)
        if quick is not None:
            return quick
    ranks, n_values = _dense_ranks(frame, low, high)
    digest = hashlib.sha256(f"{frame.shape[0]}x{frame.shape[1]}".encode())
    digest.update(ranks.astype("<u2" if n_values <= 2**16 else "<u4", order="C").data)
    most = int(np.bincount(ranks.ravel()).max())
    return _marked(digest.hexdigest(), n_values, most, ranks.size)


def _small_digest(frame: npt.NDArray[np.generic], low: float, span: int) -> str | None:
    """Return the digest of whole numbers from a small range; None if the frame has others.

    The same as by :func:`_dense_ranks`, in blocks that stay in the processor's cache.
    """
    flat = frame.reshape(-1)
    offsets = np.empty(flat.size, np.uint16)
    counts = np.zeros(span, np.int64)
    values, again = np.empty((2, _BLOCK), np.float32)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        # of the given type first: a float64 may be whole only after rounding to float32
        if block.dtype.kind == "f" and block.dtype.itemsize > 4 and (np.rint(block) != block).any():
            return None
        size = block.size
        values[:size] = block  # exact up to _MAX_SPAN
        np.subtract(values[:size], np.float32(low), out=values[:size])
        part = offsets[start : start + size]
        part[:] = values[:size]
        again[:size] = part
        if not np.array_equal(again[:size], values[:size]):
            return None
        counts += np.bincount(part, minlength=span)
    occurs = counts > 0
    n_values = int(occurs.sum())
    ranks = (np.cumsum(occurs) - 1).astype("<u2")
    digest = hashlib.sha256(f"{frame.shape[0]}x{frame.shape[1]}".encode())
    wide = np.empty(_BLOCK, np.intp)  # what numpy takes by; it would make it anew for each block
    for start in range(0, flat.size, _BLOCK):
        part = offsets[start : start + _BLOCK]
        wide[: part.size] = part
        digest.update(np.take(ranks, wide[: part.size]).data)
    return _marked(digest.hexdigest(), n_values, int(counts.max()), flat.size)


def _marked(digest: str, n_values: int, most: int, n_pixels: int) -> str:
    """Return the digest, with a ``"~"`` if frames of other patients may be identical."""
    is_common = n_values < _FEWEST_VALUES or most > _MOST_OF_ONE_VALUE * n_pixels
    return f"{_COMMON if is_common else ''}{digest}"


def combine_pixel_digests(digests: Iterable[str]) -> str:
    """Return the digest of a series from those of its frames, in any order.

    A series of files and one multi-frame file of the same slices agree. Frames that identify
    nothing are ignored; ``""`` if none does.
    """
    known = sorted(digest for digest in digests if digest and digest[0] != _COMMON)
    if len(known) <= 1:
        return "".join(known)
    return hashlib.sha256("".join(known).encode()).hexdigest()


def pixel_digest(pixels: npt.NDArray[np.generic]) -> str:
    """Return the digest of a scan's pixels.

    Parameters
    ----------
    pixels : array, shape ``(h, w)`` or ``(d, h, w)``, finite

    Returns
    -------
    str
        :func:`combine_pixel_digests` of its frames; ``""`` if none identifies it.
    """
    frames = pixels[None] if pixels.ndim == 2 else pixels
    return combine_pixel_digests(frame_digest(frame) for frame in frames)


def _dense_ranks(
    frame: npt.NDArray[np.generic], low: float, high: float
) -> tuple[npt.NDArray[np.integer], int]:
    """Return the rank of each value among the distinct values, and their number."""
    indices = _whole_numbers(frame, low, high)
    if indices is None:
        values = np.unique(frame)
        return np.searchsorted(values, frame), len(values)
    occurs = np.zeros(int(high - low) + 1, np.bool_)
    occurs[indices] = True
    ranks = np.cumsum(occurs, dtype=np.uint32) - np.uint32(1)
    return ranks[indices], int(ranks[-1]) + 1


def _whole_numbers(
    frame: npt.NDArray[np.generic], low: float, high: float
) -> npt.NDArray[np.int32] | None:
    """Return each value minus the smallest; None if they are not small whole numbers."""
    if high - low >= _MAX_SPAN or max(-low, high) >= _MAX_SPAN:
        return None
    values = frame.astype(np.float32)  # exact up to _MAX_SPAN
    if frame.dtype.kind == "f" and not (np.rint(values[:1]) == frame[:1]).all():
        return None
    indices = (values - np.float32(low)).astype(np.int32)
    if frame.dtype.kind == "f" and not (indices.astype(frame.dtype) + low == frame).all():
        return None
    return indices
