"""A region is given in fractions, millimeters and words of the image as displayed."""

from __future__ import annotations

import numpy as np
import pytest

from medembed.attribution.region import InputFrame, Region, carrying_cells
from medembed.preprocess import Preprocess
from medembed.scans import Scan


def frame(shape: tuple[int, ...], spacing: tuple[float, ...] | None = None, **settings):
    return InputFrame.of(Preprocess(**settings), shape, spacing)


def weights_at(*cells: tuple[int, int], grid: tuple[int, int] = (7, 7)) -> np.ndarray:
    weights = np.zeros(grid)
    for cell in cells:
        weights[cell] = 1.0
    return weights.ravel()


def test_a_square_image_is_its_own_frame() -> None:
    region = Region.of(weights_at((5, 5), (5, 6), (6, 6)), (7, 7), frame((500, 500), (0.7, 0.7)))
    assert region.box == (pytest.approx((5 / 7, 1)), pytest.approx((5 / 7, 1)))
    assert region.size_mm == pytest.approx((100, 100))
    assert str(region) == "lower right of the image as displayed, about 100 × 100 mm"


def test_without_spacing_the_size_is_a_share_of_the_image() -> None:
    region = Region.of(weights_at((3, 3)), (7, 7), frame((500, 500)))
    assert str(region) == (
        "center of the image as displayed, about 14% of its width and 14% of its height"
    )


@pytest.mark.parametrize("resize", ["fit", "shortest", "squash"])
@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
def test_a_bright_spot_lies_where_the_region_says(resize: str, shape: tuple[int, int]) -> None:
    preprocess = Preprocess(size=210, resize=resize, window="range")
    pixels = np.zeros(shape, dtype=np.float32)
    down, across = int(0.6 * shape[0]), int(0.4 * shape[1])
    pixels[down - 4 : down + 4, across - 4 : across + 4] = 1
    image = preprocess.pixels(Scan(pixels))[0, 0].astype(float)
    cells = image.reshape(7, 30, 7, 30).mean(axis=(1, 3)).ravel()
    region = Region.of(cells, (7, 7), InputFrame.of(preprocess, shape, None))
    assert region.box[0][0] <= 0.6 <= region.box[0][1]
    assert region.box[1][0] <= 0.4 <= region.box[1][1]


def test_padding_is_no_part_of_the_image() -> None:
    wide = frame((100, 200))  # the upper and lower quarter of the input are padded
    region = Region.of(weights_at((0, 0)), (7, 7), wide)
    assert region.box[0] == (0, 0)
    whole = wide.fractions((0, 0), (224, 224))
    assert whole == ((0.0, 1.0), (0.0, 1.0))


def test_a_slice_of_a_volume_is_named() -> None:
    preprocess = Preprocess(slices=8)
    at = InputFrame.of(preprocess, (40, 64, 64), (2.0, 0.5, 0.5), image=3)
    region = Region.of(weights_at((0, 0)), (7, 7), at)
    assert region.slice_at == preprocess.slices_of(40)[3] + 1 == 18
    assert str(region).startswith("slice 18 of 40: upper left of the image as displayed, about 5 ×")


def test_a_region_of_a_volume_has_slices() -> None:
    preprocess = Preprocess(dimensions=3, size=(16, 32, 32))
    at = InputFrame.of(preprocess, (40, 64, 64), (2.0, 1.25, 1.25))
    weights = np.zeros((4, 4, 4))
    weights[3, 0, 3] = 1
    region = Region.of(weights.ravel(), (4, 4, 4), at)
    assert str(region).startswith("slices 31 to 40 of 40: upper right of the image as displayed")
    assert region.to_json()["line"] == str(region)


def test_only_cells_that_adjoin_the_peak_belong_to_the_region() -> None:
    weights = weights_at((0, 0), (1, 1), (6, 6))
    weights[0] = 1.5
    assert np.flatnonzero(carrying_cells(weights, (7, 7))).tolist() == [0, 8]
