"""Files of a library: their owner's alone, and nothing left of who was killed."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.example_cases import make_case

from medembed.library import CaseLibrary
from medembed.library.locks import writer_lock
from medembed.privacy.private_files import (
    draft_folder,
    open_private,
    private_folder,
    replace_private,
)


@pytest.fixture
def wide() -> Iterator[None]:
    """An umask that would give everybody everything."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[tuple[bool, int]]:
    every = [folder, *folder.rglob("*")]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in every}


@pytest.mark.usefixtures("wide")
def test_a_library_in_a_folder_that_everybody_could_read_is_its_owners_alone(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "lib"
    folder.mkdir(mode=0o777)
    library = CaseLibrary.create(folder)
    library.add([make_case(0)])
    assert {path.name for path in folder.iterdir()} >= {"library.sqlite", "library.sqlite-wal"}
    assert modes(folder) == {(True, 0o700), (False, 0o600)}


@pytest.mark.usefixtures("wide")
def test_an_older_library_is_tightened_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "lib"
    CaseLibrary.create(folder).close()
    outside = tmp_path / "scans"
    outside.mkdir(mode=0o755)
    (folder / "cohort").symlink_to(outside)
    (folder / "models" / "small").mkdir(parents=True)
    (folder / "models" / "small" / "model.json").write_text("{}")
    folder.chmod(0o755)
    (folder / "library.sqlite").chmod(0o644)
    with caplog.at_level(logging.WARNING, "medembed"):
        CaseLibrary.open(folder).close()
        CaseLibrary.open(folder).close()
    assert len(caplog.records) == 1
    assert "lib: restricted the files to their owner" in caplog.messages[0]
    (folder / "cohort").unlink()
    assert modes(folder) == {(True, 0o700), (False, 0o600)}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755  # what lies elsewhere is not ours


@pytest.mark.usefixtures("wide")
def test_private_files_are_replaced_wholly_or_not_at_all(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a" / "b")
    path = folder / "report.csv"
    with replace_private(path) as file:
        file.write(b"one")
    with pytest.raises(ValueError, match="stopped"), replace_private(path) as file:
        file.write(b"two")
        raise ValueError("stopped")
    assert path.read_bytes() == b"one"
    os.close(open_private(folder / "lock", os.O_CREAT | os.O_RDWR))
    assert modes(tmp_path / "a") == {(True, 0o700), (False, 0o600)}
    assert len(list(folder.iterdir())) == 2


def old(path: Path) -> Path:
    past = time.time() - 7200
    for each in (*path.rglob("*"), path):
        os.utime(each, (past, past))
    return path


def test_what_a_killed_process_left_is_swept_and_what_lives_or_resumes_stays(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "lib"
    CaseLibrary.create(folder).close()
    models, cache, index = (folder / name for name in ("models", "cache", "index"))
    for place in (models / ".dead.writing", models / ".alive.writing", models / ".small.training"):
        place.mkdir(parents=True)
        (place / "weights").write_bytes(b"0")
        old(place)
    (models / ".small.training" / "checkpoint.pt").write_bytes(b"0")
    (models / ".small.training" / "checkpoint.pt.writing").write_bytes(b"0")
    for place in (cache, index / "f"):
        place.mkdir(parents=True)
        (place / ".part.0123.writing").write_bytes(b"0")
        old(place)
    draft = folder / ".library.sqlite.0123.writing"
    draft.mkdir()
    (draft / "library.sqlite").write_bytes(b"0")
    old(draft)
    (folder / ".library.sqlite.4567").write_bytes(b"0")  # as older versions left them
    old(folder / ".library.sqlite.4567")
    (folder / "thumbnails").mkdir()
    (folder / "thumbnails" / "tmp01.part").write_bytes(b"0")
    old(folder / "thumbnails")
    young = folder / ".library.sqlite.89ab.writing"
    young.mkdir()
    held = cache / ".held.89ab.writing"
    held.write_bytes(b"0")
    old(held)
    with held.open("rb") as writer, writer_lock(models / ".alive.lock", "training of model alive"):
        fcntl.flock(writer, fcntl.LOCK_EX)
        CaseLibrary.open(folder).close()
    left = {str(path.relative_to(folder)) for path in folder.rglob(".*")}
    assert left == {
        "models/.alive.writing",
        "models/.alive.lock",
        "models/.small.training",
        ".library.sqlite.89ab.writing",
        "cache/.held.89ab.writing",
    }
    assert (models / ".small.training" / "checkpoint.pt").exists()
    assert list((folder / "thumbnails").iterdir()) == []


CREATE = """
import os, signal, sys
import medembed.library.database as database
whole = database.{stop}
def stopped(*args):
    {call}
    os.kill(os.getpid(), signal.SIGKILL)
database.{stop} = stopped
from medembed.library import CaseLibrary
CaseLibrary.create(sys.argv[1])
"""


@pytest.mark.parametrize("stop", ["write_schema", "check_integrity", "sync_folder"])
@pytest.mark.parametrize("call", ["pass", "whole(*args)"])
def test_a_creation_that_is_killed_can_be_done_again(tmp_path: Path, stop: str, call: str) -> None:
    folder = tmp_path / "lib"
    done = subprocess.run(
        [sys.executable, "-c", CREATE.format(stop=stop, call=call), str(folder)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    old(folder)
    with CaseLibrary.open(folder, create=True) as library:
        assert library.add([make_case(0)]).added == 1
    assert [path.name for path in folder.iterdir()] == ["library.sqlite"]


def test_a_draft_folder_is_gone_after_its_block(tmp_path: Path) -> None:
    with draft_folder(tmp_path / "model") as draft:
        (draft / "part").write_bytes(b"0")
        assert stat.S_IMODE(draft.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []
