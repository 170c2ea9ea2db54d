"""Decoding of DICOM pixel data to frames: decoder, bits, color.

Which decoder reads which encoding was measured (docs/results/decoding.md): GDCM is 2.5 times as
fast as the other permissive ones on JPEG Lossless, CharLS 3.2 times on JPEG-LS, OpenJPEG beats
GDCM on JPEG 2000, libjpeg-turbo (in Pillow) is fastest on JPEG Baseline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from medembed.errors import ScanError
from medembed.scans.dicom_file import DicomFile, integer, numbers, text
from medembed.scans.frame_count import count_frames, frame_bits
from medembed.scans.lookup_tables import entries, table_length
from medembed.scans.luminance import luminance
from medembed.scans.remarks import Remark
from medembed.scans.safe_open import check_size

__all__ = ["DECODERS", "Layout", "frames"]

DECODERS = MappingProxyType(
    {
        uid.JPEGBaseline8Bit: "pillow",
        uid.JPEGExtended12Bit: "pillow",  # 8 bits; 12 bits: jpeg_extended
        uid.JPEGLossless: "gdcm",
        uid.JPEGLosslessSV1: "gdcm",
        uid.JPEGLSLossless: "pyjpegls",
        uid.JPEGLSNearLossless: "pyjpegls",
        uid.JPEG2000Lossless: "pylibjpeg",
        uid.JPEG2000: "pylibjpeg",
        uid.HTJ2KLossless: "pylibjpeg",
        uid.HTJ2KLosslessRPCL: "pylibjpeg",
        uid.HTJ2K: "pylibjpeg",
        uid.RLELossless: "pylibjpeg",
    }
)
"""The pydicom decoder for each compressed transfer syntax."""

_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
# What comes back is bit for bit what was stored, so bits above BitsStored can be told apart.
_BIT_EXACT = (*_NATIVE, uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1)

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


class Layout:
    """Storage of the pixels as declared by a dataset (DICOM PS3.3 C.7.6.3).

    Raises
    ------
    ScanError
        ``no-pixels``, ``missing-attribute``, ``corrupt``, ``too-large`` or
        ``unsupported-pixels``.
    """

    def __init__(self, file: DicomFile) -> None:
        ds = file.dataset
        if not file.has_pixels:
            if "EncryptedAttributesSequence" in ds:
                raise ScanError("the pixels are encrypted", reason="encrypted")
            raise ScanError(
                "this DICOM object has no pixels (for example a report or document)",
                reason="no-pixels",
            )
        self.rows = self._required(ds, "Rows")
        self.columns = self._required(ds, "Columns")
        self.samples = integer(ds, "SamplesPerPixel") or 1
        self.n_frames = count_frames(file)
        check_size(self.n_frames, self.rows, self.columns)
        self.is_float = "PixelData" not in ds and not file.frame_bytes
        self.photometric = text(ds, "PhotometricInterpretation").upper()
        self.bits_allocated = self._required(ds, "BitsAllocated")
        self.bits_stored = integer(ds, "BitsStored") or self.bits_allocated
        high_bit = integer(ds, "HighBit")
        self.high_bit = self.bits_stored - 1 if high_bit is None else high_bit
        self.is_signed = integer(ds, "PixelRepresentation") == 1
        if not 0 < self.bits_stored <= self.bits_allocated <= 64:
            raise ScanError("BitsStored contradicts BitsAllocated", reason="corrupt")
        if not self.bits_stored - 1 <= self.high_bit < self.bits_allocated:
            raise ScanError("HighBit contradicts BitsStored", reason="corrupt")
        known = (*_MONOCHROME, *_COLOR, "PALETTE COLOR")
        if self.photometric not in known:
            raise ScanError("unsupported PhotometricInterpretation", reason="unsupported-pixels")
        if self.samples != (3 if self.photometric in _COLOR else 1):
            raise ScanError(
                "SamplesPerPixel contradicts PhotometricInterpretation", reason="corrupt"
            )

    @staticmethod
    def _required(ds: Dataset, keyword: str) -> int:
        value = integer(ds, keyword)
        if value is None:
            raise ScanError(f"{keyword} is missing", reason="missing-attribute")
        return value

    @property
    def is_monochrome(self) -> bool:
        """Whether a pixel is one gray value."""
        return self.photometric in _MONOCHROME

    @property
    def stored_range(self) -> tuple[int, int]:
        """Smallest and largest value representable in ``BitsStored``."""
        if self.is_signed:
            return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1
        return 0, 2**self.bits_stored - 1


def frames(
    file: DicomFile, layout: Layout, indices: Sequence[int]
) -> Iterator[npt.NDArray[np.generic]]:
    """Decode frames one by one.

    Yields
    ------
    array, shape ``(rows, columns)``
        Stored values for monochrome, luminance (float32, in the range of the file's own colors)
        for color.

    Raises
    ------
    ScanError
        ``truncated``, ``unsupported-transfer-syntax``, ``unsupported-pixels`` or ``corrupt``.
    """
    ds = file.dataset
    syntax = _transfer_syntax(file)
    if syntax in _NATIVE:
        _check_length(file, layout)
    elif syntax not in DECODERS:
        raise ScanError(
            "unsupported transfer syntax",
            hint="convert the file to JPEG 2000, JPEG-LS, RLE or uncompressed",
            reason="unsupported-transfer-syntax",
        )
    _settle_frames(file, layout)
    for array in _decoded(ds, layout, syntax, indices):
        if array.shape[:2] != (layout.rows, layout.columns):
            raise ScanError("the encoded image size differs from Rows × Columns", reason="corrupt")
        exact = syntax in _BIT_EXACT and not layout.is_float
        stored = _meaningful_bits(array, layout) if exact else array
        yield stored if layout.is_monochrome else _luminance(stored, ds, layout)


def _transfer_syntax(file: DicomFile) -> uid.UID:
    if file.transfer_syntax is not None:
        return file.transfer_syntax
    # as pydicom guessed it while parsing; its decoders look for it in the meta information
    implicit, little = file.dataset.original_encoding
    guessed = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
    syntax = uid.ImplicitVRLittleEndian if implicit else guessed
    if not hasattr(file.dataset, "file_meta"):
        file.dataset.file_meta = FileMetaDataset()
    file.dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _decoded(
    ds: Dataset, layout: Layout, syntax: uid.UID, indices: Sequence[int]
) -> Iterator[npt.NDArray[np.generic]]:
    """Yield frames from the decoder, color as RGB or palette index."""
    if syntax == uid.JPEGExtended12Bit and layout.bits_stored > 8:
        if not layout.is_monochrome or layout.bits_stored > 12 or layout.bits_allocated != 16:
            raise ScanError("unsupported bit depth of JPEG Extended", reason="unsupported-pixels")
        from medembed.scans.jpeg_extended import decode_12_bit

        yield from decode_12_bit(
            ds,
            rows=layout.rows,
            columns=layout.columns,
            n_frames=layout.n_frames,
            bits_stored=layout.bits_stored,
            indices=indices,
        )
        return
    if layout.bits_allocated == 1 and syntax in _NATIVE and syntax != uid.ExplicitVRBigEndian:
        yield from _single_bits(ds, layout, indices)
        return
    decoder = get_decoder(syntax)
    decoded = decoder.iter_array(
        ds,
        indices=indices,
        decoding_plugin=DECODERS.get(syntax, ""),
        # pydicom's own correction overlooks HighBit; _meaningful_bits does not
        correct_unused_bits=syntax not in _BIT_EXACT,
    )
    for array, _ in decoded:
        yield array


def _single_bits(
    ds: Dataset, layout: Layout, indices: Sequence[int]
) -> Iterator[npt.NDArray[np.generic]]:
    """Yield frames of one bit per pixel, packed without gaps (DICOM PS3.5 8.1.1).

    pydicom fails if a frame ends in the middle of a byte.
    """
    content = np.frombuffer(ds.PixelData, np.uint8)
    size = layout.rows * layout.columns
    for index in indices:
        first, skipped = divmod(index * size, 8)
        taken = content[first : first + math.ceil((skipped + size) / 8)]
        bits = np.unpackbits(taken, bitorder="little")[skipped : skipped + size]
        yield bits.reshape(layout.rows, layout.columns)


def _settle_frames(file: DicomFile, layout: Layout) -> None:
    """Correct the dataset to what was found, because pydicom relies on it."""
    ds = file.dataset
    ds.NumberOfFrames = layout.n_frames
    ds.PhotometricInterpretation = layout.photometric
    if layout.samples > 1 and text(ds, "PlanarConfiguration") not in ("0", "1"):
        ds.PlanarConfiguration = 0  # as DCMTK and GDCM do
        if not file.frame_bytes:  # the codec defines the order of compressed color
            file.note(Remark.PLANES)
    if file.frame_bytes:
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in ds:
                del ds[keyword]
        content = encapsulate(file.frame_bytes[: layout.n_frames], has_bot=False)
        ds["PixelData"] = DataElement(0x7FE00010, "OB", content, is_undefined_length=True)


def _check_length(file: DicomFile, layout: Layout) -> None:
    ds = file.dataset
    keyword = next(k for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if k in ds)
    if len(ds[keyword].value or b"") < math.ceil(layout.n_frames * frame_bits(file) / 8):
        raise ScanError(
            f"the file is cut off: {keyword} is too short for its rows and columns",
            reason="truncated",
        )


def _meaningful_bits(array: npt.NDArray[np.generic], layout: Layout) -> npt.NDArray[np.generic]:
    """Drop bits outside BitsStored (old overlays) and extend the sign."""
    above = array.dtype.itemsize * 8 - 1 - layout.high_bit
    below = layout.high_bit + 1 - layout.bits_stored
    if layout.bits_allocated == 1 or (above == 0 and below == 0):
        return array
    if below == 0 and array.dtype.kind == "u" and int(array.max()) >> layout.bits_stored == 0:
        return array  # nothing above, as in nearly every file
    # a left shift, then an arithmetic or logical right shift, depending on the sign of the type
    shifted: npt.NDArray[np.generic] = np.right_shift(
        np.left_shift(array, above),
        above + below,
    )
    return shifted


def _luminance(
    array: npt.NDArray[np.generic], ds: Dataset, layout: Layout
) -> npt.NDArray[np.generic]:
    if layout.photometric == "PALETTE COLOR":
        table, first = _palette(ds)
        return table[np.clip(array.astype(np.int64) - first, 0, len(table) - 1)]
    # (rows, columns, 3) -> (rows, columns)
    return luminance(array.astype(np.float32))


def _palette(ds: Dataset) -> tuple[npt.NDArray[np.float32], int]:
    """Return the luminance of each palette entry, and the stored value of the first entry."""
    colors = ("Red", "Green", "Blue")
    descriptor = numbers(ds, "RedPaletteColorLookupTableDescriptor")
    if len(descriptor) != 3:
        raise ScanError("the palette has no descriptor", reason="missing-attribute")
    length, first = table_length(descriptor), int(descriptor[1])
    if "SegmentedRedPaletteColorLookupTableData" in ds:
        indices = np.arange(first, first + length, dtype=np.uint16)
        rgb = apply_color_lut(indices[None], ds)[0, :, :3]  # (length, 3)
        return luminance(rgb.astype(np.float32)), first
    # pydicom's apply_color_lut swaps the bytes of the tables of a big-endian file
    little = ds.original_encoding[1] is not False
    tables = [
        entries(
            ds.get(f"{color}PaletteColorLookupTableData"),
            length,
            little_endian=little,
            reason="missing-attribute",
        )
        for color in colors
    ]
    return luminance(np.stack(tables, axis=-1)), first
