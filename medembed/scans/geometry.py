"""Where slices lie in the patient, and in which order they make a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medembed.errors import ScanError

__all__ = ["along_normal", "normal_of", "slice_distance"]

# Positions are written with few decimals; a real change of distance is larger than either.
_RELATIVE_TOLERANCE = 0.02
_TOLERANCE_MM = 0.02


def normal_of(orientation: Sequence[float]) -> npt.NDArray[np.float64]:
    """The unit normal of a slice, pointing to the patient's left, back or head.

    Parameters
    ----------
    orientation : 6 floats
        ``ImageOrientationPatient``.

    Returns
    -------
    float64 array, shape (3,)
        Its largest component is positive, so that axial slices run from the feet to the head
        whichever way their rows run.

    Raises
    ------
    ScanError
        ``bad-geometry`` where the two directions are not perpendicular unit vectors.

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
    if normal[np.argmax(np.abs(normal))] < 0:
        normal = -normal
    unit: npt.NDArray[np.float64] = normal / np.linalg.norm(normal) + 0.0  # no negative zero
    return unit


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


def slice_distance(places: npt.NDArray[np.float64]) -> float:
    """The one distance of neighbouring slices.

    Parameters
    ----------
    places : float64 array, shape (n,), ascending, n >= 2
        In mm along the normal.

    Raises
    ------
    ScanError
        ``several-volumes`` where two slices share a place, ``irregular-spacing`` where the
        distances differ by more than 2 %.
    """
    steps = np.diff(places)
    distance = float(np.median(steps))
    if steps.min() < _TOLERANCE_MM / 2:
        raise ScanError(
            "several slices lie at the same place",
            hint="choose a single frame, or split by phase",
            reason="several-volumes",
        )
    if np.abs(steps - distance).max() > max(_RELATIVE_TOLERANCE * distance, _TOLERANCE_MM):
        raise ScanError(
            "the distances between slices differ: one is missing, or several series are mixed",
            reason="irregular-spacing",
        )
    return float(places[-1] - places[0]) / len(steps)
