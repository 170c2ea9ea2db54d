"""Radiographs and CT show what they say, on the side they say."""

from __future__ import annotations

import numpy as np
import pytest

from medembed.notes import SIDED_FINDINGS
from medembed.sources.synthetic.body import Build, Chest, Pose, draw_build
from medembed.sources.synthetic.ct import chest_volume, ct_grid
from medembed.sources.synthetic.draw import draw_lesion
from medembed.sources.synthetic.findings import build_chest
from medembed.sources.synthetic.lesion import Lesion
from medembed.sources.synthetic.projection import WATER_PER_MM, make_view, radiograph, water_path
from medembed.sources.synthetic.scanners import SCANNERS
from medembed.sources.synthetic.vessels import N_TREES

SIZE = 128


def build(seed: int = 0, sex: str = "M") -> Build:
    return draw_build(np.random.default_rng(seed), sex, 50, N_TREES)


def chest(*lesions: Lesion, pose: Pose | None = None, seed: int = 0) -> Chest:
    return build_chest(build(seed), pose or Pose(), lesions, 1.0)


def path(name: str, *lesions: Lesion, pose: Pose | None = None, seed: int = 0) -> np.ndarray:
    c = chest(*lesions, pose=pose, seed=seed)
    return water_path(c, make_view(name, c, SIZE, 2 * c.build.half_width + 95))


def drawn(label: str, side: str, seed: int) -> Lesion:
    """A lesion of a label on one wanted side, moderate or more."""
    for attempt in range(1000):
        lesion = draw_lesion(label, np.random.default_rng([seed, attempt]))
        if lesion.side == side and lesion.degree != "mild":
            return lesion
    raise AssertionError("no such lesion in a thousand draws")


@pytest.mark.parametrize("label", SIDED_FINDINGS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_sided_finding_changes_its_own_side_of_the_image(label: str, side: str) -> None:
    change = np.zeros((SIZE, SIZE))
    for seed in range(2):
        lesion = drawn(label, side, seed)
        change += np.abs(path("PA", lesion, seed=seed) - path("PA", seed=seed))
    right, left = change[:, : SIZE // 2].sum(), change[:, SIZE // 2 :].sum()
    own, other = (right, left) if side == "right" else (left, right)
    # a radiograph shows the patient's right at the image's left; a shifted mediastinum shows too
    assert own > 1.5 * other


@pytest.mark.parametrize("label", ["cardiomegaly", "edema", "emphysema", "fibrosis"])
def test_a_finding_without_side_changes_both_lungs(label: str) -> None:
    lesion = draw_lesion(label, np.random.default_rng(3))
    change = np.abs(path("PA", lesion) - path("PA"))
    assert change[:, : SIZE // 2].max() > 4
    assert change[:, SIZE // 2 :].max() > 4


def test_pneumothorax_lets_more_through_and_effusion_less() -> None:
    plain = path("PA")
    air = path("PA", Lesion("pneumothorax", "left", size=60, degree="severe"))
    fluid = path("PA", Lesion("effusion", "right", size=100))
    lateral_zone = (slice(35, 80), slice(100, 112))
    assert (plain - air)[lateral_zone].mean() > 10
    assert (fluid - plain)[60:110, 15:45].mean() > 10


def test_a_finding_grows_with_its_degree() -> None:
    plain = path("PA")
    for label, sizes in {"effusion": (42, 88, 150), "pneumothorax": (18, 40, 80)}.items():
        change = [np.abs(path("PA", Lesion(label, "left", size=s)) - plain).sum() for s in sizes]
        assert change[0] < change[1] < change[2]


def test_ap_shows_the_heart_larger_than_pa() -> None:
    c = chest()
    widths = {}
    for name in ("PA", "AP"):
        view = make_view(name, c, SIZE, 400)
        edges = np.array([[-0.33 * c.heart_width, -25, 0], [0.67 * c.heart_width, -25, 0]])
        _, columns, _ = view.project(edges.astype(np.float32))
        widths[name] = columns[1] - columns[0]
    assert widths["AP"] > 1.08 * widths["PA"]


def test_the_same_chest_looks_different_from_the_side() -> None:
    front, side = path("PA"), path("LATERAL")
    assert np.corrcoef(front.ravel(), side.ravel())[0, 1] < 0.9


def test_the_projected_ct_matches_the_radiograph() -> None:
    c = chest(Lesion("effusion", "right", size=95), Lesion("mass", "left", size=50, seed=2))
    grid = ct_grid(c, 96)
    volume = chest_volume(c, grid)
    rise, back, across = grid.spacing_mm
    water = np.clip(volume / 1000 + 1, 0, None).sum(1) * back  # (slices, columns) in mm
    view = make_view("PA", c, SIZE, 400)
    mine = water_path(c, view)
    # sample the radiograph where the CT's rows and columns are projected to
    z, x = np.meshgrid(grid.z, grid.x, indexing="ij")
    points = np.stack([x.ravel(), np.zeros(x.size), z.ravel()], 1).astype(np.float32)
    rows, columns, _ = view.project(points)
    ok = (rows > 2) & (rows < SIZE - 3) & (columns > 2) & (columns < SIZE - 3)
    seen = mine[rows[ok].round().astype(int), columns[ok].round().astype(int)]
    attenuation = np.exp(-WATER_PER_MM * water.ravel()[ok]), np.exp(-WATER_PER_MM * seen)
    assert np.corrcoef(*attenuation)[0, 1] > 0.9
    assert rise == pytest.approx(5.0)
    assert across == pytest.approx(back)


def test_ct_holds_air_lung_water_and_bone() -> None:
    c = chest()
    grid = ct_grid(c, 96)
    volume = chest_volume(c, grid)
    assert volume.min() == -1000
    lung = volume[len(grid.z) // 2][40:56, 24:34]
    assert -880 < np.median(lung) < -620
    assert volume.max() > 300
    heart = volume[np.argmin(np.abs(grid.z - (c.dome_z + 30)))]
    assert (np.abs(heart - 42) < 1).sum() > 100


def test_more_noise_is_noisier_and_nothing_else() -> None:
    c = chest()
    view = make_view("PA", c, SIZE, 400)
    scanner = SCANNERS["A1"]
    clean, plain, noisy = (
        radiograph(c, view, scanner, np.random.default_rng(0), noise=k) for k in (0.0, 1.0, 4.0)
    )
    assert (noisy - clean).std() == pytest.approx(4 * (plain - clean).std(), rel=0.25)
    assert np.corrcoef(clean.ravel(), noisy.ravel())[0, 1] > 0.9
    assert plain.min() >= 0
    assert plain.max() <= 1
