"""A service over a small real library: in this process, and behind a socket."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from apps.service import ServiceSettings, create_app
from medembed.library import CaseLibrary
from medembed.model import toy_model
from medembed.scans import read_scan
from tests.apps.conftest import N_CASES, make_case, write_ct, write_radiograph
from tests.apps.serving import free_port

CT = f"C-{N_CASES - 1:04d}"
"""The one case with several frames, in Hounsfield units."""


def build_library(path: Path) -> Path:
    """Make the reading room's small library: radiographs of six patients and a CT of a seventh.

    Its files are inside it, so that a copy of the folder is another library.
    """
    with CaseLibrary.create(path) as library:
        folder = path / "files"
        folder.mkdir()
        files = [[write_radiograph(folder / f"{n}.dcm", n)] for n in range(N_CASES - 1)]
        files.append(write_ct(folder, N_CASES - 1))
        library.add(make_case(n, names) for n, names in enumerate(files))
        model = toy_model()
        model.save(path / "models" / "toy")
        library.active_model = "toy"
        scans = [read_scan(names if len(names) > 1 else names[0]) for names in files]
        vectors = model.encode_scans(scans)
        library.put_vectors(model.fingerprint, "image", library.find(), vectors)
    CaseLibrary.open(path).close()  # it says once that it restricts its files to their owner
    return path


@pytest.fixture(scope="module", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that count what a request leaves there see nothing of those in other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
        yield


@pytest.fixture(scope="session")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("service") / "library")


@pytest.fixture
def own_library(library_path: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(library_path, tmp_path / "library"))


@pytest.fixture(scope="session")
def settings(library_path: Path) -> ServiceSettings:
    return ServiceSettings(library_path, rate=0, max_k=50, max_lines=20, max_upload_bytes=2**20)


def change_model(path: Path) -> str:
    """Make another model the active one, with its vectors; return its fingerprint."""
    other = toy_model(size=16)
    other.save(path / "models" / "other")
    with CaseLibrary.open(path) as library:
        scans = [
            read_scan(files if len(files) > 1 else files[0])
            for case in library.cases()
            for files in library.scan_files(case)
        ]
        vectors = other.encode_scans(scans)
        library.put_vectors(other.fingerprint, "image", library.find(), vectors)
        library.active_model = "other"
    return other.fingerprint


@contextmanager
def in_process(settings: ServiceSettings) -> Iterator[TestClient]:
    """Give a client of the application in this process, once its model is loaded."""
    app = create_app(settings)
    with TestClient(app, f"http://127.0.0.1:{settings.port}") as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="session")
def client(settings: ServiceSettings) -> Iterator[TestClient]:
    with in_process(settings) as client:
        yield client


@pytest.fixture(scope="session")
def address(settings: ServiceSettings) -> Iterator[str]:
    """Give the address of a service behind a real socket, in a thread of this process."""
    port = free_port()
    app = create_app(replace(settings, port=port))
    config = uvicorn.Config(
        app,
        port=port,
        log_level="error",
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=10,  # as apps.service.server sets one
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def radiograph(tmp_path: Path) -> Path:
    """A radiograph that is not in the library, of a patient who is not in it either."""
    return write_radiograph(tmp_path / "Planted_Name.dcm", 41, "PLANTED-ID")


def problem(answer: Any, status: int, tag: str) -> str:
    """Check that an answer is a problem of this kind, and return its line."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    data = answer.json()
    assert data["type"] == f"urn:medembed:problem:{tag}"
    assert data["status"] == status
    assert data["request_id"] == answer.headers["x-request-id"]
    assert "\n" not in data["detail"]
    assert "Planted" not in answer.text
    assert "/tmp" not in answer.text
    return str(data["detail"])
