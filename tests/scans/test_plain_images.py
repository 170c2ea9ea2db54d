"""PNG, JPEG and NIfTI."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medembed.errors import ScanError
from medembed.scans import read_header, read_scan

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def reason(path: Path, frame: int | None = None) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path, frame=frame)
    assert caught.value.where == str(path)
    return caught.value.reason


def test_grey_of_8_bits_keeps_its_values(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_scan(tmp_path / "a.png").pixels, RAMP)


def test_grey_of_16_bits_keeps_its_values(tmp_path: Path) -> None:
    pixels = RAMP.astype(np.uint16) * 257
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_scan(tmp_path / "a.png").pixels, pixels)


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(RAMP > 100).save(tmp_path / "a.png")
    assert set(read_scan(tmp_path / "a.png").pixels.ravel()) == {0.0, 255.0}


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colour_becomes_luminance(tmp_path: Path, mode: str) -> None:
    rgb = np.zeros((1, 3, 3), np.uint8)
    rgb[0] = np.eye(3) * 255
    image = Image.fromarray(rgb)
    image = image.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else image
    image.save(tmp_path / "a.png")
    pixels = read_scan(tmp_path / "a.png").pixels
    np.testing.assert_allclose(pixels, [[76.245, 149.685, 29.07]], atol=0.01)


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    rgba = np.full((1, 2, 4), 200, np.uint8)
    rgba[0, :, 3] = [0, 255]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_scan(tmp_path / "a.png").pixels, [[0, 200]], atol=1e-4)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(read_scan(tmp_path / "a.jpg").pixels, expected)


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(RAMP).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_scan(tmp_path / "a.png").pixels, np.rot90(RAMP, -1))
    header = read_header(tmp_path / "a.png")
    assert (header.rows, header.columns) == (4, 3)


def test_a_plain_image_has_no_modality_and_no_spacing(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png", dpi=(300, 300))
    scan, header = read_scan(tmp_path / "a.png"), read_header(tmp_path / "a.png")
    assert (scan.modality, scan.view, scan.spacing_mm) == ("unknown", "unknown", None)
    assert (header.format, header.modality, header.n_frames) == ("image", "unknown", 1)


def test_the_name_of_a_file_plays_no_part(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    renamed = (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    assert read_header(renamed).format == "image"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_cut_image_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert reason(path) == "truncated"


def test_a_png_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 2**30, 2**30, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    assert reason(tmp_path / "a.png") in ("too-large", "corrupt")


def test_an_image_has_one_frame(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    assert reason(tmp_path / "a.png", frame=1) == "no-such-frame"


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSL", "IRA"])
def test_a_volume_is_turned_to_head_back_left(tmp_path: Path, axes: str, suffix: str) -> None:
    """The oracle is nibabel's own world coordinates of each voxel."""
    zooms = {"L": 1.0, "R": 1.0, "P": 2.0, "A": 2.0, "S": 3.0, "I": 3.0}
    target = nib.orientations.axcodes2ornt(tuple(axes))
    affine = nib.orientations.inv_ornt_aff(target, (2, 3, 4)) @ np.eye(4)
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) @ affine
    values = numbered((2, 3, 4))
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti1Image(values, affine), path)
    scan = read_scan(path)
    assert scan.spacing_mm == tuple(zooms[axis] for axis in "SPL")
    places = np.argwhere(np.ones_like(values)) @ affine[:3, :3].T  # RAS
    by_place = {int(v): p for v, p in zip(values.ravel(), places, strict=True)}
    for axis, (world, sign) in enumerate([(2, 1), (1, -1), (0, -1)]):
        lines = np.moveaxis(scan.pixels, axis, -1).reshape(-1, scan.pixels.shape[axis])
        for line in lines:
            along = [sign * by_place[int(v)][world] for v in line]
            assert along == sorted(along)
            assert len(set(along)) == len(along)


def test_scaling_of_nifti_is_applied_once(tmp_path: Path) -> None:
    image = nib.Nifti1Image(numbered((2, 2, 2)), np.eye(4))
    image.header.set_slope_inter(2, -100)
    nib.save(image, tmp_path / "a.nii")
    expected = nib.load(tmp_path / "a.nii").get_fdata()
    assert sorted(read_scan(tmp_path / "a.nii").pixels.ravel()) == sorted(expected.ravel())


def test_nan_in_nifti_becomes_the_smallest_value(tmp_path: Path) -> None:
    values = np.array([[[np.nan, 3.0], [2.0, 5.0]]], np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert sorted(read_scan(tmp_path / "a.nii").pixels.ravel().tolist()) == [2.0, 2.0, 3.0, 5.0]


def test_one_slice_of_nifti_is_counted_from_the_feet(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(numbered((2, 2, 3)), np.eye(4)), tmp_path / "a.nii")
    whole = read_scan(tmp_path / "a.nii")
    one = read_scan(tmp_path / "a.nii", frame=2)
    np.testing.assert_array_equal(one.pixels, whole.pixels[2])
    assert one.spacing_mm == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (numbered((2, 2, 2, 3)), "several-volumes"),
        (np.ones((2, 2, 2), np.complex64), "unsupported-pixels"),
        (np.full((2, 2, 2), np.inf, np.float32), "values-out-of-range"),
    ],
)
def test_nifti_that_is_no_volume_is_refused(
    tmp_path: Path, values: np.ndarray, expected: str
) -> None:
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert reason(tmp_path / "a.nii") == expected


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_cut_nifti_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert reason(path) == "truncated"


def test_the_header_of_nifti_counts_its_slices(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(numbered((2, 3, 4)), np.eye(4)), tmp_path / "a.nii.gz")
    header = read_header(tmp_path / "a.nii.gz")
    assert (header.format, header.n_frames, header.has_pixels) == ("nifti", 4, True)
    assert header.rows * header.columns == 6
