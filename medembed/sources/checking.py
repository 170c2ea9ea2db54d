"""Files looked at once: decoded and hashed when new, remembered when known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISREG

from medembed.errors import InternalError, ScanError
from medembed.scans import Scan, ScanHeader
from medembed.scans.scan_hash import scan_sha256
from medembed.sources.source import FileRecord, FileState, Reading

__all__ = [
    "NO_FILE",
    "check_files",
    "file_headers",
    "file_state",
    "hash_file",
    "hash_files",
    "refused",
    "remember",
    "short",
]

_BLOCK = 2**20
# what another try may find otherwise although the file is the same
_PASSING = ("timeout", "decoder-crashed", "no-permission", "not-found", "changing")

NO_FILE = FileState(-1, -1)
"""Stands for the state of what is no regular file."""


def file_state(path: Path) -> FileState | None:
    """Size and time of change of a regular file; None where there is none."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    if not S_ISREG(stat.st_mode):
        return None
    return FileState(stat.st_size, stat.st_mtime_ns)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def hash_files(records: Sequence[FileRecord]) -> str:
    """SHA-256 of a scan, from the digests of its files."""
    return scan_sha256([record.sha256 for record in records])


def short(error: ScanError) -> str:
    """Give the error as one clause without its path."""
    return f"{error.what}; {error.hint}" if error.hint else error.what


def check_files(
    paths: Sequence[Path], reading: Reading, show: Callable[[Path], str]
) -> dict[Path, FileRecord]:
    """Find out of each file whether its pixels decode, and its SHA-256.

    A file that the journal knows is not opened. The others are decoded in the reader's worker
    processes; what came of them is in the journal when this returns.

    Parameters
    ----------
    paths : sequence of Path
        Absolute, without doubles; some hundreds at a time.
    reading : Reading
    show : callable
        Gives the path as it may be shown to a person.

    Returns
    -------
    dict of Path to FileRecord
        One for each path; refused ones have a ``code``.
    """
    found: dict[Path, FileRecord] = {}
    states: dict[Path, FileState] = {}
    for path in paths:
        state = file_state(path)
        record = reading.journal.known(path, state) if state else None
        if record is not None:
            found[path] = record
        else:
            states[path] = state or NO_FILE
    fresh: dict[Path, FileRecord] = {}
    outcomes = reading.reader.map("inspect", list(states))
    for (path, state), outcome in zip(states.items(), outcomes, strict=True):
        fresh[path] = _record(path, state, outcome, show)
    remember(fresh, reading)
    return found | fresh


def _record(
    path: Path,
    state: FileState,
    outcome: Scan | ScanHeader | ScanError,
    show: Callable[[Path], str],
) -> FileRecord:
    if isinstance(outcome, ScanError):
        return refused(path, state, outcome, show)
    if isinstance(outcome, Scan):
        raise InternalError("a reader asked to inspect gave a scan")
    try:
        sha256 = hash_file(path)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        return FileRecord(state, code="no-permission", reason=reason, shown=show(path))
    if file_state(path) != state:
        reason = "it changed while it was read; ingest again"
        return FileRecord(state, code="changing", reason=reason, shown=show(path))
    return FileRecord(state, sha256, outcome.modality, outcome.view)


def refused(
    path: Path, state: FileState, error: ScanError, show: Callable[[Path], str]
) -> FileRecord:
    """Write down that a file cannot be read as a scan."""
    return FileRecord(state, code=error.reason, reason=short(error), shown=show(path))


def remember(records: Mapping[Path, FileRecord], reading: Reading) -> None:
    """Put in the journal what will hold as long as the files stay as they are."""
    lasting = {
        path: record
        for path, record in records.items()
        if record.state != NO_FILE and record.code not in _PASSING
    }
    if lasting:
        reading.journal.remember(lasting)


def file_headers(
    paths: Sequence[Path], reading: Reading
) -> Iterator[tuple[Path, ScanHeader | ScanError]]:
    """Give the header of each file in order, or why it has none that can be read."""
    for path, outcome in zip(paths, reading.reader.map("header", paths), strict=True):
        if isinstance(outcome, Scan):
            raise InternalError("a reader asked for a header gave a scan")
        yield path, outcome
