"""Devices in and on the chest, and visible traces that are not findings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medembed.sources.synthetic.body import LEFT, RIGHT, Chest, Curves
from medembed.sources.synthetic.shapes import Floats
from medembed.sources.synthetic.vessels import carina_z, trachea_x

__all__ = ["DEVICES", "place_device"]

DEVICES = (
    "pacemaker",
    "central line",
    "endotracheal tube",
    "chest tube",
    "port",
    "nasogastric tube",
)
"""Kinds of support device."""


def _smooth(knots: Sequence[Sequence[float]], step: float = 0.6) -> Floats:
    """Catmull-Rom curve (n, 3) through knots."""
    k = np.asarray(knots, dtype=np.float32)
    k = np.concatenate([2 * k[:1] - k[1:2], k, 2 * k[-1:] - k[-2:-1]])
    parts = []
    for a, b, c, d in zip(k[:-3], k[1:-2], k[2:-1], k[3:], strict=True):
        count = max(2, int(np.linalg.norm(c - b) / step))
        t = (np.arange(count, dtype=np.float32) / count)[:, None]
        parts.append(
            0.5
            * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
               + (3 * b - a - 3 * c + d) * t**3)
        )  # fmt: skip
    return np.concatenate(parts).astype(np.float32)


def _wire(knots: Sequence[Sequence[float]], radius: float, strength: float) -> Curves:
    """A round wire or tube; ``strength`` is its attenuation over water's."""
    path = _smooth(knots)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1)
    step = np.concatenate([length, length[-1:]])
    volume = np.pi * radius**2 * step * strength
    return Curves(path, volume.astype(np.float32), radius)


def _plate(center: Sequence[float], width: float, height: float, depth_mm: float) -> Curves:
    """A rounded metal can in the frontal plane; ``depth_mm`` in mm of water."""
    x, z = np.meshgrid(
        np.arange(-width / 2, width / 2, 0.7), np.arange(-height / 2, height / 2, 0.7)
    )
    inside = (np.abs(x) / (width / 2)) ** 4 + (np.abs(z) / (height / 2)) ** 4 < 1
    x, z = x[inside], z[inside]
    points = np.stack([x, 0 * x, z], 1) + np.asarray(center)
    volume = np.full(len(x), 0.49 * depth_mm, np.float32)
    return Curves(points.astype(np.float32), volume, 0.4)


def place_device(chest: Chest, kind: str, side: str, place: str, rng: np.random.Generator) -> None:
    """Put one device (or a trace of an operation) into the chest.

    Parameters
    ----------
    chest : Chest
    kind : str
        One of :data:`DEVICES`, ``"sternotomy"`` or ``"granuloma"``.
    side : {"left", "right", ""}
        Side of entry or of the device.
    place : str
        Position of its tip, correct or not, in words.
    rng : numpy Generator
        Of its irregularities.
    """
    s = RIGHT if side == "right" else LEFT
    chest.metal.extend(_PLACERS[kind](chest, s, place, rng))


def _cava(chest: Chest) -> tuple[float, float, float]:
    """Right border x, and heights of the cava's upper and lower end."""
    arch = chest.apex_z - 0.27 * (chest.apex_z - chest.base_z)
    return -20.0 + 0.8 * chest.shift, arch + 8, carina_z(chest) - 34


