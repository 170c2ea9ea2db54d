"""Erase patients from ``library.sqlite``, and finish what a killed erasure left.

One transaction removes the rows and notes in the table ``meta`` what remains to be done: rewriting
the file, so that no page keeps deleted bytes, cleaning the derived files, and emptying the log.
None of that needs to know who was erased, so that whoever opens the library next can finish it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.errors import IndexServerError, LibraryBusyError, LibraryError
from medembed.library.derived_files import clean_derived
from medembed.library.elsewhere import clean_elsewhere, is_elsewhere
from medembed.library.locks import writer_lock
from medembed.library.meta import MetaStore
from medembed.library.review_rows import count_reviews, forget_in_reviews

if TYPE_CHECKING:
    from medembed.library.database import Database
    from medembed.privacy import Pseudonymizer

__all__ = [
    "Finish",
    "Step",
    "delete_patients",
    "erasing",
    "erasures",
    "finish_at_opening",
    "finish_erasure",
    "finish_steps",
    "note_erasure",
    "unfinished",
]

_STEPS, _LIST = "erasing", "erasures"
_LOCK = ".erase.lock"
_LOG = logging.getLogger("medembed")


class Step(Enum):
    """What an erasure has to do once the rows are gone."""

    PAGES = "pages"
    FILES = "files"
    JOURNAL = "journal"
    LOG = "log"
    SERVER = "server"


@dataclass(frozen=True)
class Finish:
    """Outcome of :func:`finish_erasure`.

    Parameters
    ----------
    left : tuple of Step
        Steps still to be done; empty if the erasure is finished.
    removed : dict of str to int
        Entries removed from derived files, by place.
    waiting : tuple of str
        Why steps are left, a clause each.
    """

    left: tuple[Step, ...]
    removed: dict[str, int]
    waiting: tuple[str, ...]


def unfinished(db: sqlite3.Connection) -> tuple[Step, ...]:
    """Return the steps that an earlier erasure has left to do."""
    kept = MetaStore(db).get(_STEPS)
    return tuple(Step(name) for name in str(kept).split(",")) if kept else ()


def erasures(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the receipts of all erasures of a library, the last one last."""
    kept = MetaStore(db).get(_LIST)
    return list(json.loads(str(kept))) if kept else []


# rows


def delete_patients(
    db: sqlite3.Connection, patients: Sequence[str], names: Pseudonymizer, home: Path
) -> dict[str, int]:
    """Delete all rows of some patients, within an open transaction.

    Parameters
    ----------
    db : sqlite3.Connection
    patients : sequence of str
        Pseudonyms.
    names : Pseudonymizer
        Of the library.
    home : Path
        The library's folder.

    Returns
    -------
    dict of str to int
        Deleted rows by place.
    """
    wanted = json.dumps(list(patients))
    of = "(SELECT value FROM json_each(?))"
    rows = f"(SELECT id FROM cases WHERE patient_id IN {of})"  # noqa: S608  own text only

    def count(sql: str, *values: object) -> int:
        return int(db.execute(sql, values).fetchone()[0])

    found = {
        "cases": count(f"SELECT count(*) FROM cases WHERE patient_id IN {of}", wanted),  # noqa: S608
        **{
            name: count(f"SELECT count(*) FROM {table} WHERE case_row IN {rows}", wanted)  # noqa: S608
            for name, table in (
                ("scans", "scans"),
                ("notes and their words", "notes"),
                ("findings", "findings"),
                ("attributes", "attributes"),
            )
        },
        "vectors": count(
            "SELECT count(*) FROM vectors WHERE id IN "  # noqa: S608  own text only
            f"(SELECT (s.id << 40) + c.id FROM spaces s, cases c WHERE c.patient_id IN {of})",
            wanted,
        ),
    }
    found["review entries"] = count_reviews(db, patients)
    case_ids = [
        case_id
        for (case_id,) in db.execute(
            f"SELECT case_id FROM cases WHERE patient_id IN {of}",  # noqa: S608  own text only
            (wanted,),
        )
    ]
    found["records of files read"] = _delete_file_records(db, patients, names, home)
    # the rows in other tables, the words and the vectors go with the case: triggers and keys
    db.execute(f"DELETE FROM cases WHERE patient_id IN {of}", (wanted,))  # noqa: S608
    forget_in_reviews(db, patients, case_ids)
    db.execute(f"DELETE FROM patients WHERE patient_id IN {of}", (wanted,))  # noqa: S608
    found["identities"] = db.execute(
        f"DELETE FROM identities WHERE patient_id IN {of}",  # noqa: S608  own text only
        (wanted,),
    ).rowcount
    found["groups"] = db.execute(
        "DELETE FROM groups WHERE group_id NOT IN "
        "(SELECT group_id FROM cases WHERE group_id IS NOT NULL)"
    ).rowcount
    return found


