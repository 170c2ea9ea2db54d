"""The training loop: steps, validation, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from medembed.encoders.tokenizers import Tokens
from medembed.model.towers import Towers
from medembed.notes import swap_laterality
from medembed.progress import Progress
from medembed.training.autotune import fastest_mode
from medembed.training.batches import epoch_batches
from medembed.training.checkpoint import read_checkpoint, write_checkpoint
from medembed.training.cohort import TrainingCohort
from medembed.training.collapse import CollapseCheck, check_collapse
from medembed.training.feature_feeders import ImageFeeder, Mode, TextFeeder
from medembed.training.learnable import NothingLearnedError, diverged
from medembed.training.loss import clip_loss, findings_loss
from medembed.training.measuring import measure, unit_vectors
from medembed.training.prompts import PhraseBook, PhraseHead
from medembed.training.settings import TrainingConfig
from medembed.training.text_views import TextView, false_negative_mask, other_side

__all__ = ["Trainer", "TrainingOutcome"]

OnEpoch = Callable[[Mapping[str, float]], None]
State = dict[str, torch.Tensor]

_ENOUGH = 100
"""With fewer validation cases, the collapse check uses training cases."""


_STEPS_TO_JUDGE = 3
"""Number of steps with identical loss after which nothing is being learned."""


@dataclass(frozen=True)
class TrainingOutcome:
    """Result of the training loop.

    Parameters
    ----------
    history : list of dict
        One entry per epoch.
    best : dict
        The entry of the selected weights.
    collapse : CollapseCheck
        Collapse check of the selected weights.
    seconds : float
        Training time, including earlier parts of an interrupted training.
    """

    history: list[dict[str, float]]
    best: dict[str, float]
    collapse: CollapseCheck
    seconds: float
    remarks: tuple[str, ...] = ()


class Trainer:
    """The state of a training.

    Each step derives its random numbers from seed, epoch and step number, so that a resumed
    training reaches the same weights.

    Parameters
    ----------
    config : TrainingConfig
    train, val : TrainingCohort
    towers : Towers
        Changed in place; after :meth:`run` they hold the selected weights.
    tokens : Tokens
    device : torch.device
    """

    def __init__(
        self,
        config: TrainingConfig,
        train: TrainingCohort,
        val: TrainingCohort,
        towers: Towers,
        tokens: Tokens,
        device: torch.device,
    ) -> None:
        self.config = config
        self.train = train
        self.val = val
        self.towers = towers.to(device)
        self.device = device
        loss = config.loss
        uses_labels = loss.findings_weight or loss.phrases_weight
        labels = train.labels(loss.min_cases) if uses_labels else []
        self.labels = {label: at for at, label in enumerate(labels)}
        self.finding_targets = torch.from_numpy(train.finding_targets(labels)).to(device)
        swapped = [self.labels.get(other_side(label), at) for label, at in self.labels.items()]
        self._swapped = torch.tensor(swapped, dtype=torch.long, device=device)
        self.findings: nn.Linear | None = None
        if labels and loss.findings_weight:
            self.findings = nn.Linear(config.projection.dim, len(labels)).to(device)
        self.phrases: PhraseHead | None = None
        if labels and loss.phrases_weight:
            self.phrases = PhraseHead(len(labels)).to(device)
            self.book = PhraseBook(train.reports, labels)
        heads = {"findings": self.findings, "phrases": self.phrases}
        self.heads = nn.ModuleDict({k: head for k, head in heads.items() if head is not None})
        self.images = ImageFeeder(train, towers, config, device)
        self.texts = TextFeeder(train, towers, tokens, config, device, swap_laterality)
        self._val_images = ImageFeeder(val, towers, config, device)
        self._val_texts = TextFeeder(val, towers, tokens, config, device, swap_laterality)
        towers.image.encoder.requires_grad_(not config.image.frozen)
        towers.text.encoder.requires_grad_(not config.text.frozen)
        self.optimizer = self._optimizer()
        self._ema: State | None = None
        if config.optim.ema_decay:
            self._ema = {k: v.detach().clone() for k, v in self.towers.state_dict().items()}
        self._history: list[dict[str, float]] = []
        self._best: dict[str, float] = {}
        self._best_state: State = {}
        self._losses: list[float] = []  # number of steps, smallest and largest loss

    def _optimizer(self) -> torch.optim.AdamW:
        optim = self.config.optim
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in (*self.towers.named_parameters(), *self.heads.named_parameters()):
            if parameter.requires_grad:
                in_text = name.startswith("text.encoder.")
                groups.setdefault((in_text, parameter.ndim > 1), []).append(parameter)
        return torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "peak": (optim.text_lr or optim.lr) if in_text else optim.lr,
                    "weight_decay": optim.weight_decay if decays else 0.0,
                }
                for (in_text, decays), parameters in sorted(groups.items())
            ],
            lr=optim.lr,
            betas=(0.9, 0.98),
        )

    def prepare(self, progress: Progress | None = None) -> None:
        """Compute the features of frozen encoders that the library's cache lacks."""
        for feeder in (self.images, self._val_images, self.texts, self._val_texts):
            feeder.prepare(progress)

    # the loop --------------------------------------------------------------------------------

    def run(
        self,
        checkpoint: Path,
        key: str,
        progress: Progress | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> TrainingOutcome:
        """Train to the end, resuming from ``checkpoint`` if it belongs to this training.

        Raises
        ------
        NothingLearnedError
            If the loss or the weights are not finite, or the loss never changed.
        """
        kept = read_checkpoint(checkpoint, key)
        epoch, step, total_loss, seconds = 0, 0, 0.0, 0.0
        if kept is not None:
            epoch, step, total_loss, seconds = self._restore(kept)
        config = self.config
        started = written = time.monotonic()
        while epoch < config.epochs and not self._should_stop():
            batches = epoch_batches(config, self.train, epoch)
            while step < len(batches):
                total_loss += self._step(epoch, step, len(batches), batches[step])
                step += 1
                if progress:
                    progress(epoch * len(batches) + step, config.epochs * len(batches))
                if time.monotonic() - written > config.checkpoint_seconds:
                    written = time.monotonic()
                    spent = seconds + written - started
                    write_checkpoint(checkpoint, self._state(key, epoch, step, total_loss, spent))
            self._end_epoch(epoch, total_loss / max(1, len(batches)))
            if on_epoch:
                on_epoch(self._history[-1])
            epoch, step, total_loss = epoch + 1, 0, 0.0
            written = time.monotonic()
            spent = seconds + written - started
            write_checkpoint(checkpoint, self._state(key, epoch, step, total_loss, spent))
        self._require_change()
        self.towers.load_state_dict(self._best_state)
        self.towers.eval()
        spent = seconds + time.monotonic() - started
        return TrainingOutcome(self._history, self._best, self._check_collapse(), spent)

    def _require_change(self) -> None:
        count, smallest, largest = self._losses or (0, 0.0, 0.0)
        if count == 0:
            raise NothingLearnedError("no batch of two patients could be formed")
        if count >= _STEPS_TO_JUDGE and smallest == largest:
            raise NothingLearnedError(
                f"the loss did not change in {count:.0f} steps; nothing was learned",
                where="optim.lr",
                hint="check that images and notes differ, and check the learning rates",
            )

    def _check_collapse(self) -> CollapseCheck:
        if len(self.val) >= _ENOUGH:
            cohort, feeders, name = self.val, (self._val_images, self._val_texts), "validation"
        else:
            cohort, feeders, name = self.train, (self.images, self.texts), "training"
        images, words, texts = unit_vectors(self.towers, cohort, *feeders)
        return check_collapse(images.cpu().numpy(), words.cpu().numpy(), texts, name)

    def _should_stop(self) -> bool:
        later = [e for e in self._history if "score" in e and e["epoch"] > self._best["epoch"]]
        return 0 < self.config.patience <= len(later)

    def _step(self, epoch: int, step: int, n_steps: int, batch: list[int]) -> float:
        config = self.config
        rng = np.random.default_rng((config.seed, 1, epoch, step))
        torch.manual_seed(int(rng.integers(2**62)))  # dropout
        self._training()
        rate = self._rate((epoch + step / n_steps) / config.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        loss = self._loss(batch, rng)
        if not torch.isfinite(loss):
            raise diverged("the loss is not finite")
        self._note_loss(float(loss.detach()))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, config.optim.clip)
        if not torch.isfinite(norm):
            raise diverged("the gradient is not finite")
        self.optimizer.step()
        with torch.no_grad():
            self.towers.logit_scale.clamp_(0, math.log(config.loss.max_scale))
            self._update_ema(epoch * n_steps + step)
        return float(loss.detach())

    def _note_loss(self, loss: float) -> None:
        count, smallest, largest = self._losses or (0, loss, loss)
        self._losses = [count + 1, min(smallest, loss), max(largest, loss)]

    def _loss(self, batch: list[int], rng: np.random.Generator) -> torch.Tensor:
        config = self.config
        odds = config.image_augmentation.mirror if config.preprocess.dimensions == 2 else 0.0
        mirror = rng.random(len(batch)) < odds
        views = self.texts.draw(batch, mirror, rng)
        images = functional.normalize(self.images.draw(batch, mirror, rng), dim=-1)
        texts = functional.normalize(self.texts.forward([r.text for r in views]), dim=-1)
        present = [self.train.reports[case].present for case in batch]
        present = [
            frozenset(map(other_side, labels)) if turned else labels
            for labels, turned in zip(present, mirror.tolist(), strict=True)
        ]
        same = torch.from_numpy(false_negative_mask(views, present)).to(self.device)
        loss = clip_loss(
            images,
            texts,
            self.towers.logit_scale.exp(),
            same,
            positive=config.loss.same_finding == "positive",
        )
        if self.labels:
            of_images = self.finding_targets[batch]
            turned = torch.from_numpy(mirror).to(self.device)
            of_images = torch.where(turned[:, None], of_images[:, self._swapped], of_images)
            loss = loss + self._findings_loss(images, texts, views, of_images)
            loss = loss + self._prompt_loss(images, of_images, rng)
        return loss

    def _findings_loss(
        self,
        images: torch.Tensor,
        texts: torch.Tensor,
        views: Sequence[TextView],
        of_images: torch.Tensor,
    ) -> torch.Tensor | float:
        """Auxiliary loss of one linear layer that both towers share."""
        if self.findings is None:
            return 0.0
        of_texts = torch.zeros_like(of_images)
        for row, view in enumerate(views):
            for label in view.labels:
                if label in self.labels:
                    of_texts[row, self.labels[label]] = 1
        # components of unit vectors are small: rescale them to unit variance
        width = math.sqrt(images.shape[1])
        loss = findings_loss(self.findings(images * width), of_images)
        loss = loss + findings_loss(self.findings(texts * width), of_texts)
        return self.config.loss.findings_weight * loss

    def _prompt_loss(
        self, images: torch.Tensor, of_images: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor | float:
        """Loss of every image against a prompt for every finding."""
        if self.phrases is None:
            return 0.0
        words = functional.normalize(self.texts.forward(self.book.draw(rng)), dim=-1)
        one_sided = (of_images + of_images[:, self._swapped]) == 1  # excludes NaN, both and neither
        weights = 1 + self.config.loss.side_weight * one_sided
        loss = findings_loss(self.phrases(images, words), of_images, weights)
        return self.config.loss.phrases_weight * loss

    def _rate(self, done: float) -> float:
        warmup = self.config.optim.warmup
        if done < warmup:
            return max(done / warmup, 0.01)
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))

    def _training(self) -> None:
        self.towers.train()
        if self.config.image.frozen:
            self.towers.image.encoder.eval()
        if self.config.text.frozen:
            self.towers.text.encoder.eval()

    def _update_ema(self, steps: int) -> None:
        """Update the moving average of the weights, with a lower decay in the first steps."""
        if self._ema is None:
            return
        decay = min(self.config.optim.ema_decay, (1 + steps) / (10 + steps))
        for name, value in self.towers.state_dict().items():
            if value.is_floating_point():
                self._ema[name].lerp_(value, 1 - decay)
            else:
                self._ema[name].copy_(value)

    def _end_epoch(self, epoch: int, loss: float) -> None:
        entry: dict[str, float] = {"epoch": epoch + 1, "loss": loss}
        last = epoch + 1 == self.config.epochs
        measured = last or (epoch + 1) % self.config.validate_every == 0
        current = self.towers.state_dict()
        candidate = self._ema or current
        for weights in (current, candidate):
            if not all(v.isfinite().all() for v in weights.values() if v.is_floating_point()):
                raise diverged("the weights are not finite")
        if measured and len(self.val) > 1:
            if self._ema is not None:
                current = {k: v.detach().clone() for k, v in current.items()}
                self.towers.load_state_dict(candidate)
            entry.update(self.validate())
            if self._ema is not None:
                self.towers.load_state_dict(current)
        entry["temperature"] = float(1 / self.towers.logit_scale.detach().exp())
        self._history.append(entry)
        if len(self.val) > 1:
            better = measured and entry["score"] > self._best.get("score", -1.0)
        else:
            better = True  # nothing to choose by: the last
        if better or not self._best_state:
            self._best = entry
            self._best_state = {k: v.detach().clone().cpu() for k, v in candidate.items()}

    def validate(self) -> dict[str, float]:
        """Measure the validation cases, see :func:`medembed.training.measuring.measure`."""
        return measure(self.config, self.towers, self.val, self._val_images, self._val_texts)

    # how it computes -------------------------------------------------------------------------

    def choose_mode(self) -> tuple[Mode, dict[str, float]]:
        """Choose precision and memory layout; return them with the measured seconds, if any."""
        config = self.config
        if config.image.frozen:
            return Mode(), {}
        rows = np.concatenate(self.train.rows)[: config.batch_size]
        return fastest_mode(config, self.towers.image, self.images.pixels(rows))

    def use(self, mode: Mode) -> None:
        """Switch to this mode."""
        self.images.mode = self._val_images.mode = mode
        if mode.channels_last:
            self.towers.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    # checkpoints -----------------------------------------------------------------------------

    def _state(
        self, key: str, epoch: int, step: int, total_loss: float, seconds: float
    ) -> dict[str, Any]:
        return {
            "key": key,
            "epoch": epoch,
            "step": step,
            "total_loss": total_loss,
            "seconds": seconds,
            "towers": self.towers.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self._ema or {},
            "history": self._history,
            "best": self._best,
            "best_state": self._best_state,
            "losses": self._losses,
        }

    def _restore(self, state: dict[str, Any]) -> tuple[int, int, float, float]:
        self.towers.load_state_dict(state["towers"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._ema is not None:
            self._ema = {k: v.to(self.device) for k, v in state["average"].items()}
        self._history = copy.deepcopy(state["history"])
        self._best = dict(state["best"])
        self._best_state = state["best_state"]
        self._losses = list(state["losses"])
        return state["epoch"], state["step"], state["total_loss"], state["seconds"]
