"""Is there anything like the query in the library? A conformal test for each kind of query."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from medembed.errors import ScanError
from medembed.library import library_vocabulary
from medembed.library.statements import words_in_reports
from medembed.lookup.conformal import ALPHA, combined, p_value
from medembed.lookup.image_novelty import NEIGHBORS, image_scores, thumbnail
from medembed.lookup.messages import Novelty, NoveltyReason, novelty_line
from medembed.lookup.novelty_calibration import (
    IMAGE,
    NoveltyCalibration,
    calibration_folder,
)
from medembed.lookup.word_novelty import (
    FEWEST_WORDS,
    REPORT,
    WordRarity,
    class_of,
    stated_words,
    words_of,
)
from medembed.notes import Note, read_note

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.lookup.query import Query
    from medembed.scans import Scan

__all__ = ["NoveltyAnswer", "NoveltyCheck"]

_STALE_SHARE = 0.1


@dataclass(frozen=True)
class NoveltyAnswer:
    """Answer of the novelty check.

    Parameters
    ----------
    state : Novelty
    reason : NoveltyReason
        Why :attr:`Novelty.CANNOT_TELL`; NONE for the other answers.
    p_value : float or None
        Share of the library's own queries of this kind that are at least as strange; None if no
        part of the query could be judged.
    parts : mapping of str to float
        The p-value of each part by kind: ``"image"``, ``"report"``, ``"2 words"``; if there are
        several of a kind, with the name of the part: ``"image (image2)"``.
    is_stale : bool
        Whether the library has grown or shrunk by more than a tenth since the calibration.
    instead : tuple of str
        Findings that reports state where the query has words that none of them uses.
    """

    state: Novelty = Novelty.CANNOT_TELL
    reason: NoveltyReason = NoveltyReason.NONE
    p_value: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    is_stale: bool = False
    instead: tuple[str, ...] = ()

    def __str__(self) -> str:
        return novelty_line(self.state, self.reason, self.p_value, self.is_stale, self.instead)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "state": self.state,
            "reason": self.reason,
            "p_value": None if self.p_value is None else round(self.p_value, 6),
            "alpha": ALPHA,
            "parts": {kind: round(value, 6) for kind, value in self.parts.items()},
            "stale": self.is_stale,
            "instead": list(self.instead),
        }


class NoveltyCheck:
    """Judges queries to one library by its last calibration; never calibrates by itself.

    Opens no image file. Can be used from several threads.

    Parameters
    ----------
    library : CaseLibrary
    """

    def __init__(self, library: CaseLibrary) -> None:
        self._library = library
        self._rarity = WordRarity(library)
        self._held: tuple[object, NoveltyCalibration] | None = None
        self._lock = threading.Lock()

    @property
    def calibration(self) -> NoveltyCalibration:
        """The last calibration, read again if its file has been replaced."""
        try:
            stat = (calibration_folder(self._library) / "index.json").stat()
            stamp: object = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            stamp = None
        with self._lock:
            if self._held is None or self._held[0] != stamp:
                self._held = stamp, NoveltyCalibration.load(self._library)
            return self._held[1]

    def knows_words(self, text: str) -> bool:
        """Return whether at least half of a text's words occur in the library's reports.

        Parameters
        ----------
        text : str
            False if it has no words.
        """
        words = words_of(text)
        return 2 * len(words_in_reports(self._library, words)) >= max(len(words), 1)

    def judge(
        self,
        query: Query,
        scans: Mapping[str, Scan],
        own_patients: Collection[str],
        n_cases: int,
        notes: Mapping[str, Note] | None = None,
    ) -> NoveltyAnswer:
        """Judge a query, whatever its conditions and the model.

        Each part of a weight above 0 is judged by itself. Cases that are marked as like or unlike
        are of the library and say nothing about what it lacks; a query of nothing else cannot be
        judged.

        Parameters
        ----------
        query : Query
        scans : mapping of str to Scan
            The images of the query, as read, by the name of the part.
        own_patients : collection of str
            Patients that the query belongs to; they are not compared with.
        n_cases : int
            Cases in the library now.
        notes : mapping of str to Note, optional
            The texts of the query, by the name of the part, if they have been parsed with the
            library's vocabulary.
        """
        made = self.calibration
        parts: dict[str, float] = {}
        reasons: list[NoveltyReason] = []
        instead: dict[str, None] = {}
        for part in query.inputs:
            if not query.weights[part.name]:
                continue
            kind: str = part.kind
            value: float | NoveltyReason = NoveltyReason.VECTOR
            if part.kind == "text":
                note = notes.get(part.name) if notes else None
                kind, value, other = self._text_part(part.text, note, made)
                instead |= dict.fromkeys(other)
            elif part.kind == "case":
                value = self._case_part(part.case, made)
            elif part.kind == "image":
                value = self._image_part(scans.get(part.name), made, own_patients)
            if isinstance(value, NoveltyReason):
                reasons.append(value)
            else:
                parts[kind if kind not in parts else f"{kind} ({part.name})"] = value
        if not parts and not reasons:
            reasons.append(NoveltyReason.MARKS)
        is_stale = abs(n_cases - made.n_cases) > _STALE_SHARE * made.n_cases > 0
        return replace(_answer(parts, reasons, is_stale), instead=tuple(instead))

    def _text_part(
        self, text: str, note: Note | None, made: NoveltyCalibration
    ) -> tuple[str, float | NoveltyReason, tuple[str, ...]]:
        """Return kind and p-value of a text, and the findings that reports state in its place."""
        words = words_of(text)
        if not words:
            return "", NoveltyReason.NO_WORDS, ()
        is_report = len(text.split()) >= max(made.fewest_words, FEWEST_WORDS)
        kind = REPORT if is_report else class_of(len(words))
        if not made.is_enough(kind):
            return kind, _why_not(made), ()
        note = note or read_note(text, library_vocabulary(self._library))
        stated = stated_words(note, made.stated)
        score = self._rarity.score(words, self._library.n_notes(), stated=stated)
        unused = set(stated) - words_in_reports(self._library, stated)
        instead = dict.fromkeys(label for word in words if word in unused for label in stated[word])
        return kind, p_value(made.scores[kind], score), tuple(instead)

    def _case_part(self, case_id: str, made: NoveltyCalibration) -> float | NoveltyReason:
        """Look up the score of a case of the library, which was made without its own patient."""
        if not made.is_enough(IMAGE):
            return _why_not(made)
        case = self._library.case(case_id)
        score = None
        if case.scans:
            score = made.cases.of(self._library.key, case_id, case.scans[0])
        return NoveltyReason.UNREADABLE if score is None else p_value(made.scores[IMAGE], score)

    def _image_part(
        self, scan: Scan | None, made: NoveltyCalibration, own_patients: Collection[str]
    ) -> float | NoveltyReason:
        if not made.is_enough(IMAGE):
            return _why_not(made)
        reference = made.reference_without(self._library, own_patients)
        if len(reference) < NEIGHBORS:
            return NoveltyReason.NO_OTHER_PATIENTS
        if scan is None:
            return NoveltyReason.UNREADABLE
        try:
            image = thumbnail(scan)
        except ScanError:
            return NoveltyReason.UNREADABLE
        return p_value(made.scores[IMAGE], float(image_scores(image[None], reference)[0]))


def _why_not(made: NoveltyCalibration) -> NoveltyReason:
    return NoveltyReason.FEW_CASES if made.n_cases else NoveltyReason.NOT_CALIBRATED


def _answer(
    parts: Mapping[str, float], reasons: Sequence[NoveltyReason], is_stale: bool
) -> NoveltyAnswer:
    """Combine the parts: one strange part is enough, but like is said only if all were judged."""
    overall = combined([*parts.values()]) if parts else None
    if overall is not None and overall <= ALPHA:
        return NoveltyAnswer(Novelty.UNLIKE, NoveltyReason.NONE, overall, parts, is_stale)
    if reasons:
        return NoveltyAnswer(Novelty.CANNOT_TELL, reasons[0], overall, parts, is_stale)
    return NoveltyAnswer(Novelty.LIKE, NoveltyReason.NONE, overall, parts, is_stale)
