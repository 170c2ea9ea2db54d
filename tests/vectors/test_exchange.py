from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lookup.known_library import DIM, FINGERPRINT, fill, vector
from pyarrow import parquet
from support.example_cases import make_case
from typer.testing import CliRunner

from evaluation.retrieval.library import evaluate_library
from medembed.cli import build
from medembed.errors import FingerprintError, InputError, ModelError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model.resolve import choose_model
from medembed.unit_vectors import unit_rows
from medembed.vector_exchange import export_vectors, import_vectors

NAME = "cloud-1"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "library") as opened:
        fill(opened)
        yield opened


def rows(n: int = 40, dim: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def npy(folder: Path, vectors: np.ndarray, ids: list[str], name: str = "v") -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", vectors)
    (folder / f"{name}.csv").write_text("case_id\n" + "\n".join(ids) + "\n")
    return folder / f"{name}.npy"


def stored(library: CaseLibrary, kind: str = "image") -> tuple[list[str], np.ndarray]:
    return library.vectors(f"external:{NAME}", kind)


@pytest.mark.parametrize("form", ["npy+csv", "npy+txt", "lists", "fixed lists", "columns"])
def test_every_form_of_file_gives_the_same_vectors(
    library: CaseLibrary, tmp_path: Path, form: str
) -> None:
    order = np.random.default_rng(1).permutation(40)
    ids, vectors = [f"case-{i}" for i in order], rows()[order]
    path = tmp_path / "v.parquet"
    if form.startswith("npy"):
        path = npy(tmp_path, vectors, ids)
        if form == "npy+txt":
            (tmp_path / "v.csv").unlink()
            (tmp_path / "v.txt").write_text("\n".join(ids))
    elif form == "columns":
        frame = pd.DataFrame(vectors, columns=[f"d{i}" for i in range(5)])
        frame.assign(case_id=ids).to_parquet(path)
    else:
        flat = pa.array(vectors.ravel())
        column = pa.array(vectors.tolist())
        if form == "fixed lists":
            column = pa.FixedSizeListArray.from_arrays(flat, 5)
        parquet.write_table(pa.table({"case_id": ids, "embedding": column}), path)
    report = import_vectors(library, path, NAME)
    assert (report.added, report.n_vectors, report.n_cases, report.dimensions) == (40, 40, 40, 5)
    found, values = stored(library)
    assert found == library.find()
    np.testing.assert_allclose(values, unit_rows(rows()), atol=1e-6)


def test_the_same_file_again_changes_nothing(library: CaseLibrary, tmp_path: Path) -> None:
    path = npy(tmp_path / "a", rows(30), library.find()[:30])
    import_vectors(library, path, NAME)
    before = library.embedding_sets()
    again = import_vectors(library, path, NAME)
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 30)
    assert library.embedding_sets() == before  # not even the revision: the index stays valid
    more = rows(40)
    more[3] *= -1
    report = import_vectors(library, npy(tmp_path / "b", more, library.find()), NAME)
    assert (report.added, report.replaced, report.unchanged) == (10, 1, 29)


def nan_at(vectors: np.ndarray, row: int) -> np.ndarray:
    vectors[row, 2] = np.nan
    return vectors


def zero_at(vectors: np.ndarray, row: int) -> np.ndarray:
    vectors[row] = 0
    return vectors


