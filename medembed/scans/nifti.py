"""Reading of NIfTI files to :class:`Scan`."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import ScanError
from medembed.scans.header import ScanHeader
from medembed.scans.hounsfield import looks_like_hounsfield
from medembed.scans.remarks import Remark
from medembed.scans.safe_open import BoundedFile, check_size
from medembed.scans.scan import Scan, Units

__all__ = ["AXES", "nifti_header", "nifti_scan"]

AXES = {"S": ("S", "P", "L"), "P": ("P", "I", "L"), "L": ("L", "I", "P")}
"""Directions of the axes (slice, row, column) of axial, coronal and sagittal volumes.

As in a DICOM series of that plane: axial slices run from feet to head, coronal ones from front to
back, sagittal ones from right to left."""

_WORLD = {"L": 0, "P": 1, "S": 2, "I": 2}
_SAME_SPACING = 0.01
_SIDE_OF = {"S": "H", "I": "F"}  # NIfTI's letters for DICOM's head and feet


def nifti_header(file: BoundedFile) -> ScanHeader:
    """Read the size of a NIfTI file; its modality is unknown."""
    image, has_voxel_size = _open(file)
    shape = _shape(image)
    axes = _file_axes(shape, _patient_axes(image, has_voxel_size).affine)
    return ScanHeader(
        format="nifti",
        n_frames=shape[axes.order[0]],
        rows=shape[axes.order[1]],
        columns=shape[axes.order[2]],
        has_pixels=True,
        photometric="MONOCHROME2",
    )


def nifti_scan(file: BoundedFile, frame: int | None = None) -> Scan:
    """Decode a NIfTI file.

    Parameters
    ----------
    file : BoundedFile
    frame : int, optional
        Only this slice, counted from 0 in the direction of :data:`AXES`.

    Returns
    -------
    Scan
        Reoriented to :data:`AXES` by swapping and flipping axes, never by interpolation. NaN,
        which marks "outside" in masked volumes, becomes the smallest real value. Units are HU if
        the values are (:func:`medembed.scans.hounsfield.looks_like_hounsfield`), with a remark.

    Raises
    ------
    ScanError
        ``several-volumes`` (more than 3 axes), ``unsupported-pixels`` (color, complex),
        ``truncated``, ``corrupt`` or ``too-large``.

    References
    ----------
    https://nifti.nimh.nih.gov/nifti-1 (methods 1 to 3 of orientation)
    """
    import nibabel as nib

    image, has_voxel_size = _open(file)
    _shape(image)
    if image.get_data_dtype().kind not in "iuf":
        raise ScanError(
            "color or complex NIfTI values are not supported", reason="unsupported-pixels"
        )
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError):
        raise ScanError("the file is cut off", reason="truncated") from None
    values = values.reshape(values.shape[:3] + (1,) * (3 - values.ndim))
    frame_of_file = _patient_axes(image, has_voxel_size)
    axes = _file_axes(cast("tuple[int, int, int]", values.shape), frame_of_file.affine)
    have = nib.orientations.io_orientation(frame_of_file.affine)
    want = nib.orientations.axcodes2ornt(axes.directions[::-1])
    turn = nib.orientations.ornt_transform(have, want)
    # (column, row, slice) -> (slice, row, column)
    pixels = np.transpose(nib.orientations.apply_orientation(values, turn), (2, 1, 0)).copy()
    zooms = _millimeters(image) * _zooms(frame_of_file.affine)
    spacing: tuple[float, ...] | None = tuple(float(zooms[i]) for i in axes.order)
    if not frame_of_file.has_spacing:
        spacing = None
    _fill_outside(pixels)
    found = list(frame_of_file.remarks)
    units: Units = "stored"
    if looks_like_hounsfield(pixels):
        units = "HU"
        found.append(Remark.HOUNSFIELD)
    if frame is not None:
        if not 0 <= frame < len(pixels):
            raise ScanError(f"the file has {counted(len(pixels), 'slice')}", reason="no-such-frame")
        pixels = pixels[frame : frame + 1]
    remarks = tuple(str(remark) for remark in found)
    sides: tuple[str, ...] = ()
    if Remark.SIDE_UNKNOWN not in found and Remark.SIDE_DISPUTED not in found:
        sides = tuple(_SIDE_OF.get(direction, direction) for direction in axes.directions)
    if len(pixels) == 1:
        plane = spacing and spacing[1:]
        return Scan(pixels[0], plane, units=units, remarks=remarks, axes=sides[1:])
    return Scan(pixels, spacing, units=units, remarks=remarks, axes=sides)


@dataclass(frozen=True)
class _FileAxes:
    """Axes of the file that become slice, row and column, and their directions."""

    order: tuple[int, int, int]
    directions: tuple[str, str, str]


def _file_axes(shape: tuple[int, int, int], affine: npt.NDArray[np.float64]) -> _FileAxes:
    """Choose the plane of the slices, so that a volume is turned as its DICOM series.

    NIfTI does not state the plane of acquisition. The slices are the only axis of length 1, or the
    axis whose spacing differs from the common spacing of the other two; if all spacings are equal,
    the third axis of the file, where converters put the slices. Otherwise they are axial.
    """
    import nibabel as nib

    world = [int(axis) for axis in nib.orientations.io_orientation(affine)[:, 0]]
    along = _slice_axis(shape, _zooms(affine))
    plane = "S" if along is None else "LPS"[world[along]]
    directions = AXES[plane]
    first, second, third = (world.index(_WORLD[direction]) for direction in directions)
    return _FileAxes((first, second, third), directions)


def _slice_axis(shape: tuple[int, int, int], zooms: npt.NDArray[np.float64]) -> int | None:
    if shape.count(1) == 1:
        return shape.index(1)
    pairs = ((0, 1), (1, 2), (2, 0))
    same = [abs(zooms[i] - zooms[j]) <= _SAME_SPACING * zooms[i] for i, j in pairs]
    if all(same):
        return 2
    return 3 - sum(pairs[same.index(True)]) if same.count(True) == 1 else None


def _zooms(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the length of a step along each axis of the file."""
    zooms: npt.NDArray[np.float64] = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return zooms


