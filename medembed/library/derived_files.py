"""Removal of what derived files hold of cases that are no longer in the library.

Nothing here needs to know who was erased: whatever the store does not name is removed. An
interrupted removal is therefore finished by starting it again.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medembed.cases import UNITS_ATTRIBUTE
from medembed.errors import LibraryBusyError
from medembed.library.locks import writer_lock
from medembed.privacy.private_files import DRAFT_SUFFIX, replace_private

__all__ = ["CleanUp", "clean_derived"]

_REFUSALS = "ingest-refusals.csv"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEAD_BYTES = 32


@dataclass(frozen=True)
class CleanUp:
    """What was removed from derived files.

    Parameters
    ----------
    removed : dict of str to int
        Files, or entries of a file, by place.
    waiting : tuple of str
        Who is using a place that could not be cleaned yet.
    """

    removed: dict[str, int]
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    name: str
    locks: tuple[str, ...]
    clean: Callable[[Path, sqlite3.Connection], int]


def clean_derived(folder: Path, db: sqlite3.Connection, wait_seconds: float) -> CleanUp:
    """Remove what the derived files of a library hold of cases that it does not have.

    Index files and the features of texts cannot be told apart by case and are removed as a whole;
    they are made again when needed.

    Parameters
    ----------
    folder : Path
        The library's folder.
    db : sqlite3.Connection
    wait_seconds : float
        Longest wait for the writers of all these files together.
    """
    removed: dict[str, int] = {}
    waiting: list[str] = []
    deadline = time.monotonic() + wait_seconds
    for place in _PLACES:
        try:
            with ExitStack() as held:
                for lock in sorted(path for glob in place.locks for path in folder.glob(glob)):
                    left = max(0.0, deadline - time.monotonic())
                    held.enter_context(writer_lock(lock, "erasing", left))
                removed[place.name] = place.clean(folder, db)
        except LibraryBusyError as error:
            waiting.append(f"{place.name}: {error.what}")
    return CleanUp(removed, tuple(waiting))


def _index(folder: Path, _: sqlite3.Connection) -> int:
    """Remove all index files; a search builds them again."""
    count = 0
    for path in sorted((folder / "index").glob("*")):
        if path.suffix == ".lock" or path.is_symlink():
            continue
        count += path.is_dir()
        _remove(path)
    for path in (folder / "index").glob(".*"):
        if path.suffix != ".lock":
            _remove(path)
    return count


def _thumbnails(folder: Path, db: sqlite3.Connection) -> int:
    known = {digest for (digest,) in db.execute("SELECT DISTINCT sha256 FROM scans")}
    count = 0
    for path in (folder / "thumbnails").glob("*"):
        digest = _DIGEST.match(path.name)
        if digest is None or digest[0] not in known:
            _remove(path)
            count += 1
    return count


def _refusals(folder: Path, _: sqlite3.Connection) -> int:
    """Remove the refusals of the last ingest: they name cases and, masked, paths."""
    there = (folder / _REFUSALS).exists()
    for name in (_REFUSALS, "ingest-refusals.new"):
        (folder / name).unlink(missing_ok=True)
    return int(there)


def _trainings(folder: Path, _: sqlite3.Connection) -> int:
    """Remove checkpoints: their training starts over anyway, since its cases have changed."""
    count = 0
    for path in (folder / "models").glob(".*.training"):
        _remove(path)
        count += 1
    return count


def _pixels(folder: Path, db: sqlite3.Connection) -> int:
    """Remove the caches of decoded pixels that have a scan of somebody else.

    The size of a row depends on a preprocessing that may no longer exist, so that a single scan
    cannot be cut out.
    """
    known, count = _scan_keys(db), 0
    for index in (folder / "cache").glob("pixels-*.jsonl"):
        if _cached_scans(index) <= known:
            continue
        count += 1
        for rows in (folder / "cache").glob(f"{index.stem}.u*"):
            _remove(rows)
        _remove(index)
    for rows in (folder / "cache").glob("pixels-*.u*"):
        if not rows.with_suffix(".jsonl").exists():
            _remove(rows)
    return count


def _cached_scans(index: Path) -> set[str]:
    """Return the scans that a cache of pixels names; a damaged line is nobody's."""
    found: set[str] = set()
    if not index.is_file():
        return {"?"}
    for line in index.read_bytes().splitlines():
        try:
            found.add(str(json.loads(line)[0]))
        except (ValueError, TypeError, LookupError):
            found.add("?")
    return found


def _features(folder: Path, db: sqlite3.Connection) -> int:
    """Remove the features of scans that the library does not have, and those of all texts."""
    known, count = _scan_keys(db), 0
    for path in sorted((folder / "cache").glob("features-*/*")):
        if path.suffix != ".f32":
            if path.name.endswith(DRAFT_SUFFIX):
                _remove(path)
            continue
        count += _filter_features(path, known)
    return count


def _filter_features(path: Path, known: set[str]) -> int:
    """Rewrite a file of features with the known names alone; return how many were dropped.

    Its format is that of :class:`medembed.model.feature_cache.FeatureCache`: two checksums, the
    bytes of the names, the width; names with their numbers of rows; float32 rows.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
        _, _, length, width = data[:_HEAD_BYTES].view("<u8").tolist()
        names = json.loads(data[_HEAD_BYTES : _HEAD_BYTES + length].tobytes())
        rows = data[_HEAD_BYTES + length :].view("<f4").reshape(-1, width)
        kept, parts, at = [], [], 0
        for name, n_rows in names:
            if name in known:
                kept.append([name, n_rows])
                parts.append(rows[at : at + n_rows])
            at += n_rows
    except (OSError, ValueError, TypeError, ZeroDivisionError):  # damaged: nobody can use it
        _remove(path)
        return 1
    if len(kept) == len(names):
        return 0
    if kept:
        about = json.dumps(kept).encode()
        about += b" " * (-len(about) % 4)
        body = np.ascontiguousarray(np.concatenate(parts)).tobytes()
        sums = np.array([zlib.crc32(about), zlib.crc32(body), len(about), width], dtype="<u8")
        # another name: a process that has read this file would not read it again
        with replace_private(path.with_name(f"{secrets.token_hex(8)}{path.suffix}")) as file:
            file.write(sums.tobytes() + about + body)
    _remove(path)
    return len(names) - len(kept)


def _scan_keys(db: sqlite3.Connection) -> set[str]:
    """Return the names of all scans in the caches (``PixelCache.key_of``)."""
    rows = db.execute(
        "SELECT s.sha256, s.frame, a.value FROM scans s LEFT JOIN attributes a "
        "ON a.case_row = s.case_row AND a.name = ?",
        (UNITS_ATTRIBUTE,),
    )
    return {
        ":".join(part for part in (sha256, "" if frame is None else str(frame), unit) if part)
        for sha256, frame, units in rows
        for unit in ({units} & {"HU", "stored"} or {""})
    }


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


_PLACES: Sequence[_Place] = (
    _Place("index", ("index/**/*.lock",), _index),
    _Place("thumbnails", (), _thumbnails),
    _Place("refusals of the last ingest", (), _refusals),
    _Place("unfinished trainings", ("models/.*.lock",), _trainings),
    _Place("cached pixels", ("models/.*.lock", ".embed-*.lock", "cache/*.lock"), _pixels),
    _Place("cached features", ("models/.*.lock", ".embed-*.lock", "cache/*.lock"), _features),
)
