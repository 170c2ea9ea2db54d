"""Where dropped files are while they are decoded, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.case_lookup import server
from apps.case_lookup.dropped import decoding_folder, remove_abandoned_folders, write_uploads

KILLED = """
import os, signal, sys, tempfile
from apps.case_lookup.dropped import decoding_folder
tempfile.tempdir = sys.argv[1]
with decoding_folder() as folder:
    (folder / "00000.dcm").write_bytes(b"Planted^Name")
    print("in", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Upload:
    name: str
    content: bytes = b"bytes"
    file_id: str = "1"

    def getbuffer(self) -> memoryview:
        return memoryview(self.content)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_uploads_are_numbered_and_readable_by_their_owner_only(here: Path) -> None:
    before = os.umask(0)
    try:
        with decoding_folder() as folder:
            files = write_uploads(
                [Upload("DOE^JANE.dcm"), Upload("Doe.NII.GZ"), Upload("Doe.jane")], folder
            )
            assert [file.name for file in files] == ["00000.dcm", "00001.nii.gz", "00002"]
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert list(here.iterdir()) == []


def test_folders_of_killed_processes_are_removed_and_those_in_use_stay(
    here: Path,
) -> None:
    command = [sys.executable, "-c", KILLED, str(here)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "in\n"
        assert remove_abandoned_folders() == 0
        killed.send_signal(signal.SIGKILL)
    assert [file.name for file in here.rglob("*.dcm")] == ["00000.dcm"]
    with decoding_folder() as folder:
        assert remove_abandoned_folders() == 1
        assert list(here.iterdir()) == [folder]


def test_a_link_with_our_prefix_is_not_followed(here: Path) -> None:
    kept = here / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (here / "medembed-drop-link").symlink_to(kept)
    assert remove_abandoned_folders() == 0
    assert (kept / "file").exists()


def test_abandoned_folders_are_removed_at_startup(
    here: Path, small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "medembed-drop-abandoned").mkdir()
    monkeypatch.setenv("MEDEMBED_LIBRARY", "set anew by the start")
    monkeypatch.setattr("apps.case_lookup.server.strip_error_messages", lambda: None)
    monkeypatch.setattr("streamlit.starlette.App.run", lambda *_, **__: None)
    server.start(small_library, "127.0.0.1", 8599, lambda _: None)
    assert list(here.iterdir()) == []
