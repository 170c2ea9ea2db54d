"""Train several heads over frozen features and fuse them into one model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from medembed.encoders import IMAGE_ENCODERS
from medembed.encoders.settings import ImageSettings
from medembed.encoders.tokenizers import Tokens
from medembed.model.heads import (
    FusedImageSide,
    FusedTextSide,
    HeadPlan,
    WordFeatures,
    linear_head,
)
from medembed.model.towers import ImageSide, ProjectionSettings, TextSide, Towers, checked_options
from medembed.notes import swap_laterality
from medembed.progress import Progress
from medembed.training.closed_forms import choose_ridge, solve
from medembed.training.cohort import TrainingCohort
from medembed.training.collapse import CollapseCheck, check_collapse
from medembed.training.feature_feeders import ImageFeeder, TextFeeder
from medembed.training.head_vectors import fused, spreads
from medembed.training.measuring import MOST
from medembed.training.settings import HeadSettings, TrainingConfig
from medembed.training.structure import mutual_neighbors
from medembed.training.trainer import OnEpoch, Trainer
from medembed.training.validation import retrieval_summary

__all__ = ["FusionOutcome", "train_heads"]

_WORDS = 256
"""Most directions of the words' features."""

_ENOUGH = 100
"""With fewer validation cases, the collapse check uses training cases."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FusionOutcome:
    """Result of :func:`train_heads`.

    Parameters
    ----------
    towers : Towers
        The fused pair.
    architecture : dict
        From which a model folder rebuilds it.
    history : list of dict
        Entries of all trained heads; ``head`` numbers them from 1.
    best : dict
        Validation measures of the fused pair.
    collapse : CollapseCheck
    remarks : list of str
        What was chosen for each head.
    seconds : float
        Time of this call.
    """

    towers: Towers
    architecture: dict[str, Any]
    history: list[dict[str, float]]
    best: dict[str, float]
    collapse: CollapseCheck
    remarks: list[str]
    seconds: float


@dataclass
class _Head:
    """A finished head: a projection for each side."""

    set_number: int
    settings: HeadSettings
    image: nn.Module
    text: nn.Module
    dim: int
    weight: float
    projection: ProjectionSettings | None = None  # of a trained head


@dataclass
class _Work:
    config: TrainingConfig
    train: TrainingCohort
    val: TrainingCohort
    towers: Towers
    tokens: Tokens
    architecture: dict[str, Any]
    new_trainer: Callable[[TrainingConfig, Towers], Trainer]
    encoding: Progress | None
    sets: list[tuple[ImageSettings, ImageSide]] = field(default_factory=list)
    words: WordFeatures | None = None
    remarks: list[str] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return next(self.towers.parameters()).device

    # features ------------------------------------------------------------------------------

    def set_of(self, settings: ImageSettings) -> int:
        """Return the number of an image set, building its encoder once."""
        plain = settings.model_copy(update={"batch_norm": False, "frozen": True})
        for number, (known, _) in enumerate(self.sets):
            if known == plain:
                return number
        if plain == self.config.image.model_copy(update={"batch_norm": False, "frozen": True}):
            encoder = self.towers.image.encoder
        else:
            entry = IMAGE_ENCODERS[settings.encoder]
            options = checked_options(entry.options, settings.options, "heads.image")
            size = self.config.preprocess.shape[1:]
            encoder = entry.build(options, self.config.preprocess.dimensions, size)
        dimensions = self.config.preprocess.dimensions
        side = ImageSide(encoder, plain, dimensions, ProjectionSettings(dim=1))
        side.requires_grad_(False).eval()
        self.sets.append((plain, side.to(self.device)))
        return len(self.sets) - 1

    def image_feeder(self, cohort: TrainingCohort, number: int) -> ImageFeeder:
        settings, side = self.sets[number]
        config = self.config.model_copy(update={"image": settings})
        return ImageFeeder(cohort, Towers(side, self.towers.text), config, self.device)

    def text_feeder(self, cohort: TrainingCohort, text: str) -> TextFeeder:
        towers = Towers(self.towers.image, self.text_side(text, ProjectionSettings(dim=1)))
        return TextFeeder(cohort, towers, self.tokens, self.config, self.device, swap_laterality)

    def text_side(self, text: str, projection: ProjectionSettings) -> TextSide:
        encoder: nn.Module = self.towers.text.encoder
        if text == "words":
            if self.words is None:
                notes = [report.full.text for report in self.train.reports]
                self.words = WordFeatures.fit(*self.tokens(notes), _WORDS).to(self.device)
            encoder = self.words
        return TextSide(encoder, projection).to(self.device)

    def choose_image(self, head: HeadSettings, at: int) -> ImageSettings:
        """Return the image features of a head, chosen by likeness if there are candidates."""
        if not head.candidates:
            return head.image or self.config.image
        cases = range(min(len(self.train), 2 * MOST))
        feeder = self.text_feeder(self.train, head.text)
        texts = feeder.table([self.train.reports[case].full.text for case in cases])
        likeness = []
        for candidate in head.candidates:
            images = self.image_feeder(self.train, self.set_of(candidate))
            images.prepare(self.encoding)
            likeness.append(mutual_neighbors(images.table(cases), texts))
        best = int(np.argmax(likeness))
        values = ", ".join(f"{value:.3f}" for value in likeness)
        self.remarks.append(f"head {at + 1}: image features {best + 1} of mutual k-NN {values}")
        return head.candidates[best]

    # heads ---------------------------------------------------------------------------------

    def closed_form(self, head: HeadSettings, image: ImageSettings, at: int) -> _Head:
        number = self.set_of(image)
        feeder = self.image_feeder(self.train, number)
        feeder.prepare(self.encoding)
        x = feeder.table(range(len(self.train))).astype(np.float64)
        scale = np.ones(x.shape[1])
        if image.batch_norm:
            scale = 1 / (x.std(axis=0) + 1e-3)
        texts = self.text_feeder(self.train, head.text)
        views = [view.text for views in texts.every_view() for view in views]
        y = texts.table(views).astype(np.float64).reshape(len(self.train), -1, texts.width)
        dim = head.dim or self.config.projection.dim
        method = head.method
        assert method != "contrastive"  # the caller's
        if (ridge := head.ridge) is None:
            ridge, tried = choose_ridge(method, x * scale, y, self.train.pool_labels, dim)
            self.remarks.append(
                f"head {at + 1} ({method}): regularization {ridge:g} by cross-validation over "
                f"patients, MRR {tried[ridge]:.3f}"
            )
        form = solve(method, x * scale, y, ridge, dim)
        parts = (
            linear_head(scale[:, None] * form.image, form.image_shift),
            linear_head(form.text, form.text_shift),
        )
        return _Head(number, head, *parts, form.image.shape[1], head.weight)

    def contrastive(
        self,
        head: HeadSettings,
        image: ImageSettings,
        seed: int,
        run: Callable[[Trainer], tuple[list[dict[str, float]], dict[str, float]]],
    ) -> _Head:
        number = self.set_of(image)
        config, encoder = self.config, self.sets[number][1].encoder
        projection = config.projection.model_copy(update={"dim": head.dim or config.projection.dim})
        config = config.model_copy(
            update={
                "image": image.model_copy(update={"frozen": True}),
                "projection": projection,
                "seed": config.seed + seed,
                "heads": (),
            }
        )
        torch.manual_seed(config.seed)
        towers = Towers(
            ImageSide(encoder, config.image, config.preprocess.dimensions, projection),
            self.text_side(head.text, projection),
            math.log(1 / config.loss.temperature),
        )
        history, _ = run(self.new_trainer(config, towers))
        self.history += history
        parts = towers.image.projection, towers.text.projection
        weight = head.weight / head.seeds
        return _Head(number, head, *parts, projection.dim, weight, projection)

    # fused ---------------------------------------------------------------------------------

    @torch.no_grad()
    def vectors(
        self, heads: Sequence[_Head], cohort: TrainingCohort
    ) -> list[tuple[Vectors, Vectors]]:
        """Return unit vectors of each head for the images and notes of the first cases."""
        cases = range(min(len(cohort), MOST))
        notes = [cohort.reports[case].full.text for case in cases]
        rows = np.concatenate([cohort.rows[case] for case in cases])
        owner = np.repeat(np.arange(len(cases)), [len(cohort.rows[case]) for case in cases])
        found = []
        for head in heads:
            feeder = self.image_feeder(cohort, head.set_number)
            features = torch.from_numpy(feeder.features(rows)).to(self.device)
            words = torch.from_numpy(self.text_feeder(cohort, head.settings.text).table(notes))
            head.image.eval()
            head.text.eval()
            images = functional.normalize(head.image(features), dim=-1).cpu().numpy()
            texts = functional.normalize(head.text(words.to(self.device)), dim=-1).cpu().numpy()
            sums = np.zeros((len(cases), head.dim), dtype=np.float32)
            np.add.at(sums, owner, images)
            found.append((sums, texts))
        return found

    def measured(self, heads: Sequence[_Head]) -> tuple[dict[str, float], CollapseCheck]:
        best: dict[str, float] = {}
        if len(self.val) > 1:
            images, notes = fused(_weights(heads), self.vectors(heads, self.val))
            best = retrieval_summary(images, notes, self.val.pool_labels.first(len(notes)))
            best["score"] = (best["image_to_text_MRR"] + best["text_to_image_MRR"]) / 2
        enough = len(self.val) >= _ENOUGH
        cohort = self.val if enough else self.train
        images, notes = fused(_weights(heads), self.vectors(heads, cohort))
        texts = [report.full.text for report in cohort.reports[: len(notes)]]
        name = "validation" if enough else "training"
        return best, check_collapse(images, notes, texts, name)


def train_heads(
    config: TrainingConfig,
    train: TrainingCohort,
    val: TrainingCohort,
    towers: Towers,
    tokens: Tokens,
    architecture: dict[str, Any],
    new_trainer: Callable[[TrainingConfig, Towers], Trainer],
    work: Path,
    key: str,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    encoding: Progress | None = None,
) -> FusionOutcome:
    """Train or solve every head of the configuration and fuse them.

    Parameters
    ----------
    config : TrainingConfig
        With ``heads``.
    train, val : TrainingCohort
    towers : Towers
        Whose encoders are used, frozen.
    tokens : Tokens
    architecture : dict
        Of ``towers``.
    new_trainer : callable
        Returns the :class:`Trainer` of a pair under a configuration.
    work : Path
        Folder of the checkpoints, one for each trained head, so that an interrupted training
        goes on with the head it was at.
    key : str
        Key of the training.
    progress, on_epoch, encoding : callable, optional
        As in :func:`medembed.training.train`.
    """
    started = time.monotonic()
    towers.requires_grad_(False).eval()
    job = _Work(config, train, val, towers, tokens, architecture, new_trainer, encoding)
    count = sum(head.seeds for head in config.heads if head.method == "contrastive")
    number = 0
    heads: list[_Head] = []
    for at, head in enumerate(config.heads):
        image = job.choose_image(head, at)
        if head.method != "contrastive":
            heads.append(job.closed_form(head, image, at))
            continue
        for seed in range(head.seeds):

            def run(
                trainer: Trainer, number: int = number, at: int = at
            ) -> tuple[list[dict[str, float]], dict[str, float]]:
                trainer.prepare(encoding)
                outcome = trainer.run(
                    work / f"checkpoint-{number}.pt", key, _part(progress, number, count), on_epoch
                )
                return [{**entry, "head": at + 1.0} for entry in outcome.history], outcome.best

            heads.append(job.contrastive(head, image, seed, run))
            number += 1
    for head_, spread in zip(heads, spreads(job.vectors(heads, train), train), strict=True):
        head_.weight /= spread
    total = sum(head.weight for head in heads)
    for head_ in heads:
        head_.weight /= total
    best, collapse = job.measured(heads)
    pair, described = _assemble(job, heads)
    spent = time.monotonic() - started
    return FusionOutcome(pair, described, job.history, best, collapse, job.remarks, spent)


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Report one of several trainings as a part of all."""
    if progress is None:
        return None

    def report(done: int, total: int | None) -> None:
        if total:
            progress(number * total + done, count * total)

    return report


