"""Bones as clouds of weighted points: ribs, spine, clavicles, scapulae, sternum.

A point's volume is the water-equivalent it adds to soft tissue: mm³ of bone times the excess of its
attenuation over water at diagnostic energies (about 1.7 for cortex, 0.35 for marrow).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.sources.synthetic.anatomy import spine_y
from medembed.sources.synthetic.body import Chest, Curves
from medembed.sources.synthetic.shapes import Floats

__all__ = ["Break", "bones", "rib_path"]

Reals = npt.NDArray[np.floating]
CORTEX, MARROW = 1.7, 0.4
N_RIBS = 11


@dataclass(frozen=True)
class Break:
    """A fracture.

    Parameters
    ----------
    side : {-1, 1}
    rib : int
        1 to 11; 0 is the clavicle.
    where : float
        Share of the bone's length from its back (inner) end.
    step_mm : float
        Downward displacement of the outer part.
    callus : bool
        Whether it is old, with new bone around it.
    """

    side: int
    rib: int
    where: float
    step_mm: float
    callus: bool = False


def rib_path(chest: Chest, side: int, rib: int, n: int) -> Floats:
    """Center line (n, 3) of a rib in mm, from the spine around to the front."""
    wall = chest.lungs[side].wall
    build = chest.build
    apex, height = chest.apex_z, build.lung_height
    start = apex + 6 - (rib - 1) * height * 0.098
    end = 2.62 if rib <= 8 else 2.62 - 0.42 * (rib - 8)
    angle = np.linspace(0.1, end, n)
    fall = np.interp(rib, [1, 3, 6, 11], [34, 66, 92, 95]) * height / 235
    z = start + 5 * np.sin(angle * 1.3) - fall * (1 - np.cos(angle)) / 2
    lateral = np.interp(z, wall.z, np.abs(wall.cx) + wall.rx)
    deep = np.interp(z, wall.z, wall.ry)
    back = np.interp(z, wall.z, wall.cy)
    over_top = np.clip((z - (apex - 12)) / 20, 0, 1)
    lateral = lateral + 5 + 14 * over_top
    deep = np.maximum(deep, 20) + 5 + 12 * over_top
    power = 2 / 2.3
    x = np.abs(np.sin(angle)) ** power * lateral
    y = back + np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * deep
    x = np.maximum(x, 17)
    return np.stack([side * x, y, z], 1).astype(np.float32)


def _frame(path: Floats) -> tuple[Floats, Floats, Floats]:
    """Tangent, upward and outward unit vectors along a path (n, 3)."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    up = np.array([0, 0, 1], np.float32) - tangent[:, 2:3] * tangent
    up /= np.linalg.norm(up, axis=1, keepdims=True) + 1e-6
    return tangent, up, np.cross(tangent, up)


def _tube(path: Floats, tall: Reals, wide: Reals, cortex: float, around: int) -> Curves:
    """Shell and marrow of a bone along a path; half axes ``tall`` and ``wide`` (n,) in mm."""
    _, up, out = _frame(path)
    n = len(path)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1)
    step = np.concatenate([length, length[-1:]]).astype(np.float32)
    turn = (np.arange(around) + 0.5) * (2 * np.pi / around)
    turn = turn[None, :] + (np.arange(n) % 2)[:, None] * (np.pi / around)
    turn = turn.astype(np.float32)
    tall, wide = tall.astype(np.float32), wide.astype(np.float32)
    rise, side = np.sin(turn) * tall[:, None], np.cos(turn) * wide[:, None]
    shell = path[:, None] + rise[..., None] * up[:, None] + side[..., None] * out[:, None]
    arc = np.hypot(np.cos(turn) * tall[:, None], np.sin(turn) * wide[:, None])
    shell_volume = arc * (2 * np.pi / around) * step[:, None] * cortex * CORTEX
    inner = path[:, None] + 0.55 * (
        rise[:, ::2, None] * up[:, None] + side[:, ::2, None] * out[:, None]
    )
    marrow = np.pi * tall * wide * step * MARROW / (around / 2)
    volumes = np.concatenate([shell_volume.ravel(), np.repeat(marrow, inner.shape[1])])
    points = np.concatenate([shell.reshape(-1, 3), inner.reshape(-1, 3)])
    return Curves(points.astype(np.float32), volumes.astype(np.float32), 0.6)


