"""Reads and verifies files, headers and pixels in one pass. Cached files are not opened again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from types import MappingProxyType

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
    "is_transient",
    "known_header",
    "message_of",
    "read_files",
    "remember",
]

_UID = re.compile(r"[0-9.]{1,64}")
# failures that may not recur with the same file
_TRANSIENT = ("timeout", "decoder-crashed", "no-permission", "not-found", "changing")
# failures that end a worker before it can answer with the header
_HARMFUL = ("timeout", "decoder-crashed", "too-large")
_STORED_AT_ONCE = 128

HEADER_FAULTS = ("no-pixels", "no-study", "bad-uid")
"""Codes of files whose headers exclude them from any study."""

HEADER_ONLY = "header-only"
"""Code of a file whose header alone was read, by an earlier version that was interrupted."""

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


def read_files(paths: Sequence[Path], context: SourceContext) -> dict[Path, FileRecord]:
    """Read the header of each file and decode its pixels in one pass, except for cached files.

    Parameters
    ----------
    paths : sequence of Path
        Absolute paths without duplicates, a few hundred at a time.
    context : SourceContext

    Returns
    -------
    dict of Path to FileRecord
        One for each path. Those without a header are refusals; those with one may have a code of
        :data:`HEADER_FAULTS`, or that of pixels that cannot be decoded, or, from an earlier
        version, :data:`HEADER_ONLY`.
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
    headless = []
    for path, outcome in _inspect(states, context):
        record = _record(path, states[path], outcome, context)
        header = outcome.header if isinstance(outcome, ScanError) else outcome
        if isinstance(header, ScanHeader):
            record = _judged(record, header)
        elif record.code in _HARMFUL:
            headless.append(path)
        fresh[path] = record
        if len(fresh) == _STORED_AT_ONCE:  # the workers go on meanwhile
            remember(fresh, context)
            found |= fresh
            fresh.clear()
    # a file that harmed its worker may still say whose it is
    for path, header in zip(headless, context.reader.map("header", headless), strict=True):
        if isinstance(header, ScanHeader):
            record = found.get(path) or fresh[path]
            kept = FileHeader.of(header, context.names).to_json()
            fresh[path] = _judged(replace(record, header=kept), header)
    remember(fresh, context)
    return found | fresh


def _inspect(
    paths: Iterable[Path], context: SourceContext
) -> Iterator[tuple[Path, ScanHeader | ScanError]]:
    paths = list(paths)
    for path, outcome in zip(paths, context.reader.map("inspect", paths), strict=True):
        if isinstance(outcome, Scan):
            raise InternalError("the reader returned a scan instead of an inspection")
        yield path, outcome


def _record(
    path: Path,
    state: FileState,
    outcome: ScanHeader | ScanError,
    context: SourceContext,
    known: str = "",
) -> FileRecord:
    """Return what is stored of an inspection; ``known`` is the header read earlier."""
    if file_state(path) != state and state != NO_FILE:
        reason = "the file changed while it was read; ingest it again"
        return FileRecord(state, code="changing", reason=reason)
    if isinstance(outcome, ScanError):
        # the header still identifies the patient
        header = outcome.header
        if isinstance(header, ScanHeader):
            known = FileHeader.of(header, context.names).to_json()
        return FileRecord(state, code=outcome.reason, reason=message_of(outcome), header=known)
    return _inspected(path, state, outcome, context)


def _judged(record: FileRecord, header: ScanHeader) -> FileRecord:
    """Return the record with the fault of the header, if it has one: it comes first."""
    fault = header_fault(header)
    if fault is None or record.code == "changing":
        return record
    return replace(record, sha256="", frame_digests=(), code=fault[1], reason=fault[0])


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


def check_files(
    paths: Sequence[Path],
    context: SourceContext,
    before: Mapping[Path, FileRecord] = MappingProxyType({}),
) -> dict[Path, FileRecord]:
    """Decode the pixels of each file and compute the digests of file and pixels.

    Cached files are not opened. The others are decoded in the reader's worker processes; their
    records are in the cache when this returns.

    Parameters
    ----------
    paths : sequence of Path
        Absolute paths without duplicates, a few hundred at a time.
    context : SourceContext
    before : mapping of Path to FileRecord
        Transient failures of this read, which are in no cache and need not happen twice.

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
        if record is None and path in before and before[path].state == (state or NO_FILE):
            record = before[path]
        if record is not None and (record.code not in ("", HEADER_ONLY) or _is_whole(record)):
            found[path] = record
        else:
            waiting[path] = state or NO_FILE, record
    fresh: dict[Path, FileRecord] = {}
    for path, outcome in _inspect(waiting, context):
        state, known = waiting[path]
        fresh[path] = _record(path, state, outcome, context, known.header if known else "")
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


def is_transient(record: FileRecord) -> bool:
    """Return whether a failure may not recur with the same file, so that it is not stored."""
    return record.code in _TRANSIENT


def remember(records: Mapping[Path, FileRecord], context: SourceContext) -> None:
    """Store records in the cache, except for transient failures."""
    lasting = {
        path: record
        for path, record in records.items()
        if record.state != NO_FILE and not is_transient(record)
    }
    if lasting:
        context.file_cache.remember(lasting)
