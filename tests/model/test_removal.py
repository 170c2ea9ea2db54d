"""A model is removed with all that was made of it, unless it serves or is the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.errors import LibraryBusyError, ModelError
from medembed.index import open_index
from medembed.index.library_index import index_folder
from medembed.library import CaseLibrary
from medembed.library.locks import writer_lock
from medembed.model.activation import PENDING, activate
from medembed.model.embed_cases import embed_lock
from medembed.model.removal import remove_model

FINGERPRINTS = {name: name * 64 for name in "abc"}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    """Three models with vectors; ``a`` was active and ``b`` is."""
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(make_case(i) for i in range(6))
        names = [f"case-{i}" for i in range(6)]
        for name, fingerprint in FINGERPRINTS.items():
            folder = opened.path / "models" / name
            folder.mkdir(parents=True)
            (folder / "model.json").write_text(json.dumps({"fingerprint": fingerprint}))
            opened.put_vectors(fingerprint, "image", names, np.eye(6))
        activate(opened, "a")
        activate(opened, "b")
        yield opened


def test_vectors_index_and_folder_go_together(library: CaseLibrary) -> None:
    open_index(library, FINGERPRINTS["c"])
    library.set_meta(PENDING, "c")
    report = remove_model(library, "c")
    assert (report.name, report.vectors, report.folder) == ("c", 6, True)
    assert not (library.path / "models" / "c").exists()
    assert not index_folder(library, FINGERPRINTS["c"]).exists()
    assert {s.fingerprint for s in library.embedding_sets()} == {"a" * 64, "b" * 64}
    assert library.get_meta(PENDING) is None
    with pytest.raises(ModelError):
        remove_model(library, "c")


def test_the_model_itself_may_be_kept(library: CaseLibrary) -> None:
    assert not remove_model(library, "c", vectors_only=True).folder
    assert (library.path / "models" / "c" / "model.json").exists()
    assert len(library.missing_vectors(FINGERPRINTS["c"], "image")) == 6


@pytest.mark.parametrize(("name", "why"), [("b", "active model"), ("a", "to go back to")])
def test_the_active_and_the_previous_model_are_refused(
    library: CaseLibrary, name: str, why: str
) -> None:
    for given in (name, FINGERPRINTS[name]):
        with pytest.raises(ModelError, match=why):
            remove_model(library, given)
    assert not library.missing_vectors(FINGERPRINTS[name], "image")


def test_imported_vectors_are_removed_by_name(library: CaseLibrary) -> None:
    names = [f"case-{i}" for i in range(6)]
    library.put_vectors("external:cloud", "image", names, np.eye(6))
    assert remove_model(library, "cloud").vectors == 6


def test_a_folder_elsewhere_is_not_deleted(library: CaseLibrary, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    about = json.dumps({"fingerprint": FINGERPRINTS["c"]})
    (tmp_path / "mine" / "model.json").write_text(about)
    report = remove_model(library, str(tmp_path / "mine"))
    assert (report.vectors, report.folder) == (6, False)
    assert (tmp_path / "mine" / "model.json").exists()


def test_a_model_that_is_embedded_with_now_is_left(library: CaseLibrary) -> None:
    with (
        writer_lock(embed_lock(library, FINGERPRINTS["c"]), "embedding"),
        pytest.raises(LibraryBusyError),
    ):
        remove_model(library, "c")
    assert not library.missing_vectors(FINGERPRINTS["c"], "image")