def _broken(path: Floats, breaks: list[Break]) -> tuple[Floats, Floats]:
    """Path with its outer part displaced, and the swelling (n,) of the bone by callus."""
    path = path.copy()
    n = len(path)
    index = np.arange(n)
    swell = np.ones(n, np.float32)
    for fracture in breaks:
        at = int(fracture.where * n)
        beyond = index >= at
        fade = np.exp(-np.clip(index - at, 0, None) / ((0.7 if fracture.rib == 0 else 0.3) * n))
        path[beyond, 2] -= (fracture.step_mm * fade)[beyond].astype(np.float32)
        path[beyond] -= (
            0.25
            * fracture.step_mm
            * np.sign(path[beyond] * [1, 0, 0])
            * fade[beyond, None].astype(np.float32)
        )
        if fracture.callus:
            swell += (1.3 * np.exp(-(((index - at) / (0.03 * n)) ** 2))).astype(np.float32)
        else:
            gap = np.abs(index - at) < (0.008 + 0.0011 * fracture.step_mm) * n
            swell[gap] = 0.15
    return path.astype(np.float32), swell


def bones(chest: Chest, breaks: list[Break], detail: float = 1.0) -> list[Curves]:
    """All bones of the chest.

    Parameters
    ----------
    chest : Chest
        Its organs determine the position of the bones.
    breaks : list of Break
    detail : float
        Density of the points; 1 suits pixels of 1.5 mm.
    """
    parts: list[Curves] = []
    around = int(14 * detail)
    for side in (-1, 1):
        for rib in range(1, N_RIBS + 1):
            n = int(np.interp(rib, [1, 4, 8, 11], [105, 240, 255, 145]) * detail)
            path = rib_path(chest, side, rib, n)
            path, swell = _broken(path, [b for b in breaks if b.side == side and b.rib == rib])
            tall = np.interp(np.arange(n), [0, 0.5 * n, n], [5.0, 6.2, 6.6]) * swell
            wide = np.full(n, 3.4) * np.minimum(swell, 1.6)
            parts.append(_tube(path, tall, wide, 0.85, around))
        parts.extend(_girdle(chest, side, [b for b in breaks if b.side == side], detail))
    spine = _spine(chest, detail)
    points = np.concatenate([p.points for p in parts])
    volumes = np.concatenate([p.volumes for p in parts])
    return [Curves(points, volumes, 0.6), *spine]


def _girdle(chest: Chest, side: int, breaks: list[Break], detail: float) -> list[Curves]:
    """Clavicle, shoulder blade and head of the humerus."""
    build, apex = chest.build, chest.apex_z
    n = int(220 * detail)
    share = np.linspace(0, 1, n)
    reach = build.half_width + 14
    lift = 14 if chest.pose.arms_forward else 26
    front = -0.72 * build.half_depth
    path = np.stack(
        [
            side * (16 + share * reach),
            front + 55 * share + 12 * np.sin(2 * np.pi * share),
            apex - 30 + lift * share + 7 * np.sin(np.pi * share),
        ],
        1,
    ).astype(np.float32)
    path, swell = _broken(path, [b for b in breaks if b.rib == 0])
    ends = 1 + 0.45 * (2 * np.abs(share - 0.5)) ** 3
    parts = [_tube(path, 6.3 * ends * swell, 5.8 * ends * swell, 1.9, int(20 * detail))]
    # the shoulder blade: a triangle between glenoid, upper angle and lower angle
    inner = (0.93 if chest.pose.arms_forward else 0.66) * build.half_width
    outer = build.half_width + 26
    corners = np.array(
        [
            [side * outer, 30, apex - 22],
            [side * (inner + 10), 74, apex + 4],
            [side * (inner + 12), 84, apex - 140],
        ],
        dtype=np.float32,
    )
    k = int(60 * detail)
    a, b = np.meshgrid((np.arange(k) + 0.5) / k, (np.arange(k) + 0.5) / k)
    flip = a + b > 1
    a, b = np.where(flip, 1 - a, a).reshape(-1, 1), np.where(flip, 1 - b, b).reshape(-1, 1)
    blade = corners[0] + a * (corners[1] - corners[0]) + b * (corners[2] - corners[0])
    area = 0.5 * np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0]))
    edge = np.minimum(np.minimum(a, b), 1 - a - b).ravel()
    thick = 1.6 + 4.5 * np.exp(-edge / 0.05)
    volumes = thick * area / len(a) * 1.0
    parts.append(Curves(blade.astype(np.float32), volumes.astype(np.float32), 0.8))
    m = int(900 * detail)
    turn = np.arange(m) * 2.399963
    height = 1 - 2 * (np.arange(m) + 0.5) / m
    ring = np.sqrt(1 - height**2)
    ball = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], 1) * 23
    ball = ball + np.array([side * (outer + 22), 14, apex - 14])
    volume = np.full(m, 4 * np.pi * 23**2 / m * 2.2, np.float32)
    parts.append(Curves(ball.astype(np.float32), volume, 1.0))
    return parts


