"""One writer at a time, and who it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from medembed.errors import LibraryBusyError
from medembed.library.locks import is_locked, writer_lock

HOLD = """
import sys
from pathlib import Path
from medembed.library.locks import writer_lock
with writer_lock(Path(sys.argv[1]), "training of model small"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "models" / ".small.lock"
    process = holder(path)
    try:
        assert is_locked(path)
        with pytest.raises(LibraryBusyError) as caught, writer_lock(path, "other", 0.1):
            pass
        line = str(caught.value)
        assert "training of model small" in line
        assert f"process {process.pid} on " in line
        assert "\n" not in line
        assert caught.value.exit_code == 2
    finally:
        process.communicate("")
    assert not is_locked(path)
    with writer_lock(path, "other", 0):
        assert is_locked(path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = holder(path)
    process.kill()
    process.communicate()
    with writer_lock(path, "other", 0):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    read, write = os.pipe()
    with writer_lock(path, "parent", 0):
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    try:
        assert not is_locked(path)
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_threads_and_a_cleared_folder(tmp_path: Path) -> None:
    path, said, inside, most = tmp_path / "cache" / "lock", list[str](), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with writer_lock(path, "filling", waiting=said.append):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    with writer_lock(path, "filling", 0):
        path.unlink()
        with writer_lock(path, "after the folder was cleared", 0):
            assert is_locked(path)
