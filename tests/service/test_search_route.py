"""Searching over HTTP: the same answers as the lookup gives, from JSON and from uploads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from apps.service import ServiceSettings
from apps.service.answers import SearchAnswer
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.scans import read_scan
from tests.apps.conftest import make_case, write_ct, write_radiograph
from tests.service.conftest import CT, change_model, in_process, problem, until


@pytest.fixture(scope="module")
def lookup(library_path: Path) -> Iterator[CaseLookup]:
    with CaseLibrary.open(library_path) as library, CaseLookup(library) as lookup:
        yield lookup


QUERIES: list[dict[str, Any]] = [
    {"text": "right pleural effusion"},
    {"text": ["right effusion", "no pneumothorax"], "weights": {"text": 0.2, "text2": 0.8}},
    {"case": "C-0002", "k": 3},
    {"case": ["C-0002", "C-0005"], "text": "effusion", "against": "scans"},
    {"text": "effusion", "where": ["sex=F", "age>=45"], "k": 4},
    {"text": "effusion", "like": ["C-0004"], "unlike": ["C-0009"]},
    {"like": ["C-0004"]},
    {"text": "effusion", "per_patient": True, "k": 5},
    {"case": "C-0001", "region": "0.1,0.2,0.6,0.7"},
    {"case": "C-0001", "text": "effusion", "region": {"case": "0.1,0.2,0.6,0.7"}},
    {"text": "effusion", "diversity": 0.4},
    {"text": "effusion in a woman", "ignore": ["sex F"], "bm25": False},
    {"text": "right effusion", "literal": True, "rerank": False},
    {"text": "effusion", "where": ["modality=MR"]},
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_an_answer_is_that_of_the_lookup(
    client: TestClient, lookup: CaseLookup, query: dict[str, Any]
) -> None:
    answer = client.post("/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    assert answer.json() == json.loads(json.dumps(lookup.search(**query).to_json()))
    SearchAnswer.model_validate_json(answer.content)


def test_an_answer_holds_what_the_command_line_prints(
    client: TestClient, library_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from medembed.cli import build

    shown = CliRunner().invoke(
        build(), ["search", str(library_path), "--text", "left effusion", "-k", "3", "--json"]
    )
    answer = client.post("/v1/search", json={"text": "left effusion", "k": 3})
    assert json.loads(shown.stdout) == answer.json()


def test_an_uploaded_image_is_searched_as_the_file_is(
    client: TestClient, lookup: CaseLookup, radiograph: Path
) -> None:
    files = [("image", ("Planted_Name.dcm", radiograph.read_bytes(), "application/dicom"))]
    answer = client.post("/v1/search", files=files, data={"query": '{"k": 4}'})
    expected = lookup.search(image=radiograph, k=4).to_json()
    expected["query"]["image"] = "scan"
    assert answer.status_code == 200, answer.text
    assert answer.json() == json.loads(json.dumps(expected))


def test_the_own_image_and_patient_of_an_upload_are_no_hits(
    client: TestClient, library_path: Path
) -> None:
    with CaseLibrary.open(library_path) as library:
        (file,) = library.scan_files(library.case("C-0004"))[0]
    answer = client.post("/v1/search", files=[("image", ("x", file.read_bytes()))]).json()
    assert answer["own_cases"] == ["C-0004"]
    assert not {"C-0004", "C-0005"} & {hit["case_id"] for hit in answer["hits"]}


def test_the_files_of_a_series_are_one_image_and_a_picture_is_one_of_its_own(
    client: TestClient, tmp_path: Path
) -> None:
    from PIL import Image

    series = write_ct(tmp_path, 77)
    picture = tmp_path / "p.png"
    Image.new("L", (40, 48), 90).save(picture)
    files = [("image", (f.name, f.read_bytes())) for f in series]
    one = client.post("/v1/search", files=files).json()
    assert one["query"]["image"] == "scan"
    assert one["hits"][0]["case_id"] == CT
    files.append(("image", ("", picture.read_bytes(), "image/png")))
    two = client.post("/v1/search", files=files).json()
    assert two["query"]["image"] == ["scan", "scan"]
    assert set(two["query"]["weights"]) == {"image", "image2"}


def test_why_explains_a_hit(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"text": "right effusion", "why": 2}).json()
    assert answer["explained"]["rank"] == 2
    SearchAnswer.model_validate(answer)


def test_vectors_are_neither_taken_nor_given(client: TestClient, settings: ServiceSettings) -> None:
    line = problem(client.post("/v1/search", json={"vector": [1.0, 0.0]}), 403, "forbidden")
    assert "--accept-vectors" in line
    for path in ("/v1/cases/C-0001", "/v1/cases/C-0001/scans/1/metadata", "/openapi.json"):
        assert '"vectors"' not in client.get(path).text


def test_a_service_that_takes_vectors_answers_as_the_lookup(
    library_path: Path, lookup: CaseLookup
) -> None:
    vector = lookup.index.index.vector("C-0003").tolist()
    with in_process(ServiceSettings(library_path, accept_vectors=True)) as client:
        answer = client.post("/v1/search", json={"vector": vector, "k": 3}).json()
    assert answer["hits"] == lookup.search(vector=vector, k=3).to_json()["hits"]


def batch(client: TestClient, body: str) -> list[dict[str, Any]]:
    answer = client.post(
        "/v1/search/batch", content=body, headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_batch_answers_each_line_in_order_and_goes_on_after_a_bad_one(
    client: TestClient, lookup: CaseLookup
) -> None:
    lines = [
        '{"text": "right effusion", "k": 2}',
        '{"text": ',
        '{"case": "nobody"}',
        "",
        '{"case": "C-0003", "k": 1}',
        '{"k": 0}',
        "[1]",
        "\x00\xff",
    ]
    answers = batch(client, "\n".join(lines))
    assert [answer["line"] for answer in answers] == [1, 2, 3, 5, 6, 7, 8]
    expected = lookup.search(text="right effusion", k=2).to_json()
    assert answers[0]["result"] == json.loads(json.dumps(expected))
    statuses = [answer["error"]["status"] for answer in answers if "error" in answer]
    assert statuses == [400, 404, 422, 422, 400]
    assert answers[3]["result"]["hits"][0]["rank"] == 1


def test_an_empty_batch_has_no_answers(client: TestClient) -> None:
    assert batch(client, "") == []
    assert batch(client, "\n \r\n\n") == []


def test_a_batch_of_too_many_lines_is_answered_up_to_the_limit(client: TestClient) -> None:
    answers = batch(client, '{"text": "effusion", "k": 1}\n' * 30)
    assert [answer["line"] for answer in answers] == list(range(1, 22))
    assert all("result" in answer for answer in answers[:20])
    assert "20 lines" in answers[20]["error"]["detail"]


@pytest.mark.slow
def test_a_changed_model_answers_without_a_restart(own_library: Path) -> None:
    with in_process(ServiceSettings(own_library)) as client:
        before = client.post("/v1/search", json={"text": "effusion"}).json()["model"]
        after = change_model(own_library)

        def changed() -> bool:
            found = client.post("/v1/search", json={"text": "effusion"}).json()["model"]
            return bool(found == after)

        until(changed)
        assert before != after


def test_a_case_that_is_added_is_found_by_the_next_search(
    own_library: Path, tmp_path: Path
) -> None:
    with in_process(ServiceSettings(own_library)) as client:
        file = write_radiograph(tmp_path / "new.dcm", 25)
        with CaseLibrary.open(own_library) as library, CaseLookup(library) as lookup:
            library.add([make_case(25, [file])])
            vectors = lookup.model.encode_scans([read_scan(file)])
            library.put_vectors(lookup.fingerprint, "image", ["C-0025"], vectors)
        answer = client.post("/v1/search", json={"text": "effusion", "k": 50}).json()
        assert "C-0025" in {hit["case_id"] for hit in answer["hits"]}
