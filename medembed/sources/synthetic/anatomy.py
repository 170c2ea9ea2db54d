"""The organs of one patient at one breath, before any finding.

The numbers are those of adult anatomy as textbooks give them, rounded; they make it look like
a chest and describe no population.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medembed.sources.synthetic.body import LEFT, RIGHT, Build, Chest, Lung, Pose
from medembed.sources.synthetic.shapes import Ellipsoid, Floats, Shape, Stack

__all__ = ["organs", "shifted", "spine_y"]


def organs(
    build: Build,
    pose: Pose,
    *,
    ratio: float | None = None,
    raised: tuple[float, float] = (0.0, 0.0),
    shift: float = 0.0,
    flat: float = 1.0,
) -> Chest:
    """Build lungs, heart, mediastinum, diaphragm and skin.

    Parameters
    ----------
    build, pose
    ratio : float or None
        Heart over thoracic width; None takes the patient's own.
    raised : tuple of float
        Elevation of the right and the left dome, mm.
    shift : float
        Shift of heart and mediastinum to the left, mm.
    flat : float
        Factor on the height of the domes.

    Returns
    -------
    Chest
        Without bones, vessels and findings.
    """
    height = build.lung_height * (0.55 + 0.45 * pose.breath)
    apex = 0.44 * build.lung_height
    base = apex - height
    level = base + 0.27 * flat * height * (1.12 - 0.12 * pose.breath)
    domes = {RIGHT: level + raised[0], LEFT: level - 11.0 * flat + raised[1]}
    heart_ratio = (build.ratio if ratio is None else ratio) + 0.05 * (1 - pose.breath)
    if pose.supine:
        heart_ratio += 0.015
    heart_width = heart_ratio * 2 * build.half_width
    spine_z = np.linspace(base - 90, apex + 70, 40, dtype=np.float32)
    phase = (spine_z - base) / height
    spine_x = (build.scoliosis * np.sin(np.pi * np.clip(phase, -0.4, 1.4))).astype(np.float32)
    return Chest(
        build=build,
        pose=pose,
        lungs={side: _lung(build, side, apex, base) for side in (RIGHT, LEFT)},
        solids=[
            *(shifted(s, shift) for s in _heart(heart_width, level - 11.0 * flat)),
            *(shifted(s, 0.8 * shift) for s in _mediastinum(build, apex, base)),
            _spine_tissue(build, apex, base, spine_z, spine_x),
            *(_dome(build, side, base, domes[side]) for side in (RIGHT, LEFT)),
        ],
        skin=_skin(build, apex, base),
        gas=_gas(build, base, domes[LEFT], pose),
        wall_tissue=[],
        bones=[],
        metal=[],
        airways=[],
        apex_z=apex,
        dome_z=domes[RIGHT],
        base_z=base,
        heart_width=heart_width,
        cavity_width=2 * build.half_width,
        spine_x=(spine_z, spine_x),
        shift=shift,
    )


def _lung(build: Build, side: int, apex: float, base: float) -> Lung:
    """Inner face of the chest wall on one side: a dome at the apex, open at the foot."""
    z = np.linspace(base - 22, apex, 72, dtype=np.float32)
    depth = np.clip((apex - z) / (apex - base), 0, 1)
    rise = np.sqrt(1 - (1 - np.clip(depth / 0.66, 0, 1)) ** 2.2)
    close = np.sqrt(1 - (1 - np.clip(depth / 0.11, 0, 1)) ** 2)
    top = 0.34 * build.half_width
    lateral = top + (build.half_width - top) * rise
    medial = top - (top - 5.0) * close
    thick = build.half_depth * (
        0.25 * close + 0.75 * np.sqrt(1 - (1 - np.clip(depth / 0.55, 0, 1)) ** 2)
    )
    back = 4 + 12 * (1 - np.clip(depth / 0.4, 0, 1))
    wall = Stack(
        z,
        (side * (lateral + medial) / 2).astype(np.float32),
        back.astype(np.float32),
        ((lateral - medial) / 2).astype(np.float32),
        thick.astype(np.float32),
        power=2.4,
    )
    return Lung(side=side, wall=wall, aerated=wall)


def _dome(build: Build, side: int, base: float, top: float) -> Stack:
    """One half of the diaphragm and everything beneath it."""
    rise = np.linspace(0, 1, 24, dtype=np.float32)
    grow = np.sqrt(1 - rise**1.35)
    foot = base + 4
    z = np.concatenate([np.array([base - 260, base - 24], np.float32), foot + (top - foot) * rise])
    half = build.half_width / 2
    rx = np.concatenate([np.full(2, half * 1.3, np.float32), (half + 6) * grow])
    ry = np.concatenate([np.full(2, build.half_depth * 1.4), build.half_depth * 1.0 * grow])
    cy = np.full(z.shape, -7.0, np.float32)
    cx = np.full(z.shape, side * (half - 1), np.float32)
    return Stack(z.astype(np.float32), cx, cy, rx.astype(np.float32), ry.astype(np.float32), 2.2)


def _heart(width: float, floor: float) -> list[Shape]:
    """Left heart, right heart and the trunk of the pulmonary artery."""
    right_edge, left_edge = -0.33 * width, 0.67 * width
    tilt = np.deg2rad(-34)
    long, short = 0.56 * width, 0.375 * width
    reach = float(np.hypot(long * np.cos(tilt), short * np.sin(tilt)))
    scale = 0.43 * width / reach
    long, short = long * scale, short * scale
    middle = left_edge - 0.43 * width
    rise = float(np.hypot(long * np.sin(tilt), short * np.cos(tilt)))
    low = floor - 12
    return [
        Ellipsoid((middle, -26, low + rise), (long, 0.33 * width, short), float(tilt)),
        Ellipsoid(
            (right_edge + 0.27 * width, -20, low + 0.40 * width),
            (0.27 * width, 0.30 * width, 0.40 * width),
        ),
        Ellipsoid((0.17 * width, -14, low + 0.72 * width), (0.16 * width, 22, 0.28 * width)),
    ]


def _mediastinum(build: Build, apex: float, base: float) -> list[Shape]:
    """Great vessels and aorta."""
    z = np.linspace(base - 20, apex + 60, 30, dtype=np.float32)
    share = np.clip((apex - z) / (apex - base), -0.4, 1)
    half = 17 + 9 * np.exp(-(((share - 0.33) / 0.12) ** 2)) - 6 * np.clip(share - 0.6, 0, 1)
    half = half + 14 * np.clip(-share / 0.2, 0, 1)
    flat = np.zeros_like(z)
    core = Stack(z, flat, flat + 8, half.astype(np.float32), flat + 36)
    aorta = build.aorta
    arch = apex - 0.27 * (apex - base)
    down = np.linspace(base - 40, arch, 20, dtype=np.float32)
    bow = np.sin(np.pi * np.clip((arch - down) / (arch - base), 0, 1))
    descending = Stack(
        down,
        (20 + 4 * aorta + 30 * max(0.0, aorta - 1.1) * bow).astype(np.float32),
        np.full(down.shape, 42, np.float32),
        np.full(down.shape, 11.5 * aorta, np.float32),
        np.full(down.shape, 11.5 * aorta, np.float32),
    )
    return [
        core,
        descending,
        Ellipsoid((20 + 5 * aorta, 14, arch), (16 * aorta, 26 * aorta, 15 * aorta)),
        Ellipsoid((-20 - 4 * (aorta - 1), -12, arch - 22), (13 * aorta, 18 * aorta, 52)),
    ]


def _spine_tissue(
    build: Build, apex: float, base: float, spine_z: Floats, spine_x: Floats
) -> Shape:
    """Vertebrae and the tissue around them, as soft tissue; bone is added later."""
    back = spine_y(build, spine_z, apex, base)
    return Stack(spine_z, spine_x, back, np.full_like(spine_z, 19), np.full_like(spine_z, 24))


def spine_y(build: Build, z: Floats, apex: float, base: float) -> Floats:
    """Depth of the vertebral bodies' centers at heights ``z``."""
    share = (apex - z) / (apex - base)
    curve = 58 - (34 + build.kyphosis) * (share - 0.45) ** 2 * 1.6 + 0.22 * build.kyphosis
    return np.asarray(np.clip(curve, 6, None), dtype=np.float32)


