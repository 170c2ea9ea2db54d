"""One CT as DICOM series and as NIfTI is one scan: same array, same units, same vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.example_files import make_dataset, write_csv

from medembed.library import CaseLibrary, ingest
from medembed.model.pixel_cache import PixelCache
from medembed.preprocess import Preprocess
from medembed.scans import Scan, ScanReader, read_scan
from medembed.scans.hounsfield import looks_like_hounsfield
from medembed.scans.remarks import Remark
from medembed.sources import Refusal, TableSource
from medembed.sources.synthetic import CohortConfig
from medembed.sources.synthetic.ct import chest_volume, ct_grid
from medembed.sources.synthetic.findings import build_chest
from medembed.sources.synthetic.plan import plan_cohort

# ImageOrientationPatient, step between slices, and the file axes that converters write
PLANES: dict[str, tuple[list[float], list[float]]] = {
    "axial": ([1, 0, 0, 0, 1, 0], [0, 0, 1]),
    "coronal": ([1, 0, 0, 0, 0, -1], [0, 1, 0]),
    "sagittal": ([0, 1, 0, 0, 0, -1], [1, 0, 0]),
}
SPACING = (5.0, 3.0, 3.0)  # slice, row, column


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """A simulated chest, ``(slice, row, column)`` in HU, whole numbers."""
    study = next(iter(plan_cohort(CohortConfig(n_studies=1, seed=4))))
    body = build_chest(study.build, study.pose, study.lesions, 1.0)
    volume = chest_volume(body, ct_grid(body, 64))
    return np.rint(volume[:: max(1, len(volume) // 12)]).astype(np.int16)


def write_series(folder: Path, volume: np.ndarray, plane: str) -> list[Path]:
    rows, step = PLANES[plane]
    folder.mkdir()
    files = []
    for i, image in enumerate(volume):
        ds = make_dataset(
            1,
            Modality="CT",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            SOPInstanceUID=f"1.2.3.{i + 1}",
            ImageOrientationPatient=rows,
            ImagePositionPatient=[SPACING[0] * i * s for s in step],
            PixelSpacing=list(SPACING[1:]),
            Rows=image.shape[0],
            Columns=image.shape[1],
            BitsAllocated=16,
            BitsStored=16,
            HighBit=15,
            PixelRepresentation=0,
            RescaleSlope=1,
            RescaleIntercept=-2048,
            RescaleType="HU",
            PixelData=(image + 2048).astype("<u2").tobytes(),
        )
        files.append(folder / f"{i}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


def write_nifti(path: Path, volume: np.ndarray, plane: str, axes: str = "") -> Path:
    """Write the same voxels as NIfTI: columns, rows, slices as axes, or turned to ``axes``."""
    rows, step = PLANES[plane]
    affine = np.eye(4)
    for axis, (way, length) in enumerate(
        zip((rows[:3], rows[3:], step), SPACING[::-1], strict=True)
    ):
        affine[:3, axis] = np.array(way) * length * [-1, -1, 1]  # LPS to RAS
    image = nib.Nifti1Image(np.transpose(volume, (2, 1, 0)), affine)
    if axes:
        have = nib.orientations.io_orientation(affine)
        want = nib.orientations.axcodes2ornt(tuple(axes))
        image = image.as_reoriented(nib.orientations.ornt_transform(have, want))
    nib.save(image, path)
    return path


@pytest.mark.parametrize("axes", ["", "RAS", "LPS", "PSL", "IRA"])
@pytest.mark.parametrize("plane", PLANES)
def test_nifti_is_turned_as_its_dicom_series(
    tmp_path: Path, chest: np.ndarray, plane: str, axes: str
) -> None:
    series = read_scan(write_series(tmp_path / "series", chest, plane))
    volume = read_scan(write_nifti(tmp_path / "a.nii.gz", chest, plane, axes))
    np.testing.assert_array_equal(volume.pixels, series.pixels)
    assert volume.spacing_mm == pytest.approx(series.spacing_mm)
    assert (volume.units, series.units) == ("HU", "HU")
    assert volume.remarks == (Remark.HOUNSFIELD,)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_model_reads_both_forms_alike(tmp_path: Path, chest: np.ndarray, dimensions: Any) -> None:
    preprocess = Preprocess(dimensions=dimensions, size=24, slices=4, hu_window="-300/1400")
    series = read_scan(write_series(tmp_path / "series", chest, "axial"))
    volume = read_scan(write_nifti(tmp_path / "a.nii", chest, "axial"))
    np.testing.assert_array_equal(preprocess.pixels(volume), preprocess.pixels(series))
    stored = Scan(volume.pixels, volume.spacing_mm, units="stored")
    assert (preprocess.pixels(stored) != preprocess.pixels(series)).any()  # the units matter


def test_isotropic_nifti_has_its_slices_on_the_third_axis(
    tmp_path: Path, chest: np.ndarray
) -> None:
    affine = np.zeros((4, 4))  # as a converter writes a sagittal series: P, I, L
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = -1, -1, -1, 1
    nib.save(nib.Nifti1Image(np.transpose(chest, (2, 1, 0)), affine), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii").pixels, chest)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("MR", RNG.integers(0, 900, (4, 32, 32)), False),
        ("CT with an offset", RNG.choice([0, 24, 1064], (4, 32, 32)), False),
        ("standardized", RNG.standard_normal((4, 32, 32)), False),
        ("phase", RNG.integers(-4096, 4096, (4, 32, 32)), False),
        ("CT", RNG.choice([-1000, -850, 40, 700], (4, 32, 32)), True),
        ("CT with padding", RNG.choice([-3024, -1000, 40], (4, 32, 32)), True),
        ("CT without air", RNG.choice([-100, 40, 700], (4, 32, 32)), False),
        ("constant", np.full((4, 32, 32), -1000), False),
    ],
)
def test_hounsfield_units_are_recognized_by_air_and_tissue(
    name: str, values: np.ndarray, expected: bool
) -> None:
    assert looks_like_hounsfield(values.astype(np.float32)) is expected, name


@pytest.mark.parametrize(
    ("cells", "kept", "said"),
    [
        ({}, "HU", str(Remark.HOUNSFIELD)),
        ({"modality": "CT"}, "HU", str(Remark.HOUNSFIELD)),
        ({"modality": "MR"}, "stored", ""),
        ({"units": "stored"}, "stored", "read in units stored, as the table declares"),
        ({"units": "hu"}, "HU", "read in units HU, as the table declares"),
    ],
)
def test_the_table_decides_the_units_and_the_library_keeps_them(
    tmp_path: Path,
    chest: np.ndarray,
    reader: ScanReader,
    cells: dict[str, str],
    kept: str,
    said: str,
) -> None:
    write_nifti(tmp_path / "a.nii.gz", chest, "axial")
    row = {"case_id": "c", "patient_id": "p", "image_path": "a.nii.gz"} | cells
    table = write_csv(tmp_path / "cases.csv", [row])
    with CaseLibrary.open(tmp_path / "library", create=True) as library:
        report = ingest(library, TableSource(table), reader=reader)
        assert any(said in line for line in report.remarks), report.remarks
        (case,) = library.cases()
        assert case.scans[0].units == case.attributes["units"] == kept
        assert library.find(f"units={kept}") == ["c"]
        cache = PixelCache(tmp_path / "cache", Preprocess(size=24, slices=4))
        assert cache.fill(library, [case], workers=1) == {}
        first, n = cache.span(case.scans[0])
        scan = read_scan(tmp_path / "a.nii.gz")
        expected = Preprocess(size=24, slices=4).pixels(
            Scan(scan.pixels, scan.spacing_mm, units="HU" if kept == "HU" else "stored")
        )
        np.testing.assert_array_equal(cache.rows(slice(first, first + n)), expected)
        assert ingest(library, TableSource(table), reader=reader).unchanged == 1


def test_a_ct_without_air_is_read_as_stored_and_that_is_said(
    tmp_path: Path, chest: np.ndarray, reader: ScanReader
) -> None:
    write_nifti(tmp_path / "a.nii.gz", chest.clip(-160, 240), "axial")
    row = {"case_id": "c", "patient_id": "p", "image_path": "a.nii.gz", "modality": "CT"}
    table = write_csv(tmp_path / "cases.csv", [row])
    with CaseLibrary.open(tmp_path / "library", create=True) as library:
        report = ingest(library, TableSource(table), reader=reader)
        assert any("declare them in a column units" in line for line in report.remarks)
        assert next(library.cases()).scans[0].units == "stored"
        changed = write_csv(tmp_path / "cases.csv", [row | {"units": "HU"}])
        again = ingest(library, TableSource(changed), reader=reader)
        assert again.refused_by_code == {"changed-content": 1}
        wrong = write_csv(tmp_path / "cases.csv", [row | {"units": "mm"}])
        (refusal,) = ingest(library, TableSource(wrong), reader=reader).refusals
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason) == ("bad-units", "units is not HU or stored")
