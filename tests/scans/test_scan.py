"""A scan is valid once constructed."""

from __future__ import annotations

import numpy as np
import pytest

from medembed.errors import ScanError
from medembed.scans import Scan, Window


def test_pixels_become_read_only_float32() -> None:
    scan = Scan(np.arange(6, dtype=np.int16).reshape(2, 3))
    assert scan.pixels.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        scan.pixels[0, 0] = 1


def test_the_callers_array_stays_writable() -> None:
    pixels = np.zeros((2, 2), np.float32)
    Scan(pixels)
    pixels[0, 0] = 5


def test_a_view_of_a_callers_array_is_not_shared() -> None:
    pixels = np.zeros((4, 4), np.float32)
    scan = Scan(pixels[:2])
    pixels[0, 0] = 5
    assert scan.pixels[0, 0] == 0


@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ScanError):
        Scan(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ScanError):
        Scan(np.array([[0.0, value]]))


@pytest.mark.parametrize("spacing", [(1.0,), (0.0, 1.0), (1.0, float("nan")), (1, 1, 1)])
def test_spacing_that_does_not_fit_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ScanError):
        Scan(np.zeros((2, 2)), spacing_mm=spacing)


def test_unknown_is_a_value() -> None:
    scan = Scan(np.zeros((2, 2)), modality="", view="")
    assert (scan.modality, scan.view) == ("unknown", "unknown")


def test_identifiers_are_not_shown() -> None:
    scan = Scan(np.zeros((2, 2)), study_uid="1.2.3", series_uid="1.2.4", instance_uids=("1.2.5",))
    assert "1.2." not in repr(scan)


@pytest.mark.parametrize(
    ("center", "width"), [(0, 0), (0, -1), (float("nan"), 1), (0, float("inf"))]
)
def test_a_window_without_width_is_refused(center: float, width: float) -> None:
    with pytest.raises(ScanError):
        Window(center, width)
