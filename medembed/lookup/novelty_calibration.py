"""The calibration of the novelty check: made when a library changes, read by every search.

A sample of patients, chosen by a keyed hash so that it does not depend on the order of adding,
gives one case each. New patients displace at most as many of the sample as they are. The images of
all cases are kept at 16 × 16 pixels, so that an update decodes those of new cases only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError, LibraryError
from medembed.index.library_index import NOVELTY_FOLDER
from medembed.index.sealed_files import read_sealed, write_sealed
from medembed.library import library_vocabulary
from medembed.library.locks import writer_lock
from medembed.library.statements import affirmed_counts
from medembed.lookup.case_scores import CaseScores, digest, keep_thumbnails, score_cases
from medembed.lookup.conformal import FEWEST
from medembed.lookup.image_novelty import (
    EDGE,
    NEIGHBORS,
    Thumbnails,
    image_scores,
    thumbnail_settings,
)
from medembed.lookup.word_novelty import (
    REPORT,
    WORD_CLASSES,
    WordRarity,
    stated_words,
    tokens_of,
    words_of,
)
from medembed.notes import read_note

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.model.pixel_cache import PixelCache
    from medembed.notes import Note
    from medembed.progress import Progress

__all__ = ["IMAGE", "NoveltyCalibration", "calibrate_novelty", "calibration_folder"]

IMAGE = "image"

MOST_PATIENTS = 1500
"""A third of them are the reference of images, the others calibrate."""

_FORMAT = 2
_QUANTILE_OF_LENGTHS = 0.05
_PATIENCE_SECONDS = 60.0

Scores = npt.NDArray[np.float64]


def _no_images() -> Thumbnails:
    return np.empty((0, EDGE * EDGE), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class NoveltyCalibration:
    """Scores of a library's own cases, one a patient, for each kind of query.

    Parameters
    ----------
    scores : mapping of str to float64 array
        By kind: ``"image"``, ``"report"``, ``"1 word"`` and so on; sorted.
    reference : uint8 array, shape ``(m, 256)``
        Thumbnails of patients that are not among those of ``scores["image"]``.
    owners : tuple of str
        Keyed hashes of the patients of the reference.
    n_cases, n_reports : int
        Of the library when it was calibrated.
    fewest_words : int
        19 in 20 of the sampled reports have at least this many words.
    cases : CaseScores
        How far each case of the library is from others, for a search by case.
    stated : mapping of str to int
        Number of reports that state each finding as present or uncertain.
    """

    scores: Mapping[str, Scores] = field(default_factory=dict)
    reference: Thumbnails = field(default_factory=_no_images, repr=False)
    owners: tuple[str, ...] = field(default=(), repr=False)
    n_cases: int = 0
    n_reports: int = 0
    fewest_words: int = 0
    cases: CaseScores = field(default_factory=CaseScores, repr=False)
    stated: Mapping[str, int] = field(default_factory=dict, repr=False)

    def is_enough(self, kind: str) -> bool:
        """Return whether a kind has enough calibration patients."""
        return len(self.scores.get(kind, ())) >= FEWEST

    def reference_without(self, library: CaseLibrary, patients: Collection[str]) -> Thumbnails:
        """Return the reference without the images of some patients."""
        hidden = {_owner(library.key, name) for name in patients}
        if hidden.isdisjoint(self.owners):
            return self.reference
        kept = np.array([owner not in hidden for owner in self.owners], dtype=bool)
        others: Thumbnails = self.reference[kept]
        return others

    def to_json(self) -> dict[str, Any]:
        """Return the number of patients by kind, and the library's size at that time."""
        return {
            "patients": {kind: len(scores) for kind, scores in self.scores.items()},
            "n_cases": self.n_cases,
            "n_reports": self.n_reports,
        }

    def save(self, library: CaseLibrary) -> None:
        """Write it into the library's folder, signed with its key."""
        folder = calibration_folder(library)
        head = {
            "format": _FORMAT,
            "scores": {kind: np.round(each, 5).tolist() for kind, each in self.scores.items()},
            "n_cases": self.n_cases,
            "n_reports": self.n_reports,
            "fewest_words": self.fewest_words,
            "owners": list(self.owners),
            "stated": dict(self.stated),
        }
        files = {
            "reference": self.reference.tobytes(),
            "case-keys": self.cases.keys.astype("<u8").tobytes(),
            "case-scores": self.cases.scores.astype("<f8").tobytes(),
        }
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock")
        with writer_lock(lock, "calibrating the novelty check", _PATIENCE_SECONDS):
            write_sealed(folder, head, files, library.key)

    @classmethod
    def load(cls, library: CaseLibrary) -> NoveltyCalibration:
        """Read the last calibration; an empty one if there is none or its files are damaged."""
        try:
            head, files = read_sealed(calibration_folder(library), library.key)
            if head["format"] != _FORMAT:
                return cls()
            rows = np.frombuffer(files["reference"], dtype=np.uint8)
            return cls(
                {str(kind): np.sort(np.array(s, float)) for kind, s in head["scores"].items()},
                rows.reshape(len(head["owners"]), _no_images().shape[1]),
                tuple(map(str, head["owners"])),
                int(head["n_cases"]),
                int(head["n_reports"]),
                int(head["fewest_words"]),
                CaseScores(
                    np.frombuffer(files["case-keys"], dtype="<u8"),
                    np.frombuffer(files["case-scores"], dtype="<f8"),
                ),
                {str(label): int(n) for label, n in head["stated"].items()},
            )
        except (InputError, OSError, KeyError, TypeError, ValueError):
            return cls()