def _weights(heads: Sequence[_Head]) -> list[float]:
    return [head.weight for head in heads]


def _assemble(job: _Work, heads: Sequence[_Head]) -> tuple[Towers, dict[str, Any]]:
    used = sorted({head.set_number for head in heads})
    sets = [job.sets[number] for number in used]
    for _, side in sets:
        side.projection = nn.Identity()
    plans = []
    for head in heads:
        number = used.index(head.set_number)
        batch_norm = isinstance(head.image, nn.Sequential) and isinstance(
            head.image[0], nn.BatchNorm1d
        )
        plans.append(
            HeadPlan(
                image=number,
                text=head.settings.text,
                dim=head.dim,
                weight=head.weight,
                linear=head.projection is None,
                batch_norm=batch_norm,
                projection=head.projection.model_dump() if head.projection else {},
            )
        )
    image = FusedImageSide([side for _, side in sets], plans, [head.image for head in heads])
    text = FusedTextSide(job.towers.text.encoder, job.words, plans, [head.text for head in heads])
    towers = Towers(
        cast(ImageSide, image), cast(TextSide, text), math.log(1 / job.config.loss.temperature)
    )
    projection = ProjectionSettings(dim=sum(head.dim for head in heads), kind="none")
    described = {
        **job.architecture,
        "projection": projection.model_dump(mode="json"),
        "image_sets": [_kept(settings, side) for settings, side in sets],
        "words": job.words.architecture if job.words is not None else None,
        "heads": [plan.model_dump(mode="json") for plan in plans],
    }
    return towers.eval(), described


def _kept(settings: ImageSettings, side: ImageSide) -> dict[str, Any]:
    """Return the settings of a set as a model folder keeps them: no place of weights."""
    values = settings.model_dump(mode="json")
    options = getattr(side.encoder, "kept_options", None)
    return {**values, "options": options} if isinstance(options, dict) else values
