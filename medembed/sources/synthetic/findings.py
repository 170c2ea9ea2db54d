"""Effects of findings on a chest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medembed.sources.synthetic.anatomy import organs
from medembed.sources.synthetic.body import (
    LEFT,
    RIGHT,
    Build,
    Chest,
    Lung,
    Pose,
)
from medembed.sources.synthetic.devices import place_device
from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.opacities import IN_LUNG
from medembed.sources.synthetic.shapes import Ellipsoid, Stack
from medembed.sources.synthetic.skeleton import Break, bones, rib_path
from medembed.sources.synthetic.vessels import airways, lung_vessels

__all__ = ["build_chest"]


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
        if lesion.label in IN_LUNG:
            for side in lesion.sides or (RIGHT, LEFT):
                IN_LUNG[lesion.label](chest, chest.lungs[side], lesion, rng)
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
        elif lesion.label == "edema":
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
    """Air between lung and wall: the lung drawn in toward its hilum."""
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
                thick = 12 + 3.0 * lesion.grade
                blood = Ellipsoid((float(x) - side * 4, float(y), float(z) - 3), (thick, 26, 22))
                chest.wall_tissue.append((blood, 0.95))
    return breaks
