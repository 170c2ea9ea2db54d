"""Killed at any moment, training and embedding are resumed by the same command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.small_pairs import write_library

from medembed.library import CaseLibrary
from medembed.model import DualEncoder
from medembed.model.activation import PENDING

pytestmark = pytest.mark.slow


def start(*words: object) -> subprocess.Popen[str]:
    code = "from medembed.cli import run; run()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def test_a_training_killed_in_the_middle_comes_to_the_same_weights(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    words = ("train", library.path, "--config", "toy", "workers=1", "epochs=40", "--json")
    whole = json.loads(start(*words, "name=whole").communicate()[0])
    assert library.active_model == "whole"
    process = start(*words, "name=killed", "checkpoint_seconds=0.001")
    wait_for(library.path / "models" / ".killed.training" / "checkpoint.pt", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (library.active_model, library.get_meta(PENDING)) == ("whole", None)
    out, err = start(*words, "name=killed", "checkpoint_seconds=0.001").communicate()
    report = json.loads(out)
    assert report["fingerprint"] == whole["fingerprint"], err
    assert report["embedded"]["active"]
    assert not (library.path / "models" / ".killed.training").exists()


def test_an_embedding_killed_in_the_middle_activates_nothing_and_is_resumed(
    tmp_path: Path,
) -> None:
    library = write_library(tmp_path, n=600)
    words = ("train", library.path, "--config", "toy", "workers=1", "epochs=1", "--no-embed")
    first = start(*words)
    assert first.communicate()[0]
    assert first.returncode == 0
    fingerprint = DualEncoder.load(library.path / "models" / "toy").fingerprint
    process = start("embed", library.path)
    while len(library.vectors(fingerprint, "image")[0]) < 100:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (library.active_model, library.get_meta(PENDING)) == (None, "toy")
    assert len(library.vectors(fingerprint, "image")[0]) < 600
    out, err = start("embed", library.path, "--json").communicate()
    done = json.loads(out)
    assert done["activated"], err
    assert 0 < done["images"] < 600
    assert len(library.vectors(fingerprint, "image")[0]) == 600


def test_two_trainings_of_one_name_end_as_one_model(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    words = ("train", library.path, "--config", "toy", "workers=1", "epochs=60", "--json")
    processes = [start(*words) for _ in range(2)]
    outcomes = [(process.communicate(), process.returncode) for process in processes]
    codes = sorted(code for _, code in outcomes)
    assert codes in ([0, 2], [0, 0])  # the second came while the first ran, or after it
    for (out, err), code in outcomes:
        if code == 2:
            assert "training of model 'toy'" in err
            assert out == ""
    assert library.active_model == "toy"
    with CaseLibrary.open(library.path) as opened:
        fingerprint = DualEncoder.load(opened.path / "models" / "toy").fingerprint
        assert len(opened.vectors(fingerprint, "image")[0]) == 24
