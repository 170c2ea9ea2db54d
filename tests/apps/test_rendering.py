"""Rendering: proportions, windows, orientation."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from apps.case_lookup.rendering import (
    DisplaySettings,
    Preset,
    data_uri,
    full_range,
    plane,
    presets,
    render,
)
from medembed.scans import PRESETS, Scan, Window


def shown(scan: Scan, window: Window, **look: object) -> np.ndarray:
    return np.asarray(render(scan, DisplaySettings(window, **look)))  # type: ignore[arg-type]


def test_rows_and_columns_are_not_mirrored() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    grey = shown(Scan(pixels), full_range(Scan(pixels)))
    expected = np.rint(pixels / 11 * 255)
    assert np.abs(grey - expected).max() <= 1


def test_invert_reverses_the_gray_levels() -> None:
    scan = Scan(np.arange(256, dtype=np.float32).reshape(16, 16))
    window = full_range(scan)
    assert (shown(scan, window) + shown(scan, window, invert=True) == 255).all()


@pytest.mark.parametrize(
    ("spacing", "size"),
    [((2.0, 1.0), (64, 64)), ((1.0, 2.0), (128, 32)), ((0.5, 0.5), (64, 32)), (None, (64, 32))],
)
def test_millimeters_are_square_on_the_screen(
    spacing: tuple[float, float] | None, size: tuple[int, int]
) -> None:
    scan = Scan(np.zeros((32, 64), np.float32), spacing_mm=spacing)
    assert render(scan, DisplaySettings(Window(0, 1))).size == size


def test_a_large_image_is_scaled_down_in_proportion() -> None:
    scan = Scan(np.zeros((3000, 2000), np.float32))
    assert render(scan, DisplaySettings(Window(0, 1)), 900).size == (600, 900)


def test_hounsfield_presets_only_where_there_are_hounsfield_units() -> None:
    pixels = np.linspace(-1000, 1000, 64, dtype=np.float32).reshape(8, 8)
    in_hu = presets(Scan(pixels, units="HU"))
    assert list(in_hu) == [Preset.MEDIASTINUM, Preset.LUNG, Preset.BONE, Preset.FULL]
    assert in_hu[Preset.LUNG] is PRESETS["lung"]
    assert list(presets(Scan(pixels))) == [Preset.AUTO, Preset.FULL]


def test_the_files_own_window_comes_first() -> None:
    own = (Window(10, 20), Window(30, 40))
    offered = presets(Scan(np.arange(4, dtype=np.float32).reshape(2, 2), windows=own))
    assert list(offered.items())[:2] == [(Preset.FILE, own[0]), (Preset.FILE_2, own[1])]


def test_a_constant_image_can_be_rendered() -> None:
    scan = Scan(np.full((4, 4), 7, np.float32))
    for window in presets(scan).values():
        assert render(scan, DisplaySettings(window)).size == (4, 4)  # type: ignore[arg-type]


def test_a_slice_index_out_of_range_is_clamped() -> None:
    scan = Scan(np.arange(3, dtype=np.float32).reshape(3, 1, 1))
    assert [float(plane(scan, i)[0, 0]) for i in (-5, 0, 2, 99)] == [0, 0, 2, 2]


def test_the_page_gets_exactly_the_rendered_gray_levels() -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    kind, _, body = data_uri(image).partition(",")
    assert kind == "data:image/png;base64"
    again = Image.open(BytesIO(base64.b64decode(body)))
    assert (np.asarray(again) == np.asarray(image)).all()
