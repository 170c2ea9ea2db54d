"""The vectors that queries are compared with: of the cases' scans, of their notes, or of both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import FingerprintError
from medembed.index import CaseIndex, LibraryIndex

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.lookup.query import Against

__all__ = ["Galleries", "Gallery", "allowed_rows", "eligible_in"]

Floats = npt.NDArray[np.float32]

_OPPOSED = 1e-3


@dataclass(frozen=True, eq=False)
class Gallery:
    """The cases that a query is compared with, by one kind of vector.

    Parameters
    ----------
    against : {"scans", "notes", "both"}
    index : CaseIndex
    revision : str
        Of the library's vectors.
    """

    against: Against
    index: CaseIndex
    revision: str


class Galleries:
    """The galleries of one library and model; each is made when it is first searched.

    Parameters
    ----------
    library : CaseLibrary
    fingerprint : str
        Of the model.
    """

    def __init__(self, library: CaseLibrary, fingerprint: str) -> None:
        self._library = library
        self._fingerprint = fingerprint
        self._kept: dict[Against, Gallery] = {}
        self._lock = threading.Lock()

    def of(self, scans: LibraryIndex, against: Against) -> Gallery:
        """Return a gallery for the revision of an index of scans.

        Raises
        ------
        FingerprintError
            If the library has no note vectors of the model.
        """
        if against == "scans":
            return Gallery(against, scans.index, scans.revision)
        with self._lock:
            kept = self._kept.get(against)
            if kept is None or kept.revision != scans.revision:
                notes = self._notes()
                index = notes if against == "notes" else _both(scans.index, notes)
                kept = self._kept[against] = Gallery(against, index, scans.revision)
            return kept

    def _notes(self) -> CaseIndex:
        try:
            notes = Embeddings.from_library(self._library, self._fingerprint, "note")
        except FingerprintError:
            raise FingerprintError(
                "the library has no note vectors of this model",
                where="against",
                hint="run medembed embed LIBRARY, or search against scans",
            ) from None
        return CaseIndex.build(notes, kind="exact")


def _both(scans: CaseIndex, notes: CaseIndex) -> CaseIndex:
    """Return the mean direction of each case's scan and note; the one it has, if one is missing."""
    case_ids = list(scans.case_ids)
    row_of = {name: row for row, name in enumerate(case_ids)}
    vectors = [scans.vectors]
    common = [(at, row_of[name]) for at, name in enumerate(notes.case_ids) if name in row_of]
    alone = [at for at, name in enumerate(notes.case_ids) if name not in row_of]
    mixed = scans.vectors.copy()
    for start in range(0, len(common), 4096):
        at, rows = np.array(common[start : start + 4096]).T
        total = mixed[rows] + notes.vectors[at]
        whole = np.linalg.norm(total, axis=1) > _OPPOSED  # opposite vectors have no mean direction
        mixed[rows[whole]] = unit_rows(total[whole])
    vectors = [mixed, notes.vectors[alone]]
    names = case_ids + [notes.case_ids[at] for at in alone]
    return CaseIndex.build(np.concatenate(vectors), names, kind="exact")


def allowed_rows(
    gallery: Gallery, matching: npt.NDArray[np.bool_] | None, excluded: set[str]
) -> npt.NDArray[np.bool_] | None:
    """Return which rows of a gallery may be hits: matching and not excluded; None for all."""
    if matching is None and not excluded:
        return None
    allowed = np.ones(len(gallery.index), dtype=bool) if matching is None else matching
    allowed &= ~gallery.index.mask(excluded)
    return allowed


def eligible_in(
    gallery: Gallery, allowed: npt.NDArray[np.bool_] | None
) -> Callable[[Sequence[str]], set[str]]:
    """Return what tells which of some cases may be hits."""

    def eligible(case_ids: Sequence[str]) -> set[str]:
        at = gallery.index.positions_of(case_ids)
        is_one = at >= 0 if allowed is None else (at >= 0) & allowed[at]
        return {name for name, one in zip(case_ids, is_one.tolist(), strict=True) if one}

    return eligible
