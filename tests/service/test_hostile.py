"""Whatever a client sends, the answer is a problem in one line, and the service goes on."""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.service.conftest import problem

JSON = {"content-type": "application/json"}


def post(client: TestClient, body: Any, kind: str = "application/json") -> Any:
    return client.post("/v1/search", content=body, headers={"content-type": kind})


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b"\xff\xfe", b'{"text": "\\ud800"}', b"[" * 100_000,
        b'{"weights": ' * 5_000, b'{"text": "a"} {"text": "b"}', b'{"k": Infinity}', b"\x00",
        b'{"text": "a\x00b"}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    answer = post(client, body)
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, "bad-request" if answer.status_code == 400 else "invalid")


@pytest.mark.parametrize(
    "query",
    [
        [],
        "text",
        1,
        None,
        {},
        {"text": 1},
        {"text": ""},
        {"text": " "},
        {"text": []},
        {"text": ["a"] * 21},
        {"text": "a" * 20_001},
        {"text": {"a": 1}},
        {"case": ""},
        {"case": 7},
        {"k": 0},
        {"k": -1},
        {"k": 2.5},
        {"k": "10"},
        {"k": True},
        {"k": 10**30},
        {"text": "a", "k": 51},
        {"text": "a", "where": "sex=F"},
        {"text": "a", "where": ["sex"]},
        {"text": "a", "where": ["age>=old"]},
        {"text": "a", "where": ["nosuch=1"]},
        {"text": "a", "where": ["sex=F"] * 51},
        {"text": "a", "against": "all"},
        {"text": "a", "weights": {"text": -1}},
        {"text": "a", "weights": {"text": "1"}},
        {"text": "a", "weights": {"image": 1}},
        {"text": "a", "diversity": 1},
        {"why": 1},
        {"text": "a", "diversity": -0.1},
        {"text": "a", "unknown": 1},
        {"text": "a", "image": "/etc"},
        {"text": "a", "vector": []},
        {"text": "a", "per_patient": 1},
        {"case": "C-0001", "region": "0,0,2,2"},
        {"case": "C-0001", "region": "x"},
        {"text": "a", "region": "0,0,1,1"},
        {"like": ["C-0001"] * 101},
        {"text": "a", "why": 0},
        {"text": "a", "like": ["C-0001"], "unlike": ["C-0001"]},
        {"text": "a", "diversity": 0.2, "rerank": True},
        {"text": "a", "where": ["note~" + "(" * 300]},
        {"text": "a", "where": ["case=" + "x" * 20_001]},
    ],
    ids=lambda query: json.dumps(query)[:50],
)
def test_a_query_that_does_not_fit_is_refused(client: TestClient, query: Any) -> None:
    problem(post(client, json.dumps(query)), 422, "invalid")


@pytest.mark.parametrize(
    "text", ['{"text": "a", "diversity": NaN}', '{"text": "a", "weights": {"text": Infinity}}',
             '{"text": "a", "weights": {"text": NaN}}', '{"text": "a", "k": 1e400}']
)  # fmt: skip
def test_numbers_that_are_none_are_refused(client: TestClient, text: str) -> None:
    answer = post(client, text)
    problem(answer, answer.status_code, {400: "bad-request", 422: "invalid"}[answer.status_code])


def test_a_rank_that_was_not_found_is_refused(client: TestClient) -> None:
    problem(post(client, json.dumps({"text": "effusion", "k": 2, "why": 3})), 422, "invalid")


def test_a_field_name_is_not_repeated_at_length(client: TestClient) -> None:
    body = json.dumps({"Planted^Name" + "x" * 5000 + "\n": 1})
    answer = post(client, body)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) < 200
    assert "\n" not in answer.json()["detail"]


def test_a_large_body_is_refused_by_its_length_and_by_its_size(client: TestClient) -> None:
    body = b'{"text": "' + b"a" * 2**20 + b'"}'
    assert "1 MiB" in problem(post(client, body), 413, "too-large")
    pieces = (body[start : start + 2**16] for start in range(0, len(body), 2**16))
    problem(post(client, pieces), 413, "too-large")  # chunked: no length


def test_a_compressed_body_is_not_inflated(client: TestClient) -> None:
    body = gzip.compress(b'{"text": "' + b" " * 10**7 + b'"}', mtime=0)
    headers = JSON | {"content-encoding": "gzip"}
    problem(client.post("/v1/search", content=body, headers=headers), 415, "unsupported-type")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "a/b;c"])
def test_another_content_type_is_refused(client: TestClient, kind: str) -> None:
    problem(post(client, b'{"text": "a"}', kind), 415, "unsupported-type")
    answer = client.post("/v1/search/batch", content=b"", headers={"content-type": kind})
    problem(answer, 415, "unsupported-type")


def leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("medembed-drop-*"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Planted_Name.dcm", b"not a file at all"),
        ("Planted_Name.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100),
        ("../../Planted_Name.nii.gz", gzip.compress(b"\x00" * 10_000, mtime=0)),
        ("a/b/c.jpg", b""),
        ("x\x00.png", b"\x89PNG"),
    ],
)
def test_a_file_that_is_no_image_is_refused_and_leaves_nothing(
    client: TestClient, name: str, content: bytes
) -> None:
    before = leftovers()
    problem(client.post("/v1/search", files=[("image", (name, content))]), 422, "invalid")
    assert leftovers() <= before


