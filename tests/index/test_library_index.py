"""The index files of a library are derived: deleted, damaged or outdated, they are made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.embeddings import unit_rows
from medembed.errors import FingerprintError
from medembed.index import LibraryIndex, SearchNote, SearchNoteKind, open_index
from medembed.index.library_index import index_folder
from medembed.library import CaseLibrary

FINGERPRINT = "f" * 64


@pytest.fixture
def library(tmp_path: Path):
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(make_case(i) for i in range(40))
        put(opened, range(30))
        yield opened


def put(library: CaseLibrary, numbers, seed: int = 0, kind: str = "image") -> None:
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(40, 6)))
    rows = list(numbers)
    library.put_vectors(FINGERPRINT, kind, [f"case-{i}" for i in rows], vectors[rows])


def holds(opened, library: CaseLibrary) -> bool:
    ids, vectors = library.vectors(FINGERPRINT, "image")
    if set(opened.index.case_ids) != set(ids):
        return False
    return all(
        np.array_equal(opened.index.vector(name), row)
        for name, row in zip(ids, vectors, strict=True)
    )


def message(opened: LibraryIndex) -> str:
    return "; ".join(map(str, opened.notes))


def test_it_is_made_once_and_kept(library: CaseLibrary) -> None:
    first = open_index(library, FINGERPRINT)
    assert (first.state, len(first.index)) == ("made", 30)
    assert message(first) == "index built: 30 cases"
    again = open_index(library, FINGERPRINT)
    assert (again.state, again.notes) == ("kept", ())
    assert holds(again, library)


def test_what_changes_in_the_library_changes_in_the_index(library: CaseLibrary) -> None:
    open_index(library, FINGERPRINT)
    put(library, range(30, 40))
    more = open_index(library, FINGERPRINT)
    assert (more.state, len(more.index)) == ("updated", 40)
    assert message(more) == "index updated: 10 vectors added, 0 removed"
    put(library, range(0, 3), seed=9)
    changed = open_index(library, FINGERPRINT)
    assert changed.state == "updated"
    assert "3 vectors added, 3 removed" in message(changed)
    assert holds(changed, library)
    put(library, range(10), kind="note")
    assert open_index(library, FINGERPRINT).state == "updated"
    assert open_index(library, FINGERPRINT).state == "kept"


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
@pytest.mark.parametrize("how", ["cut", "flip", "delete one", "delete all", "foreign"])
def test_damaged_files_are_replaced_and_it_is_said(
    library: CaseLibrary, kind: str, how: str, tmp_path: Path
) -> None:
    open_index(library, FINGERPRINT, kind)
    folder = index_folder(library, FINGERPRINT)
    part = next(path for path in sorted(folder.iterdir()) if "vectors" in path.name)
    if how == "cut":
        part.write_bytes(part.read_bytes()[:-5])
    elif how == "flip":
        data = bytearray(part.read_bytes())
        data[-1] ^= 1
        part.write_bytes(bytes(data))
    elif how == "delete one":
        part.unlink()
    elif how == "delete all":
        shutil.rmtree(folder)
    else:
        with CaseLibrary.create(tmp_path / "other") as other:
            other.add(make_case(i) for i in range(40))
            put(other, range(30), seed=5)
            open_index(other, FINGERPRINT, kind)
            shutil.rmtree(folder)
            shutil.copytree(index_folder(other, FINGERPRINT), folder)
    opened = open_index(library, FINGERPRINT)
    assert opened.state == ("made" if how == "delete all" else "rebuilt")
    assert opened.notes
    assert holds(opened, library)
    assert open_index(library, FINGERPRINT).state == "kept"


def test_the_kind_stays_until_another_is_asked_for(library: CaseLibrary) -> None:
    assert open_index(library, FINGERPRINT, "hnsw").index.kind == "hnsw"
    assert open_index(library, FINGERPRINT).index.kind == "hnsw"
    put(library, range(30, 40))
    assert open_index(library, FINGERPRINT).index.kind == "hnsw"
    other = open_index(library, FINGERPRINT, "exact")
    assert (other.index.kind, other.state) == ("exact", "rebuilt")
    assert "damaged" not in message(other)


def test_a_library_without_such_vectors_says_what_to_run(library: CaseLibrary) -> None:
    with pytest.raises(FingerprintError, match="medembed embed"):
        open_index(library, "e" * 64)


def test_when_the_last_vector_leaves_the_library_it_leaves_the_files(library: CaseLibrary) -> None:
    open_index(library, FINGERPRINT)
    library.drop_vectors(FINGERPRINT)
    with pytest.raises(FingerprintError):
        open_index(library, FINGERPRINT)
    assert not index_folder(library, FINGERPRINT).exists()


def test_a_fingerprint_cannot_lead_out_of_the_index_folder(library: CaseLibrary) -> None:
    for odd in ("../../escape", "a/b", ".", "..", "x" * 300, "ä"):
        folder = index_folder(library, odd)
        assert folder.parent == library.path / "index"
        assert len(folder.name) == 64


def test_where_nothing_can_be_written_it_works_all_the_same(library: CaseLibrary) -> None:
    (library.path / "index").write_text("a file stands in the folder's place")
    opened = open_index(library, FINGERPRINT)
    assert SearchNote(SearchNoteKind.INDEX_NOT_SAVED) in opened.notes
    assert holds(opened, library)
