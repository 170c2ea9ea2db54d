"""Windows, against the standard's own pseudo-code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.errors import ScanError
from medembed.scans import PRESETS, Scan, VoiLut, Window, apply_window, default_window

values = st.floats(-5000, 5000, width=32)
windows = st.builds(
    Window,
    st.floats(-3000, 3000),
    st.floats(1, 5000),
    st.just(""),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, letter by letter, with ymin 0 and ymax 255."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 255.0
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255


@given(st.lists(values, min_size=1, max_size=20), st.integers(-2000, 2000), st.integers(1, 4000))
def test_linear_is_the_standards_formula(xs: list[float], c: int, w: int) -> None:
    shown = apply_window(np.array(xs), Window(c, w))
    expected = [linear(x, c, w) for x in xs]
    np.testing.assert_allclose(shown, expected, atol=0.51)


@given(windows, st.lists(values, min_size=2, max_size=30))
@settings(max_examples=60)
def test_brighter_never_becomes_darker(window: Window, xs: list[float]) -> None:
    shown = apply_window(np.sort(np.array(xs)), window)
    assert shown.dtype == np.uint8
    assert (np.diff(shown.astype(int)) >= 0).all()


@given(windows)
@settings(max_examples=60)
def test_a_window_reaches_from_black_to_white(window: Window) -> None:
    reach = 20 * window.width
    ends = apply_window(np.array([window.center - reach, window.center + reach]), window)
    assert ends.tolist() == [0, 255]


def test_sigmoid_is_half_at_the_center() -> None:
    assert apply_window(np.array([40.0]), Window(40, 10, "", "SIGMOID")).tolist() == [128]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.integers(-10, 10),
    st.lists(st.integers(-50, 50), min_size=1),
)
def test_a_voi_lut_is_a_clamped_table(table: list[float], first: int, xs: list[int]) -> None:
    shown = apply_window(np.array(xs), VoiLut(first, tuple(table)))
    expected = [round(table[min(max(x - first, 0), len(table) - 1)] * 255) for x in xs]
    assert shown.tolist() == expected


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_a_window_without_width_is_refused(width: float) -> None:
    with pytest.raises(ScanError):
        Window(0, width)


@pytest.mark.parametrize(
    ("preset", "black", "darker", "brighter", "white"),
    [  # Hounsfield units of tissues; the middle two must be told apart
        ("lung", None, -950, -700, 300),  # emphysema and lung; soft tissue is white
        ("mediastinum", -800, -80, 50, 300),  # fat and muscle; lung is black
        ("bone", -800, 50, 800, 1500),  # muscle and trabecular bone
        ("soft", -800, -80, 50, 300),
        ("liver", -80, 40, 70, 200),  # metastasis and liver
        ("brain", -80, 25, 37, 100),  # white and gray matter; bone is white
        ("angio", -80, 50, 300, 700),  # muscle and contrast-filled vessel
    ],
)
def test_a_preset_separates_the_tissues_it_is_named_after(
    preset: str, black: float | None, darker: float, brighter: float, white: float
) -> None:
    low, high, top = apply_window(np.array([darker, brighter, white]), PRESETS[preset]).tolist()
    assert high - low >= 25, "a tenth of the gray scale"
    assert top == 255
    if black is not None:
        assert apply_window(np.array([black]), PRESETS[preset]).tolist() == [0]


def test_every_preset_has_a_tissue_test() -> None:
    marks = test_a_preset_separates_the_tissues_it_is_named_after.pytestmark
    assert {row[0] for row in marks[0].args[1]} == set(PRESETS)


def test_without_a_window_all_of_the_range_is_shown() -> None:
    scan = Scan(np.array([[3.0, 5.0, 7.0]]))
    assert apply_window(scan.pixels, default_window(scan)).tolist() == [[0, 128, 255]]
    flat = Scan(np.full((2, 2), 3.0))
    assert len(np.unique(apply_window(flat.pixels, default_window(flat)))) == 1
