"""An erased patient's bytes are in no file of the library, whoever reads or is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.alone import ran_alone
from support.example_cases import make_case

from medembed.cases import Case, ScanRef
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.library.byte_search import ByteSearch, files_below, search_apart, text_forms
from medembed.library.erasing import erasures, unfinished
from medembed.library.erasure import (
    ModelUse,
    erase_patients,
    find_patients,
    library_state,
    refuse_if_erased_since,
)
from medembed.library.locks import writer_lock
from medembed.library.priors import note_priors_read
from medembed.library.traces import traces_of
from medembed.machine_faults import _Connection
from medembed.model.feature_cache import FeatureCache
from medembed.notes import Note
from medembed.privacy import Claim

MODEL = "0123456789abcdef" * 4


def case_of(number: int, folder: Path) -> Case:
    sha256 = hashlib.sha256(f"scan {number}".encode()).hexdigest()
    pixels = hashlib.sha256(f"pixels {number}".encode()).hexdigest()
    path = folder / "outside" / f"Müller{number:03d}.dcm"
    return make_case(
        number,
        case_id=f"C-{number:05d}",
        patient_id=f"P-{number // 3:05d}",
        scans=(ScanRef((str(path),), sha256, "CR", "PA", pixel_sha256=pixels),),
        note=Note(
            f"FINDINGS: Größe der Läsion unklar, xq{number:05d}zw. Pleural effusion on the right.\n"
            f"IMPRESSION: effusion, see word wq{number:05d}vx for a longer text of the report."
        ),
        study_date=date(2020, 1, 1 + number % 28),
        attributes={"accession": f"acc-{number:06d}"},
        split="val" if number // 3 % 4 == 3 else "train",
    )


def make_library(folder: Path, n: int = 24) -> CaseLibrary:
    """Cases with everything that a library keeps, and what others derive from it."""
    library = CaseLibrary.create(folder / "lib")
    cases = [case_of(i, folder) for i in range(n)]
    library.add(cases)
    rng = np.random.default_rng(1)
    for kind in ("image", "note"):
        library.put_vectors(MODEL, kind, library.find(), rng.normal(size=(n, 24)))
    note_priors_read(library, MODEL)
    with library.database.write() as db:
        for case in cases[::3]:
            claim = Claim.of(library.pseudonymizer, f"raw-{case.patient_id}", sex="F", own="x")
            row = claim.row
            assert row is not None
            db.execute(
                "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?)",
                (row.person, *row.hashes, case.patient_id),
            )
    derive(library, cases)
    return library


def derive(library: CaseLibrary, cases: list[Case]) -> None:
    """Write derived files as their makers do."""
    from medembed.index import open_index

    open_index(library, MODEL)
    thumbnails = library.path / "thumbnails"
    thumbnails.mkdir(mode=0o700)
    for case in cases:
        (thumbnails / f"{case.scans[0].sha256}.png").write_bytes(b"\x89PNG")
    features = FeatureCache(library.path / "cache", "abcd" * 16)
    features.add({case.scans[0].sha256: np.ones((1, 4), np.float32) for case in cases})
    features.add({hashlib.sha256(b"a text").hexdigest(): np.ones((1, 4), np.float32)})
    lines = [json.dumps([case.scans[0].sha256, i, 1, [0]]) for i, case in enumerate(cases)]
    (library.path / "cache" / "pixels-00ff.jsonl").write_text("\n".join(lines) + "\n")
    (library.path / "cache" / "pixels-00ff.u8").write_bytes(bytes(range(100)))
    (library.path / "ingest-refusals.csv").write_text(f"where\n{cases[0].case_id}\n")
    training = library.path / "models" / ".small.training"
    training.mkdir(parents=True)
    (training / "checkpoint.pt").write_bytes(cases[0].case_id.encode())


def model_of(library: CaseLibrary, name: str, **training: Any) -> None:
    folder = library.path / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"fingerprint": name * 4}))
    if training:
        (folder / "training.json").write_text(json.dumps({"library": training}))


def traces(library: CaseLibrary, *patients: str) -> list[bytes]:
    """Everything that names the patients, but what others' notes say, too; and rare words."""
    db = library.database.read()
    everything = traces_of(db, patients, library.pseudonymizer, library.path)
    others = " ".join(
        case.note.text for case in library.cases() if case.note and case.patient_id not in patients
    )
    said = {form for text in (others,) for form in text_forms(text)}
    found = [trace for trace in everything if not any(trace in form for form in said)]
    assert len(set(everything.values())) == 8
    assert sum(everything[trace] == "note" for trace in found) >= 3
    own = [case for case in library.cases() if case.patient_id in patients]
    words = [w for case in own if case.note for w in case.note.text.split() if w[1:2] == "q"]
    return found + [word.strip(".,").encode() for word in words]


