"""Who searches while vectors arrive does not write the index files for each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medembed.cases import Case, ScanRef
from medembed.index import library_index
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
        monkeypatch.setattr(library_index.time, "monotonic", lambda: clock[0])
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
