"""A cohort on disk: the same bytes every time, whole or finished later, valid as DICOM."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medembed.errors import SourceError
from medembed.sources.synthetic import Bias, Cohort, CohortConfig, write_cohort

CONFIG = CohortConfig(n_studies=10, seed=7, size=64, ct_fraction=0.1, ct_size=64)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"), CONFIG, workers=1)


@pytest.fixture(scope="module")
def headers(cohort: Cohort) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(p) for p in sorted(cohort.dicom.rglob("*.dcm"))]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(
    cohort: Cohort, tmp_path: Path
) -> None:
    again = write_cohort(tmp_path / "again", CONFIG, workers=2)
    assert digest(again.folder) == digest(cohort.folder)
    assert again.n_files == cohort.n_files == len(list(cohort.dicom.rglob("*.dcm")))


def test_another_seed_gives_other_images(cohort: Cohort, tmp_path: Path) -> None:
    other = write_cohort(tmp_path, CohortConfig(n_studies=1, seed=3, size=64), workers=1)
    mine = {v for k, v in digest(other.folder).items() if k.endswith(".dcm")}
    assert mine.isdisjoint(digest(cohort.folder).values())


def test_an_interrupted_cohort_is_finished_without_a_change(cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(cohort.folder, folder)
    files = sorted((folder / "dicom").rglob("*.dcm"))
    for path in files[::3]:
        path.unlink()
    (folder / "dicom" / ".half.dcm.part").write_bytes(b"half")
    (folder / "truth.csv").unlink()
    kept = files[1]
    stamp = kept.stat().st_mtime_ns
    write_cohort(folder, CONFIG, workers=1)
    assert digest(folder) == digest(cohort.folder)
    assert kept.stat().st_mtime_ns == stamp


def test_a_folder_of_another_cohort_or_of_other_files_is_refused(
    cohort: Cohort, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="another configuration"):
        write_cohort(cohort.folder, CohortConfig(n_studies=3), workers=1)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(SourceError, match="other files than a synthetic cohort"):
        write_cohort(tmp_path, CONFIG, workers=1)
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_progress_is_told_study_by_study(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    config = CohortConfig(n_studies=3, size=64)
    write_cohort(tmp_path, config, progress=lambda *a: told.append(a), workers=1)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_tables_hold_every_study_and_reports_nothing_identifying(cohort: Cohort) -> None:
    reports, truth = rows(cohort.reports), rows(cohort.truth)
    assert len(reports) == len(truth) == cohort.n_studies == 10
    assert list(reports[0]) == [
        "accession", "study_uid", "note", "findings", "race", "site", "scanner", "split",
    ]  # fmt: skip
    text = cohort.reports.read_text(encoding="utf-8")
    assert "SYN-" not in text
    assert "Synthetic^" not in text
    splits = {(row["patient"], row["split"]) for row in truth}
    assert len(splits) == len({patient for patient, _ in splits})
    assert {split for _, split in splits} <= {"train", "val", "test"}
    for report, row in zip(reports, truth, strict=True):
        assert report["study_uid"] == row["study_uid"]
        labels = {d["label"] for d in json.loads(row["details"])} - {"other"}
        assert labels == {f.partition(":")[0] for f in row["findings"].split(";") if f}
        for name in row["files"].split(";"):
            assert (cohort.dicom / name).exists()


def test_the_headers_join_with_the_tables(cohort: Cohort, headers: list[pydicom.Dataset]) -> None:
    truth = {row["study_uid"]: row for row in rows(cohort.truth)}
    for ds in headers:
        row = truth[ds.StudyInstanceUID]
        assert ds.AccessionNumber == row["accession"]
        assert ds.PatientID == row["patient"]
        assert ds.PatientSex == row["sex"]
        assert int(ds.PatientAge[:3]) == int(row["age"])
        assert str(ds.PatientName).startswith("Synthetic^")
        assert ds.StudyDate == row["study_date"].replace("-", "")
    assert {ds.StudyInstanceUID for ds in headers} == set(truth)
    uids = [ds.SOPInstanceUID for ds in headers]
    assert len(set(uids)) == len(uids)


def test_pixels_are_12_bit_and_bright_is_dense_after_inversion(
    headers: list[pydicom.Dataset],
) -> None:
    shots = [ds for ds in headers if ds.Modality in ("CR", "DX")]
    assert {ds.PhotometricInterpretation for ds in shots} == {"MONOCHROME1", "MONOCHROME2"}
    for ds in shots:
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
        pixels = ds.pixel_array.astype(int)
        assert pixels.shape == (64, 64)
        assert pixels.max() <= 4095
        if ds.PhotometricInterpretation == "MONOCHROME1":
            pixels = 4095 - pixels
        if ds.ViewPosition in ("PA", "AP"):
            # the midline's spine is denser than both lungs' upper zones
            spine = np.median(pixels[20:40, 29:35])
            assert spine > np.median(pixels[22:30, 12:20])


def test_ct_slices_lie_5_mm_apart_and_hold_hounsfield_units(
    headers: list[pydicom.Dataset],
) -> None:
    slices = [ds for ds in headers if ds.Modality == "CT"]
    assert slices
    series = [ds for ds in slices if ds.SeriesInstanceUID == slices[0].SeriesInstanceUID]
    heights = sorted(float(ds.ImagePositionPatient[2]) for ds in series)
    np.testing.assert_allclose(np.diff(heights), 5.0, atol=1e-3)
    middle = series[len(series) // 2]
    units = middle.pixel_array * float(middle.RescaleSlope) + float(middle.RescaleIntercept)
    assert units.min() < -900
    assert units.max() > 200


def test_dciodvfy_finds_no_error(cohort: Cohort) -> None:
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy is absent: it comes with Debian's dicom3tools")
    paths = sorted(cohort.dicom.glob("*.dcm"))
    paths += sorted(cohort.dicom.glob("*-ct/*.dcm"))[::20]
    for path in paths:
        done = subprocess.run(
            [tool, "-new", str(path)], capture_output=True, text=True, check=False
        )
        said = (done.stdout + done.stderr).splitlines()
        assert not [line for line in said if line.startswith(("Error", "Warning"))], path.name


def test_a_bias_changes_the_images_of_its_group_only(tmp_path: Path) -> None:
    plain = CohortConfig(n_studies=4, seed=7, size=64)
    biased = CohortConfig(n_studies=4, seed=7, size=64, bias=Bias({"sex": "F"}, noisier_images=4))
    a = write_cohort(tmp_path / "a", plain, workers=1)
    b = write_cohort(tmp_path / "b", biased, workers=1)
    sexes = set()
    for row in rows(a.truth):
        sexes.add(row["sex"])
        for name in row["files"].split(";"):
            same = (a.dicom / name).read_bytes() == (b.dicom / name).read_bytes()
            assert same == (row["sex"] == "M")
    assert sexes == {"F", "M"}
