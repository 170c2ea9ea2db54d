"""The gradient of one batch: both towers, the loss, and the way back, in chunks if need be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from medembed.training.grad_cache import Vectors, backward_in_parts, chunk_bounds
from medembed.training.learnable import diverged
from medembed.training.structure import structure_loss

if TYPE_CHECKING:
    from medembed.model.towers import Towers
    from medembed.training.engine import Engine
    from medembed.training.feature_feeders import ImageFeeder, TextFeeder
    from medembed.training.objective import Objective
    from medembed.training.settings import TrainingConfig
    from medembed.training.step_inputs import StepInputs

__all__ = ["BatchGradient"]


@dataclass(frozen=True)
class _Part:
    """Rows of this process that are encoded together.

    Parameters
    ----------
    inputs : StepInputs
    rows : slice
        Of ``inputs.mine``.
    prompts : list of str
    """

    inputs: StepInputs
    rows: slice
    prompts: list[str]


@dataclass(frozen=True)
class BatchGradient:
    """Accumulates the gradient of a batch in the weights of towers and heads.

    Parameters
    ----------
    config : TrainingConfig
    engine : Engine
    towers : Towers
    objective : Objective
    feeders : (ImageFeeder, TextFeeder)
    scaler : GradScaler
        Scales the loss in float16; does nothing otherwise.
    """

    config: TrainingConfig
    engine: Engine
    towers: Towers
    objective: Objective
    feeders: tuple[ImageFeeder, TextFeeder]
    scaler: torch.amp.GradScaler

    def backward(self, inputs: StepInputs) -> torch.Tensor:
        """Return the loss of the whole batch.

        Raises
        ------
        NothingLearnedError
            If it is not finite.
        """
        n, n_prompts = len(inputs.cases), len(inputs.prompts)
        prompts = [inputs.prompts[at] for at in self.engine.share(n_prompts)] if n_prompts else []
        bounds = chunk_bounds(len(inputs.mine), self.config.optim.chunk)
        parts = [_Part(inputs, slice(a, b), prompts if a == 0 else []) for a, b in bounds]

        def loss_of(*vectors: torch.Tensor) -> torch.Tensor:
            loss = self.objective.loss(inputs, self.towers.logit_scale.exp(), *vectors)
            if self.config.loss.structure:
                loss = loss + self.config.loss.structure * self._structure(inputs, *vectors[:2])
            if not torch.isfinite(loss):
                raise diverged("the loss is not finite")
            return loss

        return backward_in_parts(
            self.towers,
            self._encode,
            parts,
            loss_of,
            device=self.engine.device,
            scaled=self.scaler.scale,
            gather=partial(self.engine.gather, counts=(n, n, n_prompts)[: 3 if n_prompts else 2]),
            own=self.engine.own,
        )

    def _structure(
        self, inputs: StepInputs, images: torch.Tensor, texts: torch.Tensor
    ) -> torch.Tensor:
        """How far the vectors of a batch depart from the geometry of their frozen features."""
        of_images = self.feeders[0].tensor(inputs.rows, inputs.mirror)
        of_texts = self.feeders[1].table([view.text for view in inputs.views])
        return structure_loss(of_images, images) + structure_loss(
            torch.from_numpy(of_texts).to(self.engine.device), texts
        )

    def _encode(self, part: _Part) -> Vectors:
        """Return unit vectors of images and texts, and of prompts if the batch has any."""
        of_images, of_texts = self.feeders
        inputs, mine = part.inputs, part.inputs.mine[part.rows]
        pixels = None if inputs.images is None else inputs.images[part.rows]
        if inputs.study is None:
            images = of_images.encode(inputs.rows[mine], inputs.mirror[mine], pixels)
        else:
            images = of_images.pool(inputs.study.of_cases(mine), inputs.mirror[mine], pixels)
        texts = of_texts.forward([inputs.views[at].text for at in mine])
        vectors = [images, texts]
        if inputs.prompts:
            vectors.append(of_texts.forward(part.prompts) if part.prompts else texts[:0])
        return tuple(functional.normalize(v, dim=-1) for v in vectors)
