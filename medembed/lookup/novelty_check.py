"""Is there anything like the query in the library? A conformal test for each kind of query."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medembed.errors import ScanError
from medembed.library.statements import words_in_reports
from medembed.lookup.conformal import ALPHA, combined, p_value
from medembed.lookup.image_novelty import (
    NEIGHBORS,
    THUMBNAIL,
    Thumbnails,
    image_scores,
    thumbnail,
)
from medembed.lookup.messages import Novelty, NoveltyReason, novelty_line
from medembed.lookup.novelty_calibration import (
    IMAGE,
    NoveltyCalibration,
    calibration_folder,
)
from medembed.lookup.word_novelty import FEWEST_WORDS, REPORT, WordRarity, class_of, words_of
from medembed.model.pixel_cache import PixelCache

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.lookup.query import Part, Query
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
    """

    state: Novelty = Novelty.CANNOT_TELL
    reason: NoveltyReason = NoveltyReason.NONE
    p_value: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    is_stale: bool = False

    def __str__(self) -> str:
        return novelty_line(self.state, self.reason, self.p_value, self.is_stale)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "state": self.state,
            "reason": self.reason,
            "p_value": None if self.p_value is None else round(self.p_value, 6),
            "alpha": ALPHA,
            "parts": {kind: round(value, 6) for kind, value in self.parts.items()},
            "stale": self.is_stale,
        }


class NoveltyCheck:
    """Judges queries to one library by its last calibration; never calibrates by itself.

    Can be used from several threads.

    Parameters
    ----------
    library : CaseLibrary
    read : callable
        Reads the scan of some files.
    """

    def __init__(self, library: CaseLibrary, read: Callable[[tuple[Path, ...]], Scan]) -> None:
        self._library = library
        self._read = read
        self._rarity = WordRarity(library)
        self._held: tuple[object, NoveltyCalibration, PixelCache | None] | None = None
        self._lock = threading.Lock()

    @property
    def calibration(self) -> NoveltyCalibration:
        """The last calibration, read again if its file has been replaced."""
        return self._current()[0]

    def _current(self) -> tuple[NoveltyCalibration, PixelCache | None]:
        try:
            stat = (calibration_folder(self._library) / "index.json").stat()
            stamp: object = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            stamp = None
        with self._lock:
            if self._held is None or self._held[0] != stamp:
                made = NoveltyCalibration.load(self._library)
                cache = PixelCache(self._library.path / "cache", THUMBNAIL) if stamp else None
                self._held = stamp, made, cache
            return self._held[1], self._held[2]

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
        """
        made, cache = self._current()
        parts: dict[str, float] = {}
        reasons: list[NoveltyReason] = []
        for part in query.inputs:
            if not query.weights[part.name]:
                continue
            kind: str = part.kind
            value: float | NoveltyReason = NoveltyReason.VECTOR
            if part.kind == "text":
                kind, value = self._text_part(part.text, made)
            elif part.kind != "vector":
                value = self._image_part(part, scans.get(part.name), made, cache, own_patients)
            if isinstance(value, NoveltyReason):
                reasons.append(value)
            else:
                parts[kind if kind not in parts else f"{kind} ({part.name})"] = value
        if not parts and not reasons:
            reasons.append(NoveltyReason.MARKS)
        is_stale = abs(n_cases - made.n_cases) > _STALE_SHARE * made.n_cases > 0
        return _answer(parts, reasons, is_stale)

    def _text_part(self, text: str, made: NoveltyCalibration) -> tuple[str, float | NoveltyReason]:
        words = words_of(text)
        if not words:
            return "", NoveltyReason.NO_WORDS
        is_report = len(text.split()) >= max(made.fewest_words, FEWEST_WORDS)
        kind = REPORT if is_report else class_of(len(words))
        if not made.is_enough(kind):
            return kind, _why_not(made)
        score = self._rarity.score(words, self._library.n_notes())
        return kind, p_value(made.scores[kind], score)

    def _image_part(
        self,
        part: Part,
        scan: Scan | None,
        made: NoveltyCalibration,
        cache: PixelCache | None,
        own_patients: Collection[str],
    ) -> float | NoveltyReason:
        if not made.is_enough(IMAGE):
            return _why_not(made)
        reference = made.reference_without(self._library, own_patients)
        if len(reference) < NEIGHBORS:
            return NoveltyReason.NO_OTHER_PATIENTS
        try:
            if part.kind == "case":
                image = self._of_case(self._library.case(part.case), cache)
            elif scan is not None:
                image = thumbnail(scan)
            else:
                return NoveltyReason.UNREADABLE
        except ScanError:
            return NoveltyReason.UNREADABLE
        return p_value(made.scores[IMAGE], float(image_scores(image[None], reference)[0]))

    def _of_case(self, case: Case, cache: PixelCache | None) -> Thumbnails:
        """Return the thumbnail of a case's first scan; ScanError if it cannot be read."""
        if not case.scans:
            raise ScanError("the case has no image")
        ref = case.scans[0]
        if cache is not None and ref in cache:
            row = cache.span(ref)[0]
            kept: Thumbnails = cache.rows(np.array([row])).reshape(-1).astype(np.uint8)
            return kept
        scan = self._read(self._library.scan_files(case)[0])
        return thumbnail(ref.declared(scan))


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
