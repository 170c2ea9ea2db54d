"""``medembed serve`` as a process: one worker or two on one socket, until it is told to stop."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.service.server import _listen
from medembed.client import Client, Found
from tests.apps.serving import START, free_port
from tests.service.conftest import change_model, until


@contextmanager
def serving(library: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Give port and process of a running service; it must not log anything."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", START, "serve", str(library), f"--port={port}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        assert f"127.0.0.1:{port}" in first, first
        with Client(f"http://127.0.0.1:{port}", retries=0) as client:
            until(client.is_ready, 60)
        yield port, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0].splitlines()
    assert output == ["Service stopped."], "\n".join(output)
    assert process.returncode == 0


def fetch(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.slow
def test_two_workers_answer_alike_count_together_and_follow_the_library(own_library: Path) -> None:
    with serving(own_library, "--workers=2", "--rate=0") as (port, _):
        url = f"http://127.0.0.1:{port}"
        until(lambda: all(fetch(port, "/readyz")[0] == 200 for _ in range(20)), 60)
        answers: list[Any] = []

        def ask() -> None:
            with Client(url) as client:
                answers.extend(client.search("right effusion", k=5).data for _ in range(10))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 60
        assert all(answer == answers[0] for answer in answers)

        text = fetch(port, "/metrics")[1]
        counted = re.search(
            r'^medembed_searches_total\{outcome="answered",parts="text"\} (\S+)', text, re.M
        )
        assert counted is not None
        assert float(counted[1]) == 60
        assert "medembed_library_cases 14.0" in text
        assert text.count("\nmedembed_library_cases ") == 1

        changed = change_model(own_library)

        def all_changed() -> bool:
            models = set()
            for _ in range(12):
                with Client(url) as client:  # a new connection, which any worker may take
                    models.add(client.search("effusion", k=1).model)
            return models == {changed}

        until(all_changed, 60)


@pytest.mark.slow
def test_the_rate_is_that_of_all_workers_together(library_path: Path) -> None:
    with serving(library_path, "--workers=2", "--rate=0.01") as (port, _):
        statuses = [fetch(port, "/v1/reviews")[0] for _ in range(12)]
        assert sorted(statuses)[:1] == [200]
        assert statuses.count(200) == 1
        assert fetch(port, "/healthz")[0] == 200


@pytest.mark.slow
def test_a_stop_finishes_what_is_being_answered(library_path: Path) -> None:
    with serving(library_path, "--rate=0") as (port, process):
        client = Client(f"http://127.0.0.1:{port}")
        go = threading.Event()

        def queries() -> Iterator[dict[str, Any]]:
            yield {"text": "effusion", "k": 1}
            go.wait(30)
            yield {"text": "effusion", "k": 2}

        many = client.search_many(queries())
        assert isinstance(next(many), Found)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        go.set()
        second = next(many)
        assert isinstance(second, Found)
        assert len(second.hits) == 2
        assert list(many) == []
        process.wait(timeout=60)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(library_path: Path) -> None:
    with serving(library_path, "--workers=2", "--rate=0") as (port, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: not Path(f"/proc/{workers[0]}").exists(), 30)
        with Client(f"http://127.0.0.1:{port}") as client:
            until(client.is_ready, 60)
            assert client.search("effusion", k=1).hits
        assert "medembed_requests_open" in fetch(port, "/metrics")[1]


@pytest.mark.slow
def test_slow_and_broken_clients_do_not_stop_others(library_path: Path) -> None:
    with serving(library_path, "--rate=0") as (port, _):
        open_sockets = []
        for _ in range(50):  # each begins a request and never ends it
            link = socket.create_connection(("127.0.0.1", port))
            link.sendall(b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
            link.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            open_sockets.append(link)
        for garbage in (b"\x00" * 1000, b"GET / HTTP/9\r\n\r\n", b"A" * 100_000):
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(garbage)
        with Client(f"http://127.0.0.1:{port}") as client:
            assert client.search("effusion", k=1).hits
        for link in open_sockets:
            link.close()


def call(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, str]:
    from apps.service.commands import serve

    with pytest.raises(SystemExit) as left:
        serve(**options)
    return int(left.value.code or 0), capsys.readouterr().err


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Undo what a service changes for its whole process: variables and log records."""
    import logging

    before, make = dict(os.environ), logging.getLogRecordFactory()
    yield
    os.environ.clear()
    os.environ.update(before)
    logging.setLogRecordFactory(make)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel cannot do it")
def test_the_kernel_drops_a_client_that_reads_nothing() -> None:
    """A server that ends such an answer cannot: what it sent before is never taken."""
    with _listen("127.0.0.1", 0) as listening:
        listening.listen()
        with (
            socket.create_connection(listening.getsockname()),
            listening.accept()[0] as accepted,
        ):
            wait = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert accepted.proto == socket.IPPROTO_TCP, "else asyncio waits before it sends"
    assert 0 < wait <= 120_000


@pytest.mark.usefixtures("_as_before")
def test_a_folder_without_a_library_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = call(capsys, library=tmp_path)
    assert code == 2
    assert line.count("\n") == 1
    assert str(tmp_path) not in line


@pytest.mark.usefixtures("_as_before")
def test_a_port_in_use_is_one_line_and_exit_2(
    library_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = call(capsys, library=library_path, port=port)
    assert code == 2
    assert line.count("\n") == 1
    assert f"port {port}" in line
    assert "--port" in line


@pytest.mark.usefixtures("_as_before")
def test_another_address_is_refused_without_a_file_of_access(
    library_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = call(capsys, library=library_path, host="0.0.0.0")
    assert code == 2
    assert "--access" in line


@pytest.mark.usefixtures("_as_before")
def test_a_missing_package_names_what_to_install(
    library_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.service.server.find_spec", lambda name: None)
    code, line = call(capsys, library=library_path)
    assert code == 2
    assert "medembed[service]" in line


@pytest.mark.slow
def test_json_prints_the_address_once_the_service_answers(library_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", START, "serve", str(library_path), f"--port={port}", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    data = json.loads(process.stdout.readline())
    assert data["url"] == f"http://127.0.0.1:{port}"
    assert fetch(port, "/healthz")[0] == 200
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert rest == ""
    assert errors == "Service stopped.\n"
    assert process.returncode == 0
