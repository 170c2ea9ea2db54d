"""The client: typed answers, retries only of what may be sent twice, batches that stream."""

from __future__ import annotations

import http.server
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from medembed.client import Client, Found, ServiceError
from medembed.client.form import FormBody
from medembed.scans import read_scan
from tests.service.conftest import CT


@pytest.fixture
def service(address: str) -> Iterator[Client]:
    with Client(address, timeout=30) as service:
        yield service


def test_a_search_gives_typed_hits(service: Client, client: TestClient) -> None:
    found = service.search("right effusion", where=("sex=F",), k=3, like={"C-0004"})
    raw = client.post(
        "/v1/search",
        json={"text": "right effusion", "where": ["sex=F"], "k": 3, "like": ["C-0004"]},
    )
    assert found.data == raw.json()
    assert [hit.rank for hit in found.hits] == list(range(1, len(found.hits) + 1))
    assert found.hits[0].sex == "F"
    assert found.hits[0].findings == ("effusion:right",)
    assert found.novelty in ("like", "unlike", "cannot tell")


def test_an_image_is_uploaded_without_its_name(
    service: Client, radiograph: Path, client: TestClient
) -> None:
    found = service.search(image=radiograph, k=2)
    raw = client.post("/v1/search", files=[("image", ("a.dcm", radiograph.read_bytes()))],
                      data={"query": '{"k": 2}'})  # fmt: skip
    assert found.data == raw.json()
    body = FormBody({}, [radiograph])
    content = b"".join(body.pieces())
    assert b"Planted_Name" not in content
    assert len(content) == body.length
    with pytest.raises(ServiceError) as missing:
        service.search(image="Planted_Name.png")
    assert "Planted" not in str(missing.value)


def test_cases_frames_and_values(service: Client, library_path: Path) -> None:
    case = service.case(CT)
    assert (case.case_id, case.modality, len(case.scans)) == (CT, "CT", 1)
    assert service.thumbnail(CT)[:4] == b"\x89PNG"
    assert service.frame(CT, 1, 2, window="bone", jpeg=True)[:3] == b"\xff\xd8\xff"
    from medembed.library import CaseLibrary

    with CaseLibrary.open(library_path) as library:
        scan = read_scan(library.scan_files(library.case(CT))[0])
    assert np.array_equal(service.values(CT, 1, 4), scan.pixels[3])
    assert service.is_ready()
    assert service.reviews() == []


def test_an_error_has_status_kind_and_id(service: Client) -> None:
    with pytest.raises(ServiceError, match="no case has this id") as refused:
        service.case("../nobody?x=1#y")
    error = refused.value
    assert (error.status, error.kind) == (404, "not-found")
    assert error.request_id
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.status, copy.kind, str(copy)) == (error.status, error.kind, str(error))


def test_a_batch_is_an_iterator_in_order(service: Client) -> None:
    queries = ["effusion", {"case": "nobody"}, {"case": "C-0001", "k": 1}]
    first, second, third = service.search_many(queries)
    assert isinstance(first, Found)
    assert isinstance(second, ServiceError)
    assert second.status == 404
    assert isinstance(third, Found)
    assert len(third.hits) == 1


def test_a_batch_streams_an_answer_before_the_next_query_is_made(service: Client) -> None:
    made: list[int] = []
    go = threading.Event()

    def queries() -> Iterator[dict[str, Any]]:
        for number in range(5):
            if number:
                assert go.wait(20)
                go.clear()
            made.append(number)
            yield {"text": "effusion", "k": 1}

    for number, found in enumerate(service.search_many(queries())):
        assert isinstance(found, Found)
        assert len(made) == number + 1
        go.set()
    assert made == list(range(5))


def test_an_abandoned_batch_ends_and_a_limit_is_said(service: Client) -> None:
    many = service.search_many({"text": "effusion", "k": 1} for _ in range(10**6))
    assert isinstance(next(many), Found)
    time.sleep(1)  # the service reads no more, and the sender waits for it
    many.close()
    assert "medembed-batch" not in {thread.name for thread in threading.enumerate()}
    answers: list[Any] = []
    with pytest.raises(ServiceError, match="after 21 answers"):
        answers.extend(service.search_many({"text": "effusion", "k": 1} for _ in range(10**5)))
    assert service.is_ready()


