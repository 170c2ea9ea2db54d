"""A backup of a library in use is whole, private, and comes back equal or not at all."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.cases import ScanRef
from medembed.errors import InputError, LibraryError
from medembed.library import CaseLibrary
from medembed.library.backup import back_up, restore
from medembed.notes import Note

MODEL = "0123456789abcdef" * 4


def make_library(folder: Path, n: int = 30) -> CaseLibrary:
    library = CaseLibrary.create(folder / "lib")
    library.add([make_case(i, note=Note(f"FINDINGS: word{i} here.")) for i in range(n)])
    library.put_vectors(
        MODEL, "image", library.find(), np.random.default_rng(0).normal(size=(n, 8))
    )
    for name in ("models/small/model.json", "models/.small.training/checkpoint.pt"):
        (library.path / name).parent.mkdir(parents=True, exist_ok=True)
        (library.path / name).write_bytes(b"{}")
    (library.path / "models" / ".small.lock").write_bytes(b"")
    (library.path / "index").mkdir()
    (library.path / "index" / "part").write_bytes(b"vectors")
    return library


def test_a_restored_library_is_equal(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    library.active_model = "small"
    report = back_up(library, tmp_path / "lib.zip")
    assert (report.n_cases, report.n_models, report.n_files) == (30, 1, 2)
    assert stat.S_IMODE((tmp_path / "lib.zip").stat().st_mode) == 0o600
    restored = restore(tmp_path / "lib.zip", tmp_path / "again")
    assert restored == report
    with CaseLibrary.open(tmp_path / "again") as again:
        assert list(again.cases()) == list(library.cases())
        assert again.key == library.key
        assert again.active_model == "small"
        ids, vectors = again.vectors(MODEL, "image")
        assert ids == library.find()
        assert np.array_equal(vectors, library.vectors(MODEL, "image")[1])
        assert again.database.read().execute("PRAGMA journal_mode").fetchone() == ("wal",)
        again.add([make_case(99)])  # it can be written
    names = {p.relative_to(tmp_path / "again").as_posix() for p in (tmp_path / "again").rglob("*")}
    assert "models/small/model.json" in names
    assert not {"index", "models/.small.training"} & names
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "again").rglob("*")}
    assert modes == {0o600, 0o700}


def test_scans_inside_the_folder_are_in_it_and_those_outside_are_not(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    scans = library.path / "scans"
    scans.mkdir()
    files = [scans / "one.png", tmp_path / "two.png"]
    for file in files:
        file.write_bytes(file.name.encode())
    refs = tuple(ScanRef((str(f),), hashlib.sha256(f.name.encode()).hexdigest()) for f in files)
    library.add([make_case(50, scans=refs)])
    back_up(library, tmp_path / "lib.zip")
    restore(tmp_path / "lib.zip", tmp_path / "again")
    assert (tmp_path / "again" / "scans" / "one.png").read_bytes() == b"one.png"
    with CaseLibrary.open(tmp_path / "again") as again:
        inside, outside = again.scan_files(again.case("case-50"))
        assert inside == (tmp_path / "again" / "scans" / "one.png",)
        assert outside == (tmp_path / "two.png",)
    with zipfile.ZipFile(tmp_path / "lib.zip") as archive:
        assert not any("two" in name for name in archive.namelist())


def test_what_is_derived_is_in_it_if_asked_for(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    assert back_up(library, tmp_path / "lib.zip", derived=True).n_files == 3
    restore(tmp_path / "lib.zip", tmp_path / "again")
    assert (tmp_path / "again" / "index" / "part").read_bytes() == b"vectors"


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from support.example_cases import make_case
from medembed.library import CaseLibrary
library = CaseLibrary.open(sys.argv[1])
print("writing", flush=True)
for first in range(1000, 10**6, 7):
    library.add(make_case(i) for i in range(first, first + 7))
"""


