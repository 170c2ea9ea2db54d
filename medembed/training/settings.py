"""The configuration of a training, each part beside the code that it sets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medembed.encoders.settings import ImageSettings, Settings, TextSettings
from medembed.model.towers import ProjectionSettings
from medembed.preprocess import Preprocess

__all__ = [
    "BalanceSettings",
    "ImageAugmentation",
    "LossSettings",
    "OptimSettings",
    "TextAugmentation",
    "TrainingConfig",
]


class LossSettings(Settings):
    """What is learnt.

    Parameters
    ----------
    temperature : float
        At the start; its inverse is learnt.
    max_scale : float
        Upper limit of the inverse temperature.
    same_finding : {"mask", "positive"}
        What a short finding phrase is to another image of the batch whose report states the same:
        left out of the sum, or as right as the image's own.
    findings_weight : float
        Weight of the auxiliary loss: from a vector of either side, one shared linear layer says
        which findings and sides the report asserts (binary cross-entropy). 0 leaves it out.
    phrases_weight : float
        Weight of the phrase loss: every image of the batch against every finding in plain words
        ("right pleural effusion"), whatever the batch's own reports say (binary cross-entropy of
        what its report asserts). It is what makes short queries work. 0 leaves it out.
    side_weight : float
        In the phrase loss, how much more the two sides of a finding count on an image that shows
        it on one side only. Such images are few among all that do not show it, yet they are those
        that "right" must rank below.
    findings : {"core", "all"}
        Which findings take part in these two, and in the phrases of ``text_augmentation``: the
        twelve of the chest (``medembed.notes.FINDINGS``), or all that the reports assert. On the
        embedded cohort all cost image to image P@5 .06 of .70.
    min_cases : int
        Findings asserted in fewer training reports take no part in these two.
    """

    temperature: float = Field(default=0.07, gt=0)
    max_scale: float = Field(default=100.0, gt=1)
    same_finding: Literal["mask", "positive"] = "mask"
    findings_weight: float = Field(default=0.0, ge=0)
    phrases_weight: float = Field(default=0.0, ge=0)
    side_weight: float = Field(default=0.0, ge=0)
    findings: Literal["core", "all"] = "core"
    min_cases: int = Field(default=10, ge=1)


class TextAugmentation(Settings):
    """What of a report a step of training reads.

    Parameters
    ----------
    sentences : float
        Probability of a random part of the sentences of findings and impression.
    phrases : float
        Probability of a short phrase about one asserted finding, "right pleural effusion".
    """

    sentences: float = Field(default=0.5, ge=0, le=1)
    phrases: float = Field(default=0.2, ge=0, le=1)


class ImageAugmentation(Settings):
    """Random changes to images in training; none on volumes but those of intensity.

    Parameters
    ----------
    rotate_degrees, scale, shift : float
        Largest; ``shift`` as a part of the image's edge.
    contrast, brightness, noise : float
        Largest change of contrast (as a factor), of brightness and of the noise's standard
        deviation, in units of [0, 1].
    mirror : float
        Probability to flip an image left to right and to swap the sides in its report, 2D only.
        Meant for images in which left and right lie opposite each other, such as frontal chest
        radiographs and axial slices.
    """

    rotate_degrees: float = Field(default=5.0, ge=0, le=180)
    scale: float = Field(default=0.08, ge=0, lt=1)
    shift: float = Field(default=0.04, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    brightness: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.02, ge=0, lt=1)
    mirror: float = Field(default=0.0, ge=0, le=1)


class OptimSettings(Settings):
    """How it is learnt: AdamW, a linear warm-up, then a cosine down to 0.

    Parameters
    ----------
    lr : float
        Of the image side, the projections and everything else.
    text_lr : float or None
        Of the text encoder; None takes ``lr``.
    weight_decay : float
    warmup : float
        Part of all steps.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay a step of the running mean of the weights that is validated and kept; 0 keeps the
        weights themselves.
    """

    lr: float = Field(default=1e-3, gt=0)
    text_lr: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    average: float = Field(default=0.0, ge=0, lt=1)


class BalanceSettings(Settings):
    """Batches that hold groups of patients in declared shares.

    Parameters
    ----------
    attribute : str
        ``"sex"``, ``"age_band"``, ``"race"``, ``"view"``, ``"modality"``, ``"site"``,
        ``"scanner"``, or a column that was kept at ingest. "unknown" is a group.
    strength : float
        0 keeps the archive's mix, 1 gives every group the same share of the draws.
    repeats : int
        How often a case may be drawn in an epoch.
    age_bands : tuple of int
        Where one band of ages ends and the next begins.
    """

    attribute: str = Field(default="sex", min_length=1)
    strength: float = Field(default=1.0, ge=0, le=1)
    repeats: int = Field(default=4, ge=1)
    age_bands: tuple[int, ...] = (40, 60, 75)


class TrainingConfig(Settings):
    """All of a training.

    Parameters
    ----------
    name : str
        Of the model: its folder under ``models`` in the library.
    seed : int
    epochs : int
    batch_size : int
    validate_every : int
        Epochs between validations.
    patience : int
        Validations without a better one after which training ends; 0 never ends it early.
    balance : BalanceSettings or None
        Batches hold groups in declared shares; None takes cases as they come.
    preprocess, image, text, projection, loss, image_augmentation, text_augmentation, optim
        See each class.
    frozen_variants : int
        Readings of each report that are kept where the text encoder is frozen.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` measures a few steps and takes the faster.
    channels_last : bool or "auto"
        Memory layout of images on a CUDA device. Never used on a processor: there the gradients
        of oneDNN's channels-last kernels change from run to run and write past their buffers
        (oneDNN 3.12 in torch 2.13, AVX2).
    checkpoint_seconds : float
        Seconds between checkpoints inside an epoch.
    workers : int
        Processes that decode scans; 0 takes as many as there are cores.
    """

    name: str = Field(default="model", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: int = 0
    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=2)
    validate_every: int = Field(default=1, ge=1)
    patience: int = Field(default=0, ge=0)
    balance: BalanceSettings | None = None
    preprocess: Preprocess = Preprocess()
    image: ImageSettings = ImageSettings()
    text: TextSettings = TextSettings()
    projection: ProjectionSettings = ProjectionSettings()
    loss: LossSettings = LossSettings()
    image_augmentation: ImageAugmentation = ImageAugmentation()
    text_augmentation: TextAugmentation = TextAugmentation()
    optim: OptimSettings = OptimSettings()
    frozen_variants: int = Field(default=6, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    workers: int = Field(default=0, ge=0)
