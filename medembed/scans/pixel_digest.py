"""A digest of decoded pixels that survives another file, header, format, window or bit depth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["combine_pixel_digests", "pixel_digest"]


def _of_frame(frame: npt.NDArray[np.floating]) -> str:
    values, ranks = np.unique(frame, return_inverse=True)
    if len(values) < 2:
        return ""  # a constant frame identifies nothing
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(ranks.astype("<u4").tobytes())
    return digest.hexdigest()


def combine_pixel_digests(frames: Sequence[str]) -> str:
    """Give the digest of a series from those of its frames, in any order."""
    known = sorted(frame for frame in frames if frame)
    if len(known) < 2:
        return known[0] if known else ""
    digest = hashlib.sha256()
    for frame in known:
        digest.update(bytes.fromhex(frame))
    return digest.hexdigest()


def pixel_digest(pixels: npt.NDArray[np.floating]) -> str:
    """Give the digest of an image ``(h, w)`` or volume ``(d, h, w)``; "" for constant pixels."""
    frames = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    return combine_pixel_digests([_of_frame(frame) for frame in frames])
