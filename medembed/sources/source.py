"""What a source is, and what it is given to read with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from medembed.cases import Case
from medembed.notes import Vocabulary
from medembed.privacy import Claim, Pseudonymiser, Settled, new_key
from medembed.privacy.people import People
from medembed.scans import ScanReader
from medembed.sources.rejection import Refusal

__all__ = ["FileJournal", "FileRecord", "FileState", "Identities", "Reading", "Source"]


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
        What its header says, as JSON without any value that identifies a patient
        (:mod:`medembed.sources.file_header`).
    frame_digests : tuple of str
        Digests of its decoded frames (:mod:`medembed.scans.pixel_digest`).
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

    def accessions(self) -> Mapping[str, set[str]]:
        """Give the studies that carried each accession number so far, all as keyed hashes."""

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Keep what became of files; on disk when this returns."""


class Identities(Protocol):
    """Knows the patients there are, and whose study one is."""

    def settle(
        self, claims: Sequence[tuple[str, Claim]], keep_together: bool = False
    ) -> list[Settled]:
        """Give the patient of each claim; what was decided holds when this returns.

        Parameters
        ----------
        claims : sequence of (case id, Claim)
        keep_together : bool
            Whether numbers that stand in for an id may be ids after all.
        """

    def remarks(self) -> list[str]:
        """Say what is doubtful about the ids that were settled, each kind with its count."""


class OwnIdentities:
    """Knows the patients of one reading only.

    Parameters
    ----------
    names : Pseudonymiser
    """

    def __init__(self, names: Pseudonymiser) -> None:
        self._people = People(names)

    def settle(
        self, claims: Sequence[tuple[str, Claim]], keep_together: bool = False
    ) -> list[Settled]:
        """Give the patient of each claim."""
        patients = [self._people.settle(claim, "", keep_together) for _, claim in claims]
        return [
            Settled(patient, claim.new_shift_days)
            for patient, (_, claim) in zip(patients, claims, strict=True)
        ]

    def remarks(self) -> list[str]:
        """Say what is doubtful about the ids that were settled."""
        return self._people.remarks()


class NoJournal:
    """Remembers nothing: every reading looks at every file."""

    def known(self, path: Path, state: FileState) -> None:
        """Know nothing."""

    def accessions(self) -> dict[str, set[str]]:
        """Know none."""
        return {}

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
    identities : Identities, optional
        Patients that are known; by default those of this reading.
    shift_dates : bool
        Whether dates are moved by each patient's own shift.
    progress : callable
        Called with (steps done, steps in all); a step is one look at one file.
    say : callable
        Takes a line for a person on what was noticed, never a patient's value.
    vocabulary : Vocabulary or None
        What reports are read for; None is the package's for English.
    """

    reader: ScanReader
    names: Pseudonymiser = field(default_factory=lambda: Pseudonymiser(new_key()))
    journal: FileJournal = field(default_factory=NoJournal)
    identities: Identities | None = None
    shift_dates: bool = False
    progress: Callable[[int, int | None], None] = _silent
    say: Callable[[str], None] = _unsaid
    vocabulary: Vocabulary | None = None

    @cached_property
    def patients(self) -> Identities:
        """Patients that are known, and those that come to be."""
        return self.identities or OwnIdentities(self.names)


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
