"""Findings inside a lung: haze, lines, and tissue where air should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from medembed.sources.synthetic.body import LEFT, Chest, Clouds, Curves, Lung
from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.shapes import Ellipsoid, Floats

__all__ = ["IN_LUNG", "Painter"]

Painter = Callable[[Chest, Lung, Lesion, np.random.Generator], None]


def _spot(lung: Lung, lesion: Lesion) -> Floats:
    """Center (3,) of a finding in mm; the second of a bilateral pair is slightly displaced."""
    u, v, down = lesion.spot
    if lesion.side == "bilateral" and lung.side == LEFT:
        down = float(np.clip(down + 0.05, 0.1, 0.9))
    point = np.array([[lung.side * u, v, down]], dtype=np.float32)
    return np.asarray(lung.aerated.place(point)[0], dtype=np.float32)


def _consolidation(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A patch of airless lung with ragged edges."""
    del chest
    radius = lesion.size / 2
    n = 70
    centers = _spot(lung, lesion) + rng.normal(0, 0.44 * radius, (n, 3)) * [1.0, 1.0, 0.9]
    sigma = radius * rng.uniform(0.16, 0.38, (n, 1)) * np.ones((1, 3))
    strength = (0.26, 0.32, 0.38)[lesion.grade] * rng.uniform(0.4, 1.6, n)
    lung.clouds.append(_clouds(centers, sigma, strength))


def _clouds(
    centers: npt.NDArray[np.floating],
    sigmas: npt.NDArray[np.floating],
    amplitudes: npt.NDArray[np.floating],
) -> Clouds:
    return Clouds(
        centers.astype(np.float32), sigmas.astype(np.float32), amplitudes.astype(np.float32)
    )


