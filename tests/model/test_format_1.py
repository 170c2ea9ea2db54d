"""A model that an earlier version saved still gives its vectors.

``format_1`` is a folder that version 0.1.0 wrote before the towers' settings were renamed, with
graphs of its towers; ``format_1_vectors.json`` holds the vectors that version gave.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medembed.errors import ModelError
from medembed.model import DualEncoder
from medembed.scans import Scan

SAVED = Path(__file__).with_name("format_1")
VECTORS = json.loads(SAVED.with_name("format_1_vectors.json").read_text("utf-8"))
TEXTS = ["right pleural effusion", "left", "No pneumothorax. " * 9, "heart size is normal"]


def test_its_vectors_and_its_fingerprint_are_those_it_had() -> None:
    model = DualEncoder.load(SAVED)
    rng = np.random.default_rng(0)
    scans = [Scan(rng.normal(size=(41, 37)).astype(np.float32)) for _ in range(5)]
    assert np.abs(model.encode_scans(scans) - VECTORS["image"]).max() <= 1e-6
    assert np.abs(model.encode_notes(TEXTS) - VECTORS["text"]).max() <= 1e-6
    assert model.fingerprint == json.loads((SAVED / "model.json").read_bytes())["fingerprint"]


def test_a_copy_has_its_fingerprint_and_loads(tmp_path: Path) -> None:
    model = DualEncoder.load(SAVED)
    assert DualEncoder.load(model.save(tmp_path / "copy")).fingerprint == model.fingerprint


def test_its_graph_is_not_run_but_still_belongs_to_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SAVED, tmp_path / "model"))
    (folder / "graph.json").write_bytes(b"{}")
    with pytest.raises(ModelError, match=r"graph\.json"):
        DualEncoder.load(folder)


def test_a_later_format_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SAVED, tmp_path / "model"))
    about = json.loads((folder / "model.json").read_bytes())
    (folder / "model.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(ModelError, match="train the model again") as caught:
        DualEncoder.load(folder)
    assert "\n" not in str(caught.value)
