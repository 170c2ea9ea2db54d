"""What a training step reads, drawn ahead of the step by a thread.

Reading pixels, augmenting them and drawing texts need no weights: they can be done for the next
steps while this one is computed. All random numbers of a step come from its own generator, so that
the result does not depend on who draws it, nor when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from medembed.encoders.study_images import StudyBatch
from medembed.training.augment import augment
from medembed.training.text_views import TextView

if TYPE_CHECKING:
    from medembed.training.feature_feeders import ImageFeeder, TextFeeder
    from medembed.training.prompts import PhraseBook
    from medembed.training.settings import TrainingConfig

__all__ = ["Ahead", "StepInputs", "StepReader"]

_WAIT = 0.2
"""Seconds between two looks at whether the reader should stop."""


@dataclass(frozen=True)
class StepInputs:
    """Everything random about a step, and the pixels of this process's rows.

    Parameters
    ----------
    seed : int
        For torch's random numbers (dropout).
    cases : list of int
    mirror : bool array ``(n,)``
    rows : int64 array ``(n,)``
        Row of the pixel cache drawn for each case; those of ``study`` count if it is given.
    views : list of TextView
    prompts : list of str
        One for each label; empty without a prompt loss.
    images : float32 Tensor or None
        Augmented images in [0, 1] of the rows ``mine``, or ``(mine, m, …)`` of the study's; None if
        the image encoder is frozen.
    mine : int64 array
        Positions in the batch that this process encodes.
    study : StudyBatch or None
        All images of each case, if they are pooled.
    """

    seed: int
    cases: list[int]
    mirror: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]
    views: list[TextView]
    prompts: list[str]
    images: torch.Tensor | None
    mine: npt.NDArray[np.int64]
    study: StudyBatch | None = None


@dataclass(frozen=True)
class StepReader:
    """Draws the inputs of steps.

    Parameters
    ----------
    config : TrainingConfig
    images : ImageFeeder
    texts : TextFeeder
    book : PhraseBook or None
    share : callable
        Positions that this process encodes, of a batch of so many cases.
    """

    config: TrainingConfig
    images: ImageFeeder
    texts: TextFeeder
    book: PhraseBook | None
    share: Callable[[int], npt.NDArray[np.int64]] = np.arange

    def read(self, epoch: int, step: int, batch: Sequence[int]) -> StepInputs:
        """Draw the inputs of one step; the same for the same seed, epoch and step."""
        config = self.config
        rng = np.random.default_rng((config.seed, 1, epoch, step))
        seed = int(rng.integers(2**62))
        odds = config.image_augmentation.mirror if config.preprocess.dimensions == 2 else 0.0
        mirror = (rng.random(len(batch)) < odds) & self.texts.can_mirror(batch)
        views = self.texts.draw(batch, mirror, rng)
        cohort = self.images.cohort
        rows = np.array([rng.choice(cohort.rows[case]) for case in batch])
        mine = self.share(len(batch))
        study = StudyBatch.of([cohort.studies[case] for case in batch]) if config.study else None
        pixels = None
        if not config.image.frozen and study is not None:
            pixels = self._study_pixels(study, mirror, mine, rng)
        elif not config.image.frozen:
            read = self.images.pixels(rows[mine])
            pixels = augment(read, mirror, config.image_augmentation, rng, mine)
        prompts = self.book.draw(rng) if self.book else []
        return StepInputs(seed, list(batch), mirror, rows, views, prompts, pixels, mine, study)

    def _study_pixels(
        self,
        study: StudyBatch,
        mirror: npt.NDArray[np.bool_],
        mine: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """Return the augmented images of the cases ``mine``, ``(mine, m, …)``; padding is black."""
        n, m = study.present.shape
        present = study.present[mine]
        places = np.arange(n * m).reshape(n, m)[mine][present]
        read = self.images.pixels(study.rows[mine][present])
        changed = augment(read, np.repeat(mirror, m), self.config.image_augmentation, rng, places)
        images = changed.new_zeros(*present.shape, *changed.shape[1:])
        images[torch.from_numpy(present).to(images.device)] = changed
        return images


class Ahead:
    """The inputs of the steps of an epoch, some of them read before they are asked for.

    Parameters
    ----------
    read : callable
        Inputs of a step, from its number.
    steps : range
        The steps that will be taken, in order.
    count : int
        Steps held ready; 0 reads each when it is asked for, without a thread.
    threads : int
        Number of threads that torch uses for one operation, which affects how sums are rounded.
    """

    def __init__(
        self, read: Callable[[int], StepInputs], steps: range, count: int, threads: int
    ) -> None:
        self._read = read
        self._steps = steps
        self._threads = threads
        self._ready: Queue[tuple[int, StepInputs | BaseException]] = Queue(max(1, count))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="step-inputs", daemon=True)
        self._started = count > 0

    @contextmanager
    def running(self) -> Iterator[Ahead]:
        """Read ahead inside this block; on leaving it, no thread is left."""
        if self._started:
            self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            if self._started:
                self._thread.join()

    def take(self, step: int) -> StepInputs:
        """Return the inputs of the next step.

        Raises
        ------
        MedEmbedError
            What reading them raised.
        """
        if not self._started:
            return self._read(step)
        while True:
            try:
                at, found = self._ready.get(timeout=_WAIT)
            except Empty:
                if self._thread.is_alive():
                    continue
                raise RuntimeError("the thread that reads steps ahead has ended") from None
            if isinstance(found, BaseException):
                raise found
            if at == step:
                return found

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        for step in self._steps:
            if self._stop.is_set():
                return
            try:
                found: StepInputs | BaseException = self._read(step)
            except BaseException as error:  # noqa: BLE001  raised by whoever takes the step
                found = error
            while not self._stop.is_set():
                try:
                    self._ready.put((step, found), timeout=_WAIT)
                    break
                except Full:
                    continue
            if isinstance(found, BaseException):
                return
