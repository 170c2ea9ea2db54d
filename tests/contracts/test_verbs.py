"""The commands as functions: a folder or an open library, and what the command would print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import write_library
from support.tiny_pairs import write_pair

import medembed
from medembed.config import load_config
from medembed.errors import FingerprintError, InputError, LibraryError, ModelError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder
from medembed.model.use_model import use_model

QUICK = ["epochs=1", "workers=1"]


def test_a_folder_goes_the_whole_way(tmp_path: Path) -> None:
    write_library(tmp_path, 40).close()
    place = tmp_path / "library"
    report = medembed.train(place, "toy", QUICK)
    assert report.name == "toy"
    scores = medembed.evaluate(str(place))
    assert scores.fingerprint == report.fingerprint
    with CaseLibrary.open(place) as library:
        assert library.active_model == "toy"
        assert library.missing_vectors(report.fingerprint, "image") == []


def test_an_open_library_stays_open_and_a_model_may_be_given(tmp_path: Path) -> None:
    with write_library(tmp_path, 40) as library:
        report = medembed.train(library, load_config("toy", QUICK), embed_cases=False)
        assert library.embedding_sets() == []
        with pytest.raises(FingerprintError, match="run: medembed embed"):
            medembed.evaluate(library, model=report.name)
        model = DualEncoder.load(library.path / "models" / "toy")
        assert medembed.embed(library, model).images == 40
        assert medembed.evaluate(library, model=model, split="val").split == "val"
        assert len(library) == 40


def test_ingest_makes_a_library_and_again_adds_nothing(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(3):
        pixels = np.full((8, 8), 40 * i + np.arange(8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    table = tmp_path / "cases.csv"
    rows = [f"c{i},p{i},{i}.png,Clear lungs number {i}." for i in range(3)]
    table.write_text("\n".join(["case_id,patient_id,image_path,note", *rows]) + "\n")
    assert medembed.ingest(tmp_path / "new", table).added == 3
    with CaseLibrary.open(tmp_path / "new") as library:
        assert medembed.ingest(library, str(table)).unchanged == 3
    with pytest.raises(InputError, match="nothing to ingest"):
        medembed.ingest(tmp_path / "new")


def test_what_is_wrong_is_an_error_of_medembed(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no case library here"):
        medembed.embed(tmp_path)
    with pytest.raises(InputError, match="a library is a folder or a CaseLibrary, not a int"):
        medembed.evaluate(7)  # type: ignore[arg-type]
    with write_library(tmp_path, 20) as library:
        with pytest.raises(ModelError, match="no model yet"):
            medembed.embed(library)
        with pytest.raises(InputError, match="overrides go with"):
            medembed.train(library, load_config("toy"), ["epochs=1"])


@pytest.mark.slow
def test_a_used_pair_is_evaluated_by_name(tmp_path: Path) -> None:
    write_pair(tmp_path / "pair", "clip")
    with write_library(tmp_path, 40) as library:
        report = use_model(library, tmp_path / "pair")
        assert medembed.evaluate(library, model="pair").fingerprint == report.fingerprint


def test_importing_the_functions_loads_neither_torch_nor_evaluation() -> None:
    code = (
        "import sys, medembed; medembed.ingest, medembed.train, medembed.embed, medembed.evaluate;"
        "print([m for m in ('torch', 'evaluation', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
