"""One file with everything of a library that cannot be derived, and the way back.

A backup is a zip archive: ``library.sqlite`` as of one moment, the journal, the models, scans that
lie inside the library's folder, and ``backup.json`` with the digest of each file. It has the key of
the library's pseudonyms and is as confidential as the library itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from medembed.errors import InputError, LibraryError
from medembed.journal import HEAD_NAME, JOURNAL_NAME, Action, Journal
from medembed.library.database import add_functions
from medembed.library.erasing import erasures
from medembed.library.faults import DATABASE_NAME, connect, file_errors
from medembed.library.integrity import check_integrity
from medembed.library.own_journal import library_names, open_journal
from medembed.library.sweeping import sweep_beside
from medembed.privacy.private_files import (
    DRAFT_SUFFIX,
    draft_folder,
    open_private,
    private_folder,
    replace_private,
    sync_folder,
)

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = ["BackupReport", "back_up", "restore"]

_HEAD = "backup.json"
_FORMAT = 1
_DERIVED = ("index", "cache", "thumbnails")
_JOURNAL = (JOURNAL_NAME, HEAD_NAME)
_BLOCK = 1 << 20
_MAX_HEAD_BYTES = 64 << 20


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds.

    Parameters
    ----------
    file : str
        Name of the archive.
    n_cases, n_models, n_files, n_bytes : int
        ``n_bytes`` is the size of the files before packing.
    erasures : int
        Patients' erasures that the backup includes: a later one is not in it.
    made : str
        UTC, ISO 8601.
    """

    file: str
    n_cases: int
    n_models: int
    n_files: int
    n_bytes: int
    erasures: int
    made: str

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


# there


def back_up(library: CaseLibrary, file: Path | str, *, derived: bool = False) -> BackupReport:
    """Write a backup of a library that others may be using and changing.

    The archive appears under its name when it is complete and synced, readable by its owner only.

    Parameters
    ----------
    library : CaseLibrary
    file : path
        Must not exist, and not be inside the library.
    derived : bool
        Also index files, caches and thumbnails, which a restored library otherwise makes again.

    Raises
    ------
    InputError
        If the file exists or is inside the library.
    LibraryError
        If the library is damaged, or the disk is full.
    """
    path = Path(file).absolute()
    home = library.path
    if path.exists():
        raise InputError("this file exists already", where=path.name, hint="choose another name")
    if path.resolve().is_relative_to(home):
        raise InputError(
            "a backup inside the library would be lost with it",
            where=path.name,
            hint="choose a place outside, on another disk",
        )
    if not path.parent.is_dir():
        raise InputError("its folder does not exist", where=path.name)
    sweep_beside(path)  # of a backup that was killed: it has patients in it
    with file_errors(path.name), draft_folder(path) as draft:
        copy = draft / DATABASE_NAME
        _copy_database(library, copy)
        head = _described(copy)
        listed: dict[str, dict[str, Any]] = {}
        with replace_private(path) as stream:
            with _archive(stream, "w") as archive:
                _store(archive, listed, DATABASE_NAME, copy)
                journal = open_journal(library.database, start=False).copy_to(draft)
                for name, source in (
                    *((path.name, path) for path in journal),
                    *_others(home, derived),
                    *_own_scans(copy, home),
                ):
                    if name not in listed:
                        _store(archive, listed, name, source)
                head["files"] = listed
                archive.writestr(_HEAD, json.dumps(head, indent=1, sort_keys=True))
            for draft_file in (copy, *journal):
                draft_file.unlink()  # now: a kill once the archive has its name would leave it
    models = {name.split("/")[1] for name in listed if name.startswith("models/")}
    return BackupReport(
        file=path.name,
        n_cases=head["n_cases"],
        n_models=len(models),
        n_files=len(listed),
        n_bytes=sum(entry["bytes"] for entry in listed.values()),
        erasures=head["erasures"],
        made=head["made"],
    )


def _copy_database(library: CaseLibrary, copy: Path) -> None:
    """Copy the database as of one moment, without its free pages and its log, and check it."""
    os.close(open_private(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR))
    # one read transaction: a writer neither waits nor makes it start over
    library.database.read().execute("VACUUM INTO ?", (str(copy),))
    with closing(_checked(copy)):
        pass
    with copy.open("rb+") as file:
        os.fsync(file.fileno())


def _checked(copy: Path) -> sqlite3.Connection:
    """Open a copy read-only and verify every checksum."""
    db = connect(copy, "immutable=1")
    try:
        add_functions(db)
        db.execute("PRAGMA query_only = 1")
        check_integrity(db)
    except BaseException:
        db.close()
        raise
    return db


def _described(copy: Path) -> dict[str, Any]:
    with closing(connect(copy, "immutable=1")) as db:
        add_functions(db)
        (n_cases,) = db.execute("SELECT count(*) FROM cases").fetchone()
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        return {
            "format": _FORMAT,
            "medembed": version("medembed"),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "schema": int(schema),
            "n_cases": int(n_cases),
            "erasures": len(erasures(db)),
        }


def _others(home: Path, derived: bool) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of the models' files and, if asked for, of what is derived.

    Everything else is a writer's draft, a lock, or a source.
    """
    for place in ("models", "logs", *(_DERIVED if derived else ())):
        for path in sorted((home / place).rglob("*")):
            name = path.relative_to(home)
            hidden = any(part.startswith(".") for part in name.parts)
            if hidden or path.suffix in (".lock", DRAFT_SUFFIX) or path.is_symlink():
                continue
            if path.is_file():
                yield name.as_posix(), path


def _own_scans(copy: Path, home: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of scans inside the library's folder: an export has no others."""
    with closing(connect(copy, "immutable=1")) as db:
        found = {
            file for (files,) in db.execute("SELECT files FROM scans") for file in json.loads(files)
        }
    for file in sorted(found):
        path = home / file
        inside = not Path(file).is_absolute() and path.resolve().is_relative_to(home)
        if inside and _is_inside(file) and path.is_file():
            yield file, path


