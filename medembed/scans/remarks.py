"""What is wrong with a file that is read all the same."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Remark"]


class Remark(StrEnum):
    """One thing that is wrong with a file whose picture is whole.

    The texts are fixed and hold no value of the file, so that they may be counted and shown.
    Compare with the members, never with the texts.
    """

    WINDOW = "WindowCenter and WindowWidth cannot be used; read without window"
    VOI_FUNCTION = "VOILUTFunction is unknown; windows read as linear"
    VOI_LUT = "a VOI LUT cannot be used; read without it"
    SPACING = "the pixel spacing cannot be used; read without spacing"
    SPACING_TYPE = "the pixel spacing is of another type than DICOM asks for; read all the same"
    PADDING = "PixelPaddingValue cannot be used; read without padding"
    POSITION = "the position or orientation of a slice cannot be used; read without it"
    FRAMES = "NumberOfFrames is missing or cannot be used; frames counted from the pixel data"
    MORE_PIXELS = "more pixel data than the header says; the surplus left out"
    RESCALE = "RescaleSlope or RescaleIntercept cannot be used; values as stored"
    PLANES = "PlanarConfiguration is missing or unknown; colours read pixel by pixel"
    NOT_CLOSED = "the compressed pixel data are not closed; read to the end of the last frame"
    OFFSETS = "the offset table of the compressed pixel data is wrong; frames found without it"
    SIDE_UNKNOWN = "the file does not say which side is left; sides cannot be trusted"
    SIDE_DISPUTED = "qform and sform contradict each other; sides cannot be trusted"
    ORIENTATION = "one of qform and sform cannot be used; the other one taken"
