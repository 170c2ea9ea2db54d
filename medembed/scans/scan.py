"""The noun :class:`Scan`: one image or volume, ready for display or encoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import ScanError

__all__ = ["Scan", "Units", "VoiLut", "Window"]

Units = Literal["HU", "stored"]
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True)
class Window:
    """A VOI window (DICOM PS3.3 C.11.2.1.2).

    Parameters
    ----------
    center, width : float
        In the units of the scan; ``width`` > 0.
    name : str
        ``WindowCenterWidthExplanation`` or the name of a preset.
    function : {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
        ``VOILUTFunction``.
    """

    center: float
    width: float
    name: str = ""
    function: VoiFunction = "LINEAR"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.center) and np.isfinite(self.width) and self.width > 0):
            raise ScanError("a window needs a finite center and a positive width")
        if self.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise ScanError("unknown VOI LUT function")


@dataclass(frozen=True)
class VoiLut:
    """A VOI lookup table (DICOM PS3.3 C.11.2.1.1).

    Parameters
    ----------
    first : float
        Input value of the first entry; smaller values map to it too.
    values : tuple of float
        0 (dark) to 1 (bright), one for each value from ``first`` on.
    name : str
        ``LUTExplanation``.
    """

    first: float
    values: tuple[float, ...] = field(repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite(self.first) or not self.values:
            raise ScanError("a VOI lookup table needs a finite start and at least one entry")
        if not all(0 <= value <= 1 for value in self.values):
            raise ScanError("values of a VOI lookup table must be between 0 and 1")


@dataclass(frozen=True, eq=False, repr=False)
class Scan:
    """One image ``(h, w)`` or one volume ``(d, h, w)``.

    Brighter is always denser or more active: MONOCHROME1 is inverted, the modality LUT is applied
    once, slices are ordered by position, color is converted to luminance, padding
    pixels hold the smallest real value.

    Parameters
    ----------
    pixels : float32 array, shape ``(h, w)`` or ``(d, h, w)``
        Finite, at least one pixel; made read-only.
    spacing_mm : tuple of float or None
        Distance of neighboring pixel centers in mm, one for each axis of ``pixels``, > 0.
    units : {"HU", "stored"}
        Hounsfield units, or the values as stored.
    modality : str
        DICOM ``Modality``; ``"unknown"`` if missing.
    view : str
        ``"PA"``, ``"AP"``, ``"LATERAL"``, another ``ViewPosition``, or ``"unknown"``.
    body_part : str
        DICOM ``BodyPartExamined``; empty if missing.
    axes : tuple of str
        The side of the patient to which each axis of ``pixels`` runs, in the letters of
        ``PatientOrientation`` (L, R, P, A, H, F), ``""`` for an axis whose side is unknown;
        empty if none is known.
    windows : tuple of Window
        The file's own VOI windows, first is default.
    voi_luts : tuple of VoiLut
        The file's own VOI lookup tables.
    study_uid, series_uid : str
        As in the header; empty if missing. Identifiers: never log them.
    instance_uids : tuple of str
        SOPInstanceUID of each file, in the order of the slices.
    remarks : tuple of str
        What is wrong with the file although it was read
        (:class:`medembed.scans.remarks.Remark`), once each.

    Raises
    ------
    ScanError
        Where one of the above does not hold.
    """

    pixels: npt.NDArray[np.float32]
    spacing_mm: tuple[float, ...] | None = None
    units: Units = "stored"
    modality: str = "unknown"
    view: str = "unknown"
    windows: tuple[Window, ...] = ()
    voi_luts: tuple[VoiLut, ...] = ()
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    instance_uids: tuple[str, ...] = field(default=(), repr=False)
    remarks: tuple[str, ...] = ()
    body_part: str = ""
    axes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels = np.ascontiguousarray(self.pixels, dtype=np.float32)
        if pixels.ndim not in (2, 3) or pixels.size == 0:
            raise ScanError(
                f"a scan needs 2 or 3 axes and at least one pixel, not shape {pixels.shape}"
            )
        if not np.isfinite(pixels).all():
            raise ScanError("pixel values are not finite")
        if self.spacing_mm is not None:
            spacing = tuple(float(s) for s in self.spacing_mm)
            if len(spacing) != pixels.ndim:
                raise ScanError(f"{counted(len(spacing), 'spacing')} for {pixels.ndim} axes")
            if not all(np.isfinite(s) and s > 0 for s in spacing):
                raise ScanError("pixel spacing is not positive")
            object.__setattr__(self, "spacing_mm", spacing)
        if self.axes and len(self.axes) != pixels.ndim:
            raise ScanError(f"{counted(len(self.axes), 'direction')} for {pixels.ndim} axes")
        if self.units not in ("HU", "stored"):
            raise ScanError(f"units must be 'HU' or 'stored', not {self.units!r}")
        if pixels.flags.writeable:
            if pixels is self.pixels or pixels.base is not None:
                pixels = pixels.copy()
            pixels.setflags(write=False)
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "modality", self.modality or "unknown")
        object.__setattr__(self, "view", self.view or "unknown")

    def __repr__(self) -> str:
        size = "×".join(map(str, self.pixels.shape))
        return f"Scan({size}, {self.units}, {self.modality!r}, {self.view!r})"

    @property
    def is_volume(self) -> bool:
        """Whether the scan is a volume."""
        return self.pixels.ndim == 3
