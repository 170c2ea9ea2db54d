"""The index files of a library are derived: deleted, damaged or outdated, they are made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import FingerprintError
from medembed.index import (
    LibraryIndex,
    SearchNote,
    SearchNoteKind,
    compact_index,
    current_index,
    library_index,
    open_index,
)
from medembed.index.library_index import index_folder
from medembed.index.sealed_files import read_sealed, write_sealed
from medembed.library import CaseLibrary, vectors
from medembed.library.locks import writer_lock
from medembed.library.vectors import VectorStore

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


def test_a_change_is_followed_without_reading_the_other_vectors(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = current_index(library, FINGERPRINT)
    assert current_index(library, FINGERPRINT, held) is held
    monkeypatch.setattr(Embeddings, "from_library", None)  # nobody may read all
    monkeypatch.setattr(library_index, "_SMALL", 0)  # as in a large library
    put(library, range(30, 33))
    put(library, [2], seed=7)
    with library.database.write() as db:
        VectorStore(db).forget(FINGERPRINT, "image", 5)  # case-4
    later = current_index(library, FINGERPRINT, held)
    assert (later.state, message(later)) == (
        "updated",
        "index updated: 4 vectors added, 2 removed",
    )
    assert holds(later, library)
    assert "case-4" not in later.index
    assert len(held.index) == 30, "a search that still uses it is not disturbed"
    assert "case-31" not in held.index
    assert later.index.generation == held.index.generation
    rows = held.index.rows_of(held.index.case_ids)
    same = [name for name in held.index.case_ids if name not in ("case-2", "case-4")]
    kept = later.index.rows_of(same)
    assert np.array_equal(kept, held.index.rows_of(same))
    assert rows.size == 30
    opened = open_index(library, FINGERPRINT)
    assert (opened.state, opened.index.case_ids) == ("kept", later.index.case_ids)
    put(library, [7], seed=8)
    put(library, [7], seed=8)
    assert holds(open_index(library, FINGERPRINT), library), "another process follows, too"
    assert holds(current_index(library, FINGERPRINT, later), library)


def test_what_was_compacted_by_another_process_is_opened(library: CaseLibrary) -> None:
    held = current_index(library, FINGERPRINT)
    put(library, range(30, 34))
    updated = current_index(library, FINGERPRINT, held)
    assert updated.index.n_pending in (0, 4)
    put(library, range(34, 38))
    written = compact_index(library, FINGERPRINT)
    assert (written.index.n_pending, len(written.index)) == (0, 38)
    again = current_index(library, FINGERPRINT, updated)
    assert again.index.generation == written.index.generation
    assert current_index(library, FINGERPRINT, again) is again
    shutil.rmtree(index_folder(library, FINGERPRINT))
    made = current_index(library, FINGERPRINT, again)
    assert made.state == "made"
    assert holds(made, library)


@pytest.mark.parametrize("how", ["pruned", "another past", "case deleted", "set made anew"])
def test_where_the_changes_are_not_known_everything_is_read(library: CaseLibrary, how: str) -> None:
    held = open_index(library, FINGERPRINT)
    with library.database.write() as db:
        if how == "another past":
            db.execute("UPDATE vector_changes SET mark = mark + 1")
        elif how == "case deleted":
            db.execute("DELETE FROM cases WHERE case_id = 'case-3'")
        elif how == "set made anew":
            VectorStore(db).drop(FINGERPRINT)
    put(library, range(25, 40), seed=4)
    with library.database.write() as db:
        if how == "pruned":
            db.execute("DELETE FROM vector_changes WHERE number < 40")
    assert holds(current_index(library, FINGERPRINT, held), library)
    assert holds(open_index(library, FINGERPRINT), library)
    assert open_index(library, FINGERPRINT).state == "kept"


def test_vectors_of_another_model_change_nothing(library: CaseLibrary) -> None:
    held = open_index(library, FINGERPRINT)
    library.put_vectors("a" * 64, "image", ["case-1"], np.ones((1, 3)))
    assert current_index(library, FINGERPRINT, held) is held
    assert open_index(library, FINGERPRINT).state == "kept"
    assert len(open_index(library, "a" * 64).index) == 1
    put(library, [1], seed=3)
    assert holds(current_index(library, FINGERPRINT, held), library)


def test_the_list_of_changes_does_not_grow_for_ever(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_KEPT_CHANGES", 50)
    held = open_index(library, FINGERPRINT)
    for seed in range(4):
        put(library, range(40), seed=seed)
    (count,) = library.database.read().execute("SELECT count(*) FROM vector_changes").fetchone()
    assert 50 <= count <= 130
    assert holds(current_index(library, FINGERPRINT, held), library)


def test_a_search_that_follows_waits_for_no_writer_of_the_files(library: CaseLibrary) -> None:
    held = open_index(library, FINGERPRINT)
    folder = index_folder(library, FINGERPRINT)
    put(library, range(30, 33))
    with writer_lock(folder.with_name(f".{folder.name}.lock"), "writing an index"):
        later = current_index(library, FINGERPRINT, held)
    assert holds(later, library)
    assert SearchNote(SearchNoteKind.INDEX_NOT_SAVED) not in later.notes
    assert holds(open_index(library, FINGERPRINT), library)
    put(library, range(33, 36))
    assert holds(current_index(library, FINGERPRINT, later), library)


def test_files_of_the_first_format_are_replaced(library: CaseLibrary) -> None:
    open_index(library, FINGERPRINT)
    folder = index_folder(library, FINGERPRINT)
    head, files = read_sealed(folder, library.key)
    write_sealed(folder, {**head, "format": 1}, files, library.key)
    opened = open_index(library, FINGERPRINT)
    assert (opened.state, len(opened.notes)) == ("rebuilt", 1)
    assert holds(opened, library)


def test_verify_compares_every_vector_with_the_library(library: CaseLibrary) -> None:
    from medembed.index.index_check import verify_indexes

    opened = open_index(library, FINGERPRINT)
    assert [check.state.value for check in verify_indexes(library)] == ["ok"]
    index = opened.index.copy()
    index.update(index.vectors[:1], ["case-9"])
    folder = index_folder(library, FINGERPRINT)
    assert index.save_changes(folder, key=library.key, extra=dict(opened.stamp))
    assert not holds(open_index(library, FINGERPRINT), library)  # as if a change had been missed
    assert [check.state.value for check in verify_indexes(library)] == ["repaired"]
    assert holds(open_index(library, FINGERPRINT), library)


def test_an_erased_patient_leaves_files_and_log_at_once(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_index, "_SMALL", 0)
    held = open_index(library, FINGERPRINT)
    put(library, range(30, 33))
    put(library, [2], seed=7)
    held = current_index(library, FINGERPRINT, held)
    patients = {library.case(name).patient_id for name in ("case-2", "case-31")}
    gone = {name for name, patient in library.patients().items() if patient in patients}
    needles = [held.index.vector(name).tobytes() for name in gone if name in held.index]
    needles += [f'"{name}"'.encode() for name in gone]  # as the log has them

    def traces() -> int:
        files = [path for path in (library.path / "index").rglob("*") if path.is_file()]
        return sum(needle in path.read_bytes() for path in files for needle in needles)

    assert traces()
    for patient in patients:
        library.erase(patient)
        later = current_index(library, FINGERPRINT, held)
        assert holds(later, library)
    assert not traces()
    assert not gone & set(later.index.case_ids)
