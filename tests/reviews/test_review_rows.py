"""What else touches the rows: migration, damage, erasing, backup, export."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from support.example_cases import make_case
from support.reviewed import Clock, read_case, session_of

from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.library.backup import back_up, restore
from medembed.library.byte_search import search_apart, text_forms
from medembed.library.erasure import erase_patients
from medembed.library.integrity import check_integrity
from medembed.library.schema import SCHEMA_VERSION
from medembed.library.traces import traces_of
from medembed.library.verification import CheckState, verify_store
from medembed.reviews import Impression, Mark, ReviewCase, ReviewQuery, ReviewStore

SECRET = "xq0815zw"


@pytest.fixture
def library(tmp_path: Path) -> CaseLibrary:
    """Six cases of three patients; case-0 and case-1 are of the patient P-0."""
    library = CaseLibrary.create(tmp_path / "library")
    library.add(make_case(i, case_id=f"C-{i:06d}", patient_id=f"PSEUD-{i // 2}") for i in range(6))
    return library


def reviewed(library: CaseLibrary) -> str:
    store, clock = ReviewStore(library, Clock()), Clock()
    query = ReviewQuery(("case",), case_id="C-000000", rank=1)
    link = store.create(
        "Board with C-000000",
        "creator",
        [ReviewCase("C-000000"), ReviewCase("C-000001"), ReviewCase("C-000002", query)],
    ).link
    for case_id in ("C-000000", "C-000001"):
        read_case(
            store, clock, link, case_id, "Anna",
            Impression(f"Large mass, {SECRET}, as in the study before that one.", ("mass:left",)),
            Impression(f"Not {SECRET} but a metastasis of the other patient's tumor.", ("mass",)),
        )  # fmt: skip
        store.mark(link, case_id, "Anna", Mark.TEACHING)
    read_case(
        store, clock, link, "C-000002", "Anna",
        Impression("Like C-000000, and PSEUD-0 had it, too."), Impression("No change."),
    )  # fmt: skip
    return link


# erasing


def test_an_erased_patient_is_in_no_review(library: CaseLibrary) -> None:
    link = reviewed(library)
    needles = list(
        traces_of(library.database.read(), ["PSEUD-0"], library.pseudonymizer, library.path)
    )
    needles += text_forms(SECRET)
    receipt = erase_patients(library, ["PSEUD-0"])
    assert receipt.counts["review entries"] == 4
    assert receipt.is_finished
    found, _, _ = search_apart(library.path, needles)
    assert {path.name: sorted(those) for path, those in found.items()} == {}
    store = ReviewStore(library)
    session = store.session(link)
    assert session.case_ids == ("C-000002",)
    assert session.cases[0].position == 3
    assert session.cases[0].query is not None
    assert session.cases[0].query.case_id == "", "the query was the erased case"
    assert session.name == "Board with [erased]"
    (reading,) = store.readings(link)
    assert reading.impression == Impression("Like [erased], and [erased] had it, too.")
    assert reading.revision == Impression("No change.")
    assert reading.is_finished
    check_integrity(library.database.read())


def test_only_the_whole_name_is_cleared(library: CaseLibrary) -> None:
    store, clock = ReviewStore(library, Clock()), Clock()
    link = store.create("C-0000009", "Anna", [ReviewCase("C-000004")]).link
    text = "xC-000000, C-0000001 and PSEUD-01 are others; C-000000."
    read_case(store, clock, link, "C-000004", "Anna", Impression(text))
    erase_patients(library, ["PSEUD-0"])
    assert store.session(link).name == "C-0000009"
    (reading,) = store.readings(link)
    assert reading.impression == Impression(text.replace("C-000000.", "[erased]."))


def test_a_session_without_cases_goes_with_its_last_patient(library: CaseLibrary) -> None:
    store = ReviewStore(library)
    store.create("gone", "Anna", [ReviewCase("C-000000"), ReviewCase("C-000001")])
    kept = store.create("kept", "Anna", [ReviewCase("C-000004")])
    erase_patients(library, ["PSEUD-0"])
    assert store.sessions() == [kept]


def test_a_receipt_counts_no_review_where_there_is_none(library: CaseLibrary) -> None:
    assert erase_patients(library, ["PSEUD-1"]).counts["review entries"] == 0


# keeping


def test_a_backup_has_the_reviews(library: CaseLibrary, tmp_path: Path) -> None:
    link = reviewed(library)
    back_up(library, tmp_path / "backup.zip")
    restore(tmp_path / "backup.zip", tmp_path / "again")
    with CaseLibrary.open(tmp_path / "again") as again:
        assert ReviewStore(again).session(link) == ReviewStore(library).session(link)
        assert ReviewStore(again).readings(link) == ReviewStore(library).readings(link)


def test_an_export_leaves_the_reviews_behind(library: CaseLibrary, tmp_path: Path) -> None:
    import hashlib

    from PIL import Image

    from medembed.cases import ScanRef
    from medembed.library.exporting import export_library
    from medembed.scans.scan_hash import scan_sha256

    file = tmp_path / "one.png"
    Image.new("L", (8, 8), 90).save(file)
    sha256 = scan_sha256([hashlib.sha256(file.read_bytes()).hexdigest()])
    scan = ScanRef((str(file),), sha256, "CR", "PA")
    library.add([make_case(9, case_id="C-000009", patient_id="PSEUD-9", scans=(scan,))])
    reviewed(library)
    session_of(ReviewStore(library), library, 7)
    assert export_library(library, tmp_path / "part", ["patient=PSEUD-9"]).n_cases == 1
    with CaseLibrary.open(tmp_path / "part") as part:
        assert ReviewStore(part).sessions() == []
    found, _, _ = search_apart(tmp_path / "part", text_forms(SECRET))
    assert not found


def test_a_case_that_is_replaced_keeps_its_readings(library: CaseLibrary) -> None:
    link = reviewed(library)
    before = ReviewStore(library).readings(link)
    changed = make_case(2, case_id="C-000002", patient_id="PSEUD-1", age_years=80.0)
    assert library.add([changed], replace=True).replaced == 1
    assert ReviewStore(library).readings(link) == before


# damage


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE review_sessions SET name = 'other'",
        "UPDATE review_cases SET position = 9 WHERE position = 1",
        "UPDATE review_readings SET open_seconds = 1e6",
        "DELETE FROM review_readings WHERE case_row = 1",
    ],
)
def test_a_changed_row_is_found(library: CaseLibrary, sql: str) -> None:
    reviewed(library)
    library.close()
    db = sqlite3.connect(library.database.path)
    db.create_function("row_seal", -1, lambda *_: None)  # as damage: no seal follows
    for (name,) in db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'review%'"
    ).fetchall():
        text = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
        db.execute(f"DROP TRIGGER {name}")
        db.execute("CREATE TEMP TABLE IF NOT EXISTS kept (sql TEXT)")
        db.execute("INSERT INTO kept VALUES (?)", (text,))
    db.execute(sql)
    for (text,) in db.execute("SELECT sql FROM kept").fetchall():
        db.execute(text)
    db.commit()
    db.close()
    with pytest.raises(LibraryError, match="checksum"):
        check_integrity(library.database.read())
    checks = {check.what: check.state for check in verify_store(library)}
    assert checks["settings and identities"] is CheckState.DAMAGED
    assert checks["cases"] is CheckState.OK


# migration


def test_a_library_of_schema_4_opens_with_reviews(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "whole") as whole:
        whole.add(make_case(i) for i in range(4))
        wanted = _shape(whole)
    file = tmp_path / "whole" / "library.sqlite"
    _back_to_schema_4(file)
    with CaseLibrary.open(tmp_path / "whole") as library:
        db = library.database.read()
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert _shape(library) == wanted
        assert len(library) == 4
        check_integrity(db)
        session = session_of(ReviewStore(library), library, 2)
    with CaseLibrary.open(tmp_path / "whole") as again:
        assert ReviewStore(again).session(session.link) == session


def _shape(library: CaseLibrary) -> list[tuple[str, ...]]:
    db = library.database.read()
    return sorted(db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"))


def _back_to_schema_4(file: Path) -> None:
    from medembed.library.seals import schema_seal

    db = sqlite3.connect(file, isolation_level=None)
    for table in ("review_readings", "review_cases", "review_sessions"):
        db.execute(f"DROP TABLE {table}")
    db.execute("DELETE FROM seals WHERE owner = 'schema'")
    db.execute("INSERT INTO seals VALUES ('schema', ?)", (schema_seal(db),))
    db.execute("PRAGMA user_version = 4")
    db.close()


def test_the_seal_is_of_the_stored_values(library: CaseLibrary) -> None:
    """A whole number in a column of decimals: what is read back must have the same seal."""
    reviewed(library)
    check_integrity(library.database.read())
    assert json.dumps([r.to_json() for r in ReviewStore(library).readings(
        ReviewStore(library).sessions()[0].link)])  # fmt: skip
