"""Vectors of a reader's query that were encoded before: :class:`EncodedParts`."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medembed.scans import Scan

__all__ = ["EncodedParts"]

Floats = npt.NDArray[np.float32]

_MOST_TEXTS = 64


class EncodedParts:
    """Keeps the vectors of one reader's texts and images between searches.

    A reader who changes a filter asks with the same words and images again: given to
    :meth:`medembed.lookup.CaseLookup.search`, nothing of them is encoded twice by one model. It
    belongs to the reader, not to the lookup, since a vector tells of the image it was made from:
    that of an image goes when the image does. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, ...], Floats] = OrderedDict()
        self._scans: weakref.WeakKeyDictionary[Scan, dict[tuple[str, str], Floats]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()
        self.n_encoded = 0
        """How often something had to be encoded."""

    def of_text(self, key: tuple[str, ...], encode: Callable[[], Floats]) -> Floats:
        """Return the vector of a text, encoded if it is new.

        Parameters
        ----------
        key : tuple of str
            Fingerprint of the model and everything of the text that it reads.
        encode : callable
        """
        with self._lock:
            if key in self._texts:
                self._texts.move_to_end(key)
                return self._texts[key]
        made = encode()
        with self._lock:
            self.n_encoded += 1
            self._texts[key] = made
            while len(self._texts) > _MOST_TEXTS:
                self._texts.popitem(last=False)
        return made

    def of_scan(self, scan: Scan, key: tuple[str, str], encode: Callable[[], Floats]) -> Floats:
        """Return the vector of a scan (this object, not an equal one), encoded if it is new.

        Parameters
        ----------
        scan : Scan
        key : (str, str)
            Fingerprint of the model, and the part of the image; empty for the whole.
        encode : callable
        """
        with self._lock:
            made = self._scans.get(scan, {}).get(key)
        if made is None:
            made = encode()
            with self._lock:
                self.n_encoded += 1
                self._scans.setdefault(scan, {})[key] = made
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._texts.clear()
            self._scans.clear()
