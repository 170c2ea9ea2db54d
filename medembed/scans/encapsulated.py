"""Splitting of compressed pixel data to frames, distrusting every length (DICOM PS3.5 A.4)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from medembed.errors import ScanError
from medembed.scans.remarks import Remark
from medembed.scans.safe_open import BoundedBytes, BoundedFile

__all__ = ["Fragments", "read_fragments", "split_frames"]

_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")  # JPEG, JPEG 2000
_CLOSING = b"\xff\xd9"  # ends a frame of JPEG, JPEG-LS and JPEG 2000 alike


@dataclass(frozen=True)
class Fragments:
    """The items of an element with compressed pixels.

    Parameters
    ----------
    table : bytes
        The basic offset table.
    items : tuple of bytes
        The fragments after it.
    offsets : tuple of int
        Where each fragment's item starts, counted from the end of the table.
    is_closed : bool
        Whether a sequence delimiter was found.
    is_cut : bool
        Whether the file ends inside the last fragment.
    """

    table: bytes
    items: tuple[bytes, ...]
    offsets: tuple[int, ...]
    is_closed: bool
    is_cut: bool


def read_fragments(stream: BoundedFile | BoundedBytes) -> Fragments:
    """Read items up to the sequence delimiter or any other element."""
    items, offsets, is_cut = [], [], False
    start = stream.tell()
    while True:
        offsets.append(stream.tell() - start)
        head = stream.read(min(8, stream.size - stream.tell()))
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != _ITEM or len(head) < 8 or length == 0xFFFFFFFF:
            break
        left = stream.size - stream.tell()
        items.append(stream.read(min(length, left)))
        if length > left:
            is_cut = True
            head = b""
            break
    is_closed = head[:4] == _END
    if items and items[0].startswith(_STARTS):  # the offset table is missing
        return Fragments(b"", tuple(items), tuple(offsets[: len(items)]), is_closed, is_cut)
    first = offsets[1] if len(offsets) > 1 else 0
    at = tuple(offset - first for offset in offsets[1 : len(items)])
    return Fragments(b"".join(items[:1]), tuple(items[1:]), at, is_closed, is_cut)


def split_frames(
    fragments: Fragments, ds: Dataset, n_frames: int | None, *, closes: bool
) -> tuple[list[bytes], list[Remark]]:
    """Join fragments to frames.

    Parameters
    ----------
    fragments : Fragments
    ds : Dataset
        For the extended offset table.
    n_frames : int or None
        How many there should be; None where the file does not say.
    closes : bool
        Whether frames end with the marker of the JPEG family; those of RLE do not.

    Returns
    -------
    frames : list of bytes
    remarks : list of Remark

    Raises
    ------
    ScanError
        ``truncated`` where the last frame is not whole or one is missing.
    """
    items, remarks = fragments.items, []
    if not fragments.is_closed:
        whole = bool(items) and (_is_closed(items[-1]) if closes else not fragments.is_cut)
        if not whole:
            raise ScanError("the compressed pixel data are cut off", reason="truncated")
        remarks.append(Remark.NOT_CLOSED)
    bounds, is_wrong = _bounds(fragments, ds, n_frames)
    if is_wrong:
        remarks.append(Remark.OFFSETS)
    if bounds is not None:
        frames = [b"".join(items[a:b]) for a, b in itertools.pairwise(bounds)]
    else:
        filled = [item for item in items if item]
        if n_frames == 1:
            frames = [b"".join(filled)]
        elif len(filled) == n_frames or not closes:
            frames = filled
        else:
            frames = _by_markers(filled)
    frames = [frame for frame in frames if frame]
    if not frames or (n_frames is not None and len(frames) < n_frames):
        raise ScanError("fewer frames than NumberOfFrames", reason="truncated")
    return frames, remarks


def _bounds(
    fragments: Fragments, ds: Dataset, n_frames: int | None
) -> tuple[list[int] | None, bool]:
    """Return fragment ranges of the frames by the tables, and whether a table is wrong."""
    is_wrong = False
    for content, width in ((ds.get("ExtendedOffsetTable"), 8), (fragments.table, 4)):
        if not isinstance(content, bytes) or not content:
            continue
        table = np.frombuffer(content[: len(content) // width * width], f"<u{width}").tolist()
        bounds = _checked(table, fragments.offsets, n_frames)
        if bounds is not None and len(content) % width == 0:
            return bounds, is_wrong
        is_wrong = True
    return None, is_wrong


def _checked(
    table: Sequence[int], offsets: Sequence[int], n_frames: int | None
) -> list[int] | None:
    """Return the fragments that a table refers to; None if it does not match."""
    rank = {offset: i for i, offset in enumerate(offsets)}
    bounds = [rank.get(entry, -1) for entry in table]
    rises = all(a < b for a, b in itertools.pairwise(bounds))
    if not bounds or bounds[0] != 0 or not rises or n_frames not in (None, len(bounds)):
        return None
    return [*bounds, len(offsets)]


def _by_markers(items: Sequence[bytes]) -> list[bytes]:
    frames: list[bytes] = []
    parts: list[bytes] = []
    for item in items:
        parts.append(item)
        if _is_closed(item):
            frames.append(b"".join(parts))
            parts = []
    return [*frames, b"".join(parts)] if parts else frames


def _is_closed(item: bytes) -> bool:
    # an even length may have needed a byte more, and some writers pad to words
    return item[-16:].rstrip(b"\0\xff").endswith(_CLOSING)
