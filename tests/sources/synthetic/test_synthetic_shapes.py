"""Bodies cut by rays: closed forms against marching along the ray."""

from __future__ import annotations

import numpy as np
import pytest

from medembed.sources.synthetic.shapes import Ellipsoid, Shape, Stack, View, covered, rotated

FRONTAL = View("PA", 40, 8.0, 0.0, 1e7, -200.0)
LATERAL = View("LATERAL", 40, 8.0, 0.0, 1e7, 200.0)


def stack() -> Stack:
    z = np.linspace(-80, 80, 60, dtype=np.float32)
    half = np.sqrt(1 - (z / 81) ** 2).astype(np.float32)
    return Stack(z, 10 + 0 * z, -5 + 0 * z, 60 * half, 40 * half, 2.4)


def marched(shape: Shape, view: View) -> np.ndarray:
    """Length inside along parallel rays, by small steps."""
    across, up = view.plane(0.0)
    depth = np.arange(-150, 150, 0.5, dtype=np.float32)
    points = np.zeros((*np.broadcast_shapes((len(up), 1, 1), (1, len(across), len(depth))), 3))
    points[..., view.across] = across[None, :, None]
    points[..., view.along] = depth[None, None, :]
    points[..., 2] = up[:, None, None]
    back = rotated(points.reshape(-1, 3).astype(np.float32), -view.rotation)
    inside = np.empty(len(back), bool)
    rows = back.reshape(len(up), -1, 3)
    for i, row in enumerate(rows):
        part = shape.contains(row[:, 0], row[:, 1], np.full((1, 1, 1), row[0, 2], np.float32))
        inside.reshape(len(up), -1)[i] = part.ravel()
    return inside.reshape(len(up), len(across), -1).sum(-1) * 0.5


@pytest.mark.parametrize("view", [FRONTAL, LATERAL], ids=["frontal", "lateral"])
@pytest.mark.parametrize(
    "shape",
    [stack(), Ellipsoid((15, -10, 5), (60, 35, 50), 0.5), Ellipsoid((0, 0, 0), (40, 60, 30))],
    ids=["stack", "tilted ellipsoid", "ellipsoid"],
)
def test_a_chord_has_the_length_that_marching_finds(shape: Shape, view: View) -> None:
    every = slice(0, view.size)
    near, far = shape.chord(view, every, every)
    np.testing.assert_allclose(far - near, marched(shape, view), atol=1.1)


def test_an_ellipsoid_turned_with_the_patient_keeps_its_chords() -> None:
    shape = Ellipsoid((30, -20, 5), (50, 30, 40), 0.4)
    view = View("PA", 40, 8.0, 0.0, 1e7, -200.0, rotation=0.3)
    every = slice(0, view.size)
    near, far = shape.chord(view, every, every)
    np.testing.assert_allclose(far - near, marched(shape, view), atol=1.1)


def test_the_union_of_intervals_is_counted_once() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 80, (6, 5, 7)).astype(np.float32)
    ends = starts + rng.uniform(0, 30, starts.shape).astype(np.float32)
    ends[2] = starts[2]  # rays that miss
    low, high = np.full((5, 7), 10, np.float32), np.full((5, 7), 90, np.float32)
    steps = np.arange(0, 120, 0.01)
    for within in (None, (low, high)):
        got = covered(within, list(zip(starts, ends, strict=True)))
        for row, column in np.ndindex(5, 7):
            hit = np.zeros(len(steps), bool)
            for a, b in zip(starts[:, row, column], ends[:, row, column], strict=True):
                hit |= (steps >= a) & (steps < b)
            if within is not None:
                hit &= (steps >= 10) & (steps < 90)
            assert got[row, column] == pytest.approx(hit.sum() * 0.01, abs=0.1)


def test_splatting_keeps_the_volume() -> None:
    view = View("PA", 64, 4.0, 0.0, 1e7, -200.0)
    rng = np.random.default_rng(1)
    points = rng.uniform(-60, 60, (500, 3)).astype(np.float32)
    volumes = rng.uniform(1, 5, 500).astype(np.float32)
    drawn = view.splat(points, volumes)
    assert drawn.sum() * view.spacing_mm**2 == pytest.approx(volumes.sum(), rel=1e-3)


def test_what_lies_farther_from_the_detector_is_drawn_larger() -> None:
    view = View("AP", 256, 1.6, 0.0, 1050.0, 120.0)
    assert view.magnification(-60.0) == pytest.approx(1050 / (1050 - 180))
    assert view.magnification(-60.0) > view.magnification(60.0)
