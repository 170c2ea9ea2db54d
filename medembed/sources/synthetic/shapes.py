"""Convex bodies whose intersection with a ray has a closed form, and the views that cast the rays.

Lengths are mm in the patient's own frame, DICOM's (PS3.3 C.7.6.2.1.1): x to the left, y to the
back, z to the head. Every soft organ is a :class:`Stack` or an :class:`Ellipsoid`: a parallel ray
enters and leaves it once, so that unions and differences of organs along a ray are arithmetic on
intervals, exact and fast. Bones, vessels, tubes and wires are clouds of weighted points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Ellipsoid", "Floats", "Shape", "Stack", "View", "covered", "rotated"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class View:
    """A point source, a flat detector and the grid of its pixels.

    Each body is projected with the magnification of its own center's depth, which is exact for
    points and a good approximation for organs (source at 1 m or more).

    Parameters
    ----------
    name : {"PA", "AP", "LATERAL"}
    size : int
        Rows and columns.
    spacing_mm : float
        Pixel pitch in the detector's plane.
    center_z : float
        Height of the central ray.
    source_mm : float
        Distance from source to detector.
    detector : float
        Depth of the detector: y for PA and AP, x for LATERAL.
    rotation : float
        Turn of the patient about the body's long axis, radians; positive turns the front to the
        patient's left.
    """

    name: str
    size: int
    spacing_mm: float
    center_z: float
    source_mm: float
    detector: float
    rotation: float = 0.0

    @property
    def across(self) -> int:
        """Axis along the detector's rows: 0 (x) for PA and AP, 1 (y) for LATERAL."""
        return 1 if self.name == "LATERAL" else 0

    @property
    def along(self) -> int:
        """Axis along the rays."""
        return 1 - self.across

    def magnification(self, depth: npt.ArrayLike) -> Floats:
        """Source-detector distance over source-object distance, for a depth in mm."""
        distance = np.abs(np.asarray(depth, dtype=np.float32) - np.float32(self.detector))
        return np.asarray(self.source_mm / (self.source_mm - distance), dtype=np.float32)

    def plane(self, depth: float) -> tuple[Floats, Floats]:
        """Coordinates (columns,) across and (rows,) up, in mm, of the pixels' rays at a depth."""
        steps = (np.arange(self.size, dtype=np.float32) - (self.size - 1) / 2) * self.spacing_mm
        steps = steps / self.magnification(depth)
        return steps.astype(np.float32), (self.center_z - steps).astype(np.float32)

    def project(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """Bring points (n, 3) to rows (n,), columns (n,) and magnification (n,)."""
        turned = rotated(points, self.rotation)
        scale = self.magnification(turned[:, self.along])
        middle = np.float32((self.size - 1) / 2)
        columns = middle + turned[:, self.across] * scale / self.spacing_mm
        rows = middle - (turned[:, 2] - self.center_z) * scale / self.spacing_mm
        return rows.astype(np.float32), columns.astype(np.float32), scale

    def splat(self, points: Floats, volumes: Floats) -> Floats:
        """Sum volumes (n,) in mm³ at points (n, 3) into path lengths (rows, columns) in mm."""
        rows, columns, scale = self.project(points)
        weights = volumes * scale * scale / self.spacing_mm**2
        return splat_at((rows, columns), weights, (self.size, self.size))


def splat_at(where: tuple[Floats, Floats], weights: Floats, shape: tuple[int, int]) -> Floats:
    """Spread weights (n,) bilinearly over a grid; weights outside the grid are lost."""
    height, width = shape
    rows, columns = where
    top, left = np.floor(rows), np.floor(columns)
    down, right = rows - top, columns - left
    inside = (top >= 0) & (top < height - 1) & (left >= 0) & (left < width - 1)
    flat = (top[inside] * width + left[inside]).astype(np.int64)
    down, right, weights = down[inside], right[inside], weights[inside]
    lower = weights * down
    upper = weights - lower
    count = height * width
    total = np.zeros(count)
    for step, part in (
        (0, upper * (1 - right)),
        (1, upper * right),
        (width, lower * (1 - right)),
        (width + 1, lower * right),
    ):
        total += np.bincount(flat + step, part, count)
    return total.reshape(shape).astype(np.float32)


def rotated(points: Floats, angle: float) -> Floats:
    """Turn points (n, 3) about z by ``angle`` radians."""
    if angle == 0.0:
        return points
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turned = points.copy()
    turned[:, 0] = cosine * points[:, 0] - sine * points[:, 1]
    turned[:, 1] = sine * points[:, 0] + cosine * points[:, 1]
    return turned


@dataclass(frozen=True, eq=False)
class Stack:
    """Superellipses ``|x/rx|^n + |y/ry|^n <= 1`` stacked along z.

    Parameters
    ----------
    z, cx, cy, rx, ry : float32 arrays, shape (k,)
        Heights in rising order, centers and half axes in mm; linear between the heights, nothing
        beyond them.
    power : float
        The exponent n: 2 is an ellipse, more is boxier.
    """

    z: Floats
    cx: Floats
    cy: Floats
    rx: Floats
    ry: Floats
    power: float = 2.0

    def at(self, z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Centers and half axes at heights ``z``; half axes are 0 outside the stack."""
        inside = (z >= self.z[0]) & (z <= self.z[-1])
        cx, cy, rx, ry = (
            np.interp(z, self.z, values).astype(np.float32)
            for values in (self.cx, self.cy, self.rx, self.ry)
        )
        return cx, cy, np.where(inside, rx, 0), np.where(inside, ry, 0)

    def place(self, normal: Floats) -> Floats:
        """Bring (n, 3) points given as fractions (of rx, of ry, of the height from the top)."""
        z = self.z[-1] - normal[:, 2] * (self.z[-1] - self.z[0])
        cx, cy, rx, ry = self.at(z.astype(np.float32))
        return np.stack([cx + normal[:, 0] * rx, cy + normal[:, 1] * ry, z], 1).astype(np.float32)

    def chord(self, view: View, rows: slice, columns: slice) -> tuple[Floats, Floats]:
        """Entry and exit of each ray; both (rows, columns), equal if it misses."""
        weight = self.rx * self.ry + 1e-6
        middle = np.array(
            [[np.average(self.cx, weights=weight), np.average(self.cy, weights=weight), 0]],
            dtype=np.float32,
        )
        across, up = view.plane(float(rotated(middle, view.rotation)[0, view.along]))
        cx, cy, rx, ry = self.at(up[rows])
        center = rotated(np.stack([cx, cy, cy * 0], 1), view.rotation)
        radii = (rx, ry)
        reach, depth = radii[view.across][:, None], radii[view.along][:, None]
        share = (across[None, columns] - center[:, view.across, None]) / np.maximum(reach, 1e-3)
        share = np.abs(share)
        if self.power == 2.0:
            half = np.sqrt(np.maximum(1 - share * share, 0))
        else:
            half = np.maximum(1 - share**self.power, 0) ** np.float32(1 / self.power)
        half = half * depth
        middle_depth = center[:, view.along, None]
        return middle_depth - half, middle_depth + half

    def contains(self, x: Floats, y: Floats, z: Floats) -> npt.NDArray[np.bool_]:
        """Whether points of a grid are inside; ``z`` must be a column of heights (k, 1, 1)."""
        cx, cy, rx, ry = (v.reshape(z.shape) for v in self.at(z.ravel()))
        across = np.abs((x - cx) / np.maximum(rx, 1e-3))
        back = np.abs((y - cy) / np.maximum(ry, 1e-3))
        if self.power == 2.0:
            inside = across * across + back * back <= 1
        else:
            inside = across**self.power + back**self.power <= 1
        return np.asarray(inside & (rx > 0))

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper corner, each (3,)."""
        low = [(self.cx - self.rx).min(), (self.cy - self.ry).min(), self.z[0]]
        high = [(self.cx + self.rx).max(), (self.cy + self.ry).max(), self.z[-1]]
        return np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """Half axes in mm, turned in the frontal plane by ``tilt``.

    Parameters
    ----------
    center, radii : tuple of float
        In mm, order x, y, z.
    tilt : float
        Radians; positive lifts the patient's left end.
    """

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    tilt: float = 0.0

    def matrix(self, rotation: float = 0.0) -> npt.NDArray[np.float64]:
        """Matrix (3, 3) that maps the ellipsoid to the unit ball."""
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        axes = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
        turn_cos, turn_sin = np.cos(rotation), np.sin(rotation)
        turn = np.array([[turn_cos, -turn_sin, 0], [turn_sin, turn_cos, 0], [0, 0, 1]])
        return np.asarray((axes / np.array(self.radii)[:, None]) @ turn.T)

    def chord(self, view: View, rows: slice, columns: slice) -> tuple[Floats, Floats]:
        """Entry and exit of each ray; both (rows, columns), equal if it misses."""
        center = rotated(np.array([self.center], dtype=np.float32), view.rotation)[0]
        across, up = view.plane(float(center[view.along]))
        matrix = self.matrix(view.rotation)
        ray, side, rise = matrix[:, view.along], matrix[:, view.across], matrix[:, 2]
        du = (across[columns] - center[view.across])[None, :]
        dz = (up[rows] - center[2])[:, None]
        a = np.float32(ray @ ray)
        b = np.float32(ray @ side) * du + np.float32(ray @ rise) * dz
        c = (
            np.float32(side @ side) * du * du
            + np.float32(2 * (side @ rise)) * du * dz
            + (np.float32(rise @ rise) * dz * dz - 1)
        )
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        depth = center[view.along]
        return depth + (-b - root) / a, depth + (-b + root) / a

    def contains(self, x: Floats, y: Floats, z: Floats) -> npt.NDArray[np.bool_]:
        """Whether points of a grid are inside."""
        matrix = self.matrix().astype(np.float32)
        dx, dy, dz = x - self.center[0], y - self.center[1], z - self.center[2]
        return np.asarray(sum((m[0] * dx + m[1] * dy + m[2] * dz) ** 2 for m in matrix) <= 1)

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper corner, each (3,)."""
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        reach = np.array(
            [
                np.hypot(self.radii[0] * cosine, self.radii[2] * sine),
                self.radii[1],
                np.hypot(self.radii[0] * sine, self.radii[2] * cosine),
            ],
            dtype=np.float32,
        )
        center = np.array(self.center, dtype=np.float32)
        return center - reach, center + reach


Shape = Stack | Ellipsoid


def covered(
    within: tuple[Floats, Floats] | None, intervals: Sequence[tuple[Floats, Floats]]
) -> Floats:
    """Length along each ray of the union of intervals, cut to ``within``.

    With starts and ends sorted apart, a gap follows the i-th end exactly if the next start
    is beyond it.

    Parameters
    ----------
    within : pair of arrays (rows, columns) or None
        Bounds; None for no bounds.
    intervals : sequence of pairs of arrays (rows, columns)
        Enter and leave; equal if the ray misses.

    Returns
    -------
    float32 array (rows, columns), mm
    """
    if within is not None:
        low, high = within
        clipped = [(np.clip(a, low, high), np.clip(b, low, high)) for a, b in intervals]
    else:
        clipped = list(intervals)
    if len(clipped) == 1:
        return clipped[0][1] - clipped[0][0]
    starts = _in_order([a for a, _ in clipped])
    ends = _in_order([b for _, b in clipped])
    length = ends[-1] - starts[0]
    for start, end in zip(starts[1:], ends[:-1], strict=True):
        length -= np.maximum(start - end, 0)
    return np.asarray(length, dtype=np.float32)


def _in_order(planes: list[Floats]) -> list[Floats]:
    """Sort planes pixel by pixel, by insertion since they are few."""
    planes = list(planes)
    for last in range(1, len(planes)):
        for i in range(last, 0, -1):
            low, high = planes[i - 1], planes[i]
            planes[i - 1], planes[i] = np.minimum(low, high), np.maximum(low, high)
    return planes
