"""Find reports that were probably filed to the wrong image, ranked for a person to look at.

Four named reasons, each from another source:

* ``content``: by the vectors of a model, other patients' reports fit the image better, and other
  patients' images fit the report better.
* ``side``: the report puts a finding on one side, the image looks like those with it on the other.
* ``view``, ``modality``: the report names another view or modality than the header.

No reason is a verdict, and a case without any is not proven right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.cases import SIDED_FINDINGS, Case
from medembed.counted import counted, counted_line
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.model.resolve import choose_model
from medembed.notes.exam_words import MODALITY_FAMILIES, stated_exam
from medembed.progress import Progress, no_progress

__all__ = ["MIN_PAIRS", "PairCheck", "Reason", "ReasonKind", "Suspect", "check_pairs"]

Floats = npt.NDArray[np.float64]

MIN_PAIRS = 40
"""Fewest pairs, and :data:`N_FOLDS` the fewest patients, that can be compared with each other."""
N_FOLDS = 5
_NEAREST = 10
_RIDGE = 0.3
_BLOCK = 1024
_CONTENT_SHARE = 0.1  # a reason is named if at most this share of cases disagrees as much
_SIDE_SHARE = 0.05
_FEWEST_SIDED = 20


_BY_HEART = 0.8
"""Of ``fit_to_training``. With 5% of the reports swapped, the list has an AUC of .97 with a model
of .70, and of .74 with one of .88 (docs/results/pair_check.md)."""

_FEWEST_TO_COMPARE = 20


class ReasonKind(StrEnum):
    """Why a pair may be wrong."""

    CONTENT = "content"
    SIDE = "side"
    VIEW = "view"
    MODALITY = "modality"


@dataclass(frozen=True)
class Reason:
    """One reason to look at a pair.

    Parameters
    ----------
    kind : ReasonKind
    share : float
        Share of the checked cases that disagree at least as much, in (0, 1].
    text : str
        What disagrees, for a reader.
    """

    kind: ReasonKind
    share: float
    text: str

    @property
    def bits(self) -> float:
        """How rare this is among the library's cases: ``-log2(share)``."""
        return float(-np.log2(self.share))


@dataclass(frozen=True)
class Suspect:
    """A case with its reasons.

    Parameters
    ----------
    case_id, split : str
    score : float
        Suspicion in bits: the rarity of its content, view and modality disagreement, summed. The
        side is part of the content and is not counted twice.
    reasons : tuple of Reason
        Rarest first; empty if nothing is remarkable.
    """

    case_id: str
    split: str
    score: float
    reasons: tuple[Reason, ...] = ()

    def bits_of(self, kind: ReasonKind) -> float:
        """Return the rarity of one reason, 0 if the case does not have it."""
        return max((reason.bits for reason in self.reasons if reason.kind is kind), default=0.0)


@dataclass(frozen=True)
class PairCheck:
    """Outcome of :func:`check_pairs`.

    Parameters
    ----------
    fingerprint : str
        Model whose vectors were compared.
    suspects : tuple of Suspect
        Every checked case, the most suspicious first.
    not_checked : mapping of str to int
        Cases that could not be checked, by reason.
    n_trained_on : int
        Checked cases of the split ``train``: a model learns wrong pairs along with right ones.
    fit_to_training : float or None
        Probability that a pair of the split ``train`` has a higher cosine than another: 0.5 if the
        model does not know it. None with fewer than 20 of either.
    """

    fingerprint: str
    suspects: tuple[Suspect, ...]
    not_checked: Mapping[str, int] = field(default_factory=dict)
    n_trained_on: int = 0
    fit_to_training: float | None = None

    def __len__(self) -> int:
        return len(self.suspects)

    @property
    def by_heart(self) -> bool:
        """Whether the model fits its training pairs so well that wrong ones among them fit, too."""
        return self.fit_to_training is not None and self.fit_to_training > _BY_HEART

    def ranked(self, kind: ReasonKind | None = None) -> list[Suspect]:
        """Return the cases with a reason, or with one of this kind, the most suspicious first."""
        if kind is None:
            return [one for one in self.suspects if one.reasons]
        having = [one for one in self.suspects if one.bits_of(kind)]
        return sorted(having, key=lambda one: -one.bits_of(kind))

    def counts(self) -> dict[str, int]:
        """Count the cases with each reason."""
        found = Counter(reason.kind for one in self.suspects for reason in one.reasons)
        return {kind.value: found[kind] for kind in ReasonKind}

    def to_json(self, top: int, kind: ReasonKind | None = None) -> dict[str, Any]:
        """Return counts and the first ``top`` suspects as plain data."""
        return {
            "model": self.fingerprint,
            "checked": len(self),
            "not_checked": dict(self.not_checked),
            "trained_on": self.n_trained_on,
            "fit_to_training": self.fit_to_training,
            "by_heart": self.by_heart,
            "reasons": self.counts(),
            "suspects": [
                {
                    "rank": rank,
                    "case_id": one.case_id,
                    "split": one.split,
                    "score": round(one.score, 3),
                    "reasons": [
                        {"kind": r.kind.value, "share": round(r.share, 5), "text": r.text}
                        for r in one.reasons
                    ],
                }
                for rank, one in enumerate(self.ranked(kind)[:top], 1)
            ],
        }


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
    pairs = _Pairs(
        images[rows].astype(np.float64),
        notes[[row_of_note[case_id] for case_id in ids]].astype(np.float64),
        patients,
    )
    cases = list(library.select(ids))
    content = pairs.compare(progress or no_progress)
    reasons: list[list[Reason]] = [[] for _ in ids]
    shares = _shares(content.disagreement)
    for at, share in enumerate(shares.tolist()):
        if share <= _CONTENT_SHARE:
            reasons[at].append(Reason(ReasonKind.CONTENT, share, content.text(at)))
    _add_sides(reasons, cases, pairs)
    _add_headers(reasons, cases)
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


