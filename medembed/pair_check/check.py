"""Check the pairs of a library: compare them, gather the reasons and rank the cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.counted import counted, counted_line
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.model.resolve import choose_model
from medembed.pair_check.conflicts import add_headers, add_sides
from medembed.pair_check.pairs import N_FOLDS, Pairs
from medembed.pair_check.suspects import PairCheck, Reason, ReasonKind, Suspect, shares_of
from medembed.progress import Progress, no_progress

__all__ = ["MIN_PAIRS", "check_pairs"]

MIN_PAIRS = 40
"""Fewest pairs that can be compared with each other."""

_CONTENT_SHARE = 0.1  # a reason is named if at most this share of cases disagrees as much
_FEWEST_TO_COMPARE = 20


def check_pairs(
    library: CaseLibrary, model: str | Path | None = None, progress: Progress | None = None
) -> PairCheck:
    """Rank the cases of a library by how badly report and image fit.

    Parameters
    ----------
    library : CaseLibrary
        With image and note vectors of the model.
    model : str or Path, optional
        As in :func:`medembed.model.resolve.choose_model`; default: the active model.
    progress : callable, optional
        Called with (rows compared, rows in total).

    Raises
    ------
    LibraryError
        If there are too few pairs with both vectors, or too few patients.
    """
    fingerprint = choose_model(library, model).fingerprint
    image_ids, images = library.vectors(fingerprint, "image")
    note_ids, notes = library.vectors(fingerprint, "note")
    row_of_note = {case_id: row for row, case_id in enumerate(note_ids)}
    rows = [row for row, case_id in enumerate(image_ids) if case_id in row_of_note]
    patient_of = library.patients()
    ids = [image_ids[row] for row in rows]
    patients = np.unique([patient_of[case_id] for case_id in ids], return_inverse=True)[1]
    _require_pairs(library, len(ids), len(set(patients.tolist())))
    pairs = Pairs(
        images[rows].astype(np.float64),
        notes[[row_of_note[case_id] for case_id in ids]].astype(np.float64),
        patients,
    )
    cases = list(library.select(ids))
    content = pairs.compare(progress or no_progress)
    reasons: list[list[Reason]] = [[] for _ in ids]
    shares = shares_of(content.disagreement)
    for at, share in enumerate(shares.tolist()):
        if share <= _CONTENT_SHARE:
            reasons[at].append(Reason(ReasonKind.CONTENT, share, content.text(at)))
    add_sides(reasons, cases, pairs)
    add_headers(reasons, cases)
    suspects = []
    for case, share, found in zip(cases, shares.tolist(), reasons, strict=True):
        facts = sum(r.bits for r in found if r.kind in (ReasonKind.VIEW, ReasonKind.MODALITY))
        ordered = tuple(sorted(found, key=lambda reason: reason.share))
        score = facts - float(np.log2(share))
        suspects.append(Suspect(case.case_id, case.split, score, ordered))
    suspects.sort(key=lambda one: (-one.score, one.case_id))
    lacking = {
        "no image vector": len(set(note_ids) - set(image_ids)),
        "no note vector": len(image_ids) - len(ids),
        "no vector": len(set(patient_of) - set(image_ids) - set(note_ids)),
    }
    return PairCheck(
        fingerprint,
        tuple(suspects),
        {why: count for why, count in lacking.items() if count},
        sum(case.split == "train" for case in cases),
        _fit_to_training(pairs, np.array([case.split == "train" for case in cases])),
    )


def _fit_to_training(pairs: Pairs, trained: npt.NDArray[np.bool_]) -> float | None:
    """Return how often a training pair has a higher cosine than another."""
    from scipy.stats import rankdata

    n, m = int(trained.sum()), int((~trained).sum())
    if min(n, m) < _FEWEST_TO_COMPARE:
        return None
    ranks = rankdata((pairs.images * pairs.notes).sum(axis=1))
    return float((ranks[trained].sum() - n * (n + 1) / 2) / (n * m))


def _require_pairs(library: CaseLibrary, n_pairs: int, n_patients: int) -> None:
    if n_pairs < MIN_PAIRS:
        raise LibraryError(
            f"only {counted_line(n_pairs, '[case has|cases have]')} vectors of both image and "
            f"report; a check needs at least {MIN_PAIRS}",
            where=library.path.name,
            hint="run medembed embed LIBRARY, or ingest more reports",
        )
    if n_patients < N_FOLDS:
        raise LibraryError(
            f"the pairs belong to {counted(n_patients, 'patient')}; a check compares different "
            f"patients and needs at least {N_FOLDS}",
            where=library.path.name,
        )
