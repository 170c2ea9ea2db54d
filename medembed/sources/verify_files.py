"""Files looked at once: their headers, then their pixels; what is known is not opened again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_ISREG

from medembed.errors import InternalError, ScanError
from medembed.scans import Scan, ScanHeader
from medembed.scans.scan_hash import file_sha256
from medembed.scans.sop_classes import kind_of
from medembed.sources.file_header import FileHeader
from medembed.sources.source import FileRecord, FileState, Reading

__all__ = [
    "HEADER_FAULTS",
    "HEADER_ONLY",
    "NO_FILE",
    "check_files",
    "file_state",
    "known_header",
    "read_headers",
    "remember",
    "short",
]

_UID = re.compile(r"[0-9.]{1,64}")
# what another try may find otherwise although the file is the same
_PASSING = ("timeout", "decoder-crashed", "no-permission", "not-found", "changing")

HEADER_FAULTS = ("no-pixels", "no-study", "bad-uid")
"""Codes of files that can be no part of a study, by their headers alone."""

HEADER_ONLY = "header-only"
"""Code of a file whose header is known and whose pixels were not decoded yet."""

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


def short(error: ScanError) -> str:
    """Give the error as one clause without its path."""
    return f"{error.what}; {error.hint}" if error.hint else error.what


def known_header(record: FileRecord | None) -> FileHeader | None:
    """Give the header that a record keeps; None where there is none."""
    return FileHeader.from_json(record.header) if record is not None else None


def read_headers(paths: Sequence[Path], reading: Reading) -> dict[Path, FileRecord]:
    """Find out of each file what its header says; what the journal knows is not read again.

    Returns
    -------
    dict of Path to FileRecord
        One for each path. One with a header may have the code :data:`HEADER_ONLY`; one without a
        header was refused.
    """
    found: dict[Path, FileRecord] = {}
    states: dict[Path, FileState] = {}
    for path in paths:
        state = file_state(path)
        record = reading.journal.known(path, state) if state else None
        if record is not None and (record.header or record.code):
            found[path] = record
        else:
            states[path] = state or NO_FILE
    fresh: dict[Path, FileRecord] = {}
    outcomes = reading.reader.map("header", list(states))
    for (path, state), outcome in zip(states.items(), outcomes, strict=True):
        if isinstance(outcome, Scan):
            raise InternalError("a reader asked for a header gave a scan")
        if isinstance(outcome, ScanError):
            fresh[path] = _refused(state, outcome)
        else:
            header = FileHeader.of(outcome, reading.names).to_json()
            fault = header_fault(outcome)
            fresh[path] = FileRecord(
                state,
                modality=outcome.modality,
                view=outcome.view,
                code=fault[1] if fault else HEADER_ONLY,
                reason=fault[0] if fault else "",
                header=header,
            )
    remember(fresh, reading)
    return found | fresh


def header_fault(header: ScanHeader) -> tuple[str, str] | None:
    """Give the reason and the code where a file can be no part of a study."""
    if not header.has_pixels:
        kind = kind_of(header.sop_class, header.image_type, header.modality)
        what = f" ({kind})" if kind not in ("unknown", "image") else ""
        return f"a DICOM object without pixels{what}", "no-pixels"
    if header.format != "dicom":
        return None
    if not header.study_uid:
        return "no StudyInstanceUID (0020,000D)", "no-study"
    uids = (header.study_uid, header.series_uid, header.instance_uid)
    if not all(_UID.fullmatch(uid) for uid in uids if uid):
        return "a UID that is none (DICOM PS3.5 9.1)", "bad-uid"
    return None


def check_files(paths: Sequence[Path], reading: Reading) -> dict[Path, FileRecord]:
    """Find out of each file whether its pixels decode, and the digests of file and pixels.

    A file that the journal knows is not opened. The others are decoded in the reader's worker
    processes; what came of them is in the journal when this returns.

    Parameters
    ----------
    paths : sequence of Path
        Absolute, without doubles; some hundreds at a time.
    reading : Reading

    Returns
    -------
    dict of Path to FileRecord
        One for each path; refused ones have a ``code``.
    """
    found: dict[Path, FileRecord] = {}
    waiting: dict[Path, tuple[FileState, FileRecord | None]] = {}
    for path in paths:
        state = file_state(path)
        record = reading.journal.known(path, state) if state else None
        if record is not None and (record.code not in ("", HEADER_ONLY) or _is_whole(record)):
            found[path] = record
        else:
            waiting[path] = state or NO_FILE, record
    fresh: dict[Path, FileRecord] = {}
    outcomes = reading.reader.map("inspect", list(waiting))
    for (path, (state, known)), outcome in zip(waiting.items(), outcomes, strict=True):
        if isinstance(outcome, Scan):
            raise InternalError("a reader asked to inspect gave a scan")
        if file_state(path) != state and state != NO_FILE:
            reason = "it changed while it was read; ingest again"
            fresh[path] = FileRecord(state, code="changing", reason=reason)
        elif isinstance(outcome, ScanError):
            # its header still says whose it is
            fresh[path] = _refused(state, outcome, known.header if known else "")
        else:
            fresh[path] = _inspected(path, state, outcome, reading)
    remember(fresh, reading)
    return found | fresh


def _is_whole(record: FileRecord) -> bool:
    return not record.code and known_header(record) is not None


def _inspected(path: Path, state: FileState, header: ScanHeader, reading: Reading) -> FileRecord:
    try:
        sha256 = header.file_sha256 or file_sha256(path)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        return FileRecord(state, code="no-permission", reason=reason)
    return FileRecord(
        state,
        sha256,
        header.modality,
        header.view,
        header=FileHeader.of(header, reading.names).to_json(),
        frame_digests=header.frame_digests,
    )


def _refused(state: FileState, error: ScanError, header: str = "") -> FileRecord:
    return FileRecord(state, code=error.reason, reason=short(error), header=header)


def remember(records: Mapping[Path, FileRecord], reading: Reading) -> None:
    """Put in the journal what will hold as long as the files stay as they are."""
    lasting = {
        path: record
        for path, record in records.items()
        if record.state != NO_FILE and record.code not in _PASSING
    }
    if lasting:
        reading.journal.remember(lasting)
