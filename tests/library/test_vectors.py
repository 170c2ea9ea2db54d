from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.embeddings import Embeddings
from medembed.errors import FingerprintError, InputError, LibraryError
from medembed.library import CaseLibrary
from medembed.notes import Note
from medembed.unit_vectors import unit_rows


@pytest.fixture
def library(tmp_path: Path):
    with CaseLibrary.create(tmp_path / "lib") as opened:
        opened.add(make_case(i, note=Note("Clear lungs.") if i % 2 else None) for i in range(10))
        yield opened


def test_vectors_come_back_bit_for_bit_in_the_order_of_the_library(library: CaseLibrary) -> None:
    vectors = unit_rows(np.random.default_rng(0).normal(size=(10, 7)))
    order = np.random.default_rng(1).permutation(10)
    library.put_vectors("f", "image", [f"case-{i}" for i in order], vectors[order])
    ids, stored = CaseLibrary.open(library.path).vectors("f", "image")
    assert ids == library.find()
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, vectors)
    stored[0] = 0  # one's own copy


def test_models_and_kinds_are_kept_apart(library: CaseLibrary) -> None:
    library.put_vectors("f", "image", ["case-1"], [[1, 0]])
    library.put_vectors("f", "note", ["case-1"], [[0, 1]])
    library.put_vectors("g", "image", ["case-2"], [[0, 0, 1]])
    assert library.vectors("f", "image")[1].tolist() == [[1, 0]]
    assert library.vectors("f", "note")[1].tolist() == [[0, 1]]
    assert library.vectors("g", "image")[0] == ["case-2"]
    assert library.vectors("h", "image")[0] == []
    assert [
        (s.fingerprint, s.kind, s.dimensions, s.n_vectors) for s in library.embedding_sets()
    ] == [
        ("f", "image", 2, 1),
        ("f", "note", 2, 1),
        ("g", "image", 3, 1),
    ]
    library.drop_vectors("f")
    assert [s.fingerprint for s in library.embedding_sets()] == ["g"]
    assert library.vectors("g", "image")[1].tolist() == [[0, 0, 1]]


def test_missing_ones_are_those_without_a_vector_and_notes_need_a_note(
    library: CaseLibrary,
) -> None:
    assert library.missing_vectors("f", "image") == library.find()
    library.put_vectors("f", "image", ["case-3", "case-4"], np.ones((2, 2)))
    assert library.missing_vectors("f", "image") == [
        f"case-{i}" for i in range(10) if i not in (3, 4)
    ]
    assert library.missing_vectors("f", "note") == [f"case-{i}" for i in (1, 3, 5, 7, 9)]


def test_a_revision_tells_of_every_change(library: CaseLibrary) -> None:
    def revision() -> int:
        return library.embedding_sets()[0].revision

    library.put_vectors("f", "image", ["case-3"], [[1, 2]])
    first = revision()
    library.put_vectors("f", "image", ["case-3"], [[2, 1]])
    second = revision()
    with library.database.write() as db:
        db.execute("DELETE FROM cases WHERE case_id = 'case-4'")  # has no vector
    third = revision()
    with library.database.write() as db:
        db.execute("DELETE FROM cases WHERE case_id = 'case-3'")
    assert first < second == third < revision()
    assert library.vectors("f", "image")[0] == []


def test_what_does_not_fit_is_refused_and_nothing_of_it_written(library: CaseLibrary) -> None:
    library.put_vectors("f", "image", ["case-1"], [[1, 2]])
    with pytest.raises(FingerprintError, match="dimension 3, those stored for this model 2"):
        library.put_vectors("f", "image", ["case-2"], [[1, 2, 3]])
    with pytest.raises(LibraryError, match="not in the library"):
        library.put_vectors("f", "image", ["case-2", "none"], [[1, 2], [3, 4]])
    for wrong, why in (
        ([[np.nan, 2]], "not finite"),
        ([[np.inf, 2]], "not finite"),
        ([[0, 0]], "all zeros"),
        ([["a", "b"]], "real numbers"),
        ([[1, 2], [3, 4]], "1 case id for vectors of shape"),
    ):
        with pytest.raises(InputError, match=why):
            library.put_vectors("f", "image", ["case-2"], wrong)
    with pytest.raises(InputError, match="more than once"):
        library.put_vectors("f", "image", ["case-2", "case-2"], [[1, 2], [3, 4]])
    assert library.vectors("f", "image")[0] == ["case-1"]


def test_a_row_is_never_used_twice(library: CaseLibrary) -> None:
    library.put_vectors("f", "image", ["case-9"], [[1, 2]])
    with library.database.write() as db:
        db.execute("DELETE FROM cases WHERE case_id = 'case-9'")
    library.add([make_case(11)])
    assert library.missing_vectors("f", "image") == library.find()


def test_a_row_of_any_length_is_scaled_to_length_1_when_it_is_written(library: CaseLibrary) -> None:
    rows = np.array([[3.0, 4.0], [1e-30, 0.0], [0.0, 1e30]])
    library.put_vectors("f", "image", ["case-1", "case-2", "case-3"], rows)
    _, stored = library.vectors("f", "image")
    np.testing.assert_allclose(stored, [[0.6, 0.8], [1, 0], [0, 1]], atol=1e-7)
    Embeddings.from_library(library, "f")  # which refuses any other length


def test_models_that_have_vectors_are_named_without_counting_them(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        library.add([make_case(1), make_case(2)])
        assert library.embedded_by("image") == []
        for fingerprint in ("b" * 64, "a" * 64):
            library.put_vectors(fingerprint, "image", ["case-1"], np.ones((1, 4), np.float32))
        library.put_vectors("c" * 64, "note", ["case-1"], np.ones((1, 4), np.float32))
        assert library.embedded_by("image") == ["b" * 64, "a" * 64]
        assert library.embedded_by("note") == ["c" * 64]
        library.put_vectors("a" * 64, "image", ["case-2"], np.ones((1, 4), np.float32))
        library.drop_vectors("b" * 64)
        assert library.embedded_by("image") == ["a" * 64]