def _archive(stream: IO[bytes], mode: Any) -> zipfile.ZipFile:
    # vectors and weights hardly shrink: speed counts
    return zipfile.ZipFile(stream, mode, zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1)


def _store(
    archive: zipfile.ZipFile, listed: dict[str, dict[str, Any]], name: str, source: Path
) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        opened = source.open("rb")
    except FileNotFoundError:  # replaced by its writer meanwhile: derived, or a newer model
        if name == DATABASE_NAME:
            raise
        return
    with opened as file, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            target.write(block)
    listed[name] = {"bytes": size, "sha256": digest.hexdigest()}


# and back


def restore(file: Path | str, folder: Path | str) -> BackupReport:
    """Make a library from a backup.

    Every digest and every checksum of the library is verified before the folder gets its name.

    Parameters
    ----------
    file : path
    folder : path
        Must not exist, or be empty.

    Raises
    ------
    InputError
        If the archive is damaged, incomplete or not a backup, or the folder is not empty.
    """
    path, target = Path(file).absolute(), Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise LibraryError(
            "the folder exists and is not empty; a library is never overwritten",
            where=target.name,
            hint="choose a new folder",
        )
    try:
        with file_errors(path.name), path.open("rb") as stream, _archive(stream, "r") as archive:
            head = _head(archive)
            _verify(archive, head)
            private_folder(target.parent)
            sweep_beside(target)
            with draft_folder(target) as draft:
                inner = draft / "library"
                inner.mkdir(mode=0o700)
                for name in head["files"]:
                    _unpack(archive, name, inner)
                with closing(_checked(inner / DATABASE_NAME)):
                    pass
                for name in (DATABASE_NAME, JOURNAL_NAME):
                    if name in head["files"]:
                        _as_written(inner / name)
                if JOURNAL_NAME in head["files"]:
                    _note_restored(inner, str(head["made"]))
                if target.exists():
                    target.rmdir()  # empty
                inner.rename(target)
                sync_folder(target.parent)
    except (zipfile.BadZipFile, EOFError, zipfile.LargeZipFile, NotImplementedError, RuntimeError):
        raise _no_backup(path, "the file is damaged or not a backup of MedEmbed") from None
    except InputError as error:
        if isinstance(error, LibraryError):
            raise
        raise _no_backup(path, str(error.what)) from None
    listed = head["files"]
    models = {name.split("/")[1] for name in listed if name.startswith("models/")}
    return BackupReport(
        file=path.name,
        n_cases=int(head["n_cases"]),
        n_models=len(models),
        n_files=len(listed),
        n_bytes=sum(entry["bytes"] for entry in listed.values()),
        erasures=int(head["erasures"]),
        made=str(head["made"]),
    )


def _no_backup(path: Path, what: str) -> InputError:
    return InputError(what, where=path.name, hint="use another backup; nothing was written")


def _head(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read and check what the archive says about itself."""
    try:
        if archive.getinfo(_HEAD).file_size > _MAX_HEAD_BYTES:
            raise InputError("its list of files is too large")
        head = json.loads(archive.read(_HEAD))
        files = {str(name): dict(entry) for name, entry in head["files"].items()}
        sane = all(
            type(e["bytes"]) is int and type(e["sha256"]) is str for e in files.values()
        ) and {"n_cases", "erasures", "made"} <= set(head)
        known = type(head["format"]) is int and head["format"] <= _FORMAT
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError("the file is not a backup of MedEmbed") from None
    if not known:
        raise InputError("made by a newer MedEmbed")
    if not sane or DATABASE_NAME not in files or not all(map(_is_inside, files)):
        raise InputError("its list of files is not valid")
    if sorted(archive.namelist()) != sorted([*files, _HEAD]):
        raise InputError("it has other files than it lists")
    return {**head, "files": files}


def _is_inside(name: str) -> bool:
    """Return whether a name leads to a folder in the library, or is that of the database."""
    parts = PurePosixPath(name).parts
    if name in (DATABASE_NAME, *_JOURNAL):
        return True
    plain = not any(part.startswith(".") or "\\" in part or ":" in part for part in parts)
    return plain and len(parts) > 1 and "/".join(parts) == name and parts[0] != "/"


def _verify(archive: zipfile.ZipFile, head: dict[str, Any]) -> None:
    """Compare every file with its digest."""
    for name, entry in head["files"].items():
        digest, size = hashlib.sha256(), 0
        with archive.open(name) as file:
            while (block := file.read(_BLOCK)) and size <= entry["bytes"]:
                digest.update(block)
                size += len(block)
        if size != entry["bytes"] or digest.hexdigest() != entry["sha256"]:
            raise InputError("a file in it does not match its digest; the backup is damaged")


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    path = folder / name
    private_folder(path.parent)
    descriptor = open_private(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with os.fdopen(descriptor, "wb") as target, archive.open(name) as source:
        shutil.copyfileobj(source, target, _BLOCK)
        target.flush()
        os.fsync(target.fileno())


def _note_restored(folder: Path, made: str) -> None:
    """Record in the journal that it goes on from a backup, which a later head outside shows."""
    with closing(connect(folder / DATABASE_NAME)) as db:
        add_functions(db)
        names = library_names(db)
    with suppress(LibraryError), Journal(folder, names) as journal:  # verify says what is wrong
        journal.note(Action.RESTORED, {"made": made})


def _as_written(path: Path) -> None:
    """Give the database the journal that a library has: a copy has none."""
    with closing(connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
