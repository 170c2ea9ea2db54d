"""The protocol of a source, and the context it reads with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from medembed.cases import Case
from medembed.notes import Vocabulary
from medembed.privacy import Claim, Pseudonymizer, ResolvedPatient, new_key
from medembed.privacy.people import People
from medembed.progress import Progress, no_progress
from medembed.scans import ScanReader
from medembed.sources.refusal import Refusal

__all__ = ["FileCache", "FileRecord", "FileState", "Identities", "Source", "SourceContext"]


@dataclass(frozen=True)
class FileState:
    """Size and modification time of a file; while both stay, its content counts as unchanged.

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
    """Result of reading a file.

    Parameters
    ----------
    state : FileState
    sha256 : str
        Hash of its content if it decodes, else empty.
    modality, view : str
        As in its header.
    code, reason : str
        Why it was refused; empty if it was not.
    shown : str
        Its path in a form that is safe to show.
    header : str
        Its header as JSON, without any value that identifies a patient
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


class FileCache(Protocol):
    """Stores the results for files across ingests, so that no file is decoded twice."""

    def known(self, path: Path, state: FileState) -> FileRecord | None:
        """Return the record of a file in this state, None if there is none."""

    def accessions(self) -> Mapping[str, set[str]]:
        """Return the studies of each accession number so far, all as keyed hashes."""

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Store the records of files; they are on disk when this returns."""


class Identities(Protocol):
    """Assigns studies to patients."""

    def resolve(
        self, claims: Sequence[tuple[str, Claim]], keep_together: bool = False
    ) -> list[ResolvedPatient]:
        """Return the patient of each claim; the decision is final when this returns.

        Parameters
        ----------
        claims : sequence of (case id, Claim)
        keep_together : bool
            Whether placeholder numbers (0, 1234) may be real ids.
        """

    def remarks(self) -> list[str]:
        """Report doubtful ids among those resolved, each kind with its count."""


class TransientIdentities:
    """Assigns patients within a single read.

    Parameters
    ----------
    names : Pseudonymizer
    """

    def __init__(self, names: Pseudonymizer) -> None:
        self._people = People(names)

    def resolve(
        self, claims: Sequence[tuple[str, Claim]], keep_together: bool = False
    ) -> list[ResolvedPatient]:
        """Return the patient of each claim."""
        patients = [self._people.resolve(claim, "", keep_together) for _, claim in claims]
        return [
            ResolvedPatient(patient, claim.new_shift_days)
            for patient, (_, claim) in zip(patients, claims, strict=True)
        ]

    def remarks(self) -> list[str]:
        """Report doubtful ids among those resolved."""
        return self._people.remarks()


class NoFileCache:
    """Stores nothing: every read decodes every file."""

    def known(self, path: Path, state: FileState) -> None:
        """Return None."""

    def accessions(self) -> dict[str, set[str]]:
        """Return nothing."""
        return {}

    def remember(self, records: Mapping[Path, FileRecord]) -> None:
        """Store nothing."""


def _ignore(line: str) -> None:
    del line


@dataclass(frozen=True)
class SourceContext:
    """What a source needs to read: scan reader, pseudonyms, and the file cache.

    Parameters
    ----------
    reader : ScanReader
    names : Pseudonymizer
        Pseudonymizer of the target library.
    file_cache : FileCache
    identities : Identities, optional
        Patients that are known; by default those of this context.
    shift_dates : bool
        Shift each patient's dates by a secret, patient-specific offset.
    progress : callable
        Called with (steps done, total); a step is one pass over one file.
    warn : callable
        Called with a one-line observation for the user, never a patient's value.
    vocabulary : Vocabulary or None
        Vocabulary to read reports with; None is the packaged English one.
    """

    reader: ScanReader
    names: Pseudonymizer = field(default_factory=lambda: Pseudonymizer(new_key()))
    file_cache: FileCache = field(default_factory=NoFileCache)
    identities: Identities | None = None
    shift_dates: bool = False
    progress: Progress = no_progress
    warn: Callable[[str], None] = _ignore
    vocabulary: Vocabulary | None = None

    @cached_property
    def patients(self) -> Identities:
        """Assignment of studies to patients."""
        return self.identities or TransientIdentities(self.names)


class Source(Protocol):
    """A source of cases.

    Attributes
    ----------
    format : str
        Its name in :data:`medembed.sources.SOURCES`.
    """

    format: str

    def read(self, context: SourceContext) -> Iterator[Case | Refusal]:
        """Yield cases, and refusals of files, rows or cases, as they come.

        Raises
        ------
        SourceError
            If the source cannot be read at all.
        """
