"""Write a model's vectors into a library, for the cases that lack them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medembed.errors import ModelError, ScanError
from medembed.model.notes import note_text
from medembed.model.pixels import PixelCache, read_pixels, reason_of

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["EmbedReport", "embed_library", "find_model"]

Progress = Callable[[int, int | None], None]
_CHUNK = 128


@dataclass(frozen=True)
class EmbedReport:
    """What :func:`embed_library` did.

    Parameters
    ----------
    fingerprint : str
    images, notes : int
        Vectors written.
    refused : dict of str to int
        Cases without an image vector because none of their scans can be read, by reason.
    unread_scans : int
        Scans that could not be read; where a case has others, those stand for it.
    """

    fingerprint: str
    images: int
    notes: int
    refused: dict[str, int] = field(default_factory=dict)
    unread_scans: int = 0

    def to_json(self) -> dict[str, Any]:
        """Everything under its name."""
        return asdict(self)


def find_model(library: CaseLibrary, name: str | None = None) -> Path:
    """Folder of a model: by its name in the library, a path, or the active one.

    Raises
    ------
    ModelError
        Where there is none.
    """
    chosen = name or library.active_model
    if not chosen:
        raise ModelError(
            "the library has no model yet", hint="medembed train LIBRARY --config starter"
        )
    for folder in (library.path / "models" / chosen, Path(chosen)):
        if (folder / "model.json").is_file():
            return folder
    raise ModelError(f"no model is called {Path(chosen).name!r}", hint="medembed show LIBRARY")


def embed_library(
    library: CaseLibrary,
    model: DualEncoder,
    progress: Progress | None = None,
    *,
    workers: int = 0,
) -> EmbedReport:
    """Encode scans and notes of the cases that have no vector of this model yet.

    Written in chunks: what was done before an interruption stays done. A case of several scans
    gets the mean of their unit vectors, scaled to norm 1.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
    progress : callable, optional
        Called with (vectors done, vectors to do).
    workers : int
        Processes that decode; 0 takes one for each core.
    """
    fingerprint = model.fingerprint
    for_image = library.missing_vectors(fingerprint, "image")
    for_note = library.missing_vectors(fingerprint, "note")
    total = len(for_image) + len(for_note)
    cache = PixelCache(library.path / "cache", model.preprocess)
    n_images = n_notes = done = unread = 0
    refused: dict[str, int] = {}
    for start in range(0, len(for_image), _CHUNK):
        ids = for_image[start : start + _CHUNK]
        read, reasons, missed = _chunk_of_pixels(library, ids, model, cache, workers)
        unread += missed
        for reason in reasons:
            refused[reason] = refused.get(reason, 0) + 1
        if read:
            owners = [case_id for case_id, _ in read]
            vectors = model.encode_pixels([pixels for _, pixels in read], scans=owners)
            written = list(dict.fromkeys(owners))
            library.put_vectors(fingerprint, "image", written, vectors)
            n_images += len(written)
        done += len(ids)
        if progress:
            progress(done, total)
    for start in range(0, len(for_note), _CHUNK):
        ids = for_note[start : start + _CHUNK]
        noted = [case for case in library.select(ids) if case.note]
        texts = [note_text(case.note) for case in noted if case.note]
        if texts:
            vectors = model.encode_notes(texts)
            library.put_vectors(fingerprint, "note", [c.case_id for c in noted], vectors)
            n_notes += len(texts)
        done += len(ids)
        if progress:
            progress(done, total)
    return EmbedReport(fingerprint, n_images, n_notes, refused, unread)


def _chunk_of_pixels(
    library: CaseLibrary,
    ids: Sequence[str],
    model: DualEncoder,
    cache: PixelCache,
    workers: int,
) -> tuple[list[tuple[str, np.ndarray]], list[str], int]:
    """Pixels of each readable scan with its case, reasons of cases without any, scans unread."""
    cases: list[Case] = list(library.select(ids))
    wanted = [(case, at) for case in cases for at in range(len(case.scans))]
    missing = [(case, at) for case, at in wanted if case.scans[at] not in cache]
    fresh = iter(read_pixels(library, missing, model.preprocess, workers))
    read: list[tuple[str, np.ndarray]] = []
    reasons: dict[str, str] = {}
    unread = 0
    for case, at in wanted:
        ref = case.scans[at]
        if ref in cache:
            first, count = cache.span(ref)
            read.append((case.case_id, cache.rows(slice(first, first + count))))
            continue
        pixels = next(fresh)
        if isinstance(pixels, ScanError):
            unread += 1
            reasons[case.case_id] = reason_of(pixels)
        else:
            read.append((case.case_id, pixels))
    seen = {case_id for case_id, _ in read}
    return read, [why for case_id, why in reasons.items() if case_id not in seen], unread
