"""What was acknowledged outlives ``kill -9``."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medembed.library import CaseLibrary

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from support.example_cases import make_case
from medembed.library import CaseLibrary
library = CaseLibrary.open(sys.argv[1], create=True)
def acknowledge(done, total):
    sys.stdout.write(f"{start + done}\\n")
    sys.stdout.flush()
start = len(library)
library.add((make_case(i) for i in range(start, 10**6)), batch=16, progress=acknowledge)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_acknowledged_cases_survive_kill_9(tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    for wait in (0.0, 0.05, 0.13):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(Path(__file__).parents[1])],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(wait)
        writer.kill()
        rest, _ = writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        told = [line for line in [first.strip(), *rest.split()] if line]
        acknowledged = int(told[-1])
        with CaseLibrary.open(folder) as library:
            assert len(library) >= acknowledged > 0
            # whole batches in order, every case readable, nothing half written
            assert library.find() == [f"case-{i}" for i in range(len(library))]
            assert len(library) % 16 == 0
            assert sum(1 for _ in library.cases()) == len(library)
            check = library.database.read().execute("PRAGMA integrity_check").fetchone()
            assert check == ("ok",)
            assert library.database.read().execute("PRAGMA foreign_key_check").fetchall() == []
