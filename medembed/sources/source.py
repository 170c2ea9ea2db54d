"""What a source is, and what it is given to read with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medembed.cases import Case
from medembed.privacy import Pseudonymiser, new_key
from medembed.scans import ScanReader
from medembed.sources.refusal import Refusal

__all__ = ["FileJournal", "FileRecord", "FileState", "Reading", "Source"]


@dataclass(frozen=True)
class FileState:
    """Size and time of change of a file: while both stay, its content is taken to stay.

    Parameters
    ----------
    size : int
        Bytes.
    mtime_ns : int
    """

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FileRecord:
    """What became of a file when it was looked at.

    Parameters
    ----------
    state : FileState
    sha256 : str
        Of its content, where it decodes; else empty.
    modality, view : str
        As in its header.
    code, reason : str
        Why it was refused; empty where it was not.
    shown : str
        Its path as it may be shown.
    header : str
        What its header says, as JSON; names and ids never in clear.
    frame_digests : tuple of str
        Digest of the pixels of each frame.
    """

    state: FileState
    sha256: str = ""
    modality: str = "unknown"
    view: str = "unknown"
    code: str = ""
    reason: str = ""
    shown: str = ""
    header: str = ""
    frame_digests: tuple[str, ...] = ()


class FileJournal(Protocol):
    """Remembers files from one reading to the next, so that none is decoded twice."""

    def known(self, path: Path, state: FileState) -> FileRecord | None:
        """Give what is known of a file in this state."""

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Keep what became of files; on disk when this returns."""


class NoJournal:
    """Remembers nothing: every reading looks at every file."""

    def known(self, path: Path, state: FileState) -> None:
        """Know nothing."""

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Keep nothing."""


def _silent(done: int, total: int | None) -> None:
    del done, total


def _unsaid(line: str) -> None:
    del line


@dataclass(frozen=True)
class Reading:
    """What a source reads with: a reader of scans, pseudonyms, and a memory of files.

    Parameters
    ----------
    reader : ScanReader
    names : Pseudonymiser
        Of the library that the cases are for.
    journal : FileJournal
    shift_dates : bool
        Whether dates are moved by each patient's own shift.
    progress : callable
        Called with (steps done, steps in all); a step is one look at one file.
    say : callable
        Takes a line for a person on what was noticed, never a patient's value.
    """

    reader: ScanReader
    names: Pseudonymiser = field(default_factory=lambda: Pseudonymiser(new_key()))
    journal: FileJournal = field(default_factory=NoJournal)
    shift_dates: bool = False
    progress: Callable[[int, int | None], None] = _silent
    say: Callable[[str], None] = _unsaid


class Source(Protocol):
    """Where cases come from.

    Attributes
    ----------
    format : str
        Its name in :data:`medembed.sources.SOURCES`.
    """

    format: str

    def read(self, reading: Reading) -> Iterator[Case | Refusal]:
        """Give each case, and each refusal of a file, row or case, as they come.

        Raises
        ------
        SourceError
            Where the source as a whole cannot be read.
        """
