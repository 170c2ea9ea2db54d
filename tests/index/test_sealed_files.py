"""An index on disk is whole and unchanged, or refused; a crash leaves the old or the new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medembed.errors import FingerprintError, InputError
from medembed.index import CaseIndex, sealed_files

KEY = b"k" * 32


def small(kind: str, n: int = 60) -> CaseIndex:
    vectors = np.random.default_rng(1).normal(size=(n, 8))
    return CaseIndex.build(vectors, [f"c{i}" for i in range(n)], kind=kind, fingerprint="m")


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("kind", ["exact", "hnsw", "auto"])
def test_what_was_saved_comes_back(tmp_path: Path, kind: str, key: bytes | None) -> None:
    index = small(kind)
    index.save(tmp_path / "i", key=key, extra={"stamp": 7})
    back, extra = CaseIndex.load_with_extra(tmp_path / "i", key=key)
    assert extra == {"stamp": 7}
    assert (back.kind, back.fingerprint, back.case_ids) == (index.kind, "m", index.case_ids)
    assert np.array_equal(back.vectors, index.vectors)
    queries = np.random.default_rng(2).normal(size=(5, 8))
    assert back.search(queries, 4).case_ids.tolist() == index.search(queries, 4).case_ids.tolist()


def test_an_empty_index_can_be_saved(tmp_path: Path) -> None:
    CaseIndex.build(np.empty((0, 4)), [], kind="hnsw").save(tmp_path / "i")
    back = CaseIndex.load(tmp_path / "i")
    assert (len(back), back.dim) == (0, 4)


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_changed_byte_gets_as_far_as_faiss(tmp_path: Path, kind: str, data) -> None:
    folder = tmp_path / kind
    if not folder.exists():
        small(kind).save(folder, key=KEY)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    before = path.read_bytes()
    changed = bytearray(before)
    at = data.draw(st.integers(0, len(before) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    if how == "flip":
        changed[at] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del changed[at:]
    else:
        changed += b"\0"
    try:
        path.write_bytes(bytes(changed))
        try:
            back = CaseIndex.load(folder, key=KEY)
        except InputError:
            return
        # Blanks of the head may change without changing what it says. Without stamps that hold,
        # every file is hashed.
        assert path.name in ("index.json", "checked.json")
        if path.name == "index.json":
            assert json.loads(bytes(changed)) == json.loads(before)
        assert len(back) == 60
    finally:
        path.write_bytes(before)


def test_another_key_and_no_key_are_refused(tmp_path: Path) -> None:
    small("exact").save(tmp_path / "i", key=KEY)
    for key in (None, b"x" * 32):
        with pytest.raises(InputError, match="another key"):
            CaseIndex.load(tmp_path / "i", key=key)


def test_a_head_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    body = {
        "head": {},
        "parts": {"ids": {"file": "../secret", "bytes": 1, "sha256": "0" * 64}},
    }
    sealed = {**body, "seal": sealed_files._seal(sealed_files._canonical(body), None)}
    (tmp_path / "i").mkdir()
    (tmp_path / "i/index.json").write_text(json.dumps(sealed))
    with pytest.raises(InputError, match="missing"):
        CaseIndex.load(tmp_path / "i")
    small("exact").save(tmp_path / "i")
    assert (tmp_path / "secret").exists()


def test_a_missing_folder_another_version_and_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no index"):
        CaseIndex.load(tmp_path / "nowhere")
    small("exact").save(tmp_path / "i")
    with pytest.raises(FingerprintError):
        CaseIndex.load(tmp_path / "i", fingerprint="other")
    sealed_files.write_sealed(tmp_path / "i", {"format": 99}, {})
    with pytest.raises(InputError, match="version"):
        CaseIndex.load(tmp_path / "i")


def test_a_graph_that_lies_about_its_size_is_refused_though_its_seal_holds(tmp_path: Path) -> None:
    small("hnsw").save(tmp_path / "i")
    head, files = sealed_files.read_sealed(tmp_path / "i")
    small("hnsw", n=59).save(tmp_path / "other")
    other = sealed_files.read_sealed(tmp_path / "other")[1]["graph"]
    for bad in (other, files["graph"][:200], files["graph"][:-50], b"", b"\xff" * 4000):
        sealed_files.write_sealed(tmp_path / "i", head, {**files, "graph": bad})
        with pytest.raises(InputError, match="index file"):
            CaseIndex.load(tmp_path / "i")


def test_removed_vectors_do_not_stay_in_the_files(tmp_path: Path) -> None:
    index = small("hnsw")
    gone = index.vector("c7").tobytes()
    index.save(tmp_path / "i")
    assert any(gone in path.read_bytes() for path in (tmp_path / "i").iterdir())
    index.remove(["c7"])
    index.save(tmp_path / "i")
    assert not any(gone in path.read_bytes() for path in (tmp_path / "i").iterdir())


def test_saving_again_leaves_no_file_behind(tmp_path: Path) -> None:
    for _ in range(3):
        small("hnsw").save(tmp_path / "i")
    assert len(list((tmp_path / "i").iterdir())) == 5
    left = tmp_path / "i/part-deadbeef-vectors"
    left.write_bytes(b"x")
    small("exact").save(tmp_path / "i")
    assert left.exists(), "it may be in the making by another process"
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    small("exact").save(tmp_path / "i")
    assert not left.exists()
    assert len(list((tmp_path / "i").iterdir())) == 4


def test_killed_while_saving_the_old_or_the_new_is_there(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np
from medembed.index import CaseIndex
a = CaseIndex.build(np.eye(200), [f"c{i}" for i in range(200)], fingerprint="a")
b = CaseIndex.build(np.eye(100), [f"c{i}" for i in range(100)], fingerprint="b")
a.save(sys.argv[1])
print("go", flush=True)
while True:
    b.save(sys.argv[1])
    a.save(sys.argv[1])
"""
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(0.013 * (attempt + 1))
        process.kill()
        process.wait()
        process.stdout.close()
        back = CaseIndex.load(folder)
        assert len(back) == {"a": 200, "b": 100}[back.fingerprint]


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_an_index_is_saved_and_read_beside_simpleitk(tmp_path: Path, kind: str) -> None:
    """Once SimpleITK is imported, FAISS's own serialization fails: they share SWIG's types."""
    pytest.importorskip("SimpleITK")
    script = (
        "import sys, SimpleITK, numpy as np\n"
        "from medembed.index import CaseIndex, snapshot\n"
        "snapshot.FEWEST_ROWS = 50\n"
        "rows = np.random.default_rng(0).normal(size=(60, 8))\n"
        "index = CaseIndex.build(rows, [f'c{i}' for i in range(60)], kind=sys.argv[2])\n"
        "index.save(sys.argv[1])\n"
        "again = CaseIndex.load(sys.argv[1])\n"
        "assert again.search(rows, 3).of(7) == index.search(rows, 3).of(7)\n"
        "assert again._state.first_pass is not None\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "i"), kind]
    subprocess.run(words, check=True, timeout=60)
