"""Pixels as the model reads them: their geometry, their values, always the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medembed.errors import ConfigError, ScanError
from medembed.preprocess import Preprocess
from medembed.scans import Scan, Window


def ramp(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_the_same_scan_gives_the_same_pixels_whatever_the_threads() -> None:
    import torch

    scan = Scan(np.random.default_rng(0).normal(size=(301, 257)).astype(np.float32))
    before = torch.get_num_threads()
    first = Preprocess(size=64).pixels(scan)
    torch.set_num_threads(1)
    second = Preprocess(size=64).pixels(scan)
    torch.set_num_threads(before)
    assert np.array_equal(first, second)


def test_proportions_are_kept_and_the_rest_is_padding() -> None:
    scan = Scan(np.full((20, 40), 5, np.float32) + ramp((20, 40)) * 0.001)
    out = Preprocess(size=40, window="range").pixels(Scan(scan.pixels - scan.pixels.min() + 1))
    filled = np.flatnonzero(out[0, 0].max(axis=1))
    assert out.shape == (1, 1, 40, 40)
    assert (filled[0], filled[-1]) == (10, 29)


def test_proportions_are_those_in_mm() -> None:
    tall = Scan(1 + ramp((20, 20)), spacing_mm=(2.0, 1.0))
    out = Preprocess(size=40, window="range").pixels(tall)[0, 0]
    columns = np.flatnonzero(out.max(axis=0))
    assert (columns[0], columns[-1]) == (10, 29)


def test_percentiles_make_one_hot_pixel_harmless() -> None:
    pixels = np.random.default_rng(0).uniform(0, 100, (64, 64)).astype(np.float32)
    hot = pixels.copy()
    hot[3, 3] = 1e6
    calm, noisy = (Preprocess(size=64).pixels(Scan(p))[0, 0].astype(int) for p in (pixels, hot))
    calm[3, 3] = noisy[3, 3]
    assert np.abs(calm - noisy).max() <= 2


def test_a_window_of_the_file_maps_its_ends_to_0_and_255() -> None:
    scan = Scan(np.array([[0, 50, 100, 150]] * 4, np.float32), windows=(Window(75, 50),))
    out = Preprocess(size=4, window="file").pixels(scan)[0, 0]
    assert out[0].tolist() == [0, 0, 255, 255]


def test_hounsfield_units_are_seen_through_their_own_window() -> None:
    scan = Scan(np.array([[-1000, 40], [-160, 240]], np.float32), units="HU")
    out = Preprocess(size=2, hu_window="mediastinum").pixels(scan)[0, 0]
    assert out.tolist() == [[0, 128], [0, 255]]
    same = Preprocess(size=2, hu_window="40/400").pixels(scan)[0, 0]
    assert np.array_equal(out, same)


def test_an_image_of_one_value_is_black() -> None:
    assert Preprocess(size=8).pixels(Scan(np.full((5, 5), 7, np.float32))).max() == 0


def test_normalising_is_undone_by_hand() -> None:
    preprocess = Preprocess(size=8, window="range", mean=0.5, std=0.25)
    scan = Scan(ramp((8, 8)))
    out = preprocess(scan)
    assert out.dtype == np.float32
    assert np.allclose(out * 0.25 + 0.5, preprocess.pixels(scan) / 255, atol=1e-6)


def test_a_volume_is_evenly_spaced_slices_to_a_2d_model() -> None:
    volume = np.zeros((10, 8, 8), np.float32)
    volume += np.arange(10, dtype=np.float32)[:, None, None]
    out = Preprocess(size=8, slices=5, hu_window="4.5/9").pixels(Scan(volume, units="HU"))
    assert out.shape == (5, 1, 8, 8)
    assert np.rint(out[:, 0, 0, 0] / 255 * 9).tolist() == [1, 3, 5, 7, 9]
    few = Preprocess(size=8, slices=16, hu_window="4.5/9").pixels(Scan(volume, units="HU"))
    assert len(few) == 10


def test_a_volume_is_fitted_with_its_proportions_in_mm() -> None:
    volume = Scan(1 + ramp((10, 20, 20)), spacing_mm=(4.0, 1.0, 1.0))
    out = Preprocess(dimensions=3, size=40, hu_window="range", window="range").pixels(volume)
    assert out.shape == (1, 1, 40, 40, 40)
    columns = np.flatnonzero(out[0, 0].max(axis=(0, 1)))
    assert (columns[0], columns[-1]) == (10, 29)  # 20 mm of the 40 mm that the depth has


def test_resampling_to_a_spacing_agrees_with_an_independent_one() -> None:
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 24, 24)), 3).astype(np.float32)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    preprocess = Preprocess(
        dimensions=3, size=24, spacing_mm=(0.5, 0.5, 0.5), window="range", hu_window="range"
    )
    out = preprocess.pixels(Scan(smooth, spacing_mm=(1.0, 1.0, 1.0)))[0, 0] / 255
    zoomed = ndimage.zoom(smooth, 2, order=1, grid_mode=True, mode="nearest")
    middle = zoomed[12:36, 12:36, 12:36]
    assert np.abs(out - middle)[2:-2, 2:-2, 2:-2].max() < 0.02


def test_a_3d_model_refuses_a_single_image() -> None:
    with pytest.raises(ScanError, match="volumes"):
        Preprocess(dimensions=3, size=8).pixels(Scan(ramp((8, 8))))


def test_settings_survive_their_json_and_change_the_fingerprint() -> None:
    first = Preprocess(dimensions=3, size=(8, 9, 10), spacing_mm=(1.0, 1.0, 2.0))
    assert Preprocess.from_config(first.config) == first
    changed = Preprocess.from_config({**first.config, "mean": 0.4})
    assert changed.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 0},
        {"size": (8, 8, 8)},
        {"percentiles": (90, 10)},
        {"window": "lung"},
        {"hu_window": "no such preset"},
        {"hu_window": "40/wide"},
        {"spacing_mm": (1.0, 1.0, 1.0)},
        {"std": 0.0},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Preprocess(**settings)  # type: ignore[arg-type]
