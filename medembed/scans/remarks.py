"""Remarks on defects of files that can still be read."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Remark"]


class Remark(StrEnum):
    """A defect of a file whose image is intact.

    The texts contain no value of the file, so that they can be counted and shown. Compare members,
    never texts.
    """

    WINDOW = "WindowCenter or WindowWidth invalid; window ignored"
    VOI_FUNCTION = "VOILUTFunction unknown; windows treated as linear"
    VOI_LUT = "VOI LUT invalid; ignored"
    SPACING = "pixel spacing invalid; ignored"
    SPACING_TYPE = "pixel spacing has the wrong VR; used nevertheless"
    PADDING = "PixelPaddingValue invalid; padding ignored"
    POSITION = "position or orientation of a slice invalid; ignored"
    FRAMES = "NumberOfFrames missing or invalid; frames counted from the pixel data"
    MORE_PIXELS = "more pixel data than declared in the header; surplus ignored"
    RESCALE = "RescaleSlope or RescaleIntercept invalid; stored values used"
    PLANES = "PlanarConfiguration missing or unknown; color assumed interleaved by pixel"
    NOT_CLOSED = "compressed pixel data not terminated; read to the end of the last frame"
    OFFSETS = "offset table of the compressed pixel data wrong; frames located without it"
    SIDE_UNKNOWN = "the file does not define left and right; do not rely on sides"
    SIDE_DISPUTED = "qform and sform disagree; do not rely on sides"
    ORIENTATION = "qform or sform invalid; the other one used"
    HOUNSFIELD = "NIfTI without a unit; read as Hounsfield units by the range of its values"
