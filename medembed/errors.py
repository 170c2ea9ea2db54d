"""The errors that MedEmbed raises.

::

    MedEmbedError
    ├── InputError               the user can fix it; the command line exits with 2
    │   ├── ScanError            a file cannot be read as a scan
    │   ├── NoteError            a report cannot be read
    │   ├── SourceError          a table or folder cannot be read at all
    │   ├── LibraryError         a case library is missing, foreign or of another version
    │   │   └── LibraryBusyError another process holds the lock
    │   ├── ConditionError       a ``--where`` condition cannot be parsed
    │   ├── ConfigError          a configuration file or ``key=value`` is not valid
    │   ├── ModelError           a model cannot be found or loaded
    │   ├── FingerprintError     vectors, index or query come from another model
    │   ├── QueryError           a search query is not valid
    │   ├── ReviewError          a review session or a step of it is not possible
    │   └── IndexServerError     an index server is away or refuses
    └── InternalError            a bug in MedEmbed; the command line exits with 1

A message is one line: where, what was found, what to do. It never contains a value from a
patient's header or report.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "ConditionError",
    "ConfigError",
    "FingerprintError",
    "IndexServerError",
    "InputError",
    "InternalError",
    "LibraryBusyError",
    "LibraryError",
    "MedEmbedError",
    "ModelError",
    "NoteError",
    "QueryError",
    "ReviewError",
    "ScanError",
    "ScanReason",
    "SourceError",
]


ScanReason: TypeAlias = Literal[
    "bad-geometry",
    "bad-rescale",
    "changed",
    "corrupt",
    "decoder-crashed",
    "duplicate-instance",
    "empty",
    "encrypted",
    "incomplete-volume",
    "invalid",
    "irregular-spacing",
    "missing-attribute",
    "mixed-geometry",
    "nested-too-deep",
    "no-permission",
    "no-picture",
    "no-pixels",
    "no-such-frame",
    "not-a-file",
    "not-a-scan",
    "not-found",
    "several-series",
    "several-volumes",
    "timeout",
    "too-large",
    "truncated",
    "unsupported-pixels",
    "unsupported-transfer-syntax",
    "values-out-of-range",
]
"""Codes of :class:`ScanError`; docs/reference/scans.md describes them."""


class MedEmbedError(Exception):
    """Base of all errors that MedEmbed raises.

    Parameters
    ----------
    what : str
        What was found, in one clause. Never a patient's value.
    where : str, optional
        File, column, tag or option in which it was found.
    hint : str, optional
        What the reader can do.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            line = f"{line}; {self.hint}"
        return " ".join(line.split())

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(
    kind: type[MedEmbedError], what: str, where: str | None, hint: str | None
) -> MedEmbedError:
    return kind(what, where=where, hint=hint)


class InputError(MedEmbedError):
    """The user's input is not valid, and the user can fix it."""

    exit_code = 2


class ScanError(InputError):
    """A file cannot be read as a scan.

    Parameters
    ----------
    what, where, hint : str
        As in :class:`MedEmbedError`.
    reason : ScanReason, optional
        Short code for tables and programs, such as ``"truncated"``.

    Attributes
    ----------
    header : ScanHeader or None
        The file's header if only its pixels cannot be read; set by the inspection of a file.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        reason: ScanReason = "invalid",
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.reason = reason
        self.header: object = None  # a ScanHeader, which this room does not import

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_scan_error, (self.what, self.where, self.hint, self.reason))


def _rebuild_scan_error(
    what: str, where: str | None, hint: str | None, reason: ScanReason
) -> ScanError:
    return ScanError(what, where=where, hint=hint, reason=reason)


class NoteError(InputError):
    """A report cannot be read."""


class SourceError(InputError):
    """A table or a folder of cases cannot be read at all."""


class LibraryError(InputError):
    """A case library is missing, foreign, or of another version."""


class LibraryBusyError(LibraryError):
    """Another process holds the lock on what this one wants to write."""


class ConditionError(InputError):
    """A condition on cases cannot be parsed."""


class ConfigError(InputError):
    """A configuration does not match its schema."""


class ModelError(InputError):
    """A model cannot be found or loaded."""


class FingerprintError(InputError):
    """Vectors, an index or a query come from another model than the one in use."""


class QueryError(InputError):
    """A search query is not valid."""


class ReviewError(InputError):
    """A review session, or a step of a reading, is not possible."""


class IndexServerError(InputError):
    """The server that a library's index is searched on is away, or refuses."""


class InternalError(MedEmbedError):
    """A bug in MedEmbed."""
