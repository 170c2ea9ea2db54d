"""No library reports to its maker, and none keeps something in the home folder for that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from medembed.model import DualEncoder
from medembed.telemetry import SILENT

ENCODE = """
import os, sys, time
import medembed
model = medembed.DualEncoder.load(sys.argv[1])
model.encode_notes(["chest radiograph"])
assert "onnxruntime" in sys.modules
time.sleep(1)
"""


def test_the_package_turns_reports_off_for_itself_and_its_children() -> None:
    assert {name: os.environ.get(name) for name in SILENT} == SILENT


def test_encoding_leaves_nothing_in_the_home_folder(toy: DualEncoder, tmp_path: Path) -> None:
    folder = toy.save(tmp_path / "toy")
    home = tmp_path / "home"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if name not in SILENT}
    env = {**env, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    subprocess.run([sys.executable, "-c", ENCODE, str(folder)], env=env, check=True, timeout=120)
    assert not [path for path in home.rglob("*") if "onnxruntime" in path.name]
