"""What a finding does to a chest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from medembed.sources.synthetic.anatomy import organs
from medembed.sources.synthetic.body import (
    LEFT,
    RIGHT,
    Build,
    Chest,
    Clouds,
    Curves,
    Lung,
    Pose,
)
from medembed.sources.synthetic.devices import place_device
from medembed.sources.synthetic.shapes import Ellipsoid, Floats, Stack
from medembed.sources.synthetic.skeleton import Break, bones, rib_path
from medembed.sources.synthetic.vessels import airways, lung_vessels

__all__ = ["Lesion", "build_chest"]


@dataclass(frozen=True)
class Lesion:
    """One finding as it is: the truth that image and report both follow.

    Parameters
    ----------
    label : str
        One of ``medembed.notes.FINDINGS``, or ``"other"`` for what is no finding of them.
    side : {"left", "right", "bilateral", ""}
        The patient's side.
    place : str
        Lobe, rib or position in words, side left out; may be empty.
    degree : {"mild", "moderate", "severe"}
    size : float
        Diameter, depth, rim or step in mm, as the label has it; the cardiothoracic ratio for
        cardiomegaly; 0 where none fits.
    kind : str
        Kind of device, pattern of atelectasis, and so on.
    spot : tuple of float
        Place in fractions of the lung: across (away from the midline), back, down from the apex.
    ribs : tuple of int
        Broken ribs; 0 is the clavicle.
    seed : int
        Of the finding's own irregularities, kept from study to study.
    """

    label: str
    side: str = ""
    place: str = ""
    degree: str = "moderate"
    size: float = 0.0
    kind: str = ""
    spot: tuple[float, float, float] = (0.0, 0.0, 0.5)
    ribs: tuple[int, ...] = ()
    seed: int = 0

    @property
    def sides(self) -> tuple[int, ...]:
        """-1 for right, 1 for left, both for bilateral."""
        return {"right": (RIGHT,), "left": (LEFT,), "bilateral": (RIGHT, LEFT)}.get(self.side, ())

    @property
    def grade(self) -> int:
        """0 mild, 1 moderate, 2 severe."""
        return ("mild", "moderate", "severe").index(self.degree)


def build_chest(build: Build, pose: Pose, lesions: tuple[Lesion, ...], detail: float) -> Chest:
    """Build a patient's chest with findings.

    Parameters
    ----------
    build, pose
    lesions : tuple of Lesion
    detail : float
        Density of the bones' points; 1 suits pixels of 1.5 mm.
    """
    chest = _organs_with(build, pose, lesions)
    for lesion in lesions:
        for side in lesion.sides:
            if lesion.label == "effusion":
                _effusion(chest, chest.lungs[side], lesion)
            elif lesion.label == "pneumothorax":
                _pneumothorax(chest.lungs[side], lesion)
    breaks: list[Break] = []
    for lesion in lesions:
        rng = np.random.default_rng([lesion.seed, 1])
        if lesion.label in _IN_LUNG:
            for side in lesion.sides or (RIGHT, LEFT):
                _IN_LUNG[lesion.label](chest, chest.lungs[side], lesion, rng)
        elif lesion.label == "fracture":
            breaks.extend(_fracture(chest, lesion, rng))
        elif lesion.label in ("support device", "other"):
            place_device(chest, lesion.kind, lesion.side, lesion.place, rng)
    chest.bones = bones(chest, breaks, detail)
    chest.airways = airways(chest)
    for lung in chest.lungs.values():
        lung.curves.extend(lung_vessels(chest, lung))
    return chest


def _organs_with(build: Build, pose: Pose, lesions: tuple[Lesion, ...]) -> Chest:
    """Organs as the findings deform them: heart, domes, mediastinum, volume."""
    ratio, breath, flat, shift = build.ratio, pose.breath, 1.0, 0.0
    raised = {RIGHT: 0.0, LEFT: 0.0}
    density, vessels, upper = 0.25, 1.0, 1.0
    for lesion in lesions:
        if lesion.label == "cardiomegaly":
            ratio = max(ratio, lesion.size)
        elif lesion.label == "emphysema":
            breath *= 1.05 + 0.035 * lesion.grade
            flat *= (0.72, 0.52, 0.34)[lesion.grade]
            ratio -= 0.02 + 0.01 * lesion.grade
            density = (0.19, 0.15, 0.11)[lesion.grade]
            vessels *= (0.8, 0.65, 0.5)[lesion.grade]
            build = replace(build, half_depth=build.half_depth + 4 + 4 * lesion.grade)
        elif lesion.label == "fibrosis":
            breath *= (0.97, 0.93, 0.88)[lesion.grade]
        elif lesion.label == "oedema":
            density = max(density, (0.27, 0.30, 0.33)[lesion.grade])
            vessels *= 1.2
            upper *= (1.5, 1.8, 2.0)[lesion.grade]
        elif lesion.label == "atelectasis":
            for side in lesion.sides:
                raised[side] += (9.0, 20.0, 33.0)[lesion.grade]
                if len(lesion.sides) == 1:
                    shift += side * (0.0, 7.0, 17.0)[lesion.grade]
        elif (
            lesion.label in ("pneumothorax", "effusion")
            and lesion.grade == 2
            and len(lesion.sides) == 1
        ):
            shift -= lesion.sides[0] * 12.0
    chest = organs(
        build,
        replace(pose, breath=breath),
        ratio=ratio,
        raised=(raised[RIGHT], raised[LEFT]),
        shift=shift,
        flat=flat,
    )
    for lung in chest.lungs.values():
        lung.density, lung.vessels, lung.upper_vessels = density, vessels, upper
    return chest


def _effusion(chest: Chest, lung: Lung, lesion: Lesion) -> None:
    """Fluid between lung and wall: a meniscus upright, a layer behind the lung lying down."""
    wall, side = lung.wall, lung.side
    depth = lesion.size * (0.8 if lesion.side == "bilateral" and side == LEFT else 1.0)
    rise = wall.z - chest.base_z
    top, bottom = depth, 0.55 * depth
    if chest.pose.supine:
        top, bottom = 0.8 * depth, 0.30 * depth
    share = np.clip((rise - bottom) / (top - bottom), 0, 1) ** 0.27
    share = np.where(rise < bottom, 0, share).astype(np.float32)
    rx, ry = wall.rx * share, wall.ry * (0.35 + 0.65 * share)
    cx = wall.cx - side * (wall.rx - rx)
    cy = wall.cy - (wall.ry - ry)
    if chest.pose.supine:
        fall = np.clip(1.25 - rise / (0.95 * chest.build.lung_height), 0, 1)
        layer = np.minimum(0.30 * depth * fall, 1.1 * ry).astype(np.float32)
        ry = ry - layer / 2
        cy = cy - layer / 2
    lung.aerated = Stack(
        wall.z,
        cx.astype(np.float32),
        cy.astype(np.float32),
        rx.astype(np.float32),
        ry.astype(np.float32),
        wall.power,
    )
    lung.pleural_density = 1.0


def _pneumothorax(lung: Lung, lesion: Lesion) -> None:
    """Air between lung and wall: the lung drawn in towards its hilum."""
    wall, side = lung.wall, lung.side
    rim = lesion.size
    width = 2 * float(wall.rx.max())
    apex, base = float(wall.z[-1]), float(wall.z[0])
    hilum_z = apex - 0.50 * (apex - base)
    across = max(0.25, 1 - rim / width)
    upward = max(0.30, 1 - 1.35 * rim / (apex - hilum_z))
    downward = max(0.45, 1 - 0.55 * rim / (hilum_z - base))
    z = wall.z
    source = np.where(
        z > hilum_z, hilum_z + (z - hilum_z) / upward, hilum_z + (z - hilum_z) / downward
    )
    cx, cy, rx, ry = wall.at(source.astype(np.float32))
    hilum_x = side * 12.0
    cx = hilum_x + (cx - hilum_x) * across
    deep = 0.5 + 0.5 * across
    lung.aerated = Stack(
        z,
        cx.astype(np.float32),
        (10 + (cy - 10) * deep).astype(np.float32),
        (rx * across).astype(np.float32),
        (ry * deep).astype(np.float32),
        wall.power,
    )
    lung.pleural_density = 0.0
    lung.visceral_line = True
    lung.density = min(0.75, lung.density / (across * deep * (upward + downward) / 2) ** 0.8)


def _spot(lung: Lung, lesion: Lesion) -> Floats:
    """Centre (3,) of a finding in mm; the second of a bilateral pair is displaced a little."""
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
    centres = _spot(lung, lesion) + rng.normal(0, 0.44 * radius, (n, 3)) * [1.0, 1.0, 0.9]
    sigma = radius * rng.uniform(0.16, 0.38, (n, 1)) * np.ones((1, 3))
    strength = (0.26, 0.32, 0.38)[lesion.grade] * rng.uniform(0.4, 1.6, n)
    lung.clouds.append(_clouds(centres, sigma, strength))


def _clouds(
    centres: npt.NDArray[np.floating],
    sigmas: npt.NDArray[np.floating],
    amplitudes: npt.NDArray[np.floating],
) -> Clouds:
    return Clouds(
        centres.astype(np.float32), sigmas.astype(np.float32), amplitudes.astype(np.float32)
    )


def _nodule(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A round shadow, a little lobed."""
    del chest
    x, y, z = _spot(lung, lesion)
    radius = lesion.size / 2
    lung.solids.append(Ellipsoid((x, y, z), (radius, radius * 1.1, radius * 0.95)))
    for _ in range(2):
        dx, dy, dz = rng.normal(0, 0.22 * radius, 3)
        r = radius * rng.uniform(0.7, 0.9)
        lung.solids.append(Ellipsoid((x + dx, y + dy, z + dz), (r, r, r)))


