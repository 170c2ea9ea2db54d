"""Findings in plain words, held against images: what a typed query will ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from medembed.training.text_views import Label, ReportTexts

__all__ = ["PhraseBook", "PhraseHead"]


class PhraseBook:
    """Every way in which the training reports name a finding.

    Parameters
    ----------
    reports : sequence of ReportTexts
    labels : sequence of Label
        Findings and sides; one that no report names in a phrase of its own gets the plain words.
    """

    def __init__(self, reports: Sequence[ReportTexts], labels: Sequence[Label]) -> None:
        said: dict[Label, set[str]] = {
            (name, side): {f"{side} {name}".strip()} for name, side in labels
        }
        for report in reports:
            for reading in report.phrases:
                named = {label for label in reading.labels if label[1]} or reading.labels
                if len(named) == 1 and (label := next(iter(named))) in said:
                    said[label].add(reading.text)
        self._said = [sorted(said[label]) for label in labels]

    def draw(self, rng: np.random.Generator) -> list[str]:
        """One phrase for each label, in their order."""
        return [texts[rng.integers(len(texts))] for texts in self._said]


class PhraseHead(nn.Module):
    """How likely each image shows what each phrase says, from their similarity.

    The similarity is scaled by one number and shifted by one for each label, both learnt, so that
    rare findings need not lie farther away (as in the sigmoid loss of Zhai et al. 2023, there with
    one shift). Nothing of it is kept in the model.

    Parameters
    ----------
    labels : int
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.shift = nn.Parameter(torch.zeros(labels))

    def forward(self, images: torch.Tensor, phrases: torch.Tensor) -> torch.Tensor:
        """Logits ``(n, labels)`` of unit vectors ``(n, dim)`` and ``(labels, dim)``."""
        return images @ phrases.T * self.scale.exp() + self.shift
