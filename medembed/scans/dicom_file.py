"""DICOM bytes into a pydicom dataset, suspicious of every length."""

from __future__ import annotations

import logging
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from medembed.errors import ScanError
from medembed.scans.files import BoundedBytes, BoundedFile

__all__ = ["DicomFile", "integer", "number", "numbers", "parse", "quiet", "text", "texts"]

_PIXEL_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_MAX_INFLATED = 2**29


@dataclass(frozen=True)
class DicomFile:
    """A parsed file.

    Parameters
    ----------
    dataset : pydicom Dataset
        With its ``file_meta``.
    has_pixels : bool
        Whether an element with pixels is there.
    """

    dataset: Dataset
    has_pixels: bool

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

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal found
        found = found or int(tag) in _PIXEL_TAGS
        return found and not pixels

    stream: BoundedFile | BoundedBytes = file
    meta = _file_meta(file)
    if meta is not None and meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        stream = BoundedBytes(_inflate(file))
        dataset = read_dataset(stream, False, True, stop_when=at_pixels)
        dataset.file_meta = meta
        dataset.set_original_encoding(False, True)
    else:
        file.seek(0)
        dataset = read_partial(file, stop_when=at_pixels, force=True)
    if pixels:
        # an element that the end of the file cuts off is left out by pydicom
        found = any(tag in dataset for tag in _PIXEL_TAGS)
    if not found and stream.ran_short:
        raise ScanError("the file ends in the middle of an element", reason="truncated")
    return DicomFile(dataset, found)


def _file_meta(file: BoundedFile) -> FileMetaDataset | None:
    """Read group 0002 and leave the file at its end; None where there is no preamble."""
    file.seek(128)
    if file.read(4) != b"DICM":
        return None
    return FileMetaDataset(
        read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    )


def _inflate(file: BoundedFile) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(file.read(), _MAX_INFLATED)
    except zlib.error:
        raise ScanError("the deflated part cannot be inflated", reason="corrupt") from None
    if inflater.unconsumed_tail:
        raise ScanError(
            f"the deflated part inflates to more than {_MAX_INFLATED} bytes", reason="too-large"
        )
    if not inflater.eof:
        raise ScanError("the deflated part ends too early", reason="truncated")
    return content


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Values of an element as text, stripped; empty where there are none."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, bytes):
        return ()
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
        values = tuple(float(value) for value in texts(dataset, keyword))
    except (ValueError, TypeError, OverflowError):
        values = (math.nan,)
    if not all(math.isfinite(value) for value in values):
        raise ScanError(f"{keyword} is not a finite number", reason="corrupt")
    return values


def number(dataset: Dataset, keyword: str) -> float | None:
    """First value of an element as a finite number, or None where there is none."""
    return next(iter(numbers(dataset, keyword)), None)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """First value of an element as a whole number, or None where there is none."""
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise ScanError(f"{keyword} is not a whole number", reason="corrupt")
    return None if value is None else int(value)