def _pacemaker(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    front = -chest.build.half_depth - 8
    x, top = s * 0.66 * chest.build.half_width, chest.apex_z - 58
    cava, high, low = _cava(chest)
    tip_z = chest.dome_z - 2 + rng.normal(0, 3)
    tip_x = 0.30 * chest.heart_width + chest.shift
    out = [_plate([x, front, top], 46, 42, 260.0)]
    shoulder = [s * 0.62 * chest.build.half_width, front + 6, chest.apex_z - 24]
    inner = [s * 30, -30, chest.apex_z - 26]
    out.append(
        _wire(
            [[x, front, top + 16], shoulder, inner, [cava, -15, high], [cava - 2, -15, low],
             [cava + 6, -24, low - 45], [0.1 * tip_x, -40, tip_z + 4], [tip_x, -48, tip_z]],
            1.3, 14.0,
        )
    )  # fmt: skip
    if place == "dual":
        out.append(
            _wire(
                [[x + 6 * s, front, top + 14], shoulder, inner, [cava - 3, -12, high],
                 [cava - 4, -12, low], [cava - 8, -30, low - 36], [cava - 2, -42, low - 14]],
                1.3, 14.0,
            )
        )  # fmt: skip
    return out


def _tip(chest: Chest, place: str) -> float:
    """Height of a catheter's tip."""
    _, high, low = _cava(chest)
    return {"right atrium": low - 48, "brachiocephalic vein": high + 4}.get(place, low + 6)


def _central_line(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    cava, high, _ = _cava(chest)
    tip = _tip(chest, place)
    start = [s * (34 + rng.normal(0, 3)), -20, chest.apex_z + 70]
    knots = [start, [s * 27, -20, chest.apex_z + 5], [0.5 * (s * 20 + cava), -18, high + 22]]
    if s == LEFT:
        knots.append([0.4 * cava + 4, -18, high + 8])
    if tip < high - 6:
        knots.append([cava, -15, high - 6])
    knots.append([cava - 1, -15, tip])
    return [_wire(knots, 1.5, 9.0)]


def _port(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    front = -chest.build.half_depth - 6
    cava, high, _ = _cava(chest)
    x, z = s * 0.58 * chest.build.half_width, chest.apex_z - 66 + rng.normal(0, 5)
    turn = np.arange(0, 2 * np.pi, 0.05)
    ring = np.stack([x + 12 * np.cos(turn), 0 * turn + front, z + 12 * np.sin(turn)], 1)
    return [
        Curves(ring.astype(np.float32), np.full(len(turn), 60.0, np.float32), 1.6),
        _plate([x, front, z], 15, 15, 90.0),
        _wire(
            [[x, front, z + 10], [s * 0.42 * chest.build.half_width, front + 8, chest.apex_z - 16],
             [s * 26, -25, chest.apex_z - 14], [cava, -15, high - 8],
             [cava - 1, -15, _tip(chest, place)]],
            1.2, 8.0,
        ),
    ]  # fmt: skip


def _endotracheal(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    del s
    fork = carina_z(chest)
    tip = fork + {"high": 78.0, "low": 8.0}.get(place, 42.0) + rng.normal(0, 2)
    z = np.linspace(chest.apex_z + 90, tip, 9).astype(np.float32)
    x = trachea_x(chest, z)
    lines = []
    for off, radius, strength in ((-4.5, 0.8, 5.0), (4.5, 0.8, 5.0), (3.2, 1.0, 9.0)):
        lines.append(
            _wire(
                [[float(a) + off, 12, float(b)] for a, b in zip(x, z, strict=True)],
                radius,
                strength,
            )
        )
    return lines


def _chest_tube(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    wide = chest.build.half_width
    enter = chest.base_z + 0.34 * chest.build.lung_height + rng.normal(0, 6)
    if place == "apex":
        end = [[s * 0.78 * wide, 10, enter + 70], [s * 0.40 * wide, 15, chest.apex_z - 34]]
    else:
        end = [[s * 0.72 * wide, 30, enter - 6], [s * 0.34 * wide, 45, chest.base_z + 56]]
    knots = [[s * (wide + 60), -10, enter - 50], [s * (wide + 8), 0, enter], *end]
    return [_wire(knots, 4.2, 0.9), _wire(knots, 1.2, 10.0)]


def _nasogastric(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    del s, place
    fork = carina_z(chest)
    foot = chest.dome_z - 30
    return [
        _wire(
            [[3, 25, chest.apex_z + 90], [4, 28, fork + 30], [2 + rng.normal(0, 2), 30, fork - 40],
             [10, 25, foot + 20], [30, 5, foot - 12], [62, -15, foot - 26]],
            1.5, 7.0,
        )
    ]  # fmt: skip


def _sternotomy(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    del s, place
    front = -chest.build.half_depth
    out = []
    turn = np.arange(0, 2 * np.pi, 0.06)
    for i in range(6):
        z = chest.apex_z - 44 - i * 0.105 * chest.build.lung_height
        tilt = rng.normal(0, 0.25)
        wide, tall = rng.uniform(8, 11), rng.uniform(4, 6)
        x = wide * np.cos(turn)
        ring = np.stack([x, 0 * turn + front, z + tall * np.sin(turn) + tilt * x], 1)
        out.append(Curves(ring.astype(np.float32), np.full(len(turn), 15.0, np.float32), 0.6))
    return out


def _granuloma(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    down = {"upper": 0.28, "mid": 0.46, "lower": 0.64}[place]
    where = np.array([[s * rng.uniform(0.05, 0.55), rng.uniform(-0.3, 0.3), down]], np.float32)
    center = chest.lungs[s].aerated.place(where)[0]
    points = center + rng.normal(0, 1.7, (120, 3))
    return [Curves(points.astype(np.float32), np.full(120, 8.0, np.float32), 0.8)]


def _knob(chest: Chest, s: int, place: str, rng: np.random.Generator) -> list[Curves]:
    """Calcification of the aortic arch."""
    del s, place, rng
    arch = chest.apex_z - 0.27 * (chest.apex_z - chest.base_z)
    size = chest.build.aorta
    turn = np.arange(-0.9, 1.5, 0.04)
    x = 20 + 5 * size + 15 * size * np.cos(turn) + 0.8 * chest.shift
    curve = np.stack([x, 0 * turn + 14, arch + 14 * size * np.sin(turn)], 1)
    return [Curves(curve.astype(np.float32), np.full(len(turn), 10.0, np.float32), 0.9)]


_PLACERS = {
    "pacemaker": _pacemaker,
    "central line": _central_line,
    "port": _port,
    "endotracheal tube": _endotracheal,
    "chest tube": _chest_tube,
    "nasogastric tube": _nasogastric,
    "sternotomy": _sternotomy,
    "granuloma": _granuloma,
    "calcified aorta": _knob,
}
