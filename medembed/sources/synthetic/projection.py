"""Radiographs of a chest: Beer-Lambert, scatter, focal blur, noise, and a scanner's curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medembed.sources.synthetic.body import Chest, Curves, Lung
from medembed.sources.synthetic.shapes import Floats, Shape, Stack, View, covered

__all__ = ["Scanner", "make_view", "radiograph", "water_path"]

WATER_PER_MM = 0.0200
"""Attenuation of water for a filtered chest beam, about 120 kVp, per mm."""


@dataclass(frozen=True)
class Scanner:
    """Image characteristics of a scanner.

    Parameters
    ----------
    name, maker, model : str
        ``maker`` and ``model`` are written to the header.
    dose : float
        Quanta per mm² behind air, in thousands; fewer are noisier.
    scatter : float
        Share of scattered radiation behind the mediastinum.
    blur_mm : float
        Standard deviation of focal spot and detector.
    latitude : float
        Slope of the display curve; higher gives more contrast.
    edge : float
        Strength of the edge filter.
    inverted : bool
        Whether it stores MONOCHROME1.
    modality : {"DX", "CR"}
    """

    name: str
    maker: str
    model: str
    dose: float
    scatter: float
    blur_mm: float
    latitude: float
    edge: float
    inverted: bool
    modality: str


def make_view(name: str, chest: Chest, size: int, field_mm: float) -> View:
    """Place source and detector around a chest.

    Parameters
    ----------
    name : {"PA", "AP", "LATERAL"}
    chest : Chest
    size : int
        Rows and columns of the detector.
    field_mm : float
        Side of the detector.
    """
    build = chest.build
    front = build.half_depth + 25 + 0.7 * build.fat
    side = build.half_width + 35 + build.fat
    center = (chest.apex_z + chest.base_z) / 2 + 4
    source, detector = {
        "PA": (1830.0, -front),
        "AP": (1050.0, front),
        "LATERAL": (1830.0, side),
    }[name]
    return View(name, size, field_mm / size, center, source, detector, chest.pose.rotation)


def _box(view: View, shape: Shape) -> tuple[slice, slice]:
    """Rows and columns that a body's projection may touch."""
    low, high = shape.bounds()
    corners = np.array(
        [
            [x, y, z]
            for x in (low[0], high[0])
            for y in (low[1], high[1])
            for z in (low[2], high[2])
        ],
        dtype=np.float32,
    )
    rows, columns, _ = view.project(corners)
    top, foot = max(0, int(rows.min()) - 3), min(view.size, int(rows.max()) + 5)
    left, right = max(0, int(columns.min()) - 3), min(view.size, int(columns.max()) + 5)
    return slice(top, max(top, foot)), slice(left, max(left, right))


def _lung_path(view: View, chest: Chest, lung: Lung, total: Floats) -> None:
    """Subtract the air of one lung from ``total`` and add its contents."""
    rows, columns = _box(view, lung.wall)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    wall = lung.wall.chord(view, rows, columns)
    solids = [s.chord(view, rows, columns) for s in chest.solids]
    room = (wall[1] - wall[0]) - covered(wall, solids)
    change = -room
    if lung.aerated is not lung.wall:
        inner = lung.aerated.chord(view, rows, columns)
        inner = (np.clip(inner[0], *wall), np.clip(inner[1], *wall))
        air = (inner[1] - inner[0]) - covered(inner, solids)
        change = change + (room - air) * np.float32(lung.pleural_density)
        if lung.visceral_line:
            change = change + _pleural_line(view, lung, rows, columns, solids, wall, air)
    else:
        inner, air = wall, room
    change = change + air * np.float32(lung.density)
    free = air
    if lung.solids:
        more = [s.chord(view, rows, columns) for s in lung.solids]
        blocked = covered(inner, solids + more)
        free = np.maximum((inner[1] - inner[0]) - blocked, 0)
        change = change + (air - free) * np.float32(1.03 - lung.density)
    haze = _haze(view, lung, rows, columns)
    if haze is not None:
        fill = free * np.float32(1 - lung.density)
        gain = fill * (1 - np.exp(-np.maximum(haze, 0) / np.maximum(fill, 1e-3)))
        loss = np.maximum(np.minimum(haze, 0), -free * np.float32(lung.density * 0.9))
        change = change + gain + loss
    total[rows, columns] += change


def _pleural_line(
    view: View,
    lung: Lung,
    rows: slice,
    columns: slice,
    solids: list[tuple[Floats, Floats]],
    wall: tuple[Floats, Floats],
    air: Floats,
) -> Floats:
    """The visceral pleura with air on both sides, about 1 mm thick."""
    stack = lung.aerated
    grow = np.where(stack.rx > 0.5, np.float32(1.2), np.float32(0))
    outer = Stack(
        stack.z,
        stack.cx,
        stack.cy,
        stack.rx + grow,
        stack.ry + grow,
        stack.power,
    ).chord(view, rows, columns)
    cut = (np.clip(outer[0], *wall), np.clip(outer[1], *wall))
    shell = (cut[1] - cut[0]) - covered(cut, solids) - air
    return np.asarray(np.maximum(shell, 0), dtype=np.float32)


