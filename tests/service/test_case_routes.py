"""Cases, frames, metadata and thumbnails over HTTP."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from starlette.testclient import TestClient

from apps.case_lookup.rendering import DisplaySettings, presets, render
from apps.service import ServiceSettings
from apps.service.answers import CaseAnswer
from apps.service.pictures import JPEG, PNG, RAW, choose_type
from apps.service.problems import Problem
from medembed.library import CaseLibrary
from medembed.scans import PRESETS, Scan, read_scan
from tests.service.conftest import CT, in_process, problem


@pytest.fixture(scope="module")
def ct(library_path: Path) -> Scan:
    with CaseLibrary.open(library_path) as library:
        return read_scan(library.scan_files(library.case(CT))[0])


def test_a_case_has_its_report_and_findings_and_nothing_of_its_files(
    client: TestClient, library_path: Path
) -> None:
    answer = client.get("/v1/cases/C-0001")
    found = CaseAnswer.model_validate_json(answer.content)
    with CaseLibrary.open(library_path) as library:
        case = library.case("C-0001")
    assert case.note is not None
    assert found.note is not None
    assert found.note.text == case.note.text
    assert [a.status for a in found.note.assertions] == ["present", "absent", "uncertain"]
    assert found.findings == ["effusion:right"]
    assert found.scans[0].modality == "DX"
    assert case.scans[0].sha256 not in answer.text
    assert "date_shift" not in answer.text
    assert ".dcm" not in answer.text


def test_a_case_without_a_report_has_none(client: TestClient) -> None:
    assert client.get("/v1/cases/C-0003").json()["note"] is None


@pytest.mark.parametrize(
    "name",
    [
        "nobody", "c-0001", "C-0001%20", "%00", "..%2f..%2flibrary.sqlite", "..%5c..%5cx",
        "C-0001%0d%0aX-Evil:%201", "%ff%fe", "' OR 1=1 --", "x" * 200,
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", "/thumbnail", "/scans/1/metadata", "/scans/1/frames/1"])
def test_no_case_of_another_name_is_found(client: TestClient, name: str, rest: str) -> None:
    problem(client.get(f"/v1/cases/{name}{rest}"), 404, "not-found")


def test_an_id_may_hold_a_slash(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.apps.conftest import make_case, write_radiograph

    with CaseLibrary.create(tmp_path / "library") as library:
        case = make_case(1, [write_radiograph(tmp_path / "1.dcm", 1)])
        library.add([replace(case, case_id="north/1")])
    from apps.service import create_app

    app = create_app(ServiceSettings(tmp_path / "library"))
    with TestClient(app, "http://127.0.0.1:8600") as client:
        assert client.get("/v1/cases/north%2f1").json()["case_id"] == "north/1"
        assert client.get("/v1/cases/north%2f1/scans/1/frames/1").status_code == 200


def test_a_name_that_is_too_long_is_refused(client: TestClient) -> None:
    problem(client.get(f"/v1/cases/{'x' * 201}"), 422, "invalid")


def picture(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image)


def test_a_frame_is_rendered_as_in_the_reading_room(client: TestClient, ct: Scan) -> None:
    answer = client.get(f"/v1/cases/{CT}/scans/1/frames/3")
    window = next(iter(presets(ct).values()))
    assert answer.headers["content-type"] == PNG
    expected = np.asarray(render(ct, DisplaySettings(window, 2)))
    assert np.array_equal(picture(answer.content), expected)
    assert expected.shape == (64, 64)  # true proportions: rows are twice as far as columns


def test_window_size_and_inversion_are_those_asked_for(client: TestClient, ct: Scan) -> None:
    frame = f"/v1/cases/{CT}/scans/1/frames/1"
    bone = client.get(frame, params={"window": "bone", "invert": "true"})
    expected = np.asarray(render(ct, DisplaySettings(PRESETS["bone"], 0, invert=True)))
    assert np.array_equal(picture(bone.content), expected)
    same = client.get(frame, params={"window": "400,1800,linear", "invert": "true"})
    assert same.content == bone.content
    small = client.get(frame, params={"size": 16})
    assert max(picture(small.content).shape) == 16
    jpeg = client.get(frame, params={"quality": 40}, headers={"accept": JPEG})
    assert jpeg.headers["content-type"] == JPEG
    assert picture(jpeg.content).shape == expected.shape


def test_values_are_those_of_the_scan(client: TestClient, ct: Scan) -> None:
    answer = client.get(f"/v1/cases/{CT}/scans/1/frames/5", headers={"accept": RAW})
    values = np.frombuffer(answer.content, "<f4").reshape(32, 64)
    assert np.array_equal(values, ct.pixels[4])
    assert values.min() == -1000
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    "window",
    ["40", "40,", "40,0", "40,-1", "nan,1", "inf,1", "40,400,x", "lungs", "1,2,3,4", "1e999,1"],
)
def test_a_window_that_is_none_is_refused(client: TestClient, window: str) -> None:
    answer = client.get(f"/v1/cases/{CT}/scans/1/frames/1", params={"window": window})
    assert "window" in problem(answer, 422, "invalid")


def test_a_preset_in_hounsfield_units_is_refused_for_a_radiograph(client: TestClient) -> None:
    answer = client.get("/v1/cases/C-0001/scans/1/frames/1", params={"window": "lung"})
    assert "Hounsfield" in problem(answer, 422, "invalid")


@pytest.mark.parametrize("path", ["scans/2/frames/1", "scans/1/frames/6", "scans/2/metadata"])
def test_what_a_case_does_not_have_is_not_found(client: TestClient, path: str) -> None:
    problem(client.get(f"/v1/cases/{CT}/{path}"), 404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "scans/0/frames/1", "scans/1/frames/0", "scans/-1/frames/1", "scans/x/frames/1",
        "scans/1/frames/1e3", "scans/1/frames/99999999999999999999",
    ],
)  # fmt: skip
def test_numbers_begin_at_1(client: TestClient, path: str) -> None:
    problem(client.get(f"/v1/cases/{CT}/{path}"), 422, "invalid")


@pytest.mark.parametrize("name", ["size=0", "size=99999", "quality=0", "invert=perhaps"])
def test_a_parameter_out_of_range_is_refused(client: TestClient, name: str) -> None:
    answer = client.get(f"/v1/cases/{CT}/scans/1/frames/1?{name}")
    assert problem(answer, 422, "invalid").startswith(name.partition("=")[0])


def test_metadata_is_a_dicom_data_set_without_identifiers(client: TestClient, ct: Scan) -> None:
    answer = client.get(f"/v1/cases/{CT}/scans/1/metadata")
    assert answer.headers["content-type"] == "application/dicom+json"
    data = Dataset.from_json(answer.json()[0])
    assert (data.Rows, data.Columns, data.NumberOfFrames) == (32, 64, 5)
    assert [float(value) for value in data.PixelSpacing] == [2.0, 1.0]
    assert float(data.SpacingBetweenSlices) == 5.0
    assert data.RescaleType == "HU"
    assert data.Modality == "CT"
    assert data.PatientIdentityRemoved == "YES"
    assert data.PatientID == "P-0006"
    assert not [element for element in data if element.VR == "UI"]
    assert ct.study_uid not in answer.text
    assert "Planted" not in answer.text


def test_a_thumbnail_is_small_and_kept(client: TestClient, library_path: Path) -> None:
    first = client.get("/v1/cases/C-0007/thumbnail")
    assert first.headers["content-type"] == PNG
    assert max(picture(first.content).shape) <= 360
    with CaseLibrary.open(library_path) as library:
        digest = library.case("C-0007").scans[0].sha256
    kept = library_path / "thumbnails" / f"{digest}.png"
    assert kept.read_bytes() == first.content
    kept.write_bytes(b"damaged")
    assert client.get("/v1/cases/C-0007/thumbnail").content == first.content


def test_files_that_moved_or_were_replaced_are_not_shown(own_library: Path) -> None:
    files = own_library / "files"
    with in_process(ServiceSettings(own_library)) as client:
        (files / "1.dcm").unlink()
        shutil.copy(files / "2.dcm", files / "3.dcm")
        for case, word in (("C-0001", "no longer"), ("C-0003", "replaced")):
            line = problem(client.get(f"/v1/cases/{case}/scans/1/frames/1"), 422, "invalid")
            assert word in line


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", PNG),
        ("*/*", PNG),
        ("image/*", PNG),
        ("image/jpeg, */*;q=0.1", JPEG),
        ("image/png;q=0, image/*", JPEG),
        ("IMAGE/JPEG;Q=0.3,application/octet-stream;q=0.2", JPEG),
        ("application/*", RAW),
        (",;q=1,", PNG),
    ],
)
def test_the_format_is_the_one_accepted_most(accept: str, chosen: str) -> None:
    assert choose_type(accept, (PNG, JPEG, RAW)) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "image/webp, text/*"])
def test_a_format_that_is_not_there_is_refused(client: TestClient, accept: str) -> None:
    with pytest.raises(Problem):
        choose_type(accept, (PNG,))
    answer = client.get("/v1/cases/C-0001/scans/1/metadata", headers={"accept": accept})
    problem(answer, 406, "not-acceptable")
