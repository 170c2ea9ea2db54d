"""CT of a chest: the same bodies and points, rasterized in HU."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medembed.sources.synthetic.body import Chest, Curves, Lung
from medembed.sources.synthetic.shapes import Floats, Shape, Stack

__all__ = ["Grid", "chest_volume", "ct_grid"]

SLICE_MM = 5.0
_SOFT, _FAT, _AIR, _FLUID = 42.0, -95.0, -1000.0, 12.0


class Grid:
    """Voxel centers of an axial series.

    Parameters
    ----------
    z, y, x : float32 arrays, shape (d,), (h,), (w,)
        In mm, rising.
    """

    def __init__(self, z: Floats, y: Floats, x: Floats) -> None:
        self.z, self.y, self.x = z, y, x

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centers along z, y, x."""
        return (
            float(self.z[1] - self.z[0]),
            float(self.y[1] - self.y[0]),
            float(self.x[1] - self.x[0]),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        return len(self.z), len(self.y), len(self.x)

    def box(self, shape: Shape) -> tuple[slice, slice, slice]:
        """Voxels that a body may touch."""
        low, high = shape.bounds()
        out = []
        for axis, values in ((2, self.z), (1, self.y), (0, self.x)):
            first = int(np.searchsorted(values, low[axis]))
            last = int(np.searchsorted(values, high[axis], side="right"))
            out.append(slice(first, max(first, last)))
        return out[0], out[1], out[2]

    def inside(self, shape: Shape, box: tuple[slice, slice, slice]) -> npt.NDArray[np.bool_]:
        """Whether the voxels (d, h, w) of a box are inside a body."""
        z, y, x = self.z[box[0]], self.y[box[1]], self.x[box[2]]
        return shape.contains(x[None, None, :], y[None, :, None], z[:, None, None])

    def splat(self, groups: Iterable[Curves]) -> Floats:
        """Share of water-equivalent volume that points add to each voxel, (d, h, w)."""
        total = np.zeros(self.shape, np.float64).ravel()
        step = np.array(self.spacing_mm)
        first = np.array([self.z[0], self.y[0], self.x[0]])
        for group in groups:
            where = (group.points[:, ::-1] - first) / step
            low = np.floor(where).astype(np.int64)
            share = where - low
            for corner in range(8):
                bits = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
                at = low + bits
                weight = np.prod(np.where(bits, share, 1 - share), axis=1) * group.volumes
                ok = ((at >= 0) & (at < self.shape)).all(1)
                flat = np.ravel_multi_index(tuple(at[ok].T), self.shape)
                total += np.bincount(flat, weight[ok], total.size)
        return np.asarray((total / step.prod()).reshape(self.shape), dtype=np.float32)


def ct_grid(chest: Chest, size: int) -> Grid:
    """Define a grid of square slices, 5 mm apart, around a chest.

    Parameters
    ----------
    chest : Chest
    size : int
        Rows and columns.
    """
    reach = chest.build.half_width + 45 + chest.build.fat
    line = ((np.arange(size) + 0.5) / size * 2 - 1) * reach
    z = np.arange(chest.base_z - 20, chest.apex_z + 15, SLICE_MM)
    return Grid(z.astype(np.float32), line.astype(np.float32), line.astype(np.float32))


def chest_volume(chest: Chest, grid: Grid) -> Floats:
    """Rasterize a chest.

    Parameters
    ----------
    chest : Chest
    grid : Grid

    Returns
    -------
    float32 array (slices, rows, columns), HU
    """
    volume = np.full(grid.shape, _AIR, np.float32)
    for shape in chest.skin:
        _paint(volume, grid, shape, _FAT)
    body = volume > _AIR
    for lung in chest.lungs.values():
        w = lung.wall
        grown = Stack(w.z, w.cx, w.cy, w.rx + np.float32(17), w.ry + np.float32(16), w.power)
        _paint(volume, grid, grown, _SOFT)
    for lung in chest.lungs.values():
        _paint_lung(volume, grid, lung)
    for shape in chest.solids:
        _paint(volume, grid, shape, _SOFT)
    for shape in chest.gas:
        _paint(volume, grid, shape, -960.0)
    for shape, density in chest.wall_tissue:
        box = grid.box(shape)
        hit = grid.inside(shape, box) & (volume[box] < -400)
        volume[box] = np.where(hit, 1000 * density - 1000 + _SOFT, volume[box])
    volume[~body] = _AIR
    bone = ndimage.gaussian_filter(grid.splat(chest.bones), (0.2, 0.5, 0.5))
    volume += np.minimum(1000 * bone, 1300)
    air = ndimage.gaussian_filter(grid.splat(chest.airways), (0.4, 0.8, 0.8))
    volume += 1250 * air
    for lung in chest.lungs.values():
        lines = ndimage.gaussian_filter(grid.splat(lung.curves), (0.2, 0.4, 0.4))
        volume = np.where(volume < 0, np.minimum(volume + 1000 * lines, 60), volume)
    if chest.metal:
        volume += np.minimum(1000 * grid.splat(chest.metal), 3000)
    return np.clip(volume, _AIR, 3071).astype(np.float32)


def _paint(volume: Floats, grid: Grid, shape: Shape, value: float) -> None:
    box = grid.box(shape)
    view = volume[box]
    view[grid.inside(shape, box)] = value


def _paint_lung(volume: Floats, grid: Grid, lung: Lung) -> None:
    """One lung with pleural space, haze and solid findings; the organs are painted over it."""
    box = grid.box(lung.wall)
    if 0 in volume[box].shape:
        return
    room = grid.inside(lung.wall, box)
    pleura = _FLUID if lung.pleural_density > 0.5 else _AIR
    view = volume[box]
    view[room] = pleura
    inner = room if lung.aerated is lung.wall else room & grid.inside(lung.aerated, box)
    filled = np.full(view.shape, lung.density, np.float32)
    z, y, x = grid.z[box[0]], grid.y[box[1]], grid.x[box[2]]
    for cloud in lung.clouds:
        rise = np.exp(-0.5 * ((z[:, None] - cloud.centers[:, 2]) / cloud.sigmas[:, 2]) ** 2)
        back = np.exp(-0.5 * ((y[:, None] - cloud.centers[:, 1]) / cloud.sigmas[:, 1]) ** 2)
        side = np.exp(-0.5 * ((x[:, None] - cloud.centers[:, 0]) / cloud.sigmas[:, 0]) ** 2)
        for i in range(len(z)):
            filled[i] += (back * (rise[i] * cloud.amplitudes)) @ side.T
    filled = np.clip(filled, 0.02, 1.03)
    view[inner] = (1000 * filled - 1000)[inner]
    for shape in lung.solids:
        part = grid.box(shape)
        hit = grid.inside(shape, part) & grid.inside(lung.aerated, part)
        volume[part][hit] = _SOFT
