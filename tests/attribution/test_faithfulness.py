"""Deletion and insertion tell a map that carries a score from maps that do not."""

from __future__ import annotations

import numpy as np
import pytest

from medembed.attribution.cells import CellImage, control_maps, grid_of
from medembed.attribution.faithfulness import (
    check_faithfulness,
    curve_areas,
    drops,
    most_runs,
    sorted_into,
)


def additive(worth: np.ndarray):
    """A score that is the worth of the parts that are kept: its true map is ``worth`` itself."""

    def score(kept: np.ndarray) -> np.ndarray:
        return kept @ worth

    return score


def corner_worth() -> np.ndarray:
    worth = np.zeros((7, 7))
    worth[5:, :2] = [[1.0, 2.0], [3.0, 1.5]]
    return worth.ravel()


def test_what_a_part_is_worth_is_what_is_missing_without_it() -> None:
    worth = corner_worth()
    whole, weights = drops(additive(worth), 49)
    assert whole == pytest.approx(worth.sum())
    np.testing.assert_allclose(weights, worth)


def test_areas_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(3)
    worth, weights = rng.normal(size=49), rng.normal(size=49)
    order = sorted(range(49), key=lambda at: -weights[at])
    deleted, inserted = [], []
    for count in (2, 5, 10, 20):  # 5, 10, 20 and 40% of 49
        deleted.append(sum(worth[at] for at in order[count:]))
        inserted.append(sum(worth[at] for at in order[:count]))
    (areas,) = curve_areas((additive(worth),) * 2, [weights])
    assert areas.deletion == pytest.approx(np.mean(deleted))
    assert areas.insertion == pytest.approx(np.mean(inserted))


def test_the_true_map_passes_against_both_controls() -> None:
    worth = corner_worth()
    found = check_faithfulness((additive(worth),) * 2, worth, control_maps(worth, (7, 7)))
    assert found.passed
    assert all(found.gains(name).deletion > 0 for name in ("random", "center"))


def test_a_map_of_the_wrong_corner_fails() -> None:
    worth = corner_worth()
    wrong = worth.reshape(7, 7)[::-1, ::-1].ravel()
    assert not check_faithfulness((additive(worth),) * 2, wrong, control_maps(wrong, (7, 7))).passed


def test_a_map_of_a_score_that_no_part_carries_fails() -> None:
    flat = np.random.default_rng(0).normal(size=49)
    score = additive(np.zeros(49))
    assert not check_faithfulness((score, score), flat, control_maps(flat, (7, 7))).passed


@pytest.mark.parametrize("grid", [(7, 7), (4, 4, 4), (2, 2), (1, 5)])
def test_controls_hold_the_same_weights_at_other_places(grid: tuple[int, ...]) -> None:
    weights = np.random.default_rng(1).normal(size=int(np.prod(grid)))
    controls = control_maps(weights, grid)
    assert set(controls) == {"random", "center"}
    for maps in controls.values():
        assert maps
        for one in maps:
            np.testing.assert_array_equal(np.sort(one), np.sort(weights))
    assert not any(np.array_equal(one, weights) for one in controls["random"])


def test_the_center_map_peaks_at_the_center_and_ends_in_a_corner() -> None:
    (center,) = control_maps(np.arange(49.0), (7, 7))["center"]
    assert center.argmax() == 24
    assert center.argmin() in (0, 6, 42, 48)


def test_weights_are_sorted_into_an_order() -> None:
    np.testing.assert_array_equal(sorted_into(np.array([5.0, 7, 6]), [2, 0, 1]), [5, 7, 6])
    np.testing.assert_array_equal(sorted_into(np.array([5.0, 7, 6]), [0, 1, 2]), [7, 6, 5])


def test_the_number_of_runs_has_a_bound() -> None:
    assert most_runs(49, 9) == 2 * 50 + 2 * 4 * 9
    assert grid_of((224, 224)) == (7, 7)
    assert grid_of((64, 96, 96)) == (4, 4, 4)
    assert grid_of((3, 96)) == (3, 7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cells_that_are_kept_are_untouched_and_the_others_get_the_mean(dtype) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 200, (1, 30, 45)).astype(dtype)  # sides that 7 does not divide
    image = CellImage(pixels)
    kept = np.ones((2, image.n_cells), dtype=bool)
    kept[1, 8] = False
    same, without = image.variants(kept)
    np.testing.assert_array_equal(same, pixels)
    changed = np.argwhere(without[0] != pixels[0])
    assert without.dtype == dtype
    assert changed.min(axis=0).tolist() >= [5, 7]
    assert (changed.max(axis=0) < [9, 13]).all()
    assert (without[0, 5:8, 7:12] == np.rint(pixels.mean())).all()
    _, smooth = image.variants(kept, blurred=True)
    assert smooth[0, 5:8, 7:12].std() < 0.5 * pixels[0, 5:8, 7:12].std()


def test_every_pixel_of_a_volume_is_in_one_cell() -> None:
    pixels = np.full((1, 8, 12, 12), 9, dtype=np.uint8)
    pixels[0, :4] = 200
    image = CellImage(pixels)
    one_by_one = np.eye(image.n_cells, dtype=bool)
    shown = image.variants(one_by_one)[:, 0]
    whole = image.variants(np.ones((1, image.n_cells), bool))[0, 0]
    gray = image.variants(np.zeros((1, image.n_cells), bool))[0, 0]
    differs = (shown == whole) & (whole != gray)
    assert (differs.sum(axis=0) <= 1).all()
    assert differs.any(axis=0)[whole != gray].all()
