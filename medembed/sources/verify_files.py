"""Reads and verifies files: first headers, then pixels. Cached files are not opened again."""

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
from medembed.sources.source import FileRecord, FileState, SourceContext

__all__ = [
    "HEADER_FAULTS",
    "HEADER_ONLY",
    "NO_FILE",
    "check_files",
    "file_state",
    "known_header",
    "message_of",
    "read_headers",
    "remember",
]

_UID = re.compile(r"[0-9.]{1,64}")
# failures that may not recur with the same file
_TRANSIENT = ("timeout", "decoder-crashed", "no-permission", "not-found", "changing")

HEADER_FAULTS = ("no-pixels", "no-study", "bad-uid")
"""Codes of files whose headers exclude them from any study."""

HEADER_ONLY = "header-only"
"""Code of a file whose header was read and whose pixels are not decoded yet."""

NO_FILE = FileState(-1, -1)
"""State of a path that is not a regular file."""


def file_state(path: Path) -> FileState | None:
    """Return size and modification time of a regular file, else None."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    if not S_ISREG(stat.st_mode):
        return None
    return FileState(stat.st_size, stat.st_mtime_ns)


def message_of(error: ScanError) -> str:
    """Return the error as one clause without its path."""
    return f"{error.what}; {error.hint}" if error.hint else error.what


def known_header(record: FileRecord | None) -> FileHeader | None:
    """Return the header stored in a record, None if there is none."""
    return FileHeader.from_json(record.header) if record is not None else None


def read_headers(paths: Sequence[Path], context: SourceContext) -> dict[Path, FileRecord]:
    """Read the header of each file, except for files in the cache.

    Returns
    -------
    dict of Path to FileRecord
        One for each path. Records with a header may have the code :data:`HEADER_ONLY`; those
        without one are refusals.
    """
    found: dict[Path, FileRecord] = {}
    states: dict[Path, FileState] = {}
    for path in paths:
        state = file_state(path)
        record = context.file_cache.known(path, state) if state else None
        if record is not None and (record.header or record.code):
            found[path] = record
        else:
            states[path] = state or NO_FILE
    fresh: dict[Path, FileRecord] = {}
    outcomes = context.reader.map("header", list(states))
    for (path, state), outcome in zip(states.items(), outcomes, strict=True):
        if isinstance(outcome, Scan):
            raise InternalError("the reader returned a scan instead of a header")
        if isinstance(outcome, ScanError):
            fresh[path] = _refused(state, outcome)
        else:
            header = FileHeader.of(outcome, context.names).to_json()
            fault = header_fault(outcome)
            fresh[path] = FileRecord(
                state,
                modality=outcome.modality,
                view=outcome.view,
                code=fault[1] if fault else HEADER_ONLY,
                reason=fault[0] if fault else "",
                header=header,
            )
    remember(fresh, context)
    return found | fresh


def header_fault(header: ScanHeader) -> tuple[str, str] | None:
    """Return reason and code if the header excludes the file from any study, else None."""
    if not header.has_pixels:
        kind = kind_of(header.sop_class, header.image_type, header.modality)
        what = f" ({kind})" if kind not in ("unknown", "image") else ""
        return f"DICOM object without pixels{what}", "no-pixels"
    if header.format != "dicom":
        return None
    if not header.study_uid:
        return "no StudyInstanceUID (0020,000D)", "no-study"
    uids = (header.study_uid, header.series_uid, header.instance_uid)
    if not all(_UID.fullmatch(uid) for uid in uids if uid):
        return "invalid UID (DICOM PS3.5 9.1)", "bad-uid"
    return None


def check_files(paths: Sequence[Path], context: SourceContext) -> dict[Path, FileRecord]:
    """Decode the pixels of each file and compute the digests of file and pixels.

    Cached files are not opened. The others are decoded in the reader's worker processes; their
    records are in the cache when this returns.

    Parameters
    ----------
    paths : sequence of Path
        Absolute paths without duplicates, a few hundred at a time.
    context : SourceContext

    Returns
    -------
    dict of Path to FileRecord
        One for each path; refused files have a ``code``.
    """
    found: dict[Path, FileRecord] = {}
    waiting: dict[Path, tuple[FileState, FileRecord | None]] = {}
    for path in paths:
        state = file_state(path)
        record = context.file_cache.known(path, state) if state else None
        if record is not None and (record.code not in ("", HEADER_ONLY) or _is_whole(record)):
            found[path] = record
        else:
            waiting[path] = state or NO_FILE, record
    fresh: dict[Path, FileRecord] = {}
    outcomes = context.reader.map("inspect", list(waiting))
    for (path, (state, known)), outcome in zip(waiting.items(), outcomes, strict=True):
        if isinstance(outcome, Scan):
            raise InternalError("the reader returned a scan instead of an inspection")
        if file_state(path) != state and state != NO_FILE:
            reason = "the file changed while it was read; ingest it again"
            fresh[path] = FileRecord(state, code="changing", reason=reason)
        elif isinstance(outcome, ScanError):
            # the header still identifies the patient
            fresh[path] = _refused(state, outcome, known.header if known else "")
        else:
            fresh[path] = _inspected(path, state, outcome, context)
    remember(fresh, context)
    return found | fresh


def _is_whole(record: FileRecord) -> bool:
    return not record.code and known_header(record) is not None


def _inspected(
    path: Path, state: FileState, header: ScanHeader, context: SourceContext
) -> FileRecord:
    try:
        sha256 = header.file_sha256 or file_sha256(path)
    except OSError as error:
        reason = error.strerror or "the file cannot be read"
        return FileRecord(state, code="no-permission", reason=reason)
    return FileRecord(
        state,
        sha256,
        header.modality,
        header.view,
        header=FileHeader.of(header, context.names).to_json(),
        frame_digests=header.frame_digests,
    )


def _refused(state: FileState, error: ScanError, header: str = "") -> FileRecord:
    return FileRecord(state, code=error.reason, reason=message_of(error), header=header)


def remember(records: Mapping[Path, FileRecord], context: SourceContext) -> None:
    """Store records in the cache, except for transient failures."""
    lasting = {
        path: record
        for path, record in records.items()
        if record.state != NO_FILE and record.code not in _TRANSIENT
    }
    if lasting:
        context.file_cache.remember(lasting)
