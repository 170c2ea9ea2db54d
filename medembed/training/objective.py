"""The loss of a batch: contrast, and the auxiliary losses of findings and prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import nn

from medembed.encoders.settings import Settings
from medembed.training.loss import clip_loss, findings_loss, overlap, siglip_loss
from medembed.training.prompts import PhraseBook, PhraseHead
from medembed.training.text_views import TextView, false_negative_mask, other_side

if TYPE_CHECKING:
    from medembed.training.cohort import TrainingCohort
    from medembed.training.settings import TrainingConfig
    from medembed.training.step_inputs import StepInputs

__all__ = ["LossSettings", "Objective"]


class LossSettings(Settings):
    """Loss function.

    Parameters
    ----------
    kind : {"clip", "siglip"}
        ``"clip"``: softmax over the batch. ``"siglip"``: every pair judged by itself, which is less
        sensitive to the size of the batch.
    bias : float
        Initial shift of ``"siglip"``; learned.
    smoothing : float
        Label smoothing of the contrastive loss.
    soft_targets : float
        Weight in the target, relative to 1 of a case's own pair, of another case with the same
        findings; less the fewer they have in common. 0 disables it.
    temperature : float
        Initial temperature; its inverse is learned.
    max_scale : float
        Upper limit of the inverse temperature.
    same_finding : {"mask", "positive"}
        How a finding phrase counts for another image of the batch whose report states the same
        finding: excluded from the sum, or as a positive.
    findings_weight : float
        Weight of the auxiliary loss: a shared linear layer predicts, from a vector of either tower,
        the findings and sides that the report asserts (binary cross-entropy). 0 disables it.
    phrases_weight : float
        Weight of the prompt loss: every image of the batch against a prompt for every finding
        ("right pleural effusion"), with its report's assertions as targets (binary
        cross-entropy). It makes short queries work. 0 disables it.
    side_weight : float
        Extra weight in the prompt loss of the two sides of a finding on an image that shows it on
        one side only. Such images are rare among negatives, but they are the ones that "right"
        must rank lower.
    findings : {"core", "all"}
        Findings used in these two losses and in the phrases of ``text_augmentation``: the twelve
        chest findings (``medembed.notes.FINDINGS``), or all that reports assert: also remarks such
        as scoliosis, by which studies without one of the twelve differ.
    min_cases : int
        Findings asserted in fewer training reports are not used in these two losses.
    structure : float
        Weight of the STRUCTURE regularizer, which keeps the neighborhoods that the frozen features
        of a batch have (:mod:`medembed.training.structure`); needs frozen encoders. 0 disables it.
    negation_weight : float
        Weight of the two-way choice between a finding's prompt and its negation ("no right pleural
        effusion") for every image of the batch. 0 disables it.
    """

    kind: Literal["clip", "siglip"] = "clip"
    bias: float = -10.0
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    soft_targets: float = Field(default=0.0, ge=0, le=1)
    temperature: float = Field(default=0.07, gt=0)
    max_scale: float = Field(default=100.0, gt=1)
    same_finding: Literal["mask", "positive"] = "mask"
    findings_weight: float = Field(default=0.0, ge=0)
    phrases_weight: float = Field(default=0.0, ge=0)
    side_weight: float = Field(default=0.0, ge=0)
    findings: Literal["core", "all"] = "core"
    min_cases: int = Field(default=10, ge=1)
    structure: float = Field(default=0.0, ge=0)
    negation_weight: float = Field(default=0.0, ge=0)


class Objective:
    """Computes the loss from the unit vectors of a whole batch.

    Parameters
    ----------
    config : TrainingConfig
    train : TrainingCohort
    device : torch.device

    Attributes
    ----------
    heads : ModuleDict
        Weights that only the loss uses; not part of the model.
    book : PhraseBook or None
        Prompts, if there is a prompt loss.
    """

    def __init__(self, config: TrainingConfig, train: TrainingCohort, device: torch.device) -> None:
        self.config = config
        self.train = train
        self.device = device
        loss = config.loss
        weights = (loss.findings_weight, loss.phrases_weight, loss.soft_targets)
        uses_labels = any(weights) or loss.negation_weight
        labels = train.labels(loss.min_cases) if uses_labels else []
        self.labels = {label: at for at, label in enumerate(labels)}
        self._stated = torch.from_numpy(train.finding_targets(labels)).to(device)
        swapped = [self.labels.get(other_side(label), at) for label, at in self.labels.items()]
        self._swapped = torch.tensor(swapped, dtype=torch.long, device=device)
        heads: dict[str, nn.Module] = {}
        if labels and loss.findings_weight:
            heads["findings"] = nn.Linear(config.projection.dim, len(labels))
        self.book: PhraseBook | None = None
        if labels and (loss.phrases_weight or loss.negation_weight):
            heads["phrases"] = PhraseHead(len(labels))
            self.book = PhraseBook(train.reports, labels, negated=loss.negation_weight > 0)
        if loss.kind == "siglip":
            heads["bias"] = _Bias(loss.bias)
        self.heads = nn.ModuleDict(heads).to(device)

    def loss(
        self,
        inputs: StepInputs,
        scale: torch.Tensor,
        images: torch.Tensor,
        texts: torch.Tensor,
        prompts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        inputs : StepInputs
        scale : Tensor, scalar
            Inverse temperature.
        images, texts : unit Tensor ``(n, dim)``
        prompts : unit Tensor ``(labels, dim)``, optional
            Needed if there is a prompt loss; with negation pairs followed by as many negations.
        """
        turned = inputs.mirror.tolist()
        present = [
            frozenset(map(other_side, labels)) if flip else labels
            for labels, flip in zip(
                (self.train.reports[case].present for case in inputs.cases), turned, strict=True
            )
        ]
        same = torch.from_numpy(false_negative_mask(inputs.views, present)).to(self.device)
        if not self.labels:
            return self._contrast(images, texts, scale, same, None)
        stated = self._stated[inputs.cases]
        mirrored = torch.from_numpy(inputs.mirror).to(self.device)
        stated = torch.where(mirrored[:, None], stated[:, self._swapped], stated)
        loss = self._contrast(images, texts, scale, same, stated)
        loss = loss + self._findings(images, texts, inputs.views, stated)
        return loss + self._prompts(images, prompts, stated)

    def _contrast(
        self,
        images: torch.Tensor,
        texts: torch.Tensor,
        scale: torch.Tensor,
        same: torch.Tensor,
        stated: torch.Tensor | None,
    ) -> torch.Tensor:
        loss = self.config.loss
        soft = None
        if loss.soft_targets and stated is not None:
            soft = loss.soft_targets * overlap(stated)
        positive = loss.same_finding == "positive"
        if loss.kind == "clip":
            return clip_loss(
                images, texts, scale, same, positive, smoothing=loss.smoothing, soft=soft
            )
        return siglip_loss(
            images,
            texts,
            scale,
            self.heads["bias"](),
            same,
            positive,
            smoothing=loss.smoothing,
            soft=soft,
        )

    def _findings(
        self,
        images: torch.Tensor,
        texts: torch.Tensor,
        views: Sequence[TextView],
        of_images: torch.Tensor,
    ) -> torch.Tensor | float:
        """Auxiliary loss of one linear layer that both towers share."""
        if "findings" not in self.heads:
            return 0.0
        of_texts = torch.zeros_like(of_images)
        for row, view in enumerate(views):
            for label in view.labels:
                if label in self.labels:
                    of_texts[row, self.labels[label]] = 1
        # components of unit vectors are small: rescale them to unit variance
        width = math.sqrt(images.shape[1])
        loss = findings_loss(self.heads["findings"](images * width), of_images)
        loss = loss + findings_loss(self.heads["findings"](texts * width), of_texts)
        return self.config.loss.findings_weight * loss

    def _prompts(
        self, images: torch.Tensor, prompts: torch.Tensor | None, of_images: torch.Tensor
    ) -> torch.Tensor | float:
        """Loss of every image against a prompt for every finding."""
        if "phrases" not in self.heads or prompts is None:
            return 0.0
        one_sided = (of_images + of_images[:, self._swapped]) == 1  # excludes NaN, both and neither
        weights = 1 + self.config.loss.side_weight * one_sided
        count = len(self.labels)
        logits = self.heads["phrases"](images, prompts[:count])
        loss = self.config.loss.phrases_weight * findings_loss(logits, of_images, weights)
        if len(prompts) > count:
            denied = self.heads["phrases"](images, prompts[count:])
            # two-way choice: the shift, which is the label's own, drops out
            choice = findings_loss(logits - denied, of_images, weights)
            loss = loss + self.config.loss.negation_weight * choice
        return loss


class _Bias(nn.Module):
    """The learned shift of the sigmoid loss."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(start)))

    def forward(self) -> torch.Tensor:
        return self.value
