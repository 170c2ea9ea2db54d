"""12-bit JPEG Extended (process 2 and 4) by GDCM.

pydicom passes 12-bit frames only to GPL code and does not use GDCM for them. GDCM decodes them like
DCMTK, bit for bit (docs/results/decoding.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import JPEGExtended12Bit

from medembed.errors import ScanError

__all__ = ["decode_12_bit"]


def decode_12_bit(
    ds: Dataset, *, rows: int, columns: int, n_frames: int, bits_stored: int, indices: Sequence[int]
) -> Iterator[npt.NDArray[np.uint16]]:
    """Decode frames of one sample with 9 to 12 bits.

    Yields
    ------
    uint16 array, shape ``(rows, columns)``

    Raises
    ------
    ScanError
        ``corrupt``.
    """
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    for index in indices:
        fragment = gdcm.Fragment()
        fragment.SetByteStringValue(get_frame(ds.PixelData, index, number_of_frames=n_frames))
        fragments = gdcm.SequenceOfFragments.New()
        fragments.AddFragment(fragment)
        element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
        element.SetValue(fragments.__ref__())
        image = gdcm.Image()
        image.SetNumberOfDimensions(2)
        image.SetDimensions((columns, rows, 1))
        image.SetDataElement(element)
        gray = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
        image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gray))
        syntax = gdcm.TransferSyntax.GetTSType(str.__str__(JPEGExtended12Bit))
        image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits_stored, bits_stored - 1, 0))
        # GDCM's Python layer returns bytes as text with escapes
        text = image.GetBuffer()
        content = b"" if text is None else text.encode("utf-8", "surrogateescape")
        if len(content) != rows * columns * 2:
            raise ScanError("a JPEG frame cannot be decoded", reason="corrupt")
        yield np.frombuffer(content, "<u2").reshape(rows, columns)
