"""Who searches while vectors arrive does not write the index files for each of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medembed.cases import Case, ScanRef
from medembed.index import CaseIndex, library_index
from medembed.index.library_index import current_index, open_index
from medembed.library import CaseLibrary

MODEL = "a" * 64


def library_of(folder: Path, n: int) -> CaseLibrary:
    library = CaseLibrary.create(folder)
    scan = ScanRef(("/none.dcm",), "0" * 64, "CR", "PA")
    library.add(Case(f"C-{i:04d}", f"P-{i:04d}", (scan,)) for i in range(n))
    return library


def test_vectors_are_searchable_at_once_and_reach_the_files_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    names = [f"C-{i:04d}" for i in range(300)]
    with library_of(tmp_path / "library", 300) as library:
        library.put_vectors(MODEL, "image", names[:200], vectors[:200])
        held = open_index(library, MODEL)
        written = []
        real = library_index._save
        monkeypatch.setattr(
            library_index,
            "_save",
            lambda *given, **named: written.append(1) or real(*given, **named),
        )
        clock = [1000.0]
        monkeypatch.setattr(library_index, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        for at in range(200, 300, 10):
            library.put_vectors(MODEL, "image", names[at : at + 10], vectors[at : at + 10])
            held = current_index(library, MODEL, held)
            assert held.index.search(vectors[at], 1).case_ids[0, 0] == names[at]
            clock[0] += 1
        assert len(written) == 1
        clock[0] += library_index._SAVE_SECONDS
        library.put_vectors(MODEL, "image", [names[0]], vectors[:1] * -1)
        held = current_index(library, MODEL, held)
        assert len(written) == 2
        again = open_index(library, MODEL)
        assert again.state == "kept"
        assert len(again.index) == 300
        assert again.index.search(-vectors[0], 1).case_ids[0, 0] == names[0]


def test_a_vector_that_went_before_it_was_saved_reaches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient may be erased between two savings, when no file knows of the patient yet."""
    vectors = np.random.default_rng(1).standard_normal((203, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"C-{i:04d}" for i in range(203)]
    clock = [1000.0]
    monkeypatch.setattr(library_index, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(library_index, "_SMALL", 0)  # as a large library does
    with library_of(tmp_path / "library", 203) as library:
        library.put_vectors(MODEL, "image", names[:200], vectors[:200])
        held = open_index(library, MODEL)
        for at in (200, 201):  # the first is saved, the second is not
            library.put_vectors(MODEL, "image", [names[at]], vectors[at : at + 1])
            held = current_index(library, MODEL, held)
        with CaseLibrary.open(tmp_path / "library") as other:
            other.erase("P-0201")
        held = current_index(library, MODEL, held)
        clock[0] += library_index._SAVE_SECONDS
        library.put_vectors(MODEL, "image", [names[202]], vectors[202:])
        held = current_index(library, MODEL, held)
        assert names[201] not in held.index
        assert held.index.search(vectors[202], 1).case_ids[0, 0] == names[202]
        for file in (tmp_path / "library" / "index").rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert vectors[201].tobytes() not in content, file.name
                assert names[201].encode() not in content, file.name
        assert len(open_index(library, MODEL).index) == 202


def test_what_was_added_and_removed_since_is_not_appended(tmp_path: Path) -> None:
    vectors = np.random.default_rng(2).standard_normal((102, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    CaseIndex.build(vectors[:100], [f"C-{i}" for i in range(100)]).save(tmp_path / "index")
    index = CaseIndex.load(tmp_path / "index")
    index.add(vectors[100:], ["gone", "kept"])
    index.remove(["gone"])
    assert not index.save_changes(tmp_path / "index")
    index.save(tmp_path / "index")
    assert "kept" in CaseIndex.load(tmp_path / "index")
    content = b"".join(file.read_bytes() for file in (tmp_path / "index").iterdir())
    assert vectors[100].tobytes() not in content
    assert b"gone" not in content
