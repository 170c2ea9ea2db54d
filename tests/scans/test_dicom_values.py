"""From stored values to meaning: one small file for each rule."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scans.dicom_samples import dataset, item, lut_item, write

from medembed.errors import ScanError
from medembed.scans import VoiLut, Window, apply_window, default_window, read_header, read_scan
from medembed.scans.dicom_header import view_of

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4)


def scan_of(tmp_path: Path, pixels: np.ndarray, **attributes: Any):
    return read_scan(write(tmp_path / "a.dcm", dataset(pixels, **attributes)))


def refusal(tmp_path: Path, pixels: np.ndarray, **attributes: Any) -> str:
    with pytest.raises(ScanError) as caught:
        scan_of(tmp_path, pixels, **attributes)
    return caught.value.reason


def test_rescale_of_ct_gives_hounsfield_units(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, RAMP, RescaleSlope="2", RescaleIntercept="-1024")
    assert scan.units == "HU"
    np.testing.assert_array_equal(scan.pixels, RAMP * 2.0 - 1024)


def test_rescale_of_another_type_is_no_hounsfield_unit(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, RAMP, RescaleSlope=1, RescaleIntercept=0, RescaleType="US")
    assert scan.units == "stored"


def test_a_modality_lut_sequence_replaces_rescale(tmp_path: Path) -> None:
    lut = lut_item(2, [100, 200, 400], 16)
    scan = scan_of(tmp_path, RAMP, ModalityLUTSequence=[lut], RescaleSlope=7, RescaleIntercept=7)
    assert scan.pixels.ravel().tolist() == [100.0, 100, 100, 200] + [400.0] * 8


@pytest.mark.parametrize("intercept", [0, -1024])
def test_monochrome1_is_inverted_over_the_stored_range(tmp_path: Path, intercept: int) -> None:
    scan = scan_of(
        tmp_path,
        RAMP,
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=4,
        HighBit=3,
        RescaleSlope=1,
        RescaleIntercept=intercept,
    )
    np.testing.assert_array_equal(scan.pixels, 15.0 - RAMP + intercept)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_window_on_monochrome1_shows_the_same_picture(tmp_path: Path, function: str) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    window = {"WindowCenter": 90, "WindowWidth": 60, "VOILUTFunction": function}
    scan = scan_of(tmp_path, pixels, PhotometricInterpretation="MONOCHROME1", **window)
    shown = apply_window(scan.pixels, scan.windows[0]).astype(int)
    # PS3.3 C.11.2: the window on the stored values, then the inversion of MONOCHROME1
    expected = 255 - apply_window(pixels, Window(90, 60, "", function)).astype(int)  # type: ignore[arg-type]
    assert np.abs(shown - expected).max() <= 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_voi_lut_is_kept_and_shown(tmp_path: Path, photometric: str) -> None:
    lut = lut_item(3, [0, 50, 255], 8)
    pixels = RAMP.astype(np.uint8)
    scan = scan_of(tmp_path, pixels, VOILUTSequence=[lut], PhotometricInterpretation=photometric)
    window = default_window(scan)
    assert isinstance(window, VoiLut)
    shown = apply_window(scan.pixels, window).ravel().tolist()
    expected = [0, 0, 0, 0, 50] + [255] * 7
    assert shown == ([255 - x for x in expected] if photometric == "MONOCHROME1" else expected)


def test_signed_pixels_with_fewer_bits_stored_extend_their_sign(tmp_path: Path) -> None:
    stored = np.array([[0x0FFF, 0x0800], [0x07FF, 0xF001]], np.uint16)
    scan = scan_of(tmp_path, stored, BitsStored=12, HighBit=11, PixelRepresentation=1)
    assert scan.pixels.ravel().tolist() == [-1.0, -2048.0, 2047.0, 1.0]


def test_overlay_bits_above_and_below_the_stored_ones_are_dropped(tmp_path: Path) -> None:
    stored = np.array([[0x8123, 0x0F34]], np.uint16)
    scan = scan_of(tmp_path, stored, BitsStored=8, HighBit=11)
    assert scan.pixels.ravel().tolist() == [0x12, 0xF3]


def test_padding_takes_the_smallest_real_value_though_that_lies_below_it(tmp_path: Path) -> None:
    pixels = np.array([[-2000, -3000, 5]], np.int16)
    padded = dataset(pixels)
    padded.add_new("PixelPaddingValue", "SS", -2000)
    scan = read_scan(write(tmp_path / "a.dcm", padded))
    assert scan.pixels.ravel().tolist() == [-3000.0, -3000.0, 5.0]


def test_a_padding_range_is_padding_at_both_ends_and_between(tmp_path: Path) -> None:
    padded = dataset(np.array([[1, 2, 3, 4, 9]], np.uint16))
    padded.add_new("PixelPaddingValue", "US", 4)
    padded.add_new("PixelPaddingRangeLimit", "US", 2)
    scan = read_scan(write(tmp_path / "a.dcm", padded))
    assert scan.pixels.ravel().tolist() == [1.0, 1.0, 1.0, 1.0, 9.0]


def test_padding_of_monochrome1_becomes_dark(tmp_path: Path) -> None:
    padded = dataset(np.array([[0, 10, 200]], np.uint8), PhotometricInterpretation="MONOCHROME1")
    padded.add_new("PixelPaddingValue", "US", 0)
    scan = read_scan(write(tmp_path / "a.dcm", padded))
    assert scan.pixels.ravel().tolist() == [55.0, 245.0, 55.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_pixel_data_are_read(tmp_path: Path, dtype: type) -> None:
    pixels = np.array([[0.5, -1.25]], dtype)
    scan = scan_of(tmp_path, pixels)
    np.testing.assert_array_equal(scan.pixels, pixels)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_float_pixel_data_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    assert refusal(tmp_path, np.array([[0, value]], np.float32)) == "values-out-of-range"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"RescaleSlope": "1e308", "RescaleIntercept": 0}, "bad-rescale"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "bad-rescale"),
        ({"RescaleSlope": 1, "RescaleIntercept": "-1e30"}, "bad-rescale"),
        ({"ModalityLUTSequence": [item(LUTDescriptor=[9, 0, 16])]}, "bad-rescale"),
        ({"Rows": 65535, "Columns": 65535}, "too-large"),
        ({"Rows": 40000, "Columns": 10}, "truncated"),
        ({"Rows": 0}, "corrupt"),
        ({"BitsStored": 17}, "corrupt"),
        ({"PhotometricInterpretation": "RGB"}, "corrupt"),
        ({"PhotometricInterpretation": "HSV"}, "unsupported-pixels"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "missing-attribute"),
    ],
)
def test_hostile_values_are_refused(
    tmp_path: Path, attributes: dict[str, Any], reason: str
) -> None:
    assert refusal(tmp_path, RAMP, **attributes) == reason


def test_a_spacing_of_zero_is_unknown(tmp_path: Path) -> None:
    assert scan_of(tmp_path, RAMP, PixelSpacing=[0, 0]).spacing_mm is None


def test_rows_come_first_in_the_spacing(tmp_path: Path) -> None:
    assert scan_of(tmp_path, RAMP, PixelSpacing=[0.5, 0.7]).spacing_mm == (0.5, 0.7)


def enhanced(places: list[float], **frame_two: Any) -> dict[str, Any]:
    frames = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, place])],
            PixelValueTransformationSequence=[
                item(RescaleSlope=1, RescaleIntercept=100 * i, RescaleType="HU")
            ],
            FrameVOILUTSequence=[item(WindowCenter=10 * i + 5, WindowWidth=10)],
        )
        for i, place in enumerate(places)
    ]
    for keyword, value in frame_two.items():
        setattr(frames[1], keyword, value)
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.5])],
    )
    return {
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }


STACK = np.arange(3, dtype=np.uint16)[:, None, None] * np.ones((1, 2, 2), np.uint16)


def test_enhanced_frames_are_ordered_and_rescaled_each_by_its_own(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, STACK, **enhanced([8.0, 4.0, 6.0]))
    assert scan.pixels[:, 0, 0].tolist() == [101.0, 202.0, 0.0]
    assert scan.spacing_mm == (2.0, 0.5, 0.5)
    assert scan.units == "HU"
    assert scan.windows == (Window(15, 10),)  # that of the lowest frame


def test_one_frame_of_an_enhanced_file_is_counted_in_file_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", dataset(STACK, **enhanced([8.0, 4.0, 6.0])))
    scan = read_scan(path, frame=2)
    assert scan.pixels.tolist() == [[202.0, 202.0], [202.0, 202.0]]
    assert scan.windows == (Window(25, 10),)
    with pytest.raises(ScanError) as caught:
        read_scan(path, frame=3)
    assert caught.value.reason == "no-such-frame"


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (enhanced([1.0, 1.0, 2.0]), "several-volumes"),
        (enhanced([1.0, 2.0, 7.0]), "irregular-spacing"),
        (enhanced([1.0, 2.0]), "corrupt"),
        (
            enhanced(
                [1.0, 2.0, 3.0],
                PlaneOrientationSequence=[item(ImageOrientationPatient=[0, 1, 0, 0, 0, 1])],
            ),
            "mixed-geometry",
        ),
        (
            enhanced([1.0, 2.0, 3.0], PixelMeasuresSequence=[item(PixelSpacing=[1, 1])]),
            "mixed-geometry",
        ),
    ],
)
def test_enhanced_frames_that_make_no_volume_are_refused(
    tmp_path: Path, groups: dict[str, Any], reason: str
) -> None:
    assert refusal(tmp_path, STACK, **groups) == reason


def test_a_cine_keeps_the_order_of_the_file_and_has_no_spacing(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, STACK[::-1].copy(), PixelSpacing=[1, 1])
    assert scan.pixels[:, 0, 0].tolist() == [2.0, 1.0, 0.0]
    assert scan.spacing_mm is None


def test_a_header_says_what_the_library_asks_for(tmp_path: Path) -> None:
    ds = dataset(
        RAMP,
        StudyDate="20200229",
        PatientSex="F",
        PatientBirthDate="19600229",
        ViewPosition="LL",
        AccessionNumber="A1",
        IssuerOfPatientID="H",
    )
    header = read_header(write(tmp_path / "a.dcm", ds))
    assert (header.study_date, header.sex, header.view) == (date(2020, 2, 29), "F", "LATERAL")
    assert header.age_years == pytest.approx(60.0, abs=0.01)
    assert header.names == ("Zyxwvut", "Anna", "Zyxwvut-17")
    assert (header.accession, header.issuer) == ("A1", "H")
    assert (header.rows, header.columns, header.n_frames, header.has_pixels) == (3, 4, 1, True)
    assert not any(secret in repr(header) for secret in ("Zyxwvut", "Anna", "1.2.3", "A1"))


@pytest.mark.parametrize(
    ("age", "years"), [("045Y", 45.0), ("006M", 0.5), ("002W", 0.0383), ("999Y", None)]
)
def test_an_age_is_read_in_its_own_unit(tmp_path: Path, age: str, years: float | None) -> None:
    header = read_header(write(tmp_path / "a.dcm", dataset(RAMP, PatientAge=age)))
    assert header.age_years == (None if years is None else pytest.approx(years, abs=1e-3))


@pytest.mark.parametrize(
    ("meaning", "view"),
    [
        ("lateral", "LATERAL"),
        ("Left lateral", "LATERAL"),
        ("postero-anterior", "PA"),
        ("medio-lateral oblique", "unknown"),
        ("mediolateral", "unknown"),
        ("cranio-caudal exaggerated laterally", "unknown"),
        ("left lateral decubitus", "unknown"),
        ("bilateral", "unknown"),
    ],
)
def test_a_view_is_not_lateral_for_the_sound_of_a_word(meaning: str, view: str) -> None:
    ds = Dataset()
    ds.ViewCodeSequence = [item(CodeMeaning=meaning)]
    assert view_of(ds) == view


@pytest.mark.parametrize("shape", [(3, 3, 5), (9, 1, 3), (2, 4, 4), (5, 7, 7)])
def test_frames_of_single_bits_may_end_in_the_middle_of_a_byte(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    bits = np.random.default_rng(3).integers(0, 2, shape, dtype=np.uint8)
    ds = dataset(bits, BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    path = write(tmp_path / "bits.dcm", ds)
    assert np.array_equal(read_scan(path).pixels, bits)
    assert np.array_equal(read_scan(path, frame=1).pixels, bits[1])
