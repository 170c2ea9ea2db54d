"""Load the cases of one split for evaluation: vectors, notes, findings, patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import codes
from evaluation.retrieval.relevance import SharedTrait
from medembed.cases import NO_FINDING
from medembed.errors import FingerprintError, LibraryError
from medembed.pairing import joined, note_key, owner_keys

if TYPE_CHECKING:
    from medembed.cases import Finding
    from medembed.library import CaseLibrary

__all__ = ["NO_FINDING", "LoadedCases", "joined", "load_cases", "same_finding"]


@dataclass(frozen=True)
class LoadedCases:
    """Cases that are ranked against each other, row by row.

    Parameters
    ----------
    images, notes : float32 arrays of shape (n, d); notes or None
        Vectors; d is 0 if the cases were loaded without a model.
    note_text : int array of shape (n,)
        Equal if notes read the same but for case and blanks; -1 without a note.
    scans : int array of shape (n,)
        Equal if cases share a scan (by the sha256 of its files and its frame).
    owners : int array of shape (n,)
        Equal if cases belong to one patient, or to one group if the source names groups: the unit
        that is resampled, and whose other cases are no hits.
    findings : tuple of tuple of Finding
        Without the labels in :data:`NO_FINDING`.
    case_ids : tuple of str
    """

    images: NDArray[np.float32]
    notes: NDArray[np.float32] | None
    note_text: NDArray[np.int64]
    scans: NDArray[np.int64]
    owners: NDArray[np.int64]
    findings: tuple[tuple[Finding, ...], ...]
    case_ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> LoadedCases:
        """The same for some of the cases."""
        return LoadedCases(
            self.images[rows],
            None if self.notes is None else self.notes[rows],
            self.note_text[rows],
            self.scans[rows],
            self.owners[rows],
            findings=tuple(self.findings[row] for row in rows.tolist()),
            case_ids=tuple(self.case_ids[row] for row in rows.tolist()),
        )


def load_cases(
    library: CaseLibrary,
    fingerprint: str | None,
    *,
    split: str = "test",
    with_notes: bool = True,
    pool: int | None = None,
    seed: int = 0,
) -> LoadedCases:
    """Read the cases of a split that have an image vector and, ``with_notes``, a note vector.

    Parameters
    ----------
    library : CaseLibrary
    fingerprint : str or None
        Model whose vectors are read; None reads all cases of the split, without vectors.
    split : {"train", "val", "test", "all"}
    pool : int, optional
        Cases to draw, patient by patient in an order drawn by ``seed``; all by default.

    Raises
    ------
    LibraryError, FingerprintError
        If the split is empty or smaller than ``pool``; if it has no vectors of this model.
    """
    names = ("train", "val", "test") if split == "all" else (split,)
    wanted = [case_id for name in names for case_id in library.split(name)]
    if not wanted:
        raise LibraryError(f"no cases in the split {split!r}", hint="see: medembed show LIBRARY")
    chosen, rows = wanted, dict[str, dict[str, int]]()
    vectors: dict[str, NDArray[np.float32]] = {}
    if fingerprint is not None:
        for kind in ("image", "note") if with_notes else ("image",):
            ids, vectors[kind] = library.vectors(fingerprint, kind)
            rows[kind] = {case_id: row for row, case_id in enumerate(ids)}
        chosen = [i for i in wanted if all(i in row for row in rows.values())]
    if not chosen:
        what = "image and note vectors" if with_notes else "image vectors"
        raise FingerprintError(
            f"none of the {len(wanted)} cases of the split {split!r} has {what} of this model",
            hint="run: medembed embed LIBRARY",
        )
    if pool is not None:
        chosen = _draw(library, chosen, pool, seed)
    cases = list(library.select(chosen))
    taken = {
        kind: np.asarray(vectors[kind][[row[c.case_id] for c in cases]], dtype=np.float32)
        for kind, row in rows.items()
    }
    texts = [note_key(c.note.text) if c.note else "" for c in cases]
    return LoadedCases(
        images=taken.get("image", np.empty((len(cases), 0), dtype=np.float32)),
        notes=taken.get("note"),
        note_text=codes(texts),
        scans=joined([[f"{s.sha256}:{s.frame}" for s in c.scans] for c in cases]),
        owners=joined([owner_keys(c.patient_id, c.group_id) for c in cases]),
        findings=tuple(tuple(f for f in c.findings if f.label not in NO_FINDING) for c in cases),
        case_ids=tuple(c.case_id for c in cases),
    )


def _draw(library: CaseLibrary, chosen: list[str], pool: int, seed: int) -> list[str]:
    if not 2 <= pool <= len(chosen):
        raise LibraryError(
            f"a pool of {pool} out of {len(chosen)} cases",
            hint=f"give --pool 2 to {len(chosen)}, or leave it out for all",
        )
    patient = library.patients()
    names = sorted({patient[case_id] for case_id in chosen})
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    place = {names[number]: at for at, number in enumerate(order)}
    drawn = set(sorted(chosen, key=lambda case_id: (place[patient[case_id]], case_id))[:pool])
    return [case_id for case_id in chosen if case_id in drawn]


def same_finding(
    wanted: Sequence[Sequence[Finding]], given: Sequence[Sequence[Finding]], *, side: bool
) -> SharedTrait:
    """Tell which items (``given``) have a finding that a query (``wanted``) has.

    With ``side`` it has to match by :meth:`medembed.cases.Finding.matches`: bilateral matches
    either side; any side matches a query's finding without one.
    """
    labels = sorted({f.label for row in (*wanted, *given) for f in row})
    traits = [(label, name) for label in labels for name in ("", "left", "right", "bilateral")]
    column = {trait: number for number, trait in enumerate(traits)}
    sought = np.zeros((len(wanted), len(traits)), dtype=np.bool_)
    held = np.zeros((len(given), len(traits)), dtype=np.bool_)
    for row, findings in enumerate(wanted):
        for f in findings:
            sought[row, column[f.label, f.side if side else ""]] = True
    for row, findings in enumerate(given):
        for f in findings:
            for name in ("", f.side, *(("left", "right") if f.side == "bilateral" else ())):
                held[row, column[f.label, name]] = True
    return SharedTrait(sought, held)
