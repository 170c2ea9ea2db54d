"""How far the image of each case is from those of other patients, computed in advance.

A search by case looks its score up: it opens no file and decodes nothing. The scores are made with
the calibration; the thumbnails that they need are decoded once and kept in the library's cache.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.errors import LibraryError
from medembed.library.statements import first_scans
from medembed.lookup.image_novelty import Thumbnails, image_scores

if TYPE_CHECKING:
    from medembed.cases import ScanRef
    from medembed.library import CaseLibrary
    from medembed.model.pixel_cache import PixelCache
    from medembed.progress import Progress

__all__ = ["CaseScores", "digest", "keep_thumbnails", "score_cases"]

_DIGITS = 5
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class CaseScores:
    """Scores of the cases of a library whose first scan could be read.

    Parameters
    ----------
    keys : uint64 array, shape ``(n,)``
        Keyed hashes of the cases and their first scans, sorted.
    scores : float64 array, shape ``(n,)``
    """

    keys: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    scores: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))

    def of(self, key: bytes, case_id: str, scan: ScanRef) -> float | None:
        """Return the score of a case.

        None if its scan was not there when the scores were made, or could not be read.

        Parameters
        ----------
        key : bytes
            Of the library.
        case_id : str
        scan : ScanRef
            The first scan of the case.
        """
        wanted = _key(key, case_id, scan)
        at = int(np.searchsorted(self.keys, wanted))
        return float(self.scores[at]) if at < len(self.keys) and self.keys[at] == wanted else None


def digest(key: bytes, *parts: str) -> bytes:
    """Return a keyed hash of some texts, which tells nothing to who lacks the key."""
    return hmac.new(key, "\n".join(("novelty", *parts)).encode(), hashlib.sha256).digest()


def keep_thumbnails(
    library: CaseLibrary, cache: PixelCache, workers: int, progress: Progress | None
) -> None:
    """Decode the first scan of every case whose thumbnail is not kept yet and whose file exists."""
    absent = [
        case_id
        for case_id, _, ref in first_scans(library)
        if ref not in cache and (library.path / ref.files[0]).is_file()
    ]
    for start in range(0, len(absent), _CHUNK):
        chunk = absent[start : start + _CHUNK]

        def report(done: int, _: int | None, start: int = start) -> None:
            if progress is not None:
                progress(start + done, len(absent))

        with suppress(OSError, LibraryError):  # a folder that cannot be written to
            cache.fill(
                library, library.select(chunk), workers=workers, progress=report, first_only=True
            )


def score_cases(
    library: CaseLibrary,
    cache: PixelCache,
    reference: Thumbnails,
    patients: Sequence[str],
) -> CaseScores:
    """Score every case of which a thumbnail is kept against images of other patients.

    Parameters
    ----------
    library : CaseLibrary
    cache : PixelCache
        Of thumbnails.
    reference : uint8 array, shape ``(m, 256)``
    patients : sequence of str, length m
        Whose images they are.
    """
    row_of = {patient: row for row, patient in enumerate(patients)}
    keys: list[npt.NDArray[np.uint64]] = []
    scores: list[npt.NDArray[np.float64]] = []
    kept = ((*each, cache.span(each[2])[0]) for each in first_scans(library) if each[2] in cache)
    while chunk := list(islice(kept, _CHUNK)):
        rows = cache.rows(np.array([row for *_, row in chunk], dtype=np.int64))
        images = rows.reshape(len(chunk), -1).astype(np.uint8)
        found = image_scores(images, reference)
        for at, (_, patient, *_) in enumerate(chunk):
            if patient in row_of:
                others = np.delete(reference, row_of[patient], axis=0)
                found[at] = image_scores(images[at : at + 1], others)[0]
        keys.append(np.array([_key(library.key, case_id, ref) for case_id, _, ref, _ in chunk]))
        scores.append(np.round(found, _DIGITS))
    if not keys:
        return CaseScores()
    every = np.concatenate(keys)
    order = np.argsort(every)
    return CaseScores(every[order], np.concatenate(scores)[order])


def _key(key: bytes, case_id: str, scan: ScanRef) -> np.uint64:
    frame = "" if scan.frame is None else str(scan.frame)
    hashed = digest(key, "case", case_id, scan.sha256, frame, scan.units)
    return np.uint64(int.from_bytes(hashed[:8], "little"))