def _nodule(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A round, slightly lobulated opacity."""
    del chest
    x, y, z = _spot(lung, lesion)
    radius = lesion.size / 2
    lung.solids.append(Ellipsoid((x, y, z), (radius, radius * 1.1, radius * 0.95)))
    for _ in range(2):
        dx, dy, dz = rng.normal(0, 0.22 * radius, 3)
        r = radius * rng.uniform(0.7, 0.9)
        lung.solids.append(Ellipsoid((x + dx, y + dy, z + dz), (r, r, r)))
    lung.curves.append(_lime(np.array([x, y, z]), 0.8 * radius, 0.7, rng))


def _lime(
    center: npt.NDArray[np.floating], radius: float, density: float, rng: np.random.Generator
) -> Curves:
    """Fine calcification throughout a sphere, denser than soft tissue by ``density``."""
    n = int(60 + 6 * radius**2)
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    points = center + way * radius * rng.random((n, 1)) ** (1 / 3)
    volume = np.full(n, density * 4 / 3 * np.pi * radius**3 / n, np.float32)
    return Curves(points.astype(np.float32), volume, 1.2)


def _mass(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A large lobulated opacity with spicules."""
    del chest
    center = _spot(lung, lesion)
    radius = lesion.size / 2
    for _ in range(6):
        x, y, z = center + rng.normal(0, 0.26 * radius, 3)
        a, b, c = radius * rng.uniform(0.55, 0.85, 3)
        lung.solids.append(Ellipsoid((x, y, z), (a, b, c), float(rng.uniform(-0.7, 0.7))))
    lung.curves.append(_lime(center, 0.8 * radius, 0.3, rng))
    way = rng.normal(size=(26, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    t = np.linspace(0.8, 1.45, 22)[None, :, None]
    points = (center + way[:, None] * t * radius).reshape(-1, 3)
    volume = np.full(len(points), 4.5 * 0.65 * radius / 22, np.float32)
    lung.curves.append(Curves(points.astype(np.float32), volume, 0.9))


def _atelectasis(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """Bands if mild; otherwise a collapsed wedge at the base or the apex."""
    side = lung.side
    dome = chest.base_z + 0.27 * chest.build.lung_height
    if lesion.grade == 0:
        for _ in range(3):
            x, y, _ = lung.aerated.place(
                np.array([[side * rng.uniform(0.0, 0.4), rng.uniform(-0.2, 0.5), 0.7]], np.float32)
            )[0]
            lung.solids.append(
                Ellipsoid(
                    (float(x), float(y), dome + rng.uniform(12, 38)),
                    (rng.uniform(26, 38), rng.uniform(26, 38), rng.uniform(2.4, 3.6)),
                    float(rng.uniform(-0.3, 0.3)),
                )
            )
        return
    big = 1.0 if lesion.grade == 1 else 1.42
    if lesion.kind == "upper":
        lung.solids.append(
            Ellipsoid((side * 34, 0, chest.apex_z - 26), (37 * big, 62, 36 * big), side * -0.35)
        )
    else:
        lung.solids.append(
            Ellipsoid((side * 26, 34, dome + 4), (36 * big, 46, 50 * big), side * -0.42)
        )
        lung.solids.append(Ellipsoid((side * 60, 30, dome), (40 * big, 34, 15 * big), side * -0.2))


def _edema(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """Perihilar haze, and septal lines at the base."""
    n = 130
    normal = np.stack(
        [
            lung.side * np.clip(rng.normal(-0.35, 0.38, n), -0.95, 0.75),
            rng.normal(0, 0.4, n),
            np.clip(rng.normal(0.50, 0.15, n), 0.1, 0.9),
        ],
        1,
    ).astype(np.float32)
    strength = (0.075, 0.135, 0.21)[lesion.grade] * rng.uniform(0.3, 1.7, n)
    sigma = rng.uniform(6, 15, (n, 1)) * np.ones((1, 3))
    lung.clouds.append(_clouds(lung.aerated.place(normal), sigma, strength))
    lines = 10 + 7 * lesion.grade
    start = np.stack(
        [
            np.full(lines, lung.side * 0.97),
            rng.uniform(-0.2, 0.2, lines),
            np.linspace(0.60, 0.80, lines) + rng.normal(0, 0.01, lines),
        ],
        1,
    ).astype(np.float32)
    t = np.linspace(0, 17, 20)
    points = lung.aerated.place(start)[:, None] + t[None, :, None] * np.array([-lung.side, 0, 0.12])
    volume = np.full(lines * 20, 7.0, np.float32)
    lung.curves.append(Curves(points.reshape(-1, 3).astype(np.float32), volume, 0.8))
    del chest


def _emphysema(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """Bullae in the upper half; volume and density are set with the organs."""
    del chest
    for _ in range(1 + 2 * lesion.grade):
        where = [lung.side * rng.uniform(-0.2, 0.6), rng.uniform(-0.4, 0.4), rng.uniform(0.08, 0.4)]
        center = lung.aerated.place(np.array([where], dtype=np.float32))[0]
        radius = rng.uniform(9, 14 + 5 * lesion.grade)
        lung.clouds.append(
            _clouds(center[None], np.full((1, 3), radius), np.array([-0.9 * lung.density]))
        )
        lung.curves.append(_ring(center, radius * 1.25, 3.2))


def _ring(center: npt.NDArray[np.floating], radius: float, per_mm: float) -> Curves:
    """A circle in the frontal plane."""
    turn = np.arange(0, 2 * np.pi, 0.7 / radius)
    circle = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1) * radius + center
    volume = np.full(len(turn), per_mm * 0.7, np.float32)
    return Curves(circle.astype(np.float32), volume, 0.7)


def _in_air(chest: Chest, points: Floats) -> Floats:
    """The points (n, 3) that are not inside the heart or the diaphragm."""
    x, y, z = points.T
    taken = np.zeros(len(points), bool)
    for solid in chest.solids:
        taken |= solid.contains(x, y, z)
    return points[~taken]


def _fibrosis(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A net of short lines and small rings, at the bases and the edge of the lung."""
    n = (420, 760, 1200)[lesion.grade]
    angle, out = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.5, 0.97, n)
    down = np.clip(0.90 - np.abs(rng.normal(0, 0.17 + 0.06 * lesion.grade, n)), 0.08, 0.95)
    normal = np.stack([out * np.cos(angle), out * np.sin(angle), down], 1).astype(np.float32)
    center = _in_air(chest, lung.aerated.place(normal))
    n = len(center)
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    t = np.linspace(-1, 1, 12)[None, :, None] * rng.uniform(3, 7.5, (n, 1, 1))
    points = (center[:, None] + way[:, None] * t).reshape(-1, 3)
    volume = np.full(len(points), 5.5, np.float32)
    lung.curves.append(Curves(points.astype(np.float32), volume, 0.7))
    for spot in center[: 16 + 26 * lesion.grade]:
        lung.curves.append(_ring(spot, float(rng.uniform(2.2, 4.5)), 4.5))
    strength = (0.08, 0.12, 0.16)[lesion.grade] * rng.uniform(-0.2, 1.4, 60)
    hazy = center[-60:]
    sigmas = np.full((len(hazy), 3), 9.0)
    lung.clouds.append(_clouds(hazy, sigmas, strength[: len(hazy)]))


IN_LUNG: Mapping[str, Painter] = MappingProxyType(
    {
        "consolidation": _consolidation,
        "nodule": _nodule,
        "mass": _mass,
        "atelectasis": _atelectasis,
        "edema": _edema,
        "emphysema": _emphysema,
        "fibrosis": _fibrosis,
    }
)
"""Function that draws each finding inside a lung."""