def test_an_error_of_the_callers_own_queries_is_theirs(service: Client) -> None:
    def queries() -> Iterator[str]:
        yield "effusion"
        raise KeyError("mine")

    many = service.search_many(queries())
    assert isinstance(next(many), Found)
    with pytest.raises(KeyError, match="mine"):
        list(many)


def test_several_threads_share_a_client(service: Client) -> None:
    found: list[str] = []

    def ask(number: int) -> None:
        found.append(service.case(f"C-{number:04d}").case_id)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"C-{n:04d}" for n in range(8)]


Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def replying(*replies: Reply) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server that gives these replies in turn, and what it was asked."""
    asked: list[str] = []
    left = list(replies)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length", 0)))
            left.pop(0)(self)

        do_GET = do_POST = _reply

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def refusing(status: int) -> Reply:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        body = json.dumps({"type": "urn:medembed:problem:busy", "detail": "busy"}).encode()
        handler.send_response(status)
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def hanging_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def saying(body: bytes) -> Reply:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


READY = saying(b'{"status": "ready"}')


def test_a_read_is_tried_again_after_a_broken_connection_and_a_busy_service() -> None:
    with (
        replying(hanging_up, refusing(503), saying(b'{"reviews": []}')) as (url, asked),
        Client(url) as client,
    ):
        assert client.reviews() == []
    assert len(asked) == 3


def test_a_search_is_not_sent_again_once_it_may_have_begun() -> None:
    with (
        replying(hanging_up, READY) as (url, asked),
        Client(url) as client,
        pytest.raises(ServiceError) as broken,
    ):
        client.search("a")
    assert broken.value.status == 0
    assert len(asked) == 1


def test_a_search_that_was_refused_is_sent_again() -> None:
    with (
        replying(refusing(503), refusing(422)) as (url, asked),
        Client(url) as client,
        pytest.raises(ServiceError) as refused,
    ):
        client.search("a")
    assert refused.value.status == 422
    assert len(asked) == 2


def test_tries_end() -> None:
    with (
        replying(*[refusing(429)] * 3) as (url, asked),
        Client(url, retries=2) as client,
        pytest.raises(ServiceError, match="busy"),
    ):
        client.reviews()
    assert len(asked) == 3


def test_what_does_not_speak_json_is_not_this_service() -> None:
    with (
        replying(saying(b"<html>")) as (url, _),
        Client(url) as client,
        pytest.raises(ServiceError, match="not this"),
    ):
        client.reviews()


def test_one_connection_serves_many_requests_in_turn() -> None:
    peers: set[Any] = set()

    def noting(handler: http.server.BaseHTTPRequestHandler) -> None:
        peers.add(handler.client_address)
        saying(b'{"reviews": []}')(handler)

    with replying(*[noting] * 5) as (url, _), Client(url) as client:
        assert [client.reviews() for _ in range(5)] == [[]] * 5
    assert len(peers) == 1


def test_a_service_that_is_not_there_is_one_line() -> None:
    client = Client("http://127.0.0.1:9", retries=0)
    assert not client.is_ready()
    with pytest.raises(ServiceError, match="cannot be reached"):
        client.search("a")
    with pytest.raises(ServiceError, match="cannot be reached"):
        list(client.search_many(["a"]))


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8600", "ftp://x", "http://", "http://x/path", "http://x:port"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ServiceError, match="address"):
        Client(url)


def test_a_token_and_a_password_are_never_shown() -> None:
    client = Client("http://anna:secret@127.0.0.1:8600", token="hidden")
    assert "secret" not in repr(client)
    assert "hidden" not in repr(client)
    with pytest.raises(ServiceError):
        Client(token="a\r\nX: y")


def test_a_value_that_json_cannot_hold_is_refused_here(service: Client) -> None:
    with pytest.raises(ServiceError, match="JSON"):
        service.search("a", weights={"text": float("nan")})


def test_the_client_needs_neither_torch_nor_the_service() -> None:
    code = (
        "import sys, medembed.client; "
        "print([m for m in ('torch', 'fastapi', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
