"""Retrieval measures on validation patients during training, by the rule of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.pairing import relevant_and_left_out

__all__ = ["PoolLabels", "first_relevant_ranks", "patient_intervals", "retrieval_summary"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

_REPETITIONS = 1000
_LEVEL = 95


@dataclass(frozen=True)
class PoolLabels:
    """What decides which cases are relevant to each other (:mod:`medembed.pairing`).

    Parameters
    ----------
    notes, owners, scans : int arrays ``(n,)``
        Equal for notes that read the same, for cases of one patient or group, for shared scans.
    """

    notes: Labels
    owners: Labels
    scans: Labels

    def first(self, n: int) -> PoolLabels:
        """Return the labels of the first ``n`` cases."""
        return PoolLabels(self.notes[:n], self.owners[:n], self.scans[:n])


def first_relevant_ranks(
    scores: npt.NDArray[np.floating[Any]],
    relevant: npt.NDArray[np.bool_],
    left_out: npt.NDArray[np.bool_] | None = None,
) -> Labels:
    """Return the rank of each query's first relevant item, from 1; ties count against it.

    Parameters
    ----------
    scores : array ``(queries, items)``
    relevant : bool array ``(queries, items)``
        At least one per row.
    left_out : bool array ``(queries, items)``, optional
        Items that are not in the query's pool.
    """
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ahead = (scores >= best) & ~relevant
    if left_out is not None:
        ahead &= ~left_out
    return np.asarray(ahead.sum(axis=1) + 1, dtype=np.int64)


def retrieval_summary(images: Floats, notes: Floats, labels: PoolLabels) -> dict[str, float]:
    """Return R@10 and MRR of the matching note and image, with intervals over patients.

    Parameters
    ----------
    images, notes : unit float32 arrays ``(n, dim)``
    labels : PoolLabels

    Returns
    -------
    dict
        ``image_to_text_R@10``, ``image_to_text_MRR``, the same with ``text_to_image``; each also
        with ``_low`` and ``_high``, the 95% percentile interval of a bootstrap over patients;
        ``pool`` and ``patients``.
    """
    relevant, left_out = relevant_and_left_out(labels.notes, labels.owners, labels.scans)
    scores = images @ notes.T
    out: dict[str, float] = {}
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for name, table in (("image_to_text", scores), ("text_to_image", scores.T)):
        ranks = first_relevant_ranks(table, relevant, left_out)
        columns[f"{name}_R@10"] = (ranks <= 10).astype(np.float64)
        columns[f"{name}_MRR"] = 1 / ranks
    low, high, n_patients = patient_intervals(
        np.stack(list(columns.values()), axis=1), labels.owners
    )
    for at, (name, values) in enumerate(columns.items()):
        out[name] = float(values.mean())
        out[f"{name}_low"], out[f"{name}_high"] = float(low[at]), float(high[at])
    out["pool"], out["patients"] = float(len(labels.notes)), float(n_patients)
    return out


def patient_intervals(
    values: npt.NDArray[np.float64], owners: Labels
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """Resample patients: percentile limits of the mean of each column, and how many there are."""
    _, at = np.unique(owners, return_inverse=True)
    n = int(at.max()) + 1
    sums = np.zeros((n, values.shape[1]))
    np.add.at(sums, at, values)
    counts = np.bincount(at, minlength=n).astype(np.float64)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_REPETITIONS)
    means = (drawn @ sums) / (drawn @ counts)[:, None]
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high, n