def _haze(view: View, lung: Lung, rows: slice, columns: slice) -> Floats | None:
    """Added path length of the lung's clouds: a sum of products of Gaussians."""
    if not lung.clouds:
        return None
    centers = np.concatenate([c.centers for c in lung.clouds])
    sigmas = np.concatenate([c.sigmas for c in lung.clouds])
    amplitudes = np.concatenate([c.amplitudes for c in lung.clouds])
    top, left, scale = view.project(centers)
    pixels = scale / np.float32(view.spacing_mm)
    sigma_rows = np.maximum(sigmas[:, 2] * pixels, 0.4)
    sigma_columns = np.maximum(sigmas[:, view.across] * pixels, 0.4)
    r = np.arange(rows.start, rows.stop, dtype=np.float32)
    c = np.arange(columns.start, columns.stop, dtype=np.float32)
    down = np.exp(-0.5 * ((r[:, None] - top) / sigma_rows) ** 2)  # (rows, n)
    along = np.exp(-0.5 * ((c[:, None] - left) / sigma_columns) ** 2)  # (columns, n)
    weight = amplitudes * sigmas[:, view.along] * np.float32(np.sqrt(2 * np.pi))
    return np.asarray((down * weight) @ along.T, dtype=np.float32)


def _lines(view: View, groups: list[Curves]) -> Floats:
    """Path length of curves, each group blurred to its own radius."""
    total = np.zeros((view.size, view.size), np.float32)
    by_radius: dict[float, list[Curves]] = {}
    for group in groups:
        by_radius.setdefault(round(group.radius * 2.5) / 2.5, []).append(group)
    for radius, members in by_radius.items():
        points = np.concatenate([m.points for m in members])
        volumes = np.concatenate([m.volumes for m in members])
        drawn = view.splat(points, volumes)
        sigma = 0.5 * radius * 1.1 / view.spacing_mm
        total += ndimage.gaussian_filter(drawn, sigma, truncate=3) if sigma > 0.25 else drawn
    return total


def water_path(chest: Chest, view: View) -> Floats:
    """Water-equivalent length along each ray, (rows, columns) in mm."""
    every = slice(0, view.size)
    total = covered(None, [s.chord(view, every, every) for s in chest.skin])
    soft = total > 0
    for lung in chest.lungs.values():
        _lung_path(view, chest, lung, total)
    for shape in chest.gas:
        rows, columns = _box(view, shape)
        near, far = shape.chord(view, rows, columns)
        total[rows, columns] -= 0.9 * (far - near)
    for shape, density in chest.wall_tissue:
        rows, columns = _box(view, shape)
        near, far = shape.chord(view, rows, columns)
        total[rows, columns] += density * (far - near)
    lines = [*chest.bones, *chest.airways]
    for lung in chest.lungs.values():
        lines.extend(lung.curves)
    total += _lines(view, lines)
    total = np.where(soft, np.maximum(total, 0), 0)
    if chest.metal:
        total = total + _lines(view, chest.metal)
    return np.maximum(total, 0).astype(np.float32)


def radiograph(
    chest: Chest, view: View, scanner: Scanner, rng: np.random.Generator, *, noise: float = 1.0
) -> Floats:
    """Take a radiograph.

    Parameters
    ----------
    chest : Chest
    view : View
    scanner : Scanner
    rng : numpy Generator
        Source of the noise.
    noise : float
        Factor on the noise's standard deviation.

    Returns
    -------
    float32 array (rows, columns) in 0 to 1
        Bright is dense.
    """
    path = water_path(chest, view)
    primary = np.exp(-WATER_PER_MM * path)
    coarse = ndimage.zoom(primary, 0.125, order=1, grid_mode=True, mode="nearest")
    spread = ndimage.gaussian_filter(coarse, 50 / (8 * view.spacing_mm), mode="nearest")
    ratio = view.size / spread.shape[0]
    veil = ndimage.zoom(spread, ratio, order=1, grid_mode=True, mode="nearest")
    veil = veil[: view.size, : view.size]
    tube_load = 0.65 if view.name == "AP" else 1.0
    share = scanner.scatter * (1.5 if view.name == "AP" else 1.0)
    signal = primary + share * veil
    signal = ndimage.gaussian_filter(signal, scanner.blur_mm / view.spacing_mm, truncate=3)
    quanta = signal * (scanner.dose * 1000 * tube_load * view.spacing_mm**2 / 40)
    grain = rng.standard_normal(signal.shape, dtype=np.float32)
    quanta = quanta + noise * np.sqrt(quanta) * grain
    density = -np.log(np.maximum(quanta, 1.0))
    return _display(density, path, scanner)


def _display(density: Floats, path: Floats, scanner: Scanner) -> Floats:
    """Apply exposure ranging, display curve and edge filter, as an image reader does."""
    body = density[path > 30]
    low, high = np.percentile(body, [1.0, 97.0])
    level = np.clip((density - low) / max(high - low, 1e-3), -0.3, 1.3)
    wide = level.shape[0] // 12
    veil = ndimage.uniform_filter(ndimage.uniform_filter(level, wide), wide)
    level = level + scanner.edge * (level - veil)
    curve = 1 / (1 + np.exp(-scanner.latitude * (level - 0.47)))
    floor = 1 / (1 + np.exp(scanner.latitude * 0.60))
    top = 1 / (1 + np.exp(-scanner.latitude * 0.60))
    return np.asarray(np.clip((curve - floor) / (top - floor), 0, 1), dtype=np.float32)
