"""Ingest a source into a library: add new cases, report refused files, keep the rest."""

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
from medembed.counted import counted_line
from medembed.errors import LibraryError
from medembed.library.file_cache import LibraryFileCache
from medembed.library.identities import LibraryIdentities
from medembed.library.library import CaseLibrary
from medembed.library.shared_images import images_in_several_splits, images_of_several_patients
from medembed.library.vocabulary import choose_vocabulary, foreign_language_remarks
from medembed.notes import Vocabulary
from medembed.privacy.private_files import replace_private
from medembed.progress import Progress, no_progress
from medembed.scans import ScanReader
from medembed.sources import Refusal, Source, SourceContext

__all__ = ["REFUSALS_NAME", "IngestReport", "ingest", "write_refusals"]

REFUSALS_NAME = "ingest-refusals.csv"

_BATCH = 64
_DATES = {False: "as in the source", True: "shifted"}
_MOST_WORKERS = 8
_SEVERAL = 10  # cases of one patient alone that may come from a placeholder for all


@dataclass(frozen=True)
class IngestReport:
    """Outcome of an ingest.

    Parameters
    ----------
    added, unchanged, replaced : int
        Numbers of cases.
    refusals : tuple of Refusal
        Files, rows and cases that were not added.
    remarks : tuple of str
        Further observations for the user.
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

    It can be interrupted and called again: added cases stay, and files that were read are not
    decoded again unless their size or modification time changes.

    Parameters
    ----------
    library : CaseLibrary
    source : Source
    replace : bool
        Overwrite cases whose content changed.
    shift_dates : bool
        Shift each patient's dates by a secret, patient-specific offset. The first ingest decides
        it for the library.
    reader : ScanReader, optional
        Decodes the files. Default: a reader with one worker per processor, at most 8.
    progress : callable, optional
        Called with (steps done, total or None); a step is one pass over a file or a row.
    vocabulary : Vocabulary, optional
        Vocabulary to read reports with. Default: the library's own. The first ingest decides it
        for the library.

    Raises
    ------
    LibraryError
        If ``shift_dates`` or ``vocabulary`` differs from the library's first ingest.
    SourceError
        If the source cannot be read at all.
    """
    words = choose_vocabulary(library, vocabulary)
    _check_date_policy(library, shift_dates)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = _IngestBatch(library, replace, words.language)
    with ExitStack() as stack:
        if reader is None:
            workers = min(os.cpu_count() or 1, _MOST_WORKERS)
            reader = stack.enter_context(ScanReader(workers=workers))
        context = SourceContext(
            reader,
            library.pseudonymizer,
            LibraryFileCache(library.database, library.pseudonymizer),
            LibraryIdentities(library.database, library.pseudonymizer),
            shift_dates,
            progress or no_progress,
            report.remarks.append,
            vocabulary=words,
        )
        for outcome in source.read(context):
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


class _IngestBatch:
    """Collects outcomes and adds cases a batch at a time."""

    def __init__(self, library: CaseLibrary, replace: bool, language: str) -> None:
        self._library = library
        self._language = language
        self._foreign: Counter[str] = Counter()
        self._replace = replace
        self._n_cases = 0
        self._patients: set[str] = set()
        self._waiting: list[Case] = []
        self._refusals: list[Refusal] = []
        self._total = IngestReport()
        self.remarks: list[str] = []

    def take(self, outcome: Case | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self._refusals.append(outcome)
            return
        self._n_cases += 1
        if len(self._patients) < 2:
            self._patients.add(outcome.patient_id)
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
        shared = images_of_several_patients(self._library)
        if shared:
            n_images, where = (
                sum(shared.values()),
                ", ".join(f"{count} in {split}" for split, count in sorted(shared.items())),
            )
            images = counted_line(
                n_images,
                "[image of several patients is|images of several patients are] in the library",
            )
            self.remarks.append(f"{images}, each in one split: {where}")
        if len(self._patients) == 1 and self._n_cases >= _SEVERAL:
            self.remarks.append(
                f"all {self._n_cases} cases have the same patient_id, so they stay in one split "
                "and never answer each other; a placeholder must not stand for all patients"
            )
        crossing = images_in_several_splits(self._library)
        if crossing:
            self.remarks.append(
                counted_line(
                    crossing,
                    "[image is|images are] in different splits, added by an earlier version; "
                    "ingest into a new library to keep each in one split",
                )
            )
        remarks = (*self.remarks, *foreign_language_remarks(self._foreign, self._language))
        return self._total + IngestReport(refusals=tuple(self._refusals), remarks=remarks)


def _check_date_policy(library: CaseLibrary, shift_dates: bool) -> None:
    wanted = _DATES[shift_dates]
    kept = library.get_meta("dates")
    if kept is None or (kept != wanted and len(library) == 0):
        library.set_meta("dates", wanted)
    elif kept != wanted:
        raise LibraryError(
            f"dates in this library are {kept}",
            where=library.path.name,
            hint="ingest with --shift-dates"
            if wanted == _DATES[False]
            else "ingest without --shift-dates, or into a new library",
        )


def write_refusals(library: CaseLibrary, refusals: Sequence[Refusal]) -> Path | None:
    """Write all refusals of the last ingest to a file in the library's folder.

    Returns
    -------
    Path or None
        None if there are none; an older file is removed then.
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
        # a spreadsheet executes cells that start like a formula, and anyone can name a file
        yield tuple(f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell for cell in cells)