def _skin(build: Build, apex: float, base: float) -> list[Shape]:
    """Trunk with shoulders and neck, and the breasts."""
    wall = 15 + build.fat
    z = np.array(
        [base - 300, base - 40, apex - 120, apex - 60, apex - 25, apex + 8, apex + 30, apex + 48,
         apex + 140],
        dtype=np.float32,
    )  # fmt: skip
    side = build.half_width + wall
    neck = 52 + 0.4 * build.fat
    rx = np.array(
        [side - 6, side, side + 4, side + 22, side + 42, side + 30, neck + 60, neck + 8, neck],
        dtype=np.float32,
    )
    trunk = build.half_depth + 12 + 0.7 * build.fat
    ry = np.array(
        [trunk + 6, trunk, trunk, trunk - 4, trunk - 16, trunk - 28, 62, 56, 54], dtype=np.float32
    )
    cy = np.array([0, 0, 2, 4, 10, 14, 12, 10, 8], dtype=np.float32)
    shapes: list[Shape] = [Stack(z, np.zeros_like(z), cy, rx, ry, 2.5)]
    if build.breast > 0:
        level = apex - 0.70 * build.lung_height
        for s in (RIGHT, LEFT):
            if s != build.no_breast:
                shapes.append(
                    Ellipsoid(
                        (s * 0.56 * build.half_width, -trunk + 6, level),
                        (52 + 0.5 * build.fat, build.breast + 8, 52 + 0.4 * build.fat),
                    )
                )
    return shapes


def _gas(build: Build, base: float, dome: float, pose: Pose) -> list[Shape]:
    """Gas in the stomach and sometimes in the colon."""
    rng = np.random.default_rng([build.seed, 3])
    wide, flat = rng.uniform(16, 30), rng.uniform(7, 15)
    drop = 9 + flat + rng.uniform(0, 6)
    shapes: list[Shape] = [
        Ellipsoid(
            (0.46 * build.half_width, -18, dome - drop),
            (wide, 20, flat * (0.6 if pose.supine else 1)),
        )
    ]
    for _ in range(int(rng.integers(0, 3))):
        shapes.append(
            Ellipsoid(
                (rng.uniform(-0.7, 0.8) * build.half_width, -45, base - rng.uniform(30, 80)),
                (rng.uniform(12, 26), 15, rng.uniform(9, 15)),
            )
        )
    return shapes


def shifted(shape: Shape, by: float) -> Shape:
    """The same body moved along x."""
    if isinstance(shape, Ellipsoid):
        x, y, z = shape.center
        return replace(shape, center=(x + by, y, z))
    return replace(shape, cx=shape.cx + np.float32(by))