def _spine(chest: Chest, detail: float) -> list[Curves]:
    """Vertebral bodies with pedicles, spinous processes and spurs; the sternum."""
    build = chest.build
    spacing = build.lung_height * 0.098
    z_of = chest.apex_z + 20 - spacing * np.arange(16, dtype=np.float32)
    x_of = np.interp(z_of, *chest.spine_x)
    y_of = spine_y(build, z_of, chest.apex_z, chest.base_z)
    k = int(34 * detail)
    turn = np.arange(k) * (2 * np.pi / k)
    levels = np.linspace(-1, 1, int(17 * detail))
    a, h = np.meshgrid(turn, levels)
    waist = 1 - 0.12 * (1 - h**2)
    if build.degenerative:
        waist = waist + 0.28 * np.clip((np.abs(h) - 0.7) / 0.3, 0, 1) * (np.abs(np.cos(a)) > 0.6)
    wall = np.stack([np.cos(a) * waist, np.sin(a) * waist, h], -1).reshape(-1, 3)
    radius = np.sqrt((np.arange(k * 6) + 0.5) / (k * 6))
    spin = np.arange(k * 6) * 2.399963
    plate = np.stack([radius * np.cos(spin), radius * np.sin(spin), np.ones(k * 6)], 1)
    dense = 1.9 if build.degenerative else 1.0
    inner = np.concatenate(
        [plate * [1, 1, s] for s in (-0.78, -0.56, -0.33, -0.11, 0.11, 0.33, 0.56, 0.78)]
    )
    template = np.concatenate([wall, plate, plate * [1, 1, -1], inner])
    weights = np.concatenate(
        [
            np.full(len(wall), 1.0 * CORTEX * 100 * 21 / len(wall) * 0.45),
            np.full(2 * len(plate), 0.5 * CORTEX * 760 / len(plate) * dense),
            np.full(len(inner), 0.35 * MARROW * 760 * 20 / len(inner)),
        ]
    )
    parts = []
    for i, (x, y, z) in enumerate(zip(x_of, y_of, z_of, strict=True)):
        grow = 0.86 + 0.022 * i
        half = np.array([16 * grow, 14 * grow, 0.41 * spacing], np.float32)
        parts.append((template * half + [x, y, z], weights * grow**2))
        for side in (-1, 1):
            ring = np.stack([np.cos(turn) * 3.4, turn * 0, np.sin(turn) * 5.2], 1)
            ring = ring + np.array([x + side * 11 * grow, y + 20, z + 3])
            parts.append((ring, np.full(k, 420.0 / k)))
        blade = np.stack([np.cos(turn) * 2.6, 0 * turn, np.sin(turn) * 7], 1)
        process = np.concatenate(
            [blade + np.array([x, y + back, z - 5 - back / 6]) for back in (30, 36, 42)]
        )
        parts.append((process, np.full(len(process), 620.0 / len(process))))
    n = int(1500 * detail)
    spot = np.random.default_rng(11).random((n, 2))
    top, foot = chest.apex_z - 34, chest.apex_z - 34 - 0.66 * build.lung_height
    front = -build.half_depth + 3 + 26 * (1 - spot[:, 1]) ** 3
    wide = np.where(spot[:, 1] < 0.25, 24, 15)
    sternum = np.stack([(spot[:, 0] * 2 - 1) * wide, front, top + (foot - top) * spot[:, 1]], 1)
    parts.append((sternum, np.full(n, 11000.0 / n)))
    points = np.concatenate([p for p, _ in parts]).astype(np.float32)
    return [Curves(points, np.concatenate([w for _, w in parts]).astype(np.float32), 1.6)]