@pytest.mark.parametrize(
    ("vectors", "change", "message"),
    [
        (rows(), {"case-3": "case-999", "case-4": "x"}, "2 of its 40 cases are not in the library"),
        (rows(), {"case-3": "case-4"}, "1 of 40 rows repeat the case id of another row"),
        (rows(), {"case-3": " "}, "1 of 40 rows have no case id"),
        (nan_at(rows(), 39), {}, r"not finite \(1 of 40 rows\)"),
        (zero_at(rows(), 39), {}, r"all zeros \(1 of 40 rows\)"),
        (rows(39), {}, "40 case ids in v.csv, but 39 vectors"),
        (rows()[:, :, None], {}, r"shape \(40, 5, 1\)"),
        (np.array([["a"] * 5] * 40), {}, "real numbers"),
    ],
)
def test_a_file_with_a_fault_is_refused_whole(
    library: CaseLibrary,
    tmp_path: Path,
    vectors: np.ndarray,
    change: dict[str, str],
    message: str,
) -> None:
    ids = [change.get(name, name) for name in library.find()]
    with pytest.raises(InputError, match=message) as caught:
        import_vectors(library, npy(tmp_path / "a", vectors, ids), NAME)
    assert str(tmp_path) not in str(caught.value)
    assert stored(library)[0] == []


def test_no_pickle_is_opened(library: CaseLibrary, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "v.txt").write_text("case-1")
    with pytest.raises(InputError, match=r"cannot be read as a \.npy array"):
        import_vectors(library, tmp_path / "v.npy", NAME)


@pytest.mark.parametrize("name", ["v.parquet", "v.npy", "v.csv", "none.npy"])
def test_what_is_no_vector_file_is_named_in_one_line(
    library: CaseLibrary, tmp_path: Path, name: str
) -> None:
    (tmp_path / "v.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "v.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError) as caught:
        import_vectors(library, tmp_path / name, NAME)
    assert str(caught.value).startswith(f"{name}: ")


def test_unknown_cases_are_left_out_if_told(library: CaseLibrary, tmp_path: Path) -> None:
    path = npy(tmp_path / "a", rows(), [*library.find()[:25], *(f"x-{i}" for i in range(15))])
    report = import_vectors(library, path, NAME, skip_unknown=True)
    assert (report.added, report.skipped, report.n_vectors, report.n_cases) == (25, 15, 25, 40)
    nobody = npy(tmp_path / "b", rows(2), ["x", "y"])
    with pytest.raises(InputError, match="none of its cases"):
        import_vectors(library, nobody, NAME, skip_unknown=True)


def test_notes_need_a_report(library: CaseLibrary, tmp_path: Path) -> None:
    library.add([make_case(900)])
    path = npy(tmp_path / "a", rows(2), ["case-1", "case-900"])
    with pytest.raises(InputError, match="1 of its 2 cases are not in the library with a report"):
        import_vectors(library, path, NAME, "note")
    assert import_vectors(library, path, NAME, "note", skip_unknown=True).n_cases == 40


def test_one_name_has_one_dimension(library: CaseLibrary, tmp_path: Path) -> None:
    import_vectors(library, npy(tmp_path / "a", rows(), library.find()), NAME)
    other = npy(tmp_path / "b", rows(dim=6), library.find())
    for kind in ("image", "note"):
        with pytest.raises(FingerprintError, match=r"dimension 6; those already imported.*have 5"):
            import_vectors(library, other, NAME, kind)  # type: ignore[arg-type]
    import_vectors(library, other, "cloud-2")


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "é", "x" * 65])
def test_a_name_is_a_plain_word(library: CaseLibrary, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="the name may have"):
        import_vectors(library, npy(tmp_path / "a", rows(), library.find()), name)


def test_imported_vectors_cannot_take_the_name_of_a_model(
    library: CaseLibrary, tmp_path: Path
) -> None:
    (library.path / "models" / NAME).mkdir(parents=True)
    with pytest.raises(InputError, match="a model of this library has this name"):
        import_vectors(library, npy(tmp_path / "a", rows(), library.find()), NAME)