def _delete_file_records(
    db: sqlite3.Connection, patients: Sequence[str], names: Pseudonymizer, home: Path
) -> int:
    """Delete the records of files of these patients, refused and moved ones included."""
    marks = ", ".join("?" * len(patients))
    cases = db.execute(
        f"SELECT id, case_id FROM cases WHERE patient_id IN ({marks})",  # noqa: S608  marks only
        patients,
    ).fetchall()
    doomed: set[bytes] = set()
    for row, _ in cases:
        for files, sha256 in db.execute(
            "SELECT files, sha256 FROM scans WHERE case_row = ?", (row,)
        ).fetchall():
            doomed.update(names.digest("file", str(home / one))[:16] for one in json.loads(files))
            doomed.update(
                path for (path,) in db.execute("SELECT path FROM files WHERE sha256 = ?", (sha256,))
            )
    doomed -= _file_keys_of_others(db, patients, names, home, doomed)
    own = {case_id for _, case_id in cases}
    people = {
        tuple(part if isinstance(part, str) else part.hex() for part in row)
        for row in db.execute(
            "SELECT person, bare, issuer, sex, birth FROM identities "  # noqa: S608  marks only
            f"WHERE patient_id IN ({marks})",
            patients,
        )
    }
    alone = {
        person
        for person, *_ in people
        if db.execute(
            f"SELECT 1 FROM identities WHERE person = ? AND patient_id NOT IN ({marks})",  # noqa: S608
            (person, *patients),
        ).fetchone()
        is None
    }
    for path, header in db.execute("SELECT path, header FROM files WHERE header <> ''"):
        if _is_theirs(header, own, set(patients), people, alone):
            doomed.add(path)
    return db.executemany("DELETE FROM files WHERE path = ?", [(key,) for key in doomed]).rowcount


def _file_keys_of_others(
    db: sqlite3.Connection,
    patients: Sequence[str],
    names: Pseudonymizer,
    home: Path,
    doomed: set[bytes],
) -> set[bytes]:
    """Return those of the records that belong to a scan of another patient, too."""
    if not doomed:
        return set()
    marks = ", ".join("?" * len(patients))
    own = f"SELECT sha256 FROM scans s JOIN cases c ON c.id = s.case_row WHERE c.patient_id IN ({marks})"  # noqa: S608, E501
    shared = db.execute(
        "SELECT s.files FROM scans s JOIN cases c ON c.id = s.case_row "  # noqa: S608  marks only
        f"WHERE s.sha256 IN ({own}) AND c.patient_id NOT IN ({marks})",
        (*patients, *patients),
    ).fetchall()
    return {
        names.digest("file", str(home / one))[:16]
        for (files,) in shared
        for one in json.loads(files)
    } & doomed


def _is_theirs(
    header: str,
    cases: set[str],
    patients: set[str],
    people: set[tuple[str, ...]],
    alone: set[str],
) -> bool:
    """Return whether a stored header (``FileHeader.to_json``) is of one of these patients."""
    try:
        kept = json.loads(header)
        row, _, own_patient, *_ = kept["claim"]
        if kept["header"].get("study_uid") in cases or own_patient in patients:
            return True
        return row is not None and (row[0] in alone or tuple(row) in people)
    except (ValueError, TypeError, LookupError):
        return False


