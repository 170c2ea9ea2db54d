"""NIfTI into :class:`Scan`."""

from __future__ import annotations

import gzip
import io
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from medembed.errors import ScanError
from medembed.scans.files import BoundedFile, check_size
from medembed.scans.header import ScanHeader
from medembed.scans.scan import Scan

__all__ = ["AXES", "nifti_header", "nifti_scan"]

AXES = ("S", "P", "L")
"""Where the axes (slice, row, column) of a volume read from NIfTI lead.

Slices run from the feet to the head, rows from front to back, columns from the patient's right to
the left: the way axial slices lie in DICOM."""


def nifti_header(file: BoundedFile) -> ScanHeader:
    """Read size and spacing of a NIfTI file; its modality is unknown."""
    image = _open(file)
    shape = _shape(image)
    return ScanHeader(
        format="nifti",
        n_frames=shape[2],
        rows=shape[1],
        columns=shape[0],
        has_pixels=True,
        photometric="MONOCHROME2",
    )


def nifti_scan(file: BoundedFile, frame: int | None = None) -> Scan:
    """Decode a NIfTI file.

    Parameters
    ----------
    file : BoundedFile
    frame : int, optional
        Only this slice, counted from 0 at the feet.

    Returns
    -------
    Scan
        Reoriented to :data:`AXES` by swapping and flipping axes, never by interpolation. NaN,
        which marks "outside" in masked volumes, becomes the smallest real value.

    Raises
    ------
    ScanError
        ``several-volumes`` (more than 3 axes), ``unsupported-pixels`` (colour, complex),
        ``truncated``, ``corrupt`` or ``too-large``.
    """
    import nibabel as nib

    image = _open(file)
    _shape(image)
    if image.get_data_dtype().kind not in "iuf":
        raise ScanError("colour or complex NIfTI values", reason="unsupported-pixels")
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError):
        raise ScanError("the values end too early", reason="truncated") from None
    values = values.reshape(values.shape[:3] + (1,) * (3 - values.ndim))
    have = nib.orientations.io_orientation(image.affine)
    if np.isnan(have).any():
        raise ScanError("an affine matrix that drops an axis", reason="bad-geometry")
    want = nib.orientations.axcodes2ornt(AXES[::-1])
    turn = nib.orientations.ornt_transform(have, want)
    # (left, back, head) -> (head, back, left)
    pixels = np.transpose(nib.orientations.apply_orientation(values, turn), (2, 1, 0)).copy()
    zooms = np.sqrt((np.asarray(image.affine, float)[:3, :3] ** 2).sum(axis=0))
    spacing = tuple(float(zooms[int(axis)]) for axis in _axis_order(have))
    if not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ScanError("a voxel size that is not above 0", reason="bad-geometry")
    _fill_outside(pixels)
    if frame is not None:
        if not 0 <= frame < len(pixels):
            raise ScanError(f"there are {len(pixels)} slices", reason="no-such-frame")
        pixels = pixels[frame : frame + 1]
    if len(pixels) == 1:
        return Scan(pixels[0], spacing_mm=spacing[1:])
    return Scan(pixels, spacing_mm=spacing)


def _axis_order(orientation: npt.NDArray[np.float64]) -> list[int]:
    """Which axis of the file leads head-wards, back-wards and left-wards."""
    world = [int(axis) for axis in orientation[:, 0]]
    return [world.index(2), world.index(1), world.index(0)]


def _fill_outside(pixels: npt.NDArray[np.float32]) -> None:
    outside = np.isnan(pixels)
    if outside.all() or np.isinf(pixels).any() or np.nanmax(np.abs(pixels)) > 1e18:
        raise ScanError("values that are not finite or beyond 1e18", reason="values-out-of-range")
    if outside.any():
        pixels[outside] = np.nanmin(pixels)


def _open(file: BoundedFile) -> Any:
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    file.seek(0)
    stream: io.BufferedIOBase = file
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if zipped:
        stream = cast(io.BufferedIOBase, gzip.GzipFile(fileobj=file))
    start = stream.read(8)
    stream.seek(0)
    kind = nib.Nifti2Image if b"n" in start[4:6] else nib.Nifti1Image
    try:
        return kind.from_stream(stream)
    except (HeaderDataError, ImageFileError, ValueError):
        raise ScanError("the NIfTI header cannot be read", reason="corrupt") from None
    except (OSError, EOFError):
        raise ScanError("the NIfTI header ends too early", reason="truncated") from None


def _shape(image: Any) -> tuple[int, int, int]:
    shape = tuple(int(length) for length in image.shape)
    check_size(*shape)
    if len(shape) < 2 or any(length > 1 for length in shape[3:]):
        raise ScanError(
            "this NIfTI file holds more than one volume",
            hint="split it along its fourth axis",
            reason="several-volumes",
        )
    return cast("tuple[int, int, int]", (*shape, 1)[:3])
