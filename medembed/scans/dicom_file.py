"""DICOM bytes into a pydicom dataset, suspicious of every length."""

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
        With its ``file_meta``.
    has_pixels : bool
        Whether an element with pixels is there.
    pixel_bytes : int or None
        Length of the element with pixels; None where it is compressed.
    frame_bytes : list of bytes
        The compressed frames; empty where the pixels are not compressed or were not parsed.
    remarks : dict
        What was found wrong so far, in order; see :meth:`note`.
    """

    dataset: Dataset
    has_pixels: bool
    pixel_bytes: int | None = None
    frame_bytes: list[bytes] = field(default_factory=list, repr=False)
    remarks: dict[str, None] = field(default_factory=dict)

    @property
    def is_compressed(self) -> bool:
        """Whether the transfer syntax says that the pixels are compressed."""
        syntax = self.transfer_syntax
        return syntax is not None and syntax.is_transfer_syntax and syntax.is_encapsulated

    def note(self, remark: Remark) -> None:
        """Write down what is wrong with a file that is read all the same."""
        self.remarks[str(remark)] = None

    @property
    def transfer_syntax(self) -> UID | None:
        """``TransferSyntaxUID``, or None in a file without meta information."""
        meta = getattr(self.dataset, "file_meta", None)
        value = meta.get("TransferSyntaxUID") if meta is not None else None
        return UID(value) if value else None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from warning and logging: its messages quote values out of the header."""
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
        ``truncated``, ``too-large`` (what a deflated file inflates to) or ``corrupt``.
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
            return True  # pydicom gives the whole element up where its end is missing
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
        # an element that the end of the file cuts off is left out by pydicom
        found = any(tag in dataset for tag in _PIXEL_TAGS)
    if not found and stream.ran_short:
        raise ScanError("the file ends in the middle of an element", reason="truncated")
    parsed = DicomFile(dataset, found, pixel_bytes)
    if pixels and fragments_at is not None:
        stream.seek(fragments_at)
        _add_fragments(parsed, stream)
    elif pixels and pixel_bytes and parsed.is_compressed:
        return _without_length(parsed)
    return parsed


def _without_length(file: DicomFile) -> DicomFile:
    """A compressed element that was given a length all the same."""
    inside = BoundedBytes(file.dataset.get("PixelData") or b"")
    unbound = DicomFile(file.dataset, True)
    _add_fragments(unbound, inside)
    return unbound


def _add_fragments(file: DicomFile, stream: BoundedFile | BoundedBytes) -> None:
    """Read the compressed frames that follow."""
    if not file.is_compressed:
        raise ScanError("pixel data without length that are not compressed", reason="corrupt")
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
    """``NumberOfFrames``, or None where it is missing or no number above 0."""
    try:
        stated = integer(dataset, "NumberOfFrames")
    except ScanError:
        return None
    return stated if stated and stated > 0 else None


def _file_meta(file: BoundedFile) -> FileMetaDataset | None:
    """Read group 0002 and leave the file at its end; None where there is no preamble."""
    file.seek(128)
    if file.read(4) != b"DICM":
        return None
    return FileMetaDataset(
        read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    )


def _inflate(file: BoundedFile) -> BoundedBytes:
    """Inflate what is left of a file, piece by piece, so that no more than the limit is built."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = BoundedBytes(b"")
    try:
        while not inflater.eof:
            compressed = inflater.unconsumed_tail or file.read(_PIECE)
            if not compressed:
                raise ScanError("the deflated part ends too early", reason="truncated")
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
    """Values of an element as text, stripped; empty where there are none that can be read."""
    try:
        return exact_texts(dataset, keyword)
    except Exception:  # noqa: BLE001 - pydicom raises anything at a value of another type
        return ()


def exact_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """As :func:`texts`, for identifiers: what cannot be read is not taken for missing.

    Raises
    ------
    Exception
        Whatever pydicom raises.
    """
    value = dataset.get(keyword)
    if value is None:
        return ()
    if isinstance(value, bytes):  # of a type for bytes, though the element holds text
        value = value.decode("latin-1")
    # a PersonName is iterable, letter by letter, and yet no str
    one = isinstance(value, str | PersonName) or not hasattr(value, "__iter__")
    values = [value] if one else list(value)
    return tuple(t for t in (str(v).strip(" \0") for v in values) if t)


def text(dataset: Dataset, keyword: str) -> str:
    """First value of an element as text; ``""`` where there is none."""
    return next(iter(texts(dataset, keyword)), "")


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Values of an element as finite numbers.

    Raises
    ------
    ScanError
        ``corrupt`` where one is not a finite number.
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
    """Items of a sequence; empty where there is none, or no sequence."""
    value = dataset.get(keyword)
    return tuple(value) if isinstance(value, Sequence) else ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """First value of an element as a finite number, or None where there is none."""
    return next(iter(numbers(dataset, keyword)), None)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """First value of an element as a whole number, or None where there is none."""
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise ScanError(f"{keyword} is not a whole number", reason="corrupt")
    return None if value is None else int(value)
