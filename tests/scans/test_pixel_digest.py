"""One picture has one digest, whatever file, header or format it comes in."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from scans.dicom_samples import dataset, write

from medembed.scans import ScanReader, combine_pixel_digests, pixel_digest, read_scan
from medembed.scans.pixel_digest import frame_digest
from medembed.scans.read import inspect_file

PICTURE = np.random.default_rng(3).integers(0, 200, (48, 64), np.uint8)
EXPECTED = frame_digest(PICTURE)


def dicom(path: Path, pixels: np.ndarray = PICTURE, **attributes: Any) -> Path:
    return write(path, dataset(pixels, **attributes))


def compressed(path: Path, syntax: str) -> Path:
    ds = dataset(PICTURE)
    ds.file_meta = Dataset()
    write(path, ds)
    ds.compress(syntax, generate_instance_uid=False)
    return write(path, ds, syntax)


def nifti(path: Path) -> Path:
    # rows run from front to back and columns to the left, as MedEmbed turns NIfTI
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    nib.save(nib.Nifti1Image(PICTURE.T[:, :, None].astype(np.int16), affine), path)
    return path


def png(path: Path, pixels: np.ndarray = PICTURE) -> Path:
    Image.fromarray(pixels).save(path)
    return path


FORMS: dict[str, Any] = {
    "PNG": lambda f: png(f / "a.png"),
    "PNG of 16 bits": lambda f: png(f / "a.png", PICTURE.astype(np.uint16) * 257),
    "PNG in colour": lambda f: png(f / "a.png", np.repeat(PICTURE[..., None], 3, axis=-1)),
    "DICOM of 8 bits": lambda f: dicom(f / "a"),
    "DICOM of 16 bits": lambda f: dicom(f / "a", PICTURE.astype(np.uint16) * 16),
    "DICOM, signed": lambda f: dicom(f / "a", PICTURE.astype(np.int16) - 100),
    "DICOM in floats": lambda f: dicom(f / "a", PICTURE.astype(np.float32) / 7),
    "another header": lambda f: dicom(f / "a", PatientID="q", WindowCenter=3, WindowWidth=9),
    "rescaled": lambda f: dicom(f / "a", RescaleSlope="0.37", RescaleIntercept="-1024.5"),
    "MONOCHROME1": lambda f: dicom(f / "a", 255 - PICTURE, PhotometricInterpretation="MONOCHROME1"),
    "JPEG 2000": lambda f: compressed(f / "a", uid.JPEG2000Lossless),
    "RLE": lambda f: compressed(f / "a", uid.RLELossless),
    "JPEG-LS": lambda f: compressed(f / "a", uid.JPEGLSLossless),
    "NIfTI": lambda f: nifti(f / "a.nii.gz"),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_picture_has_one_digest_in_every_form(form: str, tmp_path: Path) -> None:
    path = FORMS[form](tmp_path)
    header = inspect_file(path)
    assert header.frame_digests == (EXPECTED,)
    assert header.pixel_sha256 == EXPECTED
    assert pixel_digest(read_scan(path).pixels) == EXPECTED


@pytest.mark.parametrize(
    "other",
    [
        np.flipud(PICTURE),
        np.fliplr(PICTURE),
        PICTURE.T,
        255 - PICTURE,
        PICTURE.reshape(64, 48),
        np.where(np.arange(64) == 3, PICTURE + 1, PICTURE),
    ],
)
def test_another_picture_has_another_digest(other: np.ndarray) -> None:
    assert frame_digest(other) != EXPECTED


@given(
    seed=st.integers(0, 2**32),
    slope=st.floats(1e-3, 1e3),
    intercept=st.floats(-1e4, 1e4),
    n_values=st.sampled_from([2, 3, 300, 70_000]),
)
@settings(max_examples=25, deadline=None)
def test_any_increasing_map_keeps_the_digest(
    seed: int, slope: float, intercept: float, n_values: int
) -> None:
    values = np.random.default_rng(seed).integers(0, n_values, (64, 48))
    values[0, :2] = 0, 1
    values[1, 0] = n_values - 1
    # the slow way: by sorting
    _, ranks = np.unique(values, return_inverse=True)
    assert frame_digest(values * slope + intercept) == frame_digest(values)
    assert frame_digest(ranks.reshape(64, 48)) == frame_digest(values)
    assert frame_digest(values - 10**9) == frame_digest(values)


def test_a_frame_of_one_value_identifies_nothing() -> None:
    assert frame_digest(np.full((4, 4), 7.0)) == ""
    assert pixel_digest(np.zeros((3, 4, 4))) == ""
    assert combine_pixel_digests([]) == combine_pixel_digests(["", ""]) == ""


@pytest.mark.parametrize(
    "common",
    [
        PICTURE > 100,  # a mask
        np.digitize(PICTURE, np.arange(14, 200, 14)),  # 14 or 15 grey levels
        np.where(np.arange(48 * 64).reshape(48, 64) < 100, PICTURE, 0),  # a line of text on black
        np.where(np.arange(48 * 64).reshape(48, 64) == 5, 1, 0),  # one odd pixel
    ],
)
def test_what_other_patients_may_have_as_well_identifies_nothing(common: np.ndarray) -> None:
    assert frame_digest(common).startswith("~")
    assert frame_digest(common) != frame_digest(np.fliplr(common)), "still tells slices apart"
    assert pixel_digest(common * 3.0 - 7) == ""
    assert pixel_digest(np.stack([common, common[::-1]])) == ""
    assert pixel_digest(np.stack([common, PICTURE])) == EXPECTED


def test_a_dark_picture_with_wide_borders_identifies() -> None:
    dark = np.zeros((480, 640), np.uint8)
    dark[100:180, 100:300] = np.random.default_rng(0).integers(1, 20, (80, 200))
    assert len(pixel_digest(dark)) == 64


def test_a_series_of_files_and_one_file_of_the_same_slices_agree(tmp_path: Path) -> None:
    volume = np.random.default_rng(1).integers(0, 99, (4, 8, 9)).astype(np.uint16)
    volume[2] = 5  # a slice that identifies nothing
    whole = inspect_file(dicom(tmp_path / "whole", volume))
    single = [inspect_file(dicom(tmp_path / f"{i}", volume[i])) for i in (3, 1, 0, 2)]
    assert len(whole.frame_digests) == 4
    assert whole.frame_digests[2] == ""
    assert whole.pixel_sha256 == pixel_digest(volume)
    assert whole.pixel_sha256 == combine_pixel_digests(
        digest for header in single for digest in header.frame_digests
    )


def test_inspect_gives_the_hash_of_the_file(tmp_path: Path) -> None:
    for form in ("PNG", "JPEG 2000", "NIfTI"):
        path = FORMS[form](tmp_path)
        assert inspect_file(path).file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_worker_sends_digests_and_the_header_alone_has_none(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a")
    with ScanReader() as reader:
        assert reader.inspect(path).pixel_sha256 == EXPECTED
        assert reader.header(path).frame_digests == ()
        assert reader.header(path).sop_class == "1.2.840.10008.5.1.4.1.1.2"
