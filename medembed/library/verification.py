"""Check everything in a library, repair what is derived, and name what is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from medembed.counted import counted, counted_line
from medembed.errors import LibraryBusyError, LibraryError
from medembed.library.case_rows import read_cases
from medembed.library.database import Database
from medembed.library.erasing import Step, finish_erasure, unfinished
from medembed.library.faults import DATABASE_NAME
from medembed.library.integrity import record_check
from medembed.library.library import CaseLibrary
from medembed.library.seals import FILE_COLUMNS, REVIEW_TABLES, SEALED_TABLES, schema_seal
from medembed.library.sweeping import drafts, sweep
from medembed.privacy.private_files import keep_private

__all__ = ["Check", "CheckState", "open_unchecked", "verify_files", "verify_store"]

_UNIT = 1e-3  # float32 rounding of a length is a thousandth of this
_SPACE = 2**40
_NAMED = 20
_CHUNK = 500
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class CheckState(Enum):
    """What a check found, and what was done."""

    OK = "ok"
    REPAIRED = "repaired"
    LEFT = "not repaired now"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Check:
    """Outcome of one check.

    Parameters
    ----------
    what : str
        What was checked.
    state : CheckState
    detail : str
        What was found and done, or how much was checked.
    case_ids : tuple of str
        Cases that are damaged, at most twenty.
    """

    what: str
    state: CheckState
    detail: str
    case_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "what": self.what,
            "state": self.state.name.lower(),
            "detail": self.detail,
            "case_ids": list(self.case_ids),
        }


def open_unchecked(path: Path | str) -> CaseLibrary:
    """Open a library that may be damaged.

    Raises
    ------
    LibraryError
        If it cannot be opened at all, or its key is damaged.
    """
    folder = Path(path).absolute().resolve()
    return CaseLibrary(folder, Database(folder / DATABASE_NAME, check=False))


def verify_store(library: CaseLibrary) -> Iterator[Check]:
    """Check ``library.sqlite``; yields each check when it is done.

    Vectors, the full-text index, SQLite's indexes and the records of files are derived: damaged
    ones are dropped or built again. Cases, identities and settings are not.
    """
    database = library.database
    checks: tuple[tuple[str, Callable[[Database], Check]], ...] = (
        ("structure of the file", _structure),
        ("schema", _schema),
        ("references between tables", _references),
        ("settings and identities", _sealed_rows),
        ("cases", _cases),
        ("vectors", _vectors),
        ("full-text index", _words),
        ("records of files", _file_records),
    )
    for what, check in checks:
        try:
            yield check(database)
        except LibraryBusyError as error:
            yield Check(what, CheckState.LEFT, str(error.what))
        except (sqlite3.Error, LibraryError, ValueError, TypeError):
            yield Check(what, CheckState.DAMAGED, "cannot be read")


def _structure(database: Database) -> Check:
    what = "structure of the file"
    db = database.read()
    wrong = _integrity(db)
    if not wrong:
        return Check(what, CheckState.OK, _size(database.path))
    if all(" index " in line for line in wrong) and not database.read_only:
        db.execute("REINDEX")
        if not _integrity(db):
            return Check(what, CheckState.REPAIRED, "built SQLite's indexes again")
    return Check(what, CheckState.DAMAGED, counted(len(wrong), "fault"))


def _integrity(db: sqlite3.Connection) -> list[str]:
    lines = [str(line) for (line,) in db.execute("PRAGMA integrity_check(100)")]
    return [] if lines == ["ok"] else lines


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"


def _schema(database: Database) -> Check:
    db = database.read()
    sealed = db.execute("SELECT seal FROM seals WHERE owner = 'schema'").fetchall()
    if sealed == [(schema_seal(db),)]:
        return Check("schema", CheckState.OK, "unchanged")
    return Check("schema", CheckState.DAMAGED, "not the one that was written")


def _references(database: Database) -> Check:
    what = "references between tables"
    wrong = database.read().execute("PRAGMA foreign_key_check").fetchall()
    if not wrong:
        return Check(what, CheckState.OK, "complete")
    return Check(
        what, CheckState.DAMAGED, counted_line(len(wrong), "[row leads|rows lead] nowhere")
    )


def _sealed_rows(database: Database) -> Check:
    what, db = "settings and identities", database.read()
    n_rows, bad = 0, []
    for table, columns in (SEALED_TABLES | REVIEW_TABLES).items():
        wanted = {s for (s,) in db.execute("SELECT seal FROM seals WHERE owner = ?", (table,))}
        row = f"row_seal({', '.join(columns)})"
        found = [s for (s,) in db.execute(f"SELECT {row} FROM {table}")]  # noqa: S608  own names
        n_rows += len(found)
        if set(found) != wanted:
            bad.append(table)
    if not bad:
        return Check(what, CheckState.OK, counted(n_rows, "row"))
    return Check(what, CheckState.DAMAGED, f"rows of {', '.join(bad)}")


def _cases(database: Database) -> Check:
    db = database.read()
    rows = [row for (row,) in db.execute("SELECT id FROM cases ORDER BY id")]
    bad: list[int] = []
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        if not _are_whole(db, chunk):
            bad += [row for row in chunk if not _are_whole(db, [row])]
    if not bad:
        return Check("cases", CheckState.OK, counted(len(rows), "case"))
    return Check(
        "cases",
        CheckState.DAMAGED,
        f"{len(bad)} of {len(rows)}",
        tuple(_name(db, row) for row in bad[:_NAMED]),
    )


def _are_whole(db: sqlite3.Connection, rows: list[int]) -> bool:
    try:
        for _ in read_cases(db, rows):
            pass
    except (LibraryError, sqlite3.Error, ValueError, TypeError):
        return False
    return True


def _name(db: sqlite3.Connection, row: int) -> str:
    with suppress(LibraryError, sqlite3.Error):
        found = db.execute("SELECT case_id FROM cases WHERE id = ?", (row,)).fetchone()
        if found and isinstance(found[0], str) and found[0].isprintable():
            return found[0]
    return f"number {row}"


def _vectors(database: Database) -> Check:
    """Check seals, sizes, lengths and cases of all vectors; drop those that are wrong."""
    db = database.read()
    sizes = dict(db.execute("SELECT id, dimensions FROM spaces").fetchall())
    cases = dict(db.execute("SELECT id, case_id FROM cases").fetchall())
    bad: dict[int, str] = {}
    n_vectors = 0
    for number, vector, is_whole in db.execute(
        "SELECT id, vector, seal = vector_seal(id, vector) FROM vectors"
    ):
        n_vectors += 1
        size = sizes.get(number // _SPACE)
        values = np.frombuffer(vector, "<f4") if len(vector) % 4 == 0 else np.zeros(0, "<f4")
        fits = is_whole and size == len(values) and number % _SPACE in cases
        if not (fits and np.isfinite(values).all() and abs(np.linalg.norm(values) - 1) < _UNIT):
            bad[number] = cases.get(number % _SPACE, "")
    if not bad:
        return Check("vectors", CheckState.OK, counted(n_vectors, "vector"))
    names = tuple(sorted(set(filter(None, bad.values()))))[:_NAMED]
    if database.read_only:
        return Check("vectors", CheckState.LEFT, counted(len(bad), "wrong vector"), names)
    with database.write() as writer:
        writer.executemany("DELETE FROM vectors WHERE id = ?", [(number,) for number in bad])
        writer.executemany(
            "UPDATE spaces SET revision = revision + 1 WHERE id = ?",
            [(space,) for space in {number // _SPACE for number in bad}],
        )
    return Check(
        "vectors",
        CheckState.REPAIRED,
        f"dropped {counted(len(bad), 'wrong vector')}; run medembed embed, or import them again",
        names,
    )


def _words(database: Database) -> Check:
    what, db = "full-text index", database.read()
    if database.read_only:
        with closing(sqlite3.connect(":memory:")) as copy:
            db.backup(copy)
            right = _words_match(copy)
    else:
        right = _words_match(db)
    if right:
        return Check(what, CheckState.OK, "matches the reports")
    if database.read_only:
        return Check(what, CheckState.LEFT, "does not match the reports")
    with database.write() as writer:
        writer.execute("INSERT INTO note_words (note_words) VALUES ('rebuild')")
    if _words_match(database.read()):
        return Check(what, CheckState.REPAIRED, "built again from the reports")
    return Check(what, CheckState.DAMAGED, "cannot be built from the reports")


def _words_match(db: sqlite3.Connection) -> bool:
    try:
        # 1: compared with the reports, too, and not only within itself
        db.execute("INSERT INTO note_words (note_words, rank) VALUES ('integrity-check', 1)")
    except LibraryBusyError:
        raise
    except (sqlite3.DatabaseError, LibraryError):
        return False
    return True


def _file_records(database: Database) -> Check:
    what = "records of files"
    row = f"row_seal({', '.join(FILE_COLUMNS)})"
    (wrong, n_rows) = (
        database.read()
        .execute(f"SELECT coalesce(sum(seal <> {row}), 0), count(*) FROM files")  # noqa: S608
        .fetchone()
    )
    if not wrong:
        return Check(what, CheckState.OK, counted(n_rows, "file"))
    if database.read_only:
        return Check(what, CheckState.LEFT, counted(wrong, "wrong record"))
    with database.write() as db:
        db.execute(f"DELETE FROM files WHERE seal <> {row}")  # noqa: S608  own names only
    dropped = f"dropped {counted(wrong, 'wrong record')}; the next ingest reads the files again"
    return Check(what, CheckState.REPAIRED, dropped)


# files beside the database


def verify_files(library: CaseLibrary) -> Iterator[Check]:
    """Check permissions, leftovers, an unfinished erasure and thumbnails; repair them."""
    if library.database.read_only:
        return
    yield _erasure(library.database)
    yield _permissions(library.path)
    yield _leftovers(library.path)
    yield _thumbnails(library)
    record_check(library.database.path)


def _erasure(database: Database) -> Check:
    what = "erasures"
    left = unfinished(database.read())
    if not left:
        return Check(what, CheckState.OK, "none is unfinished")
    try:
        done = finish_erasure(database, 10.0)
    except LibraryBusyError as error:
        return Check(what, CheckState.LEFT, str(error.what))
    if done.left:
        return Check(what, CheckState.LEFT, "; ".join(done.waiting))
    return Check(what, CheckState.REPAIRED, f"finished one ({_steps(left)})")


def _steps(steps: tuple[Step, ...]) -> str:
    return ", ".join(step.value for step in steps)


def _permissions(folder: Path) -> Check:
    what, n_files, changed, foreign = "permissions", 0, 0, 0
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        n_files += 1
        try:
            changed += keep_private(path)
        except FileNotFoundError:  # a draft of another process
            continue
        except OSError:
            foreign += 1
    if foreign:
        detail = counted_line(foreign, "[file belongs|files belong] to another user")
        return Check(what, CheckState.LEFT, detail)
    if changed:
        restricted = counted(changed, "file or folder", "files or folders")
        return Check(what, CheckState.REPAIRED, f"restricted {restricted} to their owner")
    return Check(what, CheckState.OK, counted(n_files, "file or folder", "files and folders"))


def _leftovers(folder: Path) -> Check:
    before = set(drafts(folder))
    sweep(folder)
    gone = before - set(drafts(folder))
    if gone:
        return Check("leftovers", CheckState.REPAIRED, f"removed {counted(len(gone), 'draft')}")
    return Check("leftovers", CheckState.OK, "none")


def _thumbnails(library: CaseLibrary) -> Check:
    what, folder = "thumbnails", library.path / "thumbnails"
    db = library.database.read()
    known = {digest for (digest,) in db.execute("SELECT DISTINCT sha256 FROM scans")}
    n_files, removed = 0, 0
    for path in folder.glob("*.png"):
        n_files += 1
        if path.name[:64] not in known or not _is_whole_png(path):
            path.unlink(missing_ok=True)
            removed += 1
    if removed:
        done = f"removed {counted(removed, 'thumbnail')}; the reading room makes them again"
        return Check(what, CheckState.REPAIRED, done)
    return Check(what, CheckState.OK, counted(n_files, "thumbnail"))


def _is_whole_png(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return data.startswith(_PNG_START) and data.endswith(_PNG_END)
