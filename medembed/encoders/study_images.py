"""What is known of the images of a study before they are pooled; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from medembed.encoders.header_codes import header_codes

__all__ = ["VIEWS", "ScanSource", "StudyBatch", "StudyImages", "view_code"]

VIEWS = ("unknown", "PA", "AP", "LL", "RL", "oblique", "slice", "frame")
"""Codes by position. The first also stands for any other view."""

_SAME = {"LATERAL": "LL", "LLO": "oblique", "LAO": "oblique", "RLO": "oblique", "RAO": "oblique"}
_SLICED = frozenset({"CT", "MR", "PT", "NM"})


def view_code(view: str, modality: str = "unknown", images: int = 1) -> int:
    """Return the position in :data:`VIEWS` of an image, or of each image of a volume or loop.

    Parameters
    ----------
    view, modality : str
        As in :class:`medembed.scans.Scan`; views are DICOM's ViewPosition (0018,5101).
    images : int
        Number of images of the scan.

    Examples
    --------
    >>> view_code("LATERAL"), view_code("unknown", "CT", 40), view_code("unknown", "US", 40)
    (3, 6, 7)
    """
    if images > 1:
        return VIEWS.index("slice" if modality in _SLICED else "frame")
    name = _SAME.get(view, view)
    return VIEWS.index(name) if name in VIEWS else 0


@dataclass(frozen=True)
class ScanSource:
    """What a header says of a scan.

    Parameters
    ----------
    view, modality : str
    gap_days : int
        Days from the scan to the study of the case that it is pooled with.
    body_part : str
        As a header or a table names it; empty if unknown.
    """

    view: str = "unknown"
    modality: str = "unknown"
    gap_days: int = 0
    body_part: str = ""


@dataclass(frozen=True)
class StudyImages:
    """The images of one case, in any order.

    Parameters
    ----------
    rows : int64 array ``(m,)``
        Where the pixels or the vector of each image are.
    view : int64 array ``(m,)``
        Positions in :data:`VIEWS`.
    place : float32 array ``(m,)``
        Place within the scan from 0 (first slice or frame) to 1 (last); 0.5 for a single image.
    gap_days : float32 array ``(m,)``
        Days from the image to the case's own study: 0 for its own images, more for priors.
    header : int64 array ``(m, 3)``
        What the header says (:func:`~medembed.encoders.header_codes.header_codes`).
    """

    rows: npt.NDArray[np.int64]
    view: npt.NDArray[np.int64]
    place: npt.NDArray[np.float32]
    gap_days: npt.NDArray[np.float32]
    header: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of_scan(cls, first: int, count: int, source: ScanSource) -> StudyImages:
        """Images of one scan, in consecutive rows from ``first`` on."""
        place = np.linspace(0, 1, count) if count > 1 else np.array([0.5])
        header = header_codes(source.view, source.modality, source.body_part)
        return cls(
            np.arange(first, first + count),
            np.full(count, view_code(source.view, source.modality, count)),
            place.astype(np.float32),
            np.full(count, source.gap_days, dtype=np.float32),
            np.tile(np.array(header), (count, 1)),
        )

    @classmethod
    def joined(cls, parts: Sequence[StudyImages]) -> StudyImages:
        """Images of several scans as those of one case."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def before(self, days: int) -> StudyImages:
        """Return the same images as those of a study that many days before."""
        return replace(self, gap_days=self.gap_days + np.float32(days))


@dataclass(frozen=True)
class StudyBatch:
    """The images of several cases, padded to the largest number: arrays ``(n, m)``, ``(n, m, 3)``.

    Parameters
    ----------
    present : bool array
        False for padding.
    rows, view, place, gap_days, header : arrays
        As in :class:`StudyImages`; ``rows`` is -1 for padding.
    """

    present: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]
    view: npt.NDArray[np.int64]
    place: npt.NDArray[np.float32]
    gap_days: npt.NDArray[np.float32]
    header: npt.NDArray[np.int64]

    @classmethod
    def of(cls, cases: Sequence[StudyImages]) -> StudyBatch:
        """Pad the images of the cases."""
        shape = (len(cases), max(map(len, cases)))
        present = np.arange(shape[1]) < np.array([[len(case)] for case in cases])
        rows, view = np.full(shape, -1), np.zeros(shape, dtype=np.int64)
        place = np.full(shape, 0.5, dtype=np.float32)
        gap_days = np.zeros(shape, dtype=np.float32)
        header = np.zeros((*shape, 3), dtype=np.int64)
        for name, table in (
            ("rows", rows),
            ("view", view),
            ("place", place),
            ("gap_days", gap_days),
            ("header", header),
        ):
            table[present] = np.concatenate([getattr(case, name) for case in cases])
        return cls(present, rows, view, place, gap_days, header)

    def of_cases(self, at: npt.NDArray[np.int64] | slice) -> StudyBatch:
        """Return the batch of some of its cases, as wide as before."""
        return StudyBatch(*(getattr(self, f.name)[at] for f in fields(self)))

    def spread(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Put vectors ``(images, dim)`` in the places of the present images: ``(n, m, dim)``."""
        out = np.zeros((*self.present.shape, vectors.shape[1]), dtype=np.float32)
        out[self.present] = vectors
        return out
