"""What every export of a review session is made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluation.reader_study import ReviewMeasures, measure_review
from medembed.reviews import Mark, Reading, ReviewCase, ReviewSession, ReviewStore, SessionState

if TYPE_CHECKING:
    from PIL import Image

    from medembed.cases import Case
    from medembed.library import CaseLibrary

__all__ = ["CaseEntry", "PictureOf", "ReviewDocument", "gather", "visible_cases"]

PictureOf = Callable[["Case"], "Image.Image | None"]
"""Gives the picture of a case, None if it cannot be read."""


@dataclass(frozen=True)
class CaseEntry:
    """A case of a session with what was read.

    Parameters
    ----------
    place : ReviewCase
        Its position and the query that led to it.
    case : Case
    readings : tuple of Reading
        Those whose first impression no longer changes.
    """

    place: ReviewCase
    case: Case
    readings: tuple[Reading, ...]

    def has(self, mark: Mark) -> bool:
        """Whether any reader has given it this mark."""
        return any(mark in reading.marks for reading in self.readings)


@dataclass(frozen=True)
class ReviewDocument:
    """A session, its cases, and its measures.

    Parameters
    ----------
    session : ReviewSession
    entries : tuple of CaseEntry
    measures : ReviewMeasures
        Of the same cases.
    with_reports : bool
        Whether exports hold the cases' reports, which may name the patient.
    """

    session: ReviewSession
    entries: tuple[CaseEntry, ...]
    measures: ReviewMeasures
    with_reports: bool = False

    def marked(self, mark: Mark) -> ReviewDocument:
        """Return the document of the cases with this mark only."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.has(mark)))


def visible_cases(
    session: ReviewSession, readings: Iterable[Reading], reader: str
) -> frozenset[str]:
    """Return the cases of which a reader may see what others wrote, and the report.

    Those that this reader has finished; all, once the session is closed.
    """
    if session.state is SessionState.CLOSED:
        return frozenset(session.case_ids)
    return frozenset(r.case_id for r in readings if r.reader == reader and r.is_finished)


def gather(
    library: CaseLibrary,
    link: str,
    only: Collection[str] | None = None,
    *,
    with_reports: bool = False,
) -> ReviewDocument:
    """Collect a session with its cases and readings.

    Parameters
    ----------
    library : CaseLibrary
    link : str
        Of the session.
    only : collection of str, optional
        Ids of the cases to include.
    with_reports : bool

    Raises
    ------
    ReviewError
        If there is no such session.
    """
    store = ReviewStore(library)
    session = store.session(link)
    wanted = set(session.case_ids if only is None else only)
    readings = [r for r in store.readings(link) if r.case_id in wanted and not r.state.is_blind]
    places = {case.case_id: case for case in session.cases if case.case_id in wanted}
    cases = list(library.select(list(places)))
    entries = tuple(
        CaseEntry(
            places[case.case_id],
            case,
            tuple(reading for reading in readings if reading.case_id == case.case_id),
        )
        for case in cases
    )
    measures = measure_review(readings, {case.case_id: case.patient_id for case in cases})
    return ReviewDocument(session, entries, measures, with_reports)