def test_a_picture_bomb_is_refused(client: TestClient) -> None:
    buffer = BytesIO()
    Image.new("L", (30_000, 30_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 2**20
    answer = client.post("/v1/search", files=[("image", ("b.png", buffer.getvalue()))])
    problem(answer, 413, "too-large")


def test_a_deflate_bomb_in_dicom_is_refused(client: TestClient, radiograph: Path) -> None:
    from pydicom import dcmread
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    data = dcmread(radiograph)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = BytesIO()
    data.save_as(buffer)
    whole = buffer.getvalue()
    body = whole[: 132 + 12 + data.file_meta.FileMetaInformationGroupLength]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = body + b"".join(packer.compress(b"\x00" * 2**20) for _ in range(600)) + packer.flush()
    assert len(bomb) < 2**20
    answer = client.post("/v1/search", files=[("image", ("b.dcm", bomb))])
    assert answer.status_code in (413, 422)
    assert client.post("/v1/search", json={"text": "effusion"}).status_code == 200


def form(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    )
    return body + b"--b--\r\n", "multipart/form-data; boundary=b"


def test_a_form_has_one_query_and_images_only(client: TestClient) -> None:
    for parts in ((("file", b"x"),), (("query", b"{}"), ("query", b"{}")), (("", b"x"),)):
        problem(post(client, *form(*parts)), 422, "invalid")
    problem(post(client, *form()), 422, "invalid")
    problem(post(client, *form(("query", b"{" * 10))), 400, "bad-request")
    assert post(client, *form(("query", b'{"text": "effusion"}'))).status_code == 200


def test_a_form_that_is_cut_off_or_has_no_boundary_is_refused(client: TestClient) -> None:
    body, kind = form(("image", b"x" * 1000))
    problem(post(client, body[:200], kind), 400, "bad-request")
    problem(post(client, body, "multipart/form-data"), 400, "bad-request")
    problem(post(client, body, "multipart/form-data; boundary=" + "b" * 500), 400, "bad-request")
    problem(post(client, b"nonsense", kind), 400, "bad-request")


def test_an_upload_is_bounded_in_bytes_files_and_query(client: TestClient) -> None:
    before = leftovers()
    problem(post(client, *form(("image", b"x" * (2**20 + 1)))), 413, "too-large")
    problem(post(client, *form(*[("image", b"x")] * 2001)), 413, "too-large")
    query = b'{"text": "' + b"a" * 2**20
    problem(post(client, *form(("query", query[: 2**20 - 200]))), 400, "bad-request")
    assert leftovers() <= before


def test_a_long_line_of_a_batch_is_one_error(client: TestClient) -> None:
    body = b'{"text": "' + b"a" * (2**20 + 5) + b'"}\n{"text": "effusion", "k": 1}\n'
    answer = client.post(
        "/v1/search/batch", content=body, headers={"content-type": "application/x-ndjson"}
    )
    first, second = (json.loads(line) for line in answer.text.splitlines())
    assert first["error"]["status"] == 413
    assert second["result"]["hits"]


def test_a_million_lines_are_read_only_up_to_the_limit(client: TestClient) -> None:
    sent = 0

    def lines() -> Any:
        nonlocal sent
        for _ in range(10**6 // 1000):
            sent += 1000
            yield b"{}\n" * 1000

    answer = client.post(
        "/v1/search/batch", content=lines(), headers={"content-type": "application/x-ndjson"}
    )
    assert len(answer.text.splitlines()) == 21


@pytest.mark.parametrize(
    ("method", "path", "status", "tag"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1", 404, "not-found"),
        ("GET", "/v1/search", 405, "method-not-allowed"),
        ("POST", "/v1/cases/C-0001", 405, "method-not-allowed"),
        ("DELETE", "/v1/cases/C-0001", 405, "method-not-allowed"),
        ("GET", "/v1/cases/", 404, "not-found"),
        ("GET", "/redoc", 404, "not-found"),
        ("GET", "/v1/cases/C-0001/vectors", 404, "not-found"),
        ("BREW", "/v1/search", 405, "method-not-allowed"),
        ("GET", "/docs/../etc", 404, "not-found"),
    ],
)
def test_other_addresses_and_methods_are_problems(
    client: TestClient, method: str, path: str, status: int, tag: str
) -> None:
    problem(client.request(method, path), status, tag)


def test_a_fault_of_ours_is_one_line_without_its_message(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("Planted^Name")

    monkeypatch.setattr("apps.service.served.ServedLibrary.search", broken)
    quiet = TestClient(client.app, "http://127.0.0.1:8600", raise_server_exceptions=False)
    answer = quiet.post("/v1/search", json={"text": "a"})
    problem(answer, 500, "internal-error")
    assert "KeyError at test_hostile.py" in caplog.text
    assert "Planted" not in caplog.text


def test_an_id_of_a_request_is_kept_if_it_is_a_plain_word(client: TestClient) -> None:
    def id_of(given: str) -> str:
        return str(client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"])

    assert id_of("trace-1.a") == "trace-1.a"
    for given in ("", "a b", "x" * 65, "<script>"):
        assert id_of(given) not in (given, "")


def test_every_answer_forbids_storing_framing_and_guessing(client: TestClient) -> None:
    for path in ("/healthz", "/docs", "/v1/cases/C-0001", "/nowhere"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8600"},
        {"host": "127.0.0.1:8601"},
        {"origin": "http://127.0.0.1:8501"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_address_gets_nothing(
    client: TestClient, headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/v1/cases/C-0001"), ("POST", "/v1/search"), ("GET", "/docs")):
        problem(client.request(method, path, headers=headers), 403, "forbidden")
