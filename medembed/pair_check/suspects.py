"""What a check reports: suspects, each with the reasons to look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PairCheck", "Reason", "ReasonKind", "Suspect", "shares_of"]

Floats = npt.NDArray[np.float64]

_BY_HEART = 0.8
"""Of ``fit_to_training``. With 5% of the reports swapped, the list has an AUC of .97 with a model
of .70, and of .74 with one of .88 (docs/results/pair_check.md)."""


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


def shares_of(values: Floats) -> Floats:
    """Return the share of values that are at least as large as each, itself included."""
    at_least = len(values) - np.searchsorted(np.sort(values), values, side="left")
    shares: Floats = at_least / len(values)
    return shares
