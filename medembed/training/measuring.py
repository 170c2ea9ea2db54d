"""Vectors during training, and retrieval measures on the validation cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from medembed.training.learnable import diverged
from medembed.training.loss import clip_loss
from medembed.training.text_views import false_negative_mask
from medembed.training.validation import retrieval_summary

if TYPE_CHECKING:
    from medembed.model.towers import Towers
    from medembed.training.cohort import TrainingCohort
    from medembed.training.feature_feeders import ImageFeeder, TextFeeder
    from medembed.training.settings import TrainingConfig

__all__ = ["measure", "unit_vectors"]

MOST = 1000
"""Maximum number of validation cases, which limits the cost."""


@torch.no_grad()
def unit_vectors(
    towers: Towers, cohort: TrainingCohort, images: ImageFeeder, texts: TextFeeder
) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Return unit vectors of images and notes of the first cases, and the notes.

    Raises
    ------
    NothingLearnedError
        If they are not finite.
    """
    towers.eval()
    cases = range(min(len(cohort), MOST))
    notes = [cohort.reports[case].full.text for case in cases]
    rows, words = [], []
    for case in cases:
        units = functional.normalize(images.whole(case), dim=-1)
        rows.append(functional.normalize(units.mean(dim=0), dim=-1))
    for at in range(0, len(notes), 64):
        words.append(functional.normalize(texts.forward(notes[at : at + 64]), dim=-1))
    of_images, of_notes = torch.stack(rows), torch.cat(words)
    if not (of_images.isfinite().all() and of_notes.isfinite().all()):
        raise diverged("the vectors are not finite")
    return of_images, of_notes, notes


@torch.no_grad()
def measure(
    config: TrainingConfig,
    towers: Towers,
    val: TrainingCohort,
    of_images: ImageFeeder,
    of_texts: TextFeeder,
) -> dict[str, float]:
    """Measure loss, R@10 and MRR in both directions by the evaluation's rule.

    ``score``, by which the weights are selected, is the mean MRR of both directions.
    """
    images, words, texts = unit_vectors(towers, val, of_images, of_texts)
    labels = val.pool_labels.first(len(texts))
    out = retrieval_summary(images.cpu().numpy(), words.cpu().numpy(), labels)
    views = [val.reports[case].full for case in range(len(texts))]
    losses = []
    for at in range(0, len(texts) - 1, config.batch_size):
        part = slice(at, at + config.batch_size)
        same = false_negative_mask(views[part], [r.labels for r in views[part]])
        allowed = torch.from_numpy(same).to(images.device)
        scale = towers.logit_scale.exp()
        losses.append(float(clip_loss(images[part], words[part], scale, allowed)))
    out["val_loss"] = float(np.mean(losses))
    out["score"] = (out["image_to_text_MRR"] + out["text_to_image_MRR"]) / 2
    return out