def calibration_folder(library: CaseLibrary) -> Path:
    """Return where the calibration is kept, beside the index files."""
    return library.path / "index" / NOVELTY_FOLDER


def calibrate_novelty(
    library: CaseLibrary, *, workers: int = 0, progress: Progress | None = None
) -> NoveltyCalibration:
    """Calibrate the novelty check of a library on its own cases, and keep the result.

    Takes at most 1,500 patients, one case each. The first image of every case is decoded once and
    kept at 16 × 16 pixels, so that a later call decodes those of new cases only.

    Parameters
    ----------
    library : CaseLibrary
    workers : int
        Decoding processes; 0 means one per core.
    progress : callable, optional
        Called with (images done, images in total).

    Returns
    -------
    NoveltyCalibration
        Not written if the folder cannot be written to.
    """
    from medembed.model.pixel_cache import PixelCache  # a search needs no images

    cases_of: dict[str, list[str]] = defaultdict(list)
    for case_id, patient in library.patients().items():
        cases_of[patient].append(case_id)
    chosen = _sample(library.key, cases_of)
    one_each = list(library.select([case for _, case in chosen]))
    cache = PixelCache(library.path / "cache", thumbnail_settings())
    keep_thumbnails(library, cache, workers, progress)
    images, reference, patients = _images(library, cache, one_each, workers)
    stated = affirmed_counts(library)
    texts, fewest_words = _texts(library, one_each, cases_of, stated)
    scores = {IMAGE: images, **texts} if images.size else texts
    made = NoveltyCalibration(
        {kind: np.sort(each) for kind, each in scores.items()},
        reference,
        tuple(_owner(library.key, patient) for patient in patients),
        sum(map(len, cases_of.values())),
        library.n_notes(),
        fewest_words,
        score_cases(library, cache, reference, patients) if patients else CaseScores(),
        stated,
    )
    with suppress(OSError, LibraryError):  # read-only, or another process is calibrating
        made.save(library)
    return made


def _owner(key: bytes, patient: str) -> str:
    return digest(key, "owner", patient).hex()[:24]


def _sample(key: bytes, cases_of: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Choose patients and a case of each by their hashes."""
    patients = sorted(cases_of, key=lambda name: digest(key, name))[:MOST_PATIENTS]
    return [(p, min(cases_of[p], key=lambda case: digest(key, p, case))) for p in patients]


def _random_of(library: CaseLibrary, case: Case, kind: str) -> np.random.Generator:
    """Return random numbers that belong to a case, however the sample changes."""
    return np.random.default_rng(list(digest(library.key, case.case_id, kind)[:8]))


def _images(
    library: CaseLibrary, cache: PixelCache, cases: Sequence[Case], workers: int
) -> tuple[Scores, Thumbnails, list[str]]:
    """Return the scores of two thirds of the cases, and the others' thumbnails and patients."""
    chosen = []
    for case in cases:
        if case.scans:
            at = int(_random_of(library, case, IMAGE).integers(len(case.scans)))
            chosen.append((case, case.scans[at]))
    # In a folder that cannot be written to, the images that were decoded earlier are used.
    with suppress(OSError, LibraryError):
        cache.fill(library, [case for case, _ in chosen], workers=workers)
    chosen = [(case, ref) for case, ref in chosen if ref in cache]
    rows = [cache.span(ref)[0] for _, ref in chosen]
    if len(rows) < NEIGHBORS:
        return np.empty(0), _no_images(), []
    pixels = cache.rows(np.array(rows, dtype=np.int64)).reshape(len(rows), -1).astype(np.uint8)
    # The sample is in random order, so every third is a random third.
    is_reference = np.arange(len(pixels)) % 3 == 0
    reference = pixels[is_reference]
    if len(reference) < NEIGHBORS:
        return np.empty(0), _no_images(), []
    patients = [case.patient_id for case, _ in chosen[::3]]
    return image_scores(pixels[~is_reference], reference), reference, patients


def _texts(
    library: CaseLibrary,
    cases: Sequence[Case],
    cases_of: Mapping[str, Sequence[str]],
    stated: Mapping[str, int],
) -> tuple[dict[str, Scores], int]:
    """Return scores of whole reports and of runs of their words, and a short report's length."""
    rarity = WordRarity(library, once=True)
    vocabulary = library_vocabulary(library)
    n_reports = library.n_notes()
    scores: dict[str, list[float]] = defaultdict(list)
    lengths = []
    for case in cases:
        if case.note is None:
            continue
        words = words_of(case.note.text)
        if not words:
            continue
        own = [each.note for each in library.select(cases_of[case.patient_id]) if each.note]
        tokens = [tokens_of(note.text) for note in own]
        others = Counter(stated)
        for note in own:
            others.subtract(
                {a.label for a in note.assertions if a.status != "absent" and not a.historical}
            )

        def score(
            words: Sequence[str],
            note: Note,
            tokens: Sequence[frozenset[str]] = tokens,
            others: Mapping[str, int] = others,
        ) -> float:
            return rarity.score(words, n_reports, tokens, stated_words(note, others))

        lengths.append(len(case.note.text.split()))
        scores[REPORT].append(score(words, case.note))
        for kind, (fewest, most) in WORD_CLASSES.items():
            if len(words) >= fewest:
                rng = _random_of(library, case, kind)
                n = int(rng.integers(fewest, min(most, len(words)) + 1))
                at = int(rng.integers(len(words) - n + 1))
                run = words[at : at + n]
                scores[kind].append(score(run, read_note(" ".join(run), vocabulary)))
    fewest = int(np.quantile(lengths, _QUANTILE_OF_LENGTHS, method="lower")) if lengths else 0
    return {kind: np.array(each) for kind, each in scores.items()}, fewest
