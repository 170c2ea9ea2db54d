"""Novelty check: is a query unlike every case in the library?

The threshold comes from the library itself. A sample of its cases is searched for the nearest case
of another patient; a query whose best score is below the 1% quantile of those scores is novel, so
about 1 in 100 of the library's own cases would be novel too. The rule is about scores, not about
the patient, and it holds only for queries like the library's own: whole notes, and images as they
were ingested. Short texts score lower than notes; texts shorter than nearly all of the library's
notes are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import InputError

__all__ = ["NoveltyThresholds", "QueryKind", "best_of_others", "calibrate"]

QueryKind = Literal["image", "text", "both"]

QUANTILE = 0.01
MOST_QUERIES = 2000
FEWEST_QUERIES = 100
_BLOCK_FLOATS = 1 << 23

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NoveltyThresholds:
    """Best score below which a query is novel, for each kind of query.

    Parameters
    ----------
    thresholds : mapping of {"image", "text", "both"} to float
        A kind is missing if fewer than 100 cases of it could be searched. ``"both"`` is the sum of
        image and note with equal weights.
    n_queries : mapping of the same to int
        Number of sampled cases.
    fewest_words : int
        19 in 20 of the sampled notes have at least this many words; the score of a shorter text
        is not comparable with theirs.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    n_queries: Mapping[str, int] = field(default_factory=dict)
    fewest_words: int = 0

    def __post_init__(self) -> None:
        for name in ("thresholds", "n_queries"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def is_novel(self, kind: QueryKind, best: float) -> bool | None:
        """Return whether a best score is unusually low; None if it cannot be judged."""
        threshold = self.thresholds.get(kind)
        return None if threshold is None else best < threshold

    def to_json(self) -> dict[str, Any]:
        """Return the thresholds as plain data."""
        return {
            "thresholds": dict(self.thresholds),
            "n_queries": dict(self.n_queries),
            "fewest_words": self.fewest_words,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NoveltyThresholds:
        """Read the output of :meth:`to_json`; InputError if it is not valid."""
        try:
            return cls(
                {str(k): float(v) for k, v in data["thresholds"].items()},
                {str(k): int(v) for k, v in data["n_queries"].items()},
                int(data["fewest_words"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("the novelty thresholds cannot be read") from None


def best_of_others(
    queries: Floats,
    query_patients: npt.NDArray[np.intp],
    gallery: Floats,
    gallery_patients: npt.NDArray[np.intp],
) -> npt.NDArray[np.float32]:
    """Return the highest cosine of each query with a case of another patient, or -inf.

    Parameters
    ----------
    queries : float32 array, shape ``(q, d)``, unit rows
    query_patients : int array, shape ``(q,)``
    gallery : float32 array, shape ``(n, d)``, unit rows
    gallery_patients : int array, shape ``(n,)``
    """
    order = np.argsort(gallery_patients, kind="stable")
    rows, owners = gallery[order], gallery_patients[order]
    best = np.full(len(queries), -np.inf, dtype=np.float32)
    step = max(1, _BLOCK_FLOATS // max(len(rows), 1))
    for start in range(0, len(queries) if len(rows) else 0, step):
        block = slice(start, start + step)
        scores = queries[block] @ rows.T
        first = np.searchsorted(owners, query_patients[block], "left")
        last = np.searchsorted(owners, query_patients[block], "right")
        for line, a, b in zip(scores, first, last, strict=True):
            line[a:b] = -np.inf
        best[block] = scores.max(axis=1)
    return best


def calibrate(
    images: Embeddings,
    notes: Embeddings | None,
    patients: Mapping[str, str],
    n_words: Callable[[Sequence[str]], Sequence[int]] | None = None,
    seed: int = 0,
) -> NoveltyThresholds:
    """Compute the thresholds from a library's own cases.

    Parameters
    ----------
    images : Embeddings
        The gallery.
    notes : Embeddings or None
        Note vectors of the same model.
    patients : mapping of str to str
        Patient of each case id.
    n_words : callable, optional
        Returns the number of words of the notes of given cases.
    seed : int
        Seed of the sample of at most 2000 cases of each kind.
    """
    codes = {name: code for code, name in enumerate(sorted(set(patients.values())))}

    def owners(case_ids: tuple[str, ...]) -> npt.NDArray[np.intp]:
        return np.array([codes.get(patients.get(name, ""), -1) for name in case_ids], dtype=np.intp)

    queries: dict[str, tuple[tuple[str, ...], Floats]] = {
        "image": (images.case_ids, images.vectors)
    }
    if notes is not None:
        images.require(notes.fingerprint)
        queries["text"] = (notes.case_ids, notes.vectors)
        row_of = {name: row for row, name in enumerate(images.case_ids)}
        both = [(row_of[name], row) for row, name in enumerate(notes.case_ids) if name in row_of]
        if both:
            mixed = images.vectors[[a for a, _ in both]] + notes.vectors[[b for _, b in both]]
            length = np.linalg.norm(mixed, axis=1)
            kept = np.flatnonzero(length > 1e-3)
            queries["both"] = (
                tuple(notes.case_ids[both[row][1]] for row in kept),
                unit_rows(mixed[kept]),
            )
    thresholds, counts, fewest_words = {}, {}, 0
    gallery_owners = owners(images.case_ids)
    for kind, (case_ids, vectors) in queries.items():
        # Sorted by name, so that the sample does not depend on the order of adding.
        names = np.array(sorted(range(len(case_ids)), key=case_ids.__getitem__), dtype=np.intp)
        if names.size > MOST_QUERIES:
            names = np.random.default_rng(seed).choice(names, MOST_QUERIES, replace=False)
        chosen = tuple(case_ids[row] for row in names)
        if kind == "text" and n_words is not None and chosen:
            lengths = np.asarray(n_words(chosen))
            fewest_words = int(np.quantile(lengths, 0.05, method="lower")) if lengths.size else 0
        best = best_of_others(vectors[names], owners(chosen), images.vectors, gallery_owners)
        best = best[np.isfinite(best)]
        counts[kind] = int(best.size)
        if best.size >= FEWEST_QUERIES:
            thresholds[kind] = float(np.quantile(best, QUANTILE, method="lower"))
    return NoveltyThresholds(thresholds, counts, fewest_words)
