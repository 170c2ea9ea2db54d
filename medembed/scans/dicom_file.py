"""Parsing of DICOM bytes to a pydicom dataset, distrusting every length."""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless
from pydicom.valuerep import PersonName

from medembed.errors import ScanError
from medembed.scans.encapsulated import read_fragments, split_frames
from medembed.scans.remarks import Remark
from medembed.scans.safe_open import BoundedBytes, BoundedFile

__all__ = [
    "DicomFile",
    "exact_texts",
    "integer",
    "items",
    "number",
    "numbers",
    "parse",
    "quiet",
    "stated_frames",
    "text",
    "texts",
]

_PIXEL_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_UNDEFINED = 0xFFFFFFFF
_MAX_INFLATED = 2**28
_PIECE = 2**20


@dataclass(frozen=True)
class DicomFile:
    """A parsed file.

    Parameters
    ----------
    dataset : pydicom Dataset
        Includes its ``file_meta``.
    has_pixels : bool
        Whether there is an element with pixels.
    pixel_bytes : int or None
        Length of the element with pixels; None if it is compressed.
    frame_bytes : list of bytes
        The compressed frames; empty if the pixels are not compressed or were not parsed.
    remarks : dict
        Defects found so far, in order; see :meth:`note`.
    """

    dataset: Dataset
    has_pixels: bool
    pixel_bytes: int | None = None
    frame_bytes: list[bytes] = field(default_factory=list, repr=False)
    remarks: dict[str, None] = field(default_factory=dict)

    @property
    def is_compressed(self) -> bool:
        """Whether the pixels are compressed according to the transfer syntax."""
        syntax = self.transfer_syntax
        return syntax is not None and syntax.is_transfer_syntax and syntax.is_encapsulated

    def note(self, remark: Remark) -> None:
        """Record a defect of a file that can still be read."""
        self.remarks[str(remark)] = None

    @property
    def transfer_syntax(self) -> UID | None:
        """``TransferSyntaxUID``, or None in a file without meta information."""
        meta = getattr(self.dataset, "file_meta", None)
        value = meta.get("TransferSyntaxUID") if meta is not None else None
        return UID(value) if value else None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom: its warnings and log messages quote values from the header."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def parse(file: BoundedFile, *, pixels: bool) -> DicomFile:
    """Parse one DICOM file: the elements before the pixels, or all.

    Raises
    ------
    ScanError
        ``truncated``, ``too-large`` (after inflating a deflated file) or ``corrupt``.
    """
    found = False
    pixel_bytes: int | None = None
    fragments_at: int | None = None

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal found, pixel_bytes, fragments_at
        if int(tag) not in _PIXEL_TAGS:
            return found and not pixels
        found = True
        if length == _UNDEFINED:
            fragments_at = stream.tell()
            return True  # pydicom drops the whole element if its end is missing
        pixel_bytes = length
        return not pixels

    stream: BoundedFile | BoundedBytes = file
    meta = _file_meta(file)
    if meta is not None and meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        stream = _inflate(file)
        dataset = read_dataset(stream, False, True, stop_when=at_pixels)
        dataset.file_meta = meta
        dataset.set_original_encoding(False, True)
    else:
        file.seek(0)
        dataset = read_partial(file, stop_when=at_pixels, force=True)
    if pixels and fragments_at is None:
        # pydicom drops an element cut off by the end of the file
        found = any(tag in dataset for tag in _PIXEL_TAGS)
    if not found and stream.ran_short:
        raise ScanError("the file is cut off in the middle of an element", reason="truncated")
    parsed = DicomFile(dataset, found, pixel_bytes)
    if pixels and fragments_at is not None:
        stream.seek(fragments_at)
        _add_fragments(parsed, stream)
    elif pixels and pixel_bytes and parsed.is_compressed:
        return _without_length(parsed)
    return parsed


