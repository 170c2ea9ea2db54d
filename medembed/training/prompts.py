"""Prompts for findings, compared with images, as in typed queries."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from medembed.training.text_views import Label, ReportTexts

__all__ = ["PhraseBook", "PhraseHead"]


_NEGATIONS = ("no ", "without ", "no evidence of ", "negative for ")


class PhraseBook:
    """All phrases by which the training reports name each finding.

    Parameters
    ----------
    reports : sequence of ReportTexts
    labels : sequence of Label
        Findings and sides; one that no report names in a separate phrase gets its standard term.
    negated : bool
        Whether each prompt is drawn with its negation.
    """

    def __init__(
        self, reports: Sequence[ReportTexts], labels: Sequence[Label], negated: bool = False
    ) -> None:
        self._negated = negated
        phrases: dict[Label, set[str]] = {
            (name, side): {f"{side} {name}".strip()} for name, side in labels
        }
        for report in reports:
            for view in report.phrases:
                named = {label for label in view.labels if label[1]} or view.labels
                if len(named) == 1 and (label := next(iter(named))) in phrases:
                    phrases[label].add(view.text)
        self._phrases = [sorted(phrases[label]) for label in labels]

    def draw(self, rng: np.random.Generator) -> list[str]:
        """Draw one phrase for each label, in order; then, if so asked, the negation of each."""
        phrases = [texts[rng.integers(len(texts))] for texts in self._phrases]
        if not self._negated:
            return phrases
        return phrases + [_NEGATIONS[rng.integers(len(_NEGATIONS))] + text for text in phrases]


class PhraseHead(nn.Module):
    """Probability that an image shows the finding of a phrase, from their similarity.

    The similarity has one learned scale and one learned shift per label, so that rare findings
    need not have lower similarities (as in the sigmoid loss of Zhai et al. 2023, which has a single
    shift). It is not part of the saved model.

    Parameters
    ----------
    labels : int
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.shift = nn.Parameter(torch.zeros(labels))

    def forward(self, images: torch.Tensor, phrases: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, labels)`` for unit vectors ``(n, dim)`` and ``(labels, dim)``."""
        return images @ phrases.T * self.scale.exp() + self.shift
