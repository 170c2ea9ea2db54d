"""A source into a library: what is new is added, what is refused is said, the rest stays."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medembed.cases import Case
from medembed.errors import LibraryError
from medembed.library.file_cache import LibraryJournal
from medembed.library.identities import LibraryIdentities
from medembed.library.library import CaseLibrary, Progress
from medembed.library.vocabulary import foreign_remarks, settle_vocabulary
from medembed.notes import Vocabulary
from medembed.privacy.private_files import replace_private
from medembed.scans import ScanReader
from medembed.sources import Reading, Refusal, Source

__all__ = ["REFUSALS_NAME", "IngestReport", "ingest", "write_refusals"]

REFUSALS_NAME = "ingest-refusals.csv"

_BATCH = 64
_DATES = {False: "as in the source", True: "shifted"}
_MOST_WORKERS = 8


@dataclass(frozen=True)
class IngestReport:
    """What became of a source.

    Parameters
    ----------
    added, unchanged, replaced : int
        Cases.
    refusals : tuple of Refusal
        Files, rows and cases that were not taken.
    remarks : tuple of str
        What was noticed besides.
    """

    added: int = 0
    unchanged: int = 0
    replaced: int = 0
    refusals: tuple[Refusal, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def refused_by_code(self) -> dict[str, int]:
        """Count the refusals by code, most frequent first."""
        return dict(Counter(refusal.code for refusal in self.refusals).most_common())

    def __add__(self, other: IngestReport) -> IngestReport:
        return IngestReport(
            self.added + other.added,
            self.unchanged + other.unchanged,
            self.replaced + other.replaced,
            self.refusals + other.refusals,
            self.remarks + other.remarks,
        )


def ingest(
    library: CaseLibrary,
    source: Source,
    *,
    replace: bool = False,
    shift_dates: bool = False,
    reader: ScanReader | None = None,
    progress: Progress | None = None,
    vocabulary: Vocabulary | None = None,
) -> IngestReport:
    """Add the cases of a source.

    May be stopped at any point and called again: cases that were added are there, and files that
    were looked at are not decoded again while their size and time of change stay.

    Parameters
    ----------
    library : CaseLibrary
    source : Source
    replace : bool
        Whether a case with changed content takes the place of the old one.
    shift_dates : bool
        Whether dates are moved by each patient's own shift. A library holds to what its first
        ingest did.
    reader : ScanReader, optional
        Decodes the files; by default one with a worker for each processor, up to 8.
    progress : callable, optional
        Called with (steps done, steps in all or None); a step is one look at a file or a row.
    vocabulary : Vocabulary, optional
        What reports are read for, by default the library's own. A library holds to what its first
        ingest did.

    Raises
    ------
    LibraryError
        Where the library's dates are kept the other way, or its vocabulary is another.
    SourceError
        Where the source as a whole cannot be read.
    """
    words = settle_vocabulary(library, vocabulary)
    _settle_dates(library, shift_dates)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = _Gathering(library, replace, words.language)
    with ExitStack() as stack:
        if reader is None:
            workers = min(os.cpu_count() or 1, _MOST_WORKERS)
            reader = stack.enter_context(ScanReader(workers=workers))
        reading = Reading(
            reader,
            library.pseudonymiser,
            LibraryJournal(library.database, library.pseudonymiser),
            LibraryIdentities(library.database, library.pseudonymiser),
            shift_dates,
            progress or _no_progress,
            report.remarks.append,
            vocabulary=words,
        )
        for outcome in source.read(reading):
            report.take(outcome)
        report.flush()
    done = report.report()
    with library.database.write() as db:
        db.execute(
            "INSERT INTO ingests (started, finished, source, added, unchanged, refused) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                started,
                datetime.now(UTC).isoformat(timespec="seconds"),
                source.format,
                done.added + done.replaced,
                done.unchanged,
                len(done.refusals),
            ),
        )
    return done


class _Gathering:
    """Collects outcomes and adds cases a batch at a time."""

    def __init__(self, library: CaseLibrary, replace: bool, language: str) -> None:
        self._library = library
        self._language = language
        self._foreign: Counter[str] = Counter()
        self._replace = replace
        self._waiting: list[Case] = []
        self._refusals: list[Refusal] = []
        self._total = IngestReport()
        self.remarks: list[str] = []

    def take(self, outcome: Case | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self._refusals.append(outcome)
            return
        if outcome.note and outcome.note.language not in ("", self._language):
            self._foreign[outcome.note.language] += 1
        self._waiting.append(outcome)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        added = self._library.add(self._waiting, replace=self._replace)
        self._waiting = []
        self._refusals.extend(added.refusals)
        self._total += IngestReport(added.added, added.unchanged, added.replaced)

    def report(self) -> IngestReport:
        crossing = self._library.pictures_in_several_splits()
        if crossing:
            self.remarks.append(
                f"{crossing} pictures of this library stand under patients of different splits; "
                "a common group_id keeps them in one"
            )
        remarks = (*self.remarks, *foreign_remarks(self._foreign, self._language))
        return self._total + IngestReport(refusals=tuple(self._refusals), remarks=remarks)


def _settle_dates(library: CaseLibrary, shift_dates: bool) -> None:
    wanted = _DATES[shift_dates]
    kept = library.get_meta("dates")
    if kept is None or (kept != wanted and len(library) == 0):
        library.set_meta("dates", wanted)
    elif kept != wanted:
        raise LibraryError(
            f"this library's dates are {kept}",
            where=library.path.name,
            hint="ingest with --shift-dates"
            if wanted == _DATES[False]
            else "ingest without --shift-dates, or into a new library",
        )


def write_refusals(library: CaseLibrary, refusals: Sequence[Refusal]) -> Path | None:
    """Write the refusals of the last ingest beside the library, all of them.

    Returns
    -------
    Path or None
        None where there are none; an older file is removed then.
    """
    path = library.path / REFUSALS_NAME
    if not refusals:
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("where", "code", "reason"))
    writer.writerows(_cells(refusals))
    with replace_private(path) as file:
        file.write(text.getvalue().encode("utf-8", "replace"))
    return path


def _cells(refusals: Iterable[Refusal]) -> Iterable[tuple[str, ...]]:
    for refusal in refusals:
        cells = (refusal.where, refusal.code, refusal.reason)
        # a spreadsheet runs what starts like a formula, and file names are anybody's
        yield tuple(f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell for cell in cells)


def _no_progress(done: int, total: int | None) -> None:
    del done, total