def _without_length(file: DicomFile) -> DicomFile:
    """Parse a compressed element that wrongly has a length."""
    inside = BoundedBytes(file.dataset.get("PixelData") or b"")
    unbound = DicomFile(file.dataset, True)
    _add_fragments(unbound, inside)
    return unbound


def _add_fragments(file: DicomFile, stream: BoundedFile | BoundedBytes) -> None:
    """Read the following compressed frames."""
    if not file.is_compressed:
        raise ScanError("uncompressed pixel data without a length", reason="corrupt")
    frames, remarks = split_frames(
        read_fragments(stream),
        file.dataset,
        stated_frames(file.dataset),
        closes=file.transfer_syntax != RLELossless,
    )
    file.frame_bytes.extend(frames)
    for remark in remarks:
        file.note(remark)


def stated_frames(dataset: Dataset) -> int | None:
    """Return ``NumberOfFrames``; None if it is missing or not a positive number."""
    try:
        stated = integer(dataset, "NumberOfFrames")
    except ScanError:
        return None
    return stated if stated and stated > 0 else None


def _file_meta(file: BoundedFile) -> FileMetaDataset | None:
    """Read group 0002 and stop at its end; None if there is no preamble."""
    file.seek(128)
    if file.read(4) != b"DICM":
        return None
    return FileMetaDataset(
        read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    )


def _inflate(file: BoundedFile) -> BoundedBytes:
    """Inflate the rest of a file in pieces, never beyond the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = BoundedBytes(b"")
    try:
        while not inflater.eof:
            compressed = inflater.unconsumed_tail or file.read(_PIECE)
            if not compressed:
                raise ScanError("the deflated part is cut off", reason="truncated")
            inflated.size += inflated.write(inflater.decompress(compressed, _PIECE))
            if inflated.size > _MAX_INFLATED:
                raise ScanError(
                    f"the deflated part inflates to more than {_MAX_INFLATED} bytes",
                    reason="too-large",
                )
    except zlib.error:
        raise ScanError("the deflated part cannot be inflated", reason="corrupt") from None
    inflated.seek(0)
    return inflated


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an element as stripped text; empty if none is readable."""
    try:
        return exact_texts(dataset, keyword)
    except Exception:  # noqa: BLE001 - pydicom raises anything at a value of another type
        return ()


def exact_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Like :func:`texts`, for identifiers: an unreadable value raises instead.

    Raises
    ------
    Exception
        Any error of pydicom.
    """
    value = dataset.get(keyword)
    if value is None:
        return ()
    if isinstance(value, bytes):  # of a byte VR, although the element is text
        value = value.decode("latin-1")
    # a PersonName is iterable by letters but not a str
    one = isinstance(value, str | PersonName) or not hasattr(value, "__iter__")
    values = [value] if one else list(value)
    return tuple(t for t in (str(v).strip(" \0") for v in values) if t)


def text(dataset: Dataset, keyword: str) -> str:
    """Return the first value of an element as text; ``""`` if there is none."""
    return next(iter(texts(dataset, keyword)), "")


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of an element as finite numbers.

    Raises
    ------
    ScanError
        ``corrupt`` if one is not a finite number.
    """
    try:
        # a VR of one value only, as UT, keeps the backslash between two
        parts = (p for value in exact_texts(dataset, keyword) for p in value.split("\\"))
        values = tuple(float(part) for part in parts)
    except Exception:  # noqa: BLE001 - pydicom raises anything at a value of another type
        values = (math.nan,)
    if not all(math.isfinite(value) for value in values):
        raise ScanError(f"{keyword} is not a finite number", reason="corrupt")
    return values


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Return the items of a sequence; empty if there is no sequence."""
    value = dataset.get(keyword)
    return tuple(value) if isinstance(value, Sequence) else ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of an element as a finite number, or None."""
    return next(iter(numbers(dataset, keyword)), None)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the first value of an element as a whole number, or None."""
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise ScanError(f"{keyword} is not a whole number", reason="corrupt")
    return None if value is None else int(value)