def _mass(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A large lobed shadow with spicules."""
    del chest
    centre = _spot(lung, lesion)
    radius = lesion.size / 2
    for _ in range(6):
        x, y, z = centre + rng.normal(0, 0.26 * radius, 3)
        a, b, c = radius * rng.uniform(0.55, 0.85, 3)
        lung.solids.append(Ellipsoid((x, y, z), (a, b, c), float(rng.uniform(-0.7, 0.7))))
    way = rng.normal(size=(26, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    t = np.linspace(0.8, 1.45, 22)[None, :, None]
    points = (centre + way[:, None] * t * radius).reshape(-1, 3)
    volume = np.full(len(points), 4.5 * 0.65 * radius / 22, np.float32)
    lung.curves.append(Curves(points.astype(np.float32), volume, 0.9))


def _atelectasis(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """Bands when mild; a collapsed wedge at the base or the apex when more."""
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


def _oedema(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """Haze about the hilum, and septal lines at the base."""
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
        centre = lung.aerated.place(np.array([where], dtype=np.float32))[0]
        radius = rng.uniform(9, 14 + 5 * lesion.grade)
        lung.clouds.append(
            _clouds(centre[None], np.full((1, 3), radius), np.array([-0.9 * lung.density]))
        )
        lung.curves.append(_ring(centre, radius * 1.25, 3.2))


def _ring(centre: npt.NDArray[np.floating], radius: float, per_mm: float) -> Curves:
    """A circle in the frontal plane."""
    turn = np.arange(0, 2 * np.pi, 0.7 / radius)
    circle = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1) * radius + centre
    volume = np.full(len(turn), per_mm * 0.7, np.float32)
    return Curves(circle.astype(np.float32), volume, 0.7)


def _fibrosis(chest: Chest, lung: Lung, lesion: Lesion, rng: np.random.Generator) -> None:
    """A net of short lines and small rings, at the bases and the edge of the lung."""
    del chest
    n = (420, 760, 1200)[lesion.grade]
    angle, out = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.5, 0.97, n)
    down = np.clip(0.90 - np.abs(rng.normal(0, 0.17 + 0.06 * lesion.grade, n)), 0.08, 0.95)
    normal = np.stack([out * np.cos(angle), out * np.sin(angle), down], 1).astype(np.float32)
    centre = lung.aerated.place(normal)
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    t = np.linspace(-1, 1, 12)[None, :, None] * rng.uniform(3, 7.5, (n, 1, 1))
    points = (centre[:, None] + way[:, None] * t).reshape(-1, 3)
    volume = np.full(len(points), 3.4, np.float32)
    lung.curves.append(Curves(points.astype(np.float32), volume, 0.7))
    for spot in centre[: 16 + 26 * lesion.grade]:
        lung.curves.append(_ring(spot, float(rng.uniform(2.2, 4.5)), 3.0))
    strength = (0.05, 0.08, 0.11)[lesion.grade] * rng.uniform(-0.2, 1.4, 60)
    lung.clouds.append(_clouds(centre[-60:], np.full((60, 3), 9.0), strength))


def _fracture(chest: Chest, lesion: Lesion, rng: np.random.Generator) -> list[Break]:
    """Displaced ribs with blood at the wall, callus when old; or a clavicle."""
    breaks = []
    for side in lesion.sides:
        for rib in lesion.ribs:
            if rib == 0:
                breaks.append(Break(side, 0, 0.5, lesion.size))
                middle = side * (16 + 0.5 * (chest.build.half_width + 14))
                blood = Ellipsoid((middle, -50, chest.apex_z - 26), (26, 14, 17))
                chest.wall_tissue.append((blood, 0.6))
                continue
            where = float(np.clip(lesion.spot[0] + rng.normal(0, 0.012), 0.3, 0.7))
            old = lesion.kind == "healed"
            step = lesion.size * rng.uniform(0.85, 1.15)
            breaks.append(Break(side, rib, where, step, callus=old))
            if not old:
                path = rib_path(chest, side, rib, 100)
                x, y, z = path[int(where * 100)]
                thick = 10 + 3.0 * lesion.grade
                blood = Ellipsoid((float(x) - side * 4, float(y), float(z) - 3), (thick, 24, 21))
                chest.wall_tissue.append((blood, 0.95))
    return breaks


_IN_LUNG = {
    "consolidation": _consolidation,
    "nodule": _nodule,
    "mass": _mass,
    "atelectasis": _atelectasis,
    "oedema": _oedema,
    "emphysema": _emphysema,
    "fibrosis": _fibrosis,
}