def _fit_to_training(pairs: _Pairs, trained: npt.NDArray[np.bool_]) -> float | None:
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


@dataclass(frozen=True)
class _Content:
    """How well each report fits its image, in comparison with other patients'.

    Parameters
    ----------
    disagreement : float64 array, shape ``(n,)``
    better_notes, better_images : int64 array, shape ``(n,)``
        Other patients' reports that fit the image better, and images that fit the report better.
    others : int64 array, shape ``(n,)``
        Cases of other patients.
    """

    disagreement: Floats
    better_notes: npt.NDArray[np.int64]
    better_images: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]

    def text(self, at: int) -> str:
        return (
            f"of {self.others[at]:,} cases of other patients, {self.better_notes[at]:,} reports "
            f"fit this image better and {self.better_images[at]:,} images fit this report better"
        )


class _Pairs:
    """Vectors of pairs, compared across patients.

    Two scores are added, each in units of its own spread. The cosine is what the model says; where
    it was trained on a wrong pair, it has partly learned it. So the report's vector is predicted
    from the image's by a ridge regression that has seen no case of this patient (cross-fitting).

    Parameters
    ----------
    images, notes : float64 array, shape ``(n, d)``
        Rows of unit norm.
    patients : int array, shape ``(n,)``
    """

    def __init__(self, images: Floats, notes: Floats, patients: npt.NDArray[np.int64]) -> None:
        self.images, self.notes, self.patients = images, notes, patients
        order = np.random.default_rng(0).permutation(patients.max() + 1)
        self.folds = order[patients] % N_FOLDS

    def predict(self, targets: Floats, rows: npt.NDArray[np.int64]) -> Floats:
        """Predict targets of ``rows`` from their images, each from other patients only."""
        predicted = np.zeros_like(targets)
        images, folds = self.images[rows], self.folds[rows]
        for fold in range(N_FOLDS):
            known = folds != fold
            if known.all() or not known.any():
                predicted[~known] = 0.0
                continue
            mean, mean_target = images[known].mean(axis=0), targets[known].mean(axis=0)
            centered = images[known] - mean
            gram = centered.T @ centered
            ridge = _RIDGE * np.trace(gram) / len(gram) + 1e-12
            weights = np.linalg.solve(
                gram + ridge * np.eye(len(gram)), centered.T @ (targets[known] - mean_target)
            )
            predicted[~known] = (images[~known] - mean) @ weights + mean_target
        return predicted

    def compare(self, progress: Progress) -> _Content:
        """Compare every image with every report of another patient, a block of rows at a time.

        The disagreement is hubness-corrected as in CSLS: what an image or a report scores with its
        nearest others, minus what the pair scores.

        References
        ----------
        Conneau et al., "Word translation without parallel data", ICLR 2018, section 2.3.
        """
        n = len(self.images)
        center = self.notes.mean(axis=0)
        guess = _unit(self.predict(self.notes, np.arange(n)) - center)
        parts = [(self.images, self.notes), (guess, _unit(self.notes - center))]
        scales = [1 / max(_spread(left, right), 1e-12) for left, right in parts]
        left = np.hstack([scale * part[0] for scale, part in zip(scales, parts, strict=True)])
        right = np.hstack([part[1] for part in parts])
        own = np.einsum("nd,nd->n", left, right)
        near = min(_NEAREST, max(1, n // 5))
        of_images, best = np.empty(n), np.full((near, n), -np.inf)
        better_notes, better_images = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for start in range(0, n, _BLOCK):
            block = slice(start, min(start + _BLOCK, n))
            scores = left[block] @ right.T
            scores[self.patients[block, None] == self.patients[None]] = -np.inf
            better_notes[block] = (scores > own[block, None]).sum(axis=1)
            better_images += (scores > own[None]).sum(axis=0)
            of_images[block] = _finite_mean(-np.partition(-scores, near - 1, axis=1)[:, :near], 1)
            stacked = np.vstack([best, scores])
            best = -np.partition(-stacked, near - 1, axis=0)[:near]
            progress(block.stop, n)
        sizes = np.bincount(self.patients)
        disagreement = of_images + _finite_mean(best, 0) - 2 * own
        return _Content(disagreement, better_notes, better_images, n - sizes[self.patients])


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.where(norms > 0, norms, 1)
    return unit


def _spread(left: Floats, right: Floats) -> float:
    """Return the standard deviation of scores between shifted rows, which are not pairs."""
    shift = max(1, len(left) // 3)
    return float(np.einsum("nd,nd->n", left, np.roll(right, shift, axis=0)).std())


def _finite_mean(values: Floats, axis: int) -> Floats:
    finite = np.isfinite(values)
    total: Floats = np.where(finite, values, 0).sum(axis=axis)
    mean: Floats = total / np.maximum(finite.sum(axis=axis), 1)
    return mean


def _shares(values: Floats) -> Floats:
    """Return the share of values that are at least as large as each, itself included."""
    at_least = len(values) - np.searchsorted(np.sort(values), values, side="left")
    shares: Floats = at_least / len(values)
    return shares


def _add_sides(reasons: list[list[Reason]], cases: Sequence[Case], pairs: _Pairs) -> None:
    """Compare the reported side of each finding with the side that the image suggests.

    For each finding, images with it on one side only are regressed on the side, +1 right, -1 left,
    patients apart.
    """
    stated = [_one_sided(case) for case in cases]
    margins: dict[int, tuple[float, str]] = {}
    for label in sorted(SIDED_FINDINGS):
        rows = np.array([at for at, sides in enumerate(stated) if label in sides], np.int64)
        target = np.array([1.0 if stated[at][label] == "right" else -1.0 for at in rows])
        if min((target > 0).sum(), (target < 0).sum()) < _FEWEST_SIDED / 2:
            continue
        wrong = -pairs.predict(target[:, None], rows)[:, 0] * target
        for at, margin in zip(rows.tolist(), wrong.tolist(), strict=True):
            side = stated[at][label]
            other = "left" if side == "right" else "right"
            text = f"the report has {label} on the {side}; the image looks like {other}"
            margins[at] = max(margins.get(at, (-np.inf, "")), (margin, text))
    if not margins:
        return
    shares = _shares(np.array([margin for margin, _ in margins.values()]))
    for (at, (margin, text)), share in zip(margins.items(), shares.tolist(), strict=True):
        if margin > 0 and share <= _SIDE_SHARE:
            reasons[at].append(Reason(ReasonKind.SIDE, share, text))


def _one_sided(case: Case) -> dict[str, str]:
    """Return the findings that the report asserts on exactly one side, with that side."""
    sides: dict[str, set[str]] = {}
    for one in case.note.assertions if case.note else ():
        if one.status == "present" and not one.historical and one.label in SIDED_FINDINGS:
            named = ("left", "right") if one.side == "bilateral" else (one.side,)
            sides.setdefault(one.label, set()).update(named)
    return {
        label: next(iter(named))
        for label, named in sides.items()
        if len(named) == 1 and named != {""}
    }


def _add_headers(reasons: list[list[Reason]], cases: Sequence[Case]) -> None:
    """Compare the views and modalities that reports name with those of the headers."""
    family_of = {code: name for name, codes in MODALITY_FAMILIES.items() for code in codes}
    conflicts: dict[ReasonKind, dict[int, str]] = {ReasonKind.VIEW: {}, ReasonKind.MODALITY: {}}
    comparable: Counter[ReasonKind] = Counter()
    for at, case in enumerate(cases):
        if case.note is None:
            continue
        exam = stated_exam(case.note)
        views = {scan.view for scan in case.scans} & {"PA", "AP", "LATERAL"}
        families = {family_of[s.modality] for s in case.scans if s.modality in family_of}
        for kind, said, true in (
            (ReasonKind.VIEW, exam.views, views),
            (ReasonKind.MODALITY, exam.modalities, families),
        ):
            if said and true:
                comparable[kind] += 1
                if not said & true:
                    said_words, true_words = "/".join(sorted(said)), "/".join(sorted(true))
                    text = f"the report names {said_words}, the header {true_words}"
                    conflicts[kind][at] = text
    for kind, found in conflicts.items():
        for at, text in found.items():
            reasons[at].append(Reason(kind, len(found) / comparable[kind], text))
