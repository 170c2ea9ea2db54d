"""From a :class:`~medembed.scans.Scan` to the pixels that an encoder reads."""

from __future__ import annotations

from medembed.preprocess.preprocess import PREPROCESS_VERSION, Pixels, Preprocess

__all__ = ["PREPROCESS_VERSION", "Pixels", "Preprocess"]
