"""A case that is the query is no neighbour: it is set apart and said, however the image came."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from support.example_cases import make_case

from medembed.cases import ScanRef
from medembed.index import SearchNoteKind
from medembed.library import CaseLibrary, ingest
from medembed.lookup import CaseLookup, Result
from medembed.model import embed_library, toy_model
from medembed.scans import Scan, read_scan
from medembed.scans.pixel_digest import pixel_digest
from medembed.scans.scan_hash import scan_sha256
from medembed.sources import open_source

N = 8


def write_series(folder: Path, seed: int, n: int = 3) -> list[Path]:
    """A small CT series without a PatientID."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    study, series, files = generate_uid(), generate_uid(), []
    for i in range(n):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.Modality, ds.PatientID = "CT", ""
        ds.Rows = ds.Columns = 16
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.PixelSpacing, ds.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient, ds.InstanceNumber = [0, 0, float(i)], n - i
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = rng.integers(0, 2000, (16, 16)).astype("<u2").tobytes()
        files.append(folder / f"{rng.integers(10**6):06d}-{i}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CaseLookup, Path]]:
    """A library of CT series, one a case, and a second study of the third patient."""
    home = tmp_path_factory.mktemp("series")
    rows = []
    for n in range(N):
        write_series(home / f"s{n}", n)
        rows.append((f"case{n}", f"pat{2 if n == 7 else n}", f"s{n}"))
    with (home / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("case_id", "patient_id", "image_path"), *rows])
    with CaseLibrary.create(home / "library") as library:
        assert ingest(library, open_source(home / "cases.csv")).added == N
        model = toy_model()
        embed_library(library, model, workers=1)
        with CaseLookup(library, model) as lookup:
            yield lookup, home


def ids(result: Result) -> list[str]:
    return [hit.case_id for hit in result.hits]


@pytest.mark.parametrize("how", ["sorted", "reversed", "shuffled", "folder", "one twice"])
def test_a_series_in_any_order_is_recognised(
    series: tuple[CaseLookup, Path], tmp_path: Path, how: str
) -> None:
    lookup, home = series
    files: Sequence[Path] = sorted((home / "s2").glob("*.dcm"))
    if how == "reversed":
        files = files[::-1]
    elif how == "shuffled":
        files = random.Random(3).sample(list(files), len(files))
    elif how == "folder":
        files = [home / "s2"]
    elif how == "one twice":
        copy = tmp_path / "copy.dcm"
        copy.write_bytes(files[0].read_bytes())
        files = [*files, copy]
    result = lookup.search(image=files, k=N)
    assert result.own_cases == ("case2",)
    assert "case2" not in ids(result)
    assert "case7" not in ids(result), "another study of the same patient"
    assert len(result.hits) == N - 2
    assert result.own_patient_cases == 2
    note = next(n for n in result.plan.notes if n.kind is SearchNoteKind.OWN_CASES)
    assert (note.names, str(note)) == (("case2",), "this image is in the library: case case2")
    assert json.loads(json.dumps(result.to_json()))["own_cases"] == ["case2"]


def test_a_series_of_nobody_in_the_library_sets_nothing_apart(
    series: tuple[CaseLookup, Path], tmp_path: Path
) -> None:
    lookup, _ = series
    result = lookup.search(image=write_series(tmp_path / "new", 99), k=N)
    assert (result.own_cases, result.own_patient_cases) == ((), 0)
    assert not {SearchNoteKind.OWN_CASES, SearchNoteKind.OWN_PATIENT} & {
        note.kind for note in result.plan.notes
    }
    assert len(result.hits) == N


def test_ingest_and_lookup_hash_a_scan_alike(series: tuple[CaseLookup, Path]) -> None:
    lookup, home = series
    for n in range(N):
        digests = [
            hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted((home / f"s{n}").iterdir())
        ]
        assert lookup.library.case(f"case{n}").scans[0].sha256 == scan_sha256(digests[::-1])


def grey(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(32 * 32).reshape(32, 32).astype(np.uint16)


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[CaseLookup]:
    """Four pictures, each one case of one patient, with their pixel digests; a fifth is a copy."""
    with CaseLibrary.create(tmp_path / "library") as library:
        cases = []
        for i in range(5):
            path = tmp_path / f"{i}.png"
            Image.fromarray(grey(0 if i == 4 else i)).save(path, compress_level=9 - i)
            ref = ScanRef(
                (str(path),),
                hashlib.sha256(path.read_bytes()).hexdigest(),
                pixel_sha256=pixel_digest(read_scan(path).pixels),
            )
            cases.append(make_case(i, case_id=f"c{i}", patient_id=f"p{i}", scans=(ref,)))
        library.add(cases)
        model = toy_model()
        embed_library(library, model, workers=1)
        with CaseLookup(library, model) as lookup:
            yield lookup


def test_the_same_pixels_in_another_file_are_set_apart(
    pictures: CaseLookup, tmp_path: Path
) -> None:
    path = tmp_path / "again.png"
    Image.fromarray(grey(2)).save(path, compress_level=0)
    result = pictures.search(image=path)
    assert result.own_cases == ("c2",)
    copies = [name for hit in result for name in hit.same_image]  # c0 and c4 show one image
    assert len(copies) == 1
    assert sorted([*ids(result), *copies]) == ["c0", "c1", "c3", "c4"]


@pytest.mark.parametrize(
    "changed",
    [lambda p: p * 3.0 + 7, lambda p: p / 1023, np.sqrt, lambda p: p - 1024],
    ids=["scaled", "unit", "curve", "shifted"],
)
def test_a_decoded_scan_with_another_window_or_depth_is_set_apart(
    pictures: CaseLookup, changed
) -> None:
    scan = Scan(changed(grey(1).astype(np.float32)).astype(np.float32))
    assert pictures.search(image=scan).own_cases == ("c1",)
    mirrored = Scan(np.ascontiguousarray(grey(1)[:, ::-1]).astype(np.float32))
    assert pictures.search(image=mirrored).own_cases == ()


def test_all_cases_that_are_the_query_are_named(pictures: CaseLookup, tmp_path: Path) -> None:
    result = pictures.search(image=tmp_path / "0.png")
    assert result.own_cases == ("c0", "c4")
    assert any(str(note).endswith("cases c0, c4") for note in result.plan.notes)
    assert sorted(ids(result)) == ["c1", "c2", "c3"]


def test_a_case_that_asks_does_not_find_its_copy_under_another_patient(
    pictures: CaseLookup,
) -> None:
    result = pictures.search(case="c0")
    assert result.own_cases == ("c4",)
    assert sorted(ids(result)) == ["c1", "c2", "c3"]
    assert result.own_patient_cases == 2


def test_an_image_of_one_value_is_nobodys(pictures: CaseLookup) -> None:
    assert pictures.search(image=Scan(np.zeros((32, 32), np.float32))).own_cases == ()


def test_words_beside_the_image_do_not_bring_it_back(pictures: CaseLookup, tmp_path: Path) -> None:
    result = pictures.search(image=tmp_path / "3.png", text="a nodule", where="case in c3,c1")
    assert (ids(result), result.own_cases) == (["c1"], ("c3",))
