"""Branching vessels of the lungs and the air in windpipe and bronchi."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from medembed.sources.synthetic.body import Chest, Curves, Lung
from medembed.sources.synthetic.shapes import Floats

__all__ = ["N_TREES", "airways", "lung_vessels", "trachea_x"]

N_TREES = 10
_EDGES = (0.0, 0.9, 1.5, 2.4, 3.8, 20.0)


@dataclass(frozen=True, eq=False)
class _Tree:
    """Points (n, 3) in fractions of the lung, their radius (n,) and share of a branch (n,), mm."""

    points: Floats
    radius: Floats
    step: Floats


@lru_cache(maxsize=2 * N_TREES)
def _tree(number: int, side: int) -> _Tree:
    """Grow one tree by repeatedly splitting its tips along their longest axis."""
    rng = np.random.default_rng([77, number, side + 1])
    tips = np.stack(
        [
            rng.uniform(-0.93, 0.93, 400),
            rng.uniform(-0.93, 0.93, 400),
            rng.uniform(0.02, 0.97, 400),
        ],
        1,
    )
    tips = tips[tips[:, 0] ** 2 + tips[:, 1] ** 2 < 0.92][:190]
    scale = np.array([58.0, 85.0, 240.0])  # mm per fraction: an average lung
    points, radii, steps = [], [], []
    stack = [(np.array([-0.80, 0.05, 0.44]), tips, np.array([0.6, 0.0, 0.0]))]
    while stack:
        start, group, heading = stack.pop()
        n = len(group)
        center = group.mean(0)
        end = start + (center - start) * (0.42 if n > 1 else 1.0)
        length = float(np.linalg.norm((end - start) * scale))
        count = max(2, int(length / 0.9))
        t = (np.arange(count) + 0.5)[:, None] / count
        bend = np.clip(0.25 * np.linalg.norm(end - start), 0, 0.2)
        path = start * (1 - t) + end * t + heading * bend * t * (1 - t) * 2
        radius = 0.85 * n**0.40
        points.append(path)
        radii.append(np.full(count, radius) * (1 - 0.12 * t[:, 0]))
        steps.append(np.full(count, length / count))
        if n > 1:
            axis = int(np.argmax(((group - center) * scale).std(0)))
            order = np.argsort(group[:, axis])
            cut = int(np.clip(n * rng.uniform(0.35, 0.65), 1, n - 1))
            way = (end - start) / (np.linalg.norm(end - start) + 1e-6)
            stack.append((end, group[order[:cut]], way))
            stack.append((end, group[order[cut:]], way))
    joined = np.concatenate(points)
    joined[:, 0] *= side  # fractions grow away from the midline
    return _Tree(
        joined.astype(np.float32),
        np.concatenate(radii).astype(np.float32),
        np.concatenate(steps).astype(np.float32),
    )


def lung_vessels(chest: Chest, lung: Lung) -> list[Curves]:
    """Vessels of one lung, in the lung in its current shape (collapsed, displaced or not)."""
    tree = _tree((chest.build.tree + lung.side) % N_TREES, lung.side)
    stack = lung.aerated
    points = stack.place(tree.points)
    upper = tree.points[:, 2] < 0.40
    factor = np.where(upper, lung.upper_vessels, 1.0) * lung.vessels
    if not chest.pose.supine:
        factor = factor * np.where(upper, 0.8, 1.1)
    volume = 1.4 * np.pi * tree.radius**2 * tree.step * factor * (1 - lung.density)
    for solid in chest.solids:
        volume = np.where(solid.contains(points[:, 0], points[:, 1], points[:, 2]), 0, volume)
    groups = []
    for low, high in pairwise(_EDGES):
        member = (tree.radius >= low) & (tree.radius < high)
        if member.any():
            groups.append(
                Curves(
                    points[member],
                    volume[member].astype(np.float32),
                    float(tree.radius[member].mean()),
                )
            )
    return groups


def trachea_x(chest: Chest, z: Floats) -> Floats:
    """Course of the windpipe: slightly right of the arch, following the spine."""
    arch = chest.apex_z - 0.27 * (chest.apex_z - chest.base_z)
    push = -4 * chest.build.aorta * np.exp(-(((z - arch) / 25) ** 2))
    return (push + 0.8 * chest.shift + 0.5 * np.interp(z, *chest.spine_x)).astype(np.float32)


def carina_z(chest: Chest) -> float:
    """Height of the bifurcation."""
    return chest.apex_z - 0.37 * (chest.apex_z - chest.base_z)


def airways(chest: Chest) -> list[Curves]:
    """Air of the windpipe and main bronchi, subtracted from the mediastinum."""
    fork = carina_z(chest)
    z = np.arange(fork, chest.apex_z + 70, 0.8, dtype=np.float32)
    trunk = np.stack([trachea_x(chest, z), np.full_like(z, 12), z], 1)
    out = [Curves(trunk, np.full(len(z), -np.pi * 8.5**2 * 0.8, np.float32), 7.5)]
    for side, length, drop in ((-1, 38, 0.75), (1, 48, 0.5)):
        t = np.arange(0, length, 0.8, dtype=np.float32)
        x0 = float(trachea_x(chest, np.array([fork], np.float32))[0])
        branch = np.stack([x0 + side * t * 0.8, 12 + 0.1 * t, fork - drop * t], 1)
        volume = np.full(len(t), -np.pi * 5.5**2 * 0.8, np.float32)
        out.append(Curves(branch.astype(np.float32), volume, 5.0))
    return out