def test_they_are_searched_by_case_and_by_vector_and_measured(
    library: CaseLibrary, tmp_path: Path
) -> None:
    vectors = rows()
    import_vectors(library, npy(tmp_path / "a", vectors, library.find()), NAME)
    import_vectors(library, npy(tmp_path / "a", vectors, library.find()), NAME, "note")
    assert choose_model(library, NAME).fingerprint == f"external:{NAME}"
    unit = unit_rows(vectors)
    with CaseLookup(library, NAME) as lookup:
        by_vector = lookup.search(vector=vectors[7] * 3, k=40)
        best = np.argsort(-unit @ unit[7], kind="stable")
        assert [hit.case_id for hit in by_vector] == [f"case-{i}" for i in best]
        assert by_vector.own_patient_cases == 0
        by_case = lookup.search(case="case-7", k=3)
        assert "case-7" not in [hit.case_id for hit in by_case]
        for query in ({"text": "effusion"}, {"image": np.ones((4, 4))}):
            with pytest.raises(ModelError, match="no encoder for the imported vectors 'cloud-1'"):
                lookup.search(**query)  # type: ignore[arg-type]
    scores = evaluate_library(library, "train", choose_model(library, NAME).fingerprint)
    assert scores.tasks["text_to_image"].scores.to_json()["R@1"] == 1.0


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_what_is_exported_can_be_imported_and_holds_no_patient(
    library: CaseLibrary, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "out" / f"v{suffix}"
    report = export_vectors(library, path, FINGERPRINT, "note")
    assert (report.n_vectors, report.dimensions) == (40, DIM)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        held = file.read_bytes()
        assert b"P-1" not in held
        assert b"effusion" not in held
    assert {file.name for file in path.parent.iterdir()} == set(report.files)
    import_vectors(library, path, NAME, "note")
    ids, vectors = stored(library, "note")
    assert ids == library.find()
    np.testing.assert_array_equal(vectors, library.vectors(FINGERPRINT, "note")[1])
    with pytest.raises(InputError, match="exists already"):
        export_vectors(library, path, FINGERPRINT, "note")
    export_vectors(library, path, FINGERPRINT, "note", overwrite=True)
    with pytest.raises(FingerprintError, match="no image vectors"):
        export_vectors(library, path, "nobody", overwrite=True)


def test_a_case_id_that_looks_like_a_table_survives(library: CaseLibrary, tmp_path: Path) -> None:
    odd = 'a,"b" =1'
    library.add([make_case(901, case_id=odd, patient_id="Q")])
    library.put_vectors(FINGERPRINT, "image", [odd], vector(3)[np.newaxis])
    export_vectors(library, tmp_path / "v.npy", FINGERPRINT)
    import_vectors(library, tmp_path / "v.npy", NAME)
    assert odd in stored(library)[0]


def test_the_verbs_print_one_object_and_refuse_in_one_line(
    library: CaseLibrary, tmp_path: Path
) -> None:
    run = CliRunner()
    place = str(library.path)
    path = npy(tmp_path / "a", rows(20), library.find()[:20])
    done = run.invoke(build(), ["import-vectors", place, str(path), "--name", NAME, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["added"] == 20
    done = run.invoke(build(), ["import-vectors", place, str(path), "--fingerprint", NAME])
    assert "20 of the 40 cases have no vector of this name" in done.stdout
    query = tmp_path / "q.npy"
    np.save(query, rows()[5])
    search = ["search", place, "--model", NAME, "--vector", str(query), "--json"]
    found = json.loads(run.invoke(build(), search).stdout)
    assert found["hits"][0]["case_id"] == "case-5"
    assert found["query"]["vector"] == 5
    done = run.invoke(build(), ["import-vectors", place, str(path), "--name", "a/b"])
    assert (done.exit_code, done.stdout) == (2, "")
    done = run.invoke(build(), ["search", place, "--model", NAME, "--text", "effusion"])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "no encoder for the imported vectors" in done.stderr
    out = tmp_path / "out.parquet"
    done = run.invoke(build(), ["export-vectors", place, str(out), "--model", NAME, "--json"])
    assert json.loads(done.stdout)["files"] == ["out.parquet"]
    shown = run.invoke(build(), ["show", place]).stdout
    assert f"20 of images, 5 dimensions, imported: {NAME}" in shown