def left(folder: Path, needles: list[bytes]) -> dict[str, int]:
    found, _, _ = search_apart(folder, needles)
    return {path.name: len(those) for path, those in found.items()}


# the whole way


def test_a_patients_bytes_are_in_no_file_and_the_others_are_untouched(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    before = {c.case_id: c for c in library.cases() if c.patient_id != "P-00002"}
    vectors = dict(zip(*library.vectors(MODEL, "image"), strict=True))
    needles = traces(library, "P-00002")
    places = left(library.path, needles)
    assert {"library.sqlite-wal", "index.json"} & set(places)  # the search finds what is there
    assert places["pixels-00ff.jsonl"] == 3
    receipt = library.erase("P-00002")
    assert receipt.is_finished
    assert receipt.counts["cases"] == 3
    assert receipt.counts["vectors"] == 6
    assert receipt.counts["identities"] == 1
    assert receipt.counts["thumbnails"] == 3
    assert receipt.counts["cached features"] == 4  # three scans, and the text
    assert receipt.counts["cached pixels"] == receipt.counts["index"] == 1
    assert left(library.path, needles) == {}
    assert {c.case_id: c for c in library.cases()} == before
    ids, rows = library.vectors(MODEL, "image")
    assert all(np.array_equal(vectors[i], row) for i, row in zip(ids, rows, strict=True))
    features = FeatureCache(library.path / "cache", "abcd" * 16)
    assert {case.scans[0].sha256 for case in before.values()} == set(features._entries)
    library.close()
    with CaseLibrary.open(tmp_path / "lib") as again:  # checks every seal and the words
        assert len(again) == 21
        found = again.database.read().execute(
            "SELECT count(*) FROM note_words WHERE note_words MATCH 'xq00006zw OR xq00009zw'"
        )
        assert found.fetchone() == (1,)
    assert left(tmp_path / "lib", needles) == {}


def test_several_patients_one_after_the_other_leave_nothing(tmp_path: Path) -> None:
    library = make_library(tmp_path, 60)
    gone: list[bytes] = []
    for n in range(0, 20, 2):
        gone += traces(library, f"P-{n:05d}")
        assert library.erase(f"P-{n:05d}").is_finished
        assert left(library.path, gone) == {}
    assert len(library) == 30
    assert len(erasures(library.database.read())) == 10


def test_the_receipt_tells_no_identity_and_its_digest_is_the_librarys(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    needles = traces(library, "P-00001")
    receipt = library.erase("P-00001")
    text = json.dumps(receipt.to_json()).encode()
    assert ByteSearch(needles).in_bytes(text) == set()
    (kept,) = erasures(library.database.read())
    assert kept["digest"] == receipt.digest
    body = {name: value for name, value in kept.items() if name != "digest"}
    raw = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(raw).hexdigest() == receipt.digest


def test_an_unknown_patient_changes_nothing(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    with pytest.raises(LibraryError, match="not in the library"):
        erase_patients(library, ["P-00001", "P-99999"])
    assert len(library) == 24
    assert unfinished(library.database.read()) == ()


def test_the_original_id_finds_the_patient_in_any_spelling(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    assert find_patients(library, "  RAW-P-00003") == ["P-00003"]
    assert find_patients(library, "P-00003") == ["P-00003"]
    assert find_patients(library, "unknown") == find_patients(library, "") == []


def test_scan_files_inside_the_folder_go_and_those_outside_or_shared_stay(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "lib")
    own = library.path / "scans"
    own.mkdir()
    shared, inside, outside = own / "shared.dcm", own / "one.dcm", tmp_path / "other.dcm"
    for path in (shared, inside, outside):
        path.write_bytes(b"pixels")
    scans = tuple(
        ScanRef((str(path),), hashlib.sha256(path.name.encode()).hexdigest())
        for path in (shared, inside, outside)
    )
    library.add([make_case(0, patient_id="P-one", scans=scans)])
    library.add([make_case(1, patient_id="P-two", scans=scans[:1])])
    receipt = library.erase("P-one")
    assert receipt.is_finished
    assert (shared.exists(), inside.exists(), outside.exists()) == (True, False, True)
    assert receipt.originals_left == 1
    assert receipt.counts["scan files in the library's folder"] == 1


def test_the_records_of_a_patients_files_go_even_of_refused_ones(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    names = library.pseudonymizer
    mine, other = (Claim.of(names, f"raw-P-{n:05d}", sex="F", own="x").row for n in (1, 2))
    assert mine is not None
    assert other is not None
    with library.database.write() as db:
        for n, row in enumerate((mine, other, mine)):
            claim = [[row.person, *(h.hex() for h in row.hashes)], [], "P-none", 0, 0, "", []]
            header = json.dumps({"v": 1, "header": {}, "claim": claim, "names": []})
            db.execute(
                "INSERT INTO files VALUES (?, 1, 1, '', 'CR', 'PA', 'truncated', 'r', 's', '1', "
                "?, '', 0)",
                (names.digest("file", f"/else/{n}")[:16], header),
            )
    assert library.erase("P-00001").counts["records of files read"] == 2
    assert library.database.read().execute("SELECT count(*) FROM files").fetchone() == (1,)


# models


def test_models_are_named_that_saw_the_patient_and_doubt_is_said(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    own = library.library_id
    model_of(library, "saw", library_id=own, last_case=24, erasures=0)
    model_of(library, "earlier", library_id=own, last_case=2, erasures=0)
    model_of(library, "other", library_id="another", last_case=24, erasures=0)
    model_of(library, "bare")
    with writer_lock(library.path / "models" / ".now.lock", "the training of model 'now'"):
        receipt = erase_patients(library, ["P-00001"], wait_seconds=0.1)  # of the training split
    assert {model.name: model.use for model in receipt.models} == {
        "saw": ModelUse.TRAINED,
        "bare": ModelUse.UNKNOWN,
        "now": ModelUse.IN_TRAINING,
    }
    assert not receipt.is_finished
    assert any("training of model 'now'" in line for line in receipt.waiting)
    validation = library.erase("P-00003")
    assert {m.name: m.use for m in validation.models}["saw"] == ModelUse.SELECTED
    assert validation.is_finished


def test_a_training_that_read_its_cases_before_an_erasure_is_refused(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    state = library_state(library)
    refuse_if_erased_since(library, state)
    library.erase("P-00001")
    with pytest.raises(LibraryError, match="run the same command again"):
        refuse_if_erased_since(library, state)


# others at work


READER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM cases").fetchone()
print("reading", flush=True)
sys.stdin.readline()
"""


def test_a_reader_of_an_older_state_is_named_and_the_next_opening_finishes(
    tmp_path: Path,
) -> None:
    library = make_library(tmp_path)
    needles = traces(library, "P-00002")
    path = library.path / "library.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == "reading\n"
        receipt = erase_patients(library, ["P-00002"], wait_seconds=0.2)
        assert not receipt.is_finished
        assert receipt.proof is None
        assert "older state" in receipt.waiting[0]
        assert "C-00006" not in library  # gone for every new search
        library.close()
        CaseLibrary.open(tmp_path / "lib").close()  # still blocked: says so and works
        reader.stdin.write("\n")
        reader.stdin.flush()
        reader.wait(30)
    with CaseLibrary.open(tmp_path / "lib") as again:
        assert unfinished(again.database.read()) == ()
    assert left(tmp_path / "lib", needles) == {}


def _kill_at(step: int, action: Callable[[], object]) -> bool:
    """Do something in a child that is killed before its ``step``-th write; True if it ended."""
    child = os.fork()
    if child == 0:
        seen = 0

        def counted(function: Callable[..., Any], matters: Callable[..., bool]) -> Any:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal seen
                if matters(*args):
                    seen += 1
                    if seen == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        words = ("BEGIN IMM", "COMMIT", "DELETE", "INSERT", "VACUUM", "PRAGMA wal_check")
        _Connection.execute = counted(  # type: ignore[method-assign]
            _Connection.execute, lambda _, sql, *__: sql.startswith(words)
        )
        os.unlink = counted(os.unlink, lambda *_: True)
        os.replace = counted(os.replace, lambda *_: True)
        shutil.rmtree = counted(shutil.rmtree, lambda *_: True)  # type: ignore[assignment]
        try:
            action()
        except BaseException:  # noqa: BLE001  the child must not go on
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def _erase(folder: Path) -> None:
    with CaseLibrary.open(folder) as library:
        if find_patients(library, "P-00002"):
            library.erase("P-00002")


@pytest.mark.slow
def test_killed_before_any_write_the_erasure_is_not_begun_or_is_finished_later(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if ran_alone(request):
        return
    library = make_library(tmp_path)
    needles = traces(library, "P-00002")
    others = [case for case in library.find() if library.case(case).patient_id != "P-00002"]
    library.close()
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "lib", kept)
    folder, step, begun, finished = tmp_path / "lib", 0, 0, 0
    while True:
        step += 1
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        ended = _kill_at(step, lambda: _erase(folder))
        with CaseLibrary.open(folder) as again:  # finishes it, or it was not begun
            if find_patients(again, "P-00002"):
                begun += 1
                assert again.erase("P-00002").is_finished
            else:
                finished += 1
            assert unfinished(again.database.read()) == ()
            assert again.find() == others
        assert left(folder, needles) == {}, f"killed before write {step}"
        if ended:
            break
    assert begun > 3
    assert finished > 10


# the search itself


def test_the_search_finds_what_a_plain_one_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    needles = [data[at : at + n] for at, n in ((0, 5), (17, 8), (99_990, 40), (199_991, 9))]
    needles += [rng.bytes(n) for n in (5, 6, 7, 8, 9, 33)]
    slow = {needle for needle in needles if needle in data}
    assert ByteSearch(needles).in_bytes(data) == slow
    assert len(slow) >= 4
    path = tmp_path / "file"
    path.write_bytes(data)
    assert ByteSearch(needles).in_file(path) == slow


def test_a_needle_across_two_blocks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medembed.library.byte_search._CHUNK", 64)
    for at in range(40, 80):
        (tmp_path / "file").write_bytes(b"." * at + b"needle in hay" + b"." * 100)
        assert ByteSearch([b"needle in hay"]).in_file(tmp_path / "file") == {b"needle in hay"}
    with pytest.raises(ValueError, match="fewer"):
        ByteSearch([b"abcd"])


def test_a_text_is_searched_as_it_stands_in_json(tmp_path: Path) -> None:
    for form in (json.dumps(["Läsion"]), json.dumps(["Läsion"], ensure_ascii=False), "Läsion"):
        (tmp_path / "file").write_text(form, encoding="utf-8")
        found, n_files, _ = ByteSearch(sorted(text_forms("Läsion"))).in_folder(tmp_path)
        assert (len(found), n_files) == (1, 1)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_bytes(b"x")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    assert list(files_below(tmp_path / "a")) == []


def test_the_search_for_traces_leaves_the_locks_of_the_database(tmp_path: Path) -> None:
    """POSIX drops a process's locks on a file when it closes any descriptor of it."""
    library = make_library(tmp_path, 4)
    locks = Path("/proc/locks")
    if not locks.exists():
        pytest.skip("no list of locks here")

    def held() -> int:
        own = {(library.path / f"library.sqlite{end}").stat().st_ino for end in ("", "-shm")}
        rows = [line.split() for line in locks.read_text().splitlines()]
        return sum(
            row[1] == "POSIX" and int(row[4]) == os.getpid() and int(row[5].split(":")[2]) in own
            for row in rows
        )

    library.database.read().execute("BEGIN")
    library.database.read().execute("SELECT count(*) FROM cases").fetchone()
    before = held()
    assert before
    found, n_files, _ = search_apart(library.path, [b"P-00000"])
    assert found
    assert n_files
    assert held() == before
    ByteSearch([b"P-00000"]).in_file(library.path / "library.sqlite-shm")
    assert held() < before  # why it is a process of its own
    library.database.read().execute("ROLLBACK")
    library.close()
