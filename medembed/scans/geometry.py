"""Positions of slices in the patient, and their order in a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medembed.errors import ScanError

__all__ = [
    "SAME_PLACE_MM",
    "along_normal",
    "axes_of",
    "fits_line",
    "is_tilted",
    "normal_of",
    "rounding_mm",
    "same_direction",
    "same_spacing",
    "slice_distance",
]

SAME_PLACE_MM = 0.01
"""Slices closer together than this have the same position."""

# Tolerance for a slice on the fitted line: a fraction of the step, or more if positions with few
# decimals explain it by rounding; never more than a quarter of the step, where a missing slice
# begins to fit.
_OFF_PLACE = 0.05
_OFF_PLACE_ROUNDED = 0.25
_STEP_RATIO = 1.6  # longest to shortest step: rounding makes 2 or 3 mm of 2.5 mm
_DIRECTION = 5e-3  # 0.3 degrees
_SPACING = 5e-3
_TILT = 0.03  # 1.7 degrees
_OBLIQUE = 0.25  # 14 degrees: from here on, an axis is named by two sides or three
_SIDES = (("L", "R"), ("P", "A"), ("H", "F"))  # positive and negative x, y and z of the patient


def normal_of(orientation: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the unit normal of a slice, pointing to the patient's left, back or head.

    Parameters
    ----------
    orientation : 6 floats
        ``ImageOrientationPatient``.

    Returns
    -------
    float64 array, shape (3,)
        Its largest component is positive, so that axial slices run from feet to head
        regardless of the direction of rows.

    Raises
    ------
    ScanError
        ``bad-geometry`` if the two directions are not perpendicular unit vectors.

    Examples
    --------
    >>> normal_of((-1, 0, 0, 0, 1, 0)).tolist()
    [0.0, 0.0, 1.0]
    """
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if not np.allclose(lengths, 1, atol=1e-2) or abs(row @ column) > 1e-2:
        raise ScanError(
            "ImageOrientationPatient is not two perpendicular directions", reason="bad-geometry"
        )
    normal = np.cross(row, column)
    # of two nearly equal components choose the same one, independent of rounding
    largest = np.flatnonzero(np.abs(normal) > np.abs(normal).max() - _DIRECTION)[-1]
    if normal[largest] < 0:
        normal = -normal
    unit: npt.NDArray[np.float64] = normal / np.linalg.norm(normal) + 0.0  # no negative zero
    return unit


def axes_of(orientation: Sequence[float]) -> tuple[str, str, str]:
    """Name the sides of the patient to which slices, rows and columns run.

    Parameters
    ----------
    orientation : 6 floats
        ``ImageOrientationPatient``.

    Returns
    -------
    tuple of 3 str
        As in ``PatientOrientation`` (DICOM PS3.3 C.7.6.1.1.1): L, R, P, A, H, F; an oblique axis
        has two or three letters, the largest component first.

    Raises
    ------
    ScanError
        ``bad-geometry``, see :func:`normal_of`.

    Examples
    --------
    >>> axes_of((1, 0, 0, 0, 1, 0))
    ('H', 'P', 'L')
    >>> axes_of((0.8, 0.6, 0, 0, 0, -1))
    ('PR', 'F', 'LP')
    """
    directions = normal_of(orientation), orientation[3:], orientation[:3]
    slices, rows, columns = (_side_of(np.asarray(direction, float)) for direction in directions)
    return slices, rows, columns


def _side_of(direction: npt.NDArray[np.float64]) -> str:
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        _SIDES[axis][int(direction[axis] < 0)] for axis in order if abs(direction[axis]) > _OBLIQUE
    )


def along_normal(
    positions: Sequence[Sequence[float]], orientation: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Project slice positions on their normal.

    Returns
    -------
    float64 array, shape (n,)
        In mm.
    """
    return np.asarray(positions, float).reshape(-1, 3) @ normal_of(orientation)


def same_direction(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two ``ImageOrientationPatient`` are equal up to rounding."""
    return bool(np.abs(np.subtract(one, other)).max() <= _DIRECTION)


def same_spacing(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    """Return whether two ``PixelSpacing`` are equal within half a percent."""
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=_SPACING, atol=0))


def rounding_mm(
    positions: Sequence[Sequence[float]], orientation: Sequence[float] | None = None
) -> float:
    """Return the largest displacement of a slice along the normal by rounding.

    Parameters
    ----------
    positions : sequence of 3 floats
        As in the header. If all are multiples of 0.1, they were written with one decimal.
    orientation : 6 floats, optional
        Components are rounded separately, so that errors add up in oblique slices.

    Examples
    --------
    >>> rounding_mm([(0, 0, 0.6), (0, 0, 1.3)])
    0.05
    """
    values = np.asarray(positions, float)
    weight = 1.0 if orientation is None else float(np.abs(normal_of(orientation)).sum())
    for unit in (1.0, 0.1, 0.01):
        if np.abs(values / unit - np.rint(values / unit)).max() < 1e-6:
            return unit / 2 * weight
    return 0.0


def fits_line(places: npt.NDArray[np.float64], rounding: float = 0.0) -> bool:
    """Return whether slices are equidistant, up to rounding.

    A line is fitted to the positions (least squares). The criterion is the distance of each slice
    from the line as a fraction of the step: steps of 0.6 and 0.7 mm are 0.625 mm rounded, while a
    missing slice is off by half a step.

    Parameters
    ----------
    places : float64 array, shape (n,), ascending
        In mm along the normal.
    rounding : float
        From :func:`rounding_mm`.
    """
    if len(places) < 3:
        return True
    steps = np.diff(places)
    if steps.min() <= SAME_PLACE_MM or steps.max() > _STEP_RATIO * steps.min():
        return False
    ranks = np.arange(len(places)) - (len(places) - 1) / 2
    centered = places - places.mean()
    step = float(ranks @ centered / (ranks @ ranks))
    # the fitted line differs from the true one: it can be closer to one end
    allowed = max(_OFF_PLACE * step, min(1.5 * rounding, _OFF_PLACE_ROUNDED * step))
    return bool(np.abs(centered - step * ranks).max() <= allowed + 1e-6)


def slice_distance(places: npt.NDArray[np.float64], rounding: float = 0.0) -> float:
    """Return the distance of neighboring slices.

    Parameters
    ----------
    places : float64 array, shape (n,), ascending, n >= 2
        In mm along the normal.
    rounding : float
        From :func:`rounding_mm`.

    Raises
    ------
    ScanError
        ``several-volumes`` if two slices share a position, ``irregular-spacing`` if a slice is
        displaced (:func:`fits_line`).

    Examples
    --------
    >>> slice_distance(np.array([0, 0.6, 1.3, 1.9, 2.5]), rounding=0.05)
    0.625
    """
    if np.diff(places).min() <= SAME_PLACE_MM:
        raise ScanError(
            "several slices have the same position",
            hint="choose a single frame, or split by phase",
            reason="several-volumes",
        )
    if not fits_line(places, rounding):
        raise ScanError(
            "slice distances differ: a slice is missing, or several series are mixed",
            reason="irregular-spacing",
        )
    return float(places[-1] - places[0]) / (len(places) - 1)


def is_tilted(positions: Sequence[Sequence[float]], orientation: Sequence[float]) -> bool:
    """Return whether the slices of a volume are sheared, as by a tilted gantry."""
    way = np.subtract(positions[-1], positions[0])
    along = float(way @ normal_of(orientation))
    aside = float(np.linalg.norm(way - along * normal_of(orientation)))
    return aside > _TILT * abs(along)
