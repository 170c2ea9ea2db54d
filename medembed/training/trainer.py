"""The training loop: steps, validation, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medembed.encoders.tokenizers import Tokens
from medembed.model.towers import Towers
from medembed.notes import swap_laterality
from medembed.progress import Progress
from medembed.training.autotune import fastest_mode
from medembed.training.batch_gradient import BatchGradient
from medembed.training.batches import epoch_batches
from medembed.training.checkpoint import read_checkpoint, write_checkpoint
from medembed.training.cohort import TrainingCohort
from medembed.training.collapse import CollapseCheck, check_collapse
from medembed.training.engine import Engine
from medembed.training.feature_feeders import ImageFeeder, Mode, TextFeeder
from medembed.training.learnable import NothingLearnedError, diverged, require_rows
from medembed.training.lora import set_trainable
from medembed.training.measuring import measure, unit_vectors
from medembed.training.objective import Objective
from medembed.training.schedules import rate
from medembed.training.settings import TrainingConfig
from medembed.training.step_inputs import Ahead, StepInputs, StepReader

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
    engine : Engine
        The device, and the other processes of this training.

    Raises
    ------
    ConfigError
        If the configuration cannot be met with these towers.
    """

    def __init__(
        self,
        config: TrainingConfig,
        train: TrainingCohort,
        val: TrainingCohort,
        towers: Towers,
        tokens: Tokens,
        engine: Engine,
    ) -> None:
        self.config = config
        self.train = train
        self.val = val
        self.engine = engine
        self.device = device = engine.device
        set_trainable(config, towers)
        require_rows(config, towers)
        self._given = towers
        self.towers = towers = engine.place(towers)
        self.objective = Objective(config, train, device)
        self.heads = self.objective.heads
        self.images = ImageFeeder(train, towers, config, device)
        self.texts = TextFeeder(train, towers, tokens, config, device, swap_laterality)
        self._val_images = ImageFeeder(val, towers, config, device)
        self._val_texts = TextFeeder(val, towers, tokens, config, device, swap_laterality)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self._gradient = BatchGradient(
            config, engine, towers, self.objective, (self.images, self.texts), self.scaler
        )
        self.reader = StepReader(config, self.images, self.texts, self.objective.book, engine.share)
        self._ahead: Ahead | None = None
        self.optimizer = self._optimizer()
        self._ema: State | None = None
        if config.optim.ema_decay:
            self._ema = {k: v.detach().clone() for k, v in self._changing().items()}
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
            foreach=False if self.engine.sharded else None,  # sharded and whole weights do not mix
        )

    def prepare(self, progress: Progress | None = None) -> None:
        """Compute the features of frozen encoders that the library's cache lacks."""
        for feeder in (self.images, self._val_images, self.texts, self._val_texts):
            feeder.prepare(progress)

    def _changing(self) -> State:
        """Return the weights and statistics that training changes."""
        sides = {"image": self.config.image.frozen, "text": self.config.text.frozen}
        frozen = tuple(f"{name}.encoder." for name, is_frozen in sides.items() if is_frozen)
        fixed = {name for name, w in self.towers.named_parameters() if not w.requires_grad}
        state = self.towers.state_dict()
        return {k: v for k, v in state.items() if k not in fixed and not k.startswith(frozen)}

    def _put(self, state: State) -> None:
        self.towers.load_state_dict({**self.towers.state_dict(), **state})

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
        engine = self.engine
        kept = read_checkpoint(checkpoint, key)
        epoch, step, total_loss, seconds = 0, 0, 0.0, 0.0
        if kept is not None:
            epoch, step, total_loss, seconds = self._restore(kept)
        engine.wait()  # until all have read the checkpoint
        config = self.config
        started = written = time.monotonic()
        while epoch < config.epochs and not self._should_stop():
            batches = epoch_batches(config, self.train, epoch)
            with self._reading(epoch, step, batches) as self._ahead:
                while step < len(batches):
                    total_loss += self._step(epoch, step, len(batches), batches[step])
                    step += 1
                    if progress:
                        progress(epoch * len(batches) + step, config.epochs * len(batches))
                    due = time.monotonic() - written > config.checkpoint_seconds
                    if engine.agree(due) if engine.sharded else due:
                        written = time.monotonic()
                        spent = seconds + written - started
                        self._write(checkpoint, self._state(key, epoch, step, total_loss, spent))
            self._ahead = None
            self._end_epoch(epoch, total_loss / max(1, len(batches)))
            if on_epoch:
                on_epoch(self._history[-1])
            epoch, step, total_loss = epoch + 1, 0, 0.0
            written = time.monotonic()
            spent = seconds + written - started
            self._write(checkpoint, self._state(key, epoch, step, total_loss, spent))
        self._require_change()
        engine.load(self.towers, self._best_state)
        if self._given is not self.towers:
            self._given.load_state_dict({**self._given.state_dict(), **self._best_state})
            self._given.eval()
        self.towers.eval()
        spent = seconds + time.monotonic() - started
        return TrainingOutcome(self._history, self._best, self._check_collapse(), spent)

    def _reading(self, epoch: int, first: int, batches: list[list[int]]) -> Any:
        """Read the inputs of the next steps in a thread."""

        def read(step: int) -> StepInputs:
            return self.reader.read(epoch, step, batches[step])

        steps = range(first, len(batches))
        return Ahead(read, steps, self.config.prefetch, torch.get_num_threads()).running()

    def _write(self, checkpoint: Path, state: dict[str, Any]) -> None:
        if self.engine.main:
            write_checkpoint(checkpoint, state)

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
        config, engine = self.config, self.engine
        inputs = self._ahead.take(step) if self._ahead else self.reader.read(epoch, step, batch)
        torch.manual_seed((inputs.seed + engine.rank) % 2**63)  # dropout
        self._training()
        factor = rate(
            config.optim.schedule, (epoch + step / n_steps) / config.epochs, config.optim.warmup
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss = float(self._gradient.backward(inputs))
        self._note_loss(loss)
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        engine.average(parameters, self.towers)
        self.scaler.unscale_(self.optimizer)
        norm = engine.clip(parameters, config.optim.clip)
        # a scale that is too large for float16 is lowered, and the step skipped
        if not torch.isfinite(norm) and not (self.scaler.is_enabled() and self._can_scale_less()):
            raise diverged("the gradient is not finite")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            self.towers.logit_scale.clamp_(0, math.log(config.loss.max_scale))
            self._update_ema(epoch * n_steps + step)
        return loss

    def _can_scale_less(self) -> bool:
        return self.scaler.get_scale() > 1

    def _note_loss(self, loss: float) -> None:
        count, smallest, largest = self._losses or (0, loss, loss)
        self._losses = [count + 1, min(smallest, loss), max(largest, loss)]

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
        for name, value in self._changing().items():
            if value.is_floating_point():
                self._ema[name].lerp_(value, 1 - decay)
            else:
                self._ema[name].copy_(value)

    def _end_epoch(self, epoch: int, loss: float) -> None:
        entry: dict[str, float] = {"epoch": epoch + 1, "loss": loss}
        last = epoch + 1 == self.config.epochs
        measured = last or (epoch + 1) % self.config.validate_every == 0
        current = self._changing()
        candidate = self._ema or current
        whole = self.engine.whole(candidate)
        for weights in (self.engine.whole(current), whole):
            if not all(v.isfinite().all() for v in weights.values() if v.is_floating_point()):
                raise diverged("the weights are not finite")
        if measured and len(self.val) > 1:
            if self._ema is not None:
                current = {k: v.detach().clone() for k, v in current.items()}
                self._put(candidate)
            entry.update(self.validate())
            if self._ema is not None:
                self._put(current)
        entry["temperature"] = float(1 / self.towers.logit_scale.detach().exp())
        entry = self.engine.agree(entry)
        self._history.append(entry)
        if len(self.val) > 1:
            better = measured and entry["score"] > self._best.get("score", -1.0)
        else:
            better = True  # nothing to choose by: the last
        if better or not self._best_state:
            self._best = entry
            self._best_state = {k: v.detach().clone().cpu() for k, v in whole.items()}

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
        whole = self.engine.whole
        state = {
            "key": key,
            "epoch": epoch,
            "step": step,
            "total_loss": total_loss,
            "seconds": seconds,
            "towers": whole(self._changing()),
            "heads": self.heads.state_dict(),
            "optimizer": whole(self.optimizer.state_dict()),
            "average": whole(self._ema or {}),
            "history": self._history,
            "best": self._best,
            "best_state": self._best_state,
            "losses": self._losses,
        }
        return {**state, "scaler": self.scaler.state_dict()} if self.scaler.is_enabled() else state

    def _restore(self, state: dict[str, Any]) -> tuple[int, int, float, float]:
        self.engine.load(self.towers, state["towers"])
        self.heads.load_state_dict(state["heads"])
        self.engine.load_optimizer(self.optimizer, state["optimizer"])
        if "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        if self._ema is not None:
            held = self._changing()
            self._ema = {
                k: self.engine.like(v, held[k]) for k, v in state["average"].items() if k in held
            }
        self._history = copy.deepcopy(state["history"])
        self._best = dict(state["best"])
        self._best_state = state["best_state"]
        self._losses = list(state["losses"])
        return state["epoch"], state["step"], state["total_loss"], state["seconds"]