@dataclass(frozen=True)
class _PatientAxes:
    """Return the matrix from voxels to (right, front, head), with remarks on it."""

    affine: npt.NDArray[np.float64]
    remarks: tuple[Remark, ...] = ()
    has_spacing: bool = True


def _patient_axes(image: Any, has_voxel_size: bool) -> _PatientAxes:
    """Choose the sform, else the qform, if set and valid.

    A file with neither is read as by nibabel, with a remark that sides are unknown: other programs
    mirror it.
    """
    import nibabel as nib

    header = image.header
    sform = _usable(header["sform_code"], header.get_sform)
    qform = _usable(header["qform_code"], header.get_qform)
    if sform is not None and qform is not None:
        agree = nib.aff2axcodes(sform) == nib.aff2axcodes(qform)
        return _PatientAxes(sform, () if agree else (Remark.SIDE_DISPUTED,))
    found = qform if sform is None else sform
    if found is not None:
        if not has_voxel_size and sform is None:
            return _PatientAxes(found, (Remark.SPACING,), has_spacing=False)
        both_set = int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0
        return _PatientAxes(found, (Remark.ORIENTATION,) if both_set else ())
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])  # as nibabel guesses: rows run to the left
    if not has_voxel_size:
        return _PatientAxes(affine, (Remark.SIDE_UNKNOWN, Remark.SPACING), has_spacing=False)
    affine[:3, :3] *= np.abs(np.asarray(header["pixdim"], float)[1:4])
    return _PatientAxes(affine, (Remark.SIDE_UNKNOWN,))


def _usable(
    code: Any, read: Callable[[], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64] | None:
    """Return a matrix that is set, finite and not singular, else None."""
    import nibabel as nib

    if int(code) <= 0:
        return None
    try:
        affine = np.asarray(read(), float)
        codes = nib.aff2axcodes(affine) if np.isfinite(affine).all() else (None,)
    except (ValueError, np.linalg.LinAlgError, nib.spatialimages.HeaderDataError):
        return None
    return None if None in codes or not (_zooms(affine) > 0).all() else affine


def _millimeters(image: Any) -> float:
    """Return the length unit of a file in mm; mm if the file states none."""
    unit = int(image.header["xyzt_units"]) & 7
    return {1: 1000.0, 3: 0.001}.get(unit, 1.0)


def _fill_outside(pixels: npt.NDArray[np.float32]) -> None:
    outside = np.isnan(pixels)
    if outside.all() or np.isinf(pixels).any() or np.nanmax(np.abs(pixels)) > 1e18:
        raise ScanError("pixel values are not finite or beyond 1e18", reason="values-out-of-range")
    if outside.any():
        pixels[outside] = np.nanmin(pixels)


def _open(file: BoundedFile) -> tuple[Any, bool]:
    """Return the image, and whether it states a voxel size: nibabel defaults to 1 mm."""
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    file.seek(0)
    stream: io.BufferedIOBase = file
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if zipped:
        stream = cast(io.BufferedIOBase, gzip.GzipFile(fileobj=file))
    try:
        start = stream.read(540)
        stream.seek(0)
        kind = nib.Nifti2Image if b"n" in start[4:6] else nib.Nifti1Image
        head = kind.header_class(start[: kind.header_class.sizeof_hdr], check=False)
        voxel = np.abs(np.asarray(head["pixdim"], float)[1:4])
        has_voxel_size = bool(np.isfinite(voxel).all() and (voxel > 0).all())
        return kind.from_stream(stream), has_voxel_size
    except (HeaderDataError, ImageFileError, WrapStructError, ValueError):
        raise ScanError("the NIfTI header cannot be read", reason="corrupt") from None
    except (OSError, EOFError):
        raise ScanError("the NIfTI header is cut off", reason="truncated") from None


def _shape(image: Any) -> tuple[int, int, int]:
    shape = tuple(int(length) for length in image.shape)
    check_size(*shape)
    if len(shape) < 2 or any(length > 1 for length in shape[3:]):
        raise ScanError(
            "this NIfTI file has more than one volume",
            hint="split it along its fourth axis",
            reason="several-volumes",
        )
    return cast("tuple[int, int, int]", (*shape, 1)[:3])
