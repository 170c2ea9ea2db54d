"""Two trainings of one name: the second is refused in one line and harms nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.small_pairs import write_library

pytestmark = pytest.mark.slow


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "medembed.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_second_terminal_is_refused_in_one_line(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    words = ("train", library.path, "--config", "toy", "workers=1", "--json", "name=one")
    first = start(*words, "epochs=400")
    folder = library.path / "models" / ".one.training"
    while not folder.exists():
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.01)
    second = start(*words, "epochs=2")
    out, err = second.communicate()
    assert first.poll() is None, "the first must still run, else this shows nothing"
    assert (second.returncode, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert "busy with the training of model 'one'" in last
    assert f"process {first.pid}" in last
    assert "Traceback" not in err
    out, err = first.communicate()
    assert first.returncode == 0, err
    assert json.loads(out)["name"] == "one"
