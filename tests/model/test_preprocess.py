"""Pixels as the model reads them: their geometry, their values, always the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
from scipy import ndimage
from support import torch_preprocess as oracle

from medembed.errors import ConfigError, ScanError
from medembed.preprocess import Preprocess
from medembed.scans import Scan, Window


def ramp(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 40, shape).astype(np.float32)


def test_preprocessing_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np; from medembed.preprocess import Preprocess; "
        "from medembed.scans import Scan; Preprocess(size=8)(Scan(np.ones((9, 9), np.float32))); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("shape", "size"), [((301, 257), 64), ((301, 257), 31), ((40, 90), 128), ((64, 64), 64)]
)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("resize", ["fit", "squash"])
def test_images_are_those_of_torch_to_one_gray_level(
    shape: tuple[int, int], size: int, bits: Literal[8, 16], resize: Literal["fit", "squash"]
) -> None:
    spacing = (size / shape[0], size / shape[1])  # square in mm
    scan = Scan(noise(shape), spacing)
    ours = Preprocess(size=size, window="range", resize=resize, bits=bits).pixels(scan)[0, 0]
    whole = oracle.unit(scan.pixels, float(scan.pixels.min()), float(scan.pixels.max()))
    theirs = oracle.gray(oracle.resize(whole[None], (size, size))[0], bits)
    assert ours.dtype == {8: np.uint8, 16: np.uint16}[bits]
    assert np.abs(ours - theirs).max() <= 1


def test_bicubic_at_16_bits_is_that_of_torch_to_one_level_in_a_thousand() -> None:
    scan = Scan(noise((301, 257)))
    settings = Preprocess(
        size=64, window="range", resize="squash", interpolation="bicubic", bits=16
    )
    whole = oracle.unit(scan.pixels, float(scan.pixels.min()), float(scan.pixels.max()))
    theirs = oracle.gray(oracle.resize(whole[None], (64, 64), "bicubic")[0], 16)
    assert np.abs(settings.pixels(scan)[0, 0] - theirs).max() <= 1


def test_volumes_are_those_of_torch_to_one_gray_level() -> None:
    scan = Scan(noise((30, 50, 41)), spacing_mm=(50 / 30, 1.0, 50 / 41))
    ours = Preprocess(dimensions=3, size=24, window="range").pixels(scan)[0, 0]
    whole = oracle.unit(scan.pixels, float(scan.pixels.min()), float(scan.pixels.max()))
    assert np.abs(ours - oracle.gray(oracle.volume(whole, (24, 24, 24)))).max() <= 1


def test_fingerprints_are_those_of_the_preprocessing_in_torch() -> None:
    """Golden: computed by the code that used torch (PREPROCESS_VERSION 1)."""
    assert [
        Preprocess(**settings).fingerprint[:16]  # type: ignore[arg-type]
        for settings in (
            {},
            {"size": 128, "mean": 0.5, "std": 0.5},
            {"dimensions": 3, "size": (8, 9, 10), "spacing_mm": (1.0, 1.0, 2.0)},
        )
    ] == ["c758b8c8604f2fb6", "7410c37938f0fa75", "fe9dd19a9a370687"]


def test_16_bits_tell_apart_what_8_bits_merge() -> None:
    scan = Scan(30000 + ramp((8, 8)))
    wide = Scan(np.concatenate([scan.pixels, np.array([[0] * 8, [65535] * 8], np.float32)]))
    counts = {}
    for bits in (8, 16):
        settings = Preprocess(size=10, window="range", mean=0.0, std=1.0, bits=bits)
        counts[bits] = len(np.unique(settings(wide)))
    assert counts[8] <= 4
    assert counts[16] >= 48
    assert float(Preprocess(size=10, window="range", mean=0.0, std=1.0, bits=16)(wide).max()) == 1.0


def test_three_means_are_three_channels() -> None:
    settings = Preprocess(size=8, window="range", mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    scan = Scan(ramp((8, 8)))
    out = settings(scan)
    assert (settings.channels, settings.shape, out.shape) == (3, (1, 8, 8), (1, 3, 8, 8))
    gray = settings.pixels(scan)[0, 0] / 255
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (1, 2, 4), strict=True)):
        assert np.allclose(out[0, channel], (gray - mean) / std, atol=1e-6)
    volume = Preprocess(dimensions=3, size=4, mean=(0.0, 0.5)).normalize(
        np.full((1, 1, 4, 4, 4), 255, np.uint8)
    )
    assert volume.shape == (1, 2, 4, 4, 4)
    assert volume[0, :, 0, 0, 0].tolist() == [4.0, 2.0]


def test_display_leaves_an_8_bit_picture_as_it_is() -> None:
    display = Preprocess(size=8, window="display")
    picture = Scan(np.full((8, 8), 40, np.float32) + ramp((8, 8)))
    assert np.array_equal(display.pixels(picture)[0, 0], picture.pixels)
    radiograph = Scan(picture.pixels * 20)
    percentile = Preprocess(size=8, window="percentile").pixels(radiograph)
    assert np.array_equal(display.pixels(radiograph), percentile)
    windowed = Scan(picture.pixels, windows=(Window(60, 20),))
    assert np.array_equal(
        display.pixels(windowed), Preprocess(size=8, window="file").pixels(windowed)
    )


def test_shortest_fills_the_input_and_cuts_the_middle_out() -> None:
    wide = Scan(np.tile(np.arange(200, dtype=np.float32), (100, 1)))
    out = Preprocess(size=50, resize="shortest", window="display").pixels(wide)[0, 0]
    assert out.shape == (50, 50)
    assert (int(out[25, 0]), int(out[25, -1])) == pytest.approx((51, 149), abs=2)
    tall = Scan(wide.pixels, spacing_mm=(2.0, 1.0))  # square in mm
    whole = Preprocess(size=50, resize="shortest", window="display").pixels(tall)[0, 0]
    assert (int(whole[25, 0]), int(whole[25, -1])) == pytest.approx((2, 197), abs=2)


def test_crop_from_resizes_further_out_and_keeps_the_center() -> None:
    picture = Scan(np.tile(np.arange(128, dtype=np.float32), (128, 1)))
    settings = Preprocess(size=96, resize="shortest", crop_from=128, window="display")
    assert np.array_equal(settings.pixels(picture)[0, 0], picture.pixels[16:112, 16:112])


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
    hub = Preprocess(
        mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0), resize="squash", crop_from=(9, 8), bits=16
    )
    assert Preprocess.from_config(json.loads(json.dumps(hub.config))) == hub
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
        {"std": (1.0, 0.0, 1.0)},
        {"mean": (0.1, 0.2), "std": (1.0, 1.0, 1.0)},
        {"mean": ()},
        {"bits": 12},
        {"resize": "stretch"},
        {"interpolation": "cubic"},
        {"crop_from": 256},
        {"crop_from": (256, 200), "resize": "shortest"},
        {"dimensions": 3, "resize": "squash"},
        {"dimensions": 3, "interpolation": "bicubic"},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Preprocess(**settings)  # type: ignore[arg-type]