def note_erasure(db: sqlite3.Connection, receipt: dict[str, Any]) -> dict[str, Any]:
    """Record an erasure and what it has left to do, within the transaction that deletes the rows.

    Returns
    -------
    dict
        The receipt with its date and digest.
    """
    dated = {**receipt, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    body = json.dumps(dated, sort_keys=True, separators=(",", ":"))
    signed = {**dated, "digest": hashlib.sha256(body.encode()).hexdigest()}
    store = MetaStore(db)
    store.set(_LIST, json.dumps([*erasures(db), signed]))
    steps = [step for step in Step if step is not Step.SERVER or is_elsewhere(db)]
    store.set(_STEPS, ",".join(step.value for step in steps))
    return signed


# what remains once the rows are gone


def finish_erasure(database: Database, wait_seconds: float = 0.0) -> Finish:
    """Do what an erasure has left to do, as far as other processes permit.

    Parameters
    ----------
    database : Database
    wait_seconds : float
        Longest wait for readers of an older state, and for the writers of derived files.

    Raises
    ------
    LibraryError
        On a full disk or the like; call it again.
    LibraryBusyError
        If another process is finishing it.
    """
    with erasing(database, wait_seconds):
        return finish_steps(database, wait_seconds)


def erasing(database: Database, wait_seconds: float) -> AbstractContextManager[None]:
    """Keep other processes from erasing, and from finishing an erasure, meanwhile.

    It is held from before the rows are deleted: otherwise a process that opens the library would
    begin to empty the log while this one writes.
    """
    return writer_lock(database.path.parent / _LOCK, "erasing a patient", wait_seconds)


def finish_steps(database: Database, wait_seconds: float) -> Finish:
    """Do what :func:`finish_erasure` does, for who holds :func:`erasing`."""
    removed: dict[str, int] = {}
    waiting: list[str] = []
    left = list(unfinished(database.read()))
    if Step.PAGES in left:
        _rewrite(database)
        _keep_steps(database, left, Step.PAGES)
    if Step.FILES in left:
        cleaned = clean_derived(database.path.parent, database.read(), wait_seconds)
        removed |= cleaned.removed
        waiting += cleaned.waiting
        if not cleaned.waiting:
            _keep_steps(database, left, Step.FILES)
    if Step.JOURNAL in left:
        try:
            removed["links of the journal to cases"] = _forget_in_journal(database, wait_seconds)
            _keep_steps(database, left, Step.JOURNAL)
        except LibraryError as error:
            waiting.append(f"the journal still has keyed digests of the cases: {error.what}")
    if Step.LOG in left:
        if _empty_log(database.read(), wait_seconds):
            _keep_steps(database, left, Step.LOG)
        else:
            waiting.append(
                "another process is reading an older state of the library, which keeps the "
                "erased bytes in its files"
            )
    if Step.SERVER in left and Step.FILES not in left:  # nobody sends erased vectors any more
        try:
            if not wait_seconds:  # opening a library waits for no server
                raise IndexServerError("it is not asked now")
            removed["vectors on the index server"] = clean_elsewhere(database)
            _keep_steps(database, left, Step.SERVER)
        except IndexServerError:
            waiting.append(
                "the index server was not reached and keeps the vectors; medembed verify LIBRARY "
                "removes them when it is there"
            )
    return Finish(tuple(left), removed, tuple(waiting))


def _rewrite(database: Database) -> None:
    """Rebuild the full-text index and write every page anew: deleted bytes are in neither."""
    with database.write() as db:
        db.execute("INSERT INTO note_words (note_words) VALUES ('rebuild')")
    database.read().execute("VACUUM")


def _forget_in_journal(database: Database, wait_seconds: float) -> int:
    """Let no entry of the journal lead to a case that is gone, and record the erasure there."""
    db = database.read()
    receipts = [(kept["date"], kept["digest"], int(kept["n_patients"])) for kept in erasures(db)]
    return database.journal().forget(lambda: _case_ids(db), receipts, wait_seconds)


def _case_ids(db: sqlite3.Connection) -> list[str]:
    return [case_id for (case_id,) in db.execute("SELECT case_id FROM cases")]


def _empty_log(db: sqlite3.Connection, wait_seconds: float) -> bool:
    """Copy the log into the file and truncate it; False if a reader still needs it."""
    (before,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {int(1000 * wait_seconds)}")
    try:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except LibraryBusyError:
        return False
    finally:
        db.execute(f"PRAGMA busy_timeout = {before}")
    return not busy


def _keep_steps(database: Database, left: list[Step], done: Step) -> None:
    left.remove(done)
    with database.write() as db:
        MetaStore(db).set(_STEPS, ",".join(step.value for step in left) or None)


def finish_at_opening(database: Database) -> None:
    """Finish an earlier erasure; never fails, and waits for no reader and no long task."""
    try:
        if not unfinished(database.read()):
            return
        done = finish_erasure(database)
    except LibraryBusyError:
        return
    except (LibraryError, OSError):
        _LOG.warning("%s: an erasure is not finished yet", database.path.parent.name)
        return
    if done.left:
        _LOG.warning(
            "%s: an erasure is not finished yet: %s",
            database.path.parent.name,
            "; ".join(done.waiting),
        )
    else:
        _LOG.warning("%s: finished an erasure that was interrupted", database.path.parent.name)