def test_a_backup_while_another_process_writes_is_of_one_moment(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(library.path), str(Path(__file__).parents[1])],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            sizes = []
            for n in range(4):
                back_up(library, tmp_path / f"{n}.zip")
                restore(tmp_path / f"{n}.zip", tmp_path / f"again{n}")
                with CaseLibrary.open(tmp_path / f"again{n}") as again:
                    sizes.append(len(again))
                    assert len(list(again.cases())) == len(again)
            assert writer.poll() is None
        finally:
            writer.kill()
    assert all((size - 30) % 7 == 0 for size in sizes)  # whole transactions only
    assert sizes == sorted(sizes)


def rewritten(source: Path, target: Path, **changed: bytes | None) -> Path:
    """Copy an archive with other content of some members; None leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            key = name.replace("/", "_").replace(".", "_")
            data = changed.pop(key, old.read(name))
            if data is not None:
                new.writestr(name, data)
        for key, data in changed.items():
            new.writestr(key, data or b"")
    return target


def test_a_changed_archive_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    back_up(library, tmp_path / "lib.zip")
    whole = (tmp_path / "lib.zip").read_bytes()
    bad = tmp_path / "bad.zip"
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 60):
        data = bytearray(whole)
        data[at] ^= 0xFF
        bad.write_bytes(data)
        try:
            restore(bad, tmp_path / "again")
        except InputError as error:
            assert str(tmp_path) not in str(error)
            assert not (tmp_path / "again").exists()
        else:  # a byte of the archive that means nothing, such as a time
            with CaseLibrary.open(tmp_path / "again") as again:
                assert list(again.cases()) == list(library.cases())
            for path in sorted((tmp_path / "again").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            (tmp_path / "again").rmdir()
    for data in (b"", whole[: len(whole) // 2], b"PK" + bytes(100)):
        bad.write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.zip"):
            restore(bad, tmp_path / "again")
    assert {path.name for path in tmp_path.iterdir()} == {"lib", "lib.zip", "bad.zip"}


def test_an_archive_that_leads_elsewhere_or_lists_other_files_is_refused(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    back_up(library, tmp_path / "lib.zip")
    with zipfile.ZipFile(tmp_path / "lib.zip") as archive:
        head = json.loads(archive.read("backup.json"))
    bad = tmp_path / "bad.zip"
    for name in (
        "../evil",
        "/evil",
        "models/../../evil",
        "models/.hidden",
        "evil",
        "a//b",
        "a\\b/c",
    ):
        entry = {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb924" * 2}
        more = json.dumps({**head, "files": {**head["files"], name: entry}}).encode()
        rewritten(tmp_path / "lib.zip", bad, backup_json=more, **{name: b""})
        with pytest.raises(InputError, match="list of files"):
            restore(bad, tmp_path / "again")
    rewritten(tmp_path / "lib.zip", bad, **{"models/small/extra": b""})
    with pytest.raises(InputError, match="other files than it lists"):
        restore(bad, tmp_path / "again")
    rewritten(tmp_path / "lib.zip", bad, models_small_model_json=b"{ }")
    with pytest.raises(InputError, match="digest"):
        restore(bad, tmp_path / "again")
    rewritten(tmp_path / "lib.zip", bad, backup_json=None)
    with pytest.raises(InputError, match="not a backup"):
        restore(bad, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    back_up(library, tmp_path / "lib.zip")
    with pytest.raises(InputError, match="exists already"):
        back_up(library, tmp_path / "lib.zip")
    with pytest.raises(InputError, match="inside the library"):
        back_up(library, library.path / "lib.zip")
    with pytest.raises(LibraryError, match="never overwritten"):
        restore(tmp_path / "lib.zip", library.path)
    assert len(library) == 30
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "lib.zip", tmp_path / "empty")
    assert (tmp_path / "empty" / "library.sqlite").exists()


def test_an_erased_patient_is_not_in_a_later_backup(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    library.erase("P-3")
    assert back_up(library, tmp_path / "lib.zip").erasures == 1
    restore(tmp_path / "lib.zip", tmp_path / "again")
    data = (tmp_path / "again" / "library.sqlite").read_bytes()
    assert b"case-6P-3" not in data
    assert b"case-8P-4" in data
