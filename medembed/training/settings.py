"""Configuration of a training."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from medembed.encoders.reranker import RerankerSettings
from medembed.encoders.settings import (
    ImageSettings,
    Settings,
    TextSettings,
    with_stated_preprocess,
)
from medembed.encoders.study_pooling import StudySettings
from medembed.model.towers import ProjectionSettings
from medembed.preprocess import Preprocess

__all__ = [
    "BalanceSettings",
    "HeadSettings",
    "HeaderSettings",
    "ImageAugmentation",
    "LoraSettings",
    "LoraSides",
    "LossSettings",
    "OptimSettings",
    "RerankSettings",
    "TextAugmentation",
    "TrainingConfig",
]


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


class TextAugmentation(Settings):
    """Choice of the text that a training step reads from a report.

    Parameters
    ----------
    sentences : float
        Probability of a random subset of the sentences of findings and impression.
    phrases : float
        Probability of a short phrase about one asserted finding, "right pleural effusion".
    """

    sentences: float = Field(default=0.5, ge=0, le=1)
    phrases: float = Field(default=0.2, ge=0, le=1)


class ImageAugmentation(Settings):
    """Random changes to training images; on volumes only those of intensity.

    Parameters
    ----------
    rotate_degrees, scale, shift : float
        Maximum; ``shift`` as a fraction of the image's edge.
    contrast, brightness, noise : float
        Maximum change of contrast (as a factor), of brightness, and maximum standard deviation of
        the noise, for pixels in [0, 1].
    mirror : float
        Probability of flipping an image left to right and swapping the sides in its report, 2D
        only. Meant for images with left and right opposite each other, such as frontal chest
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
    """Optimizer: AdamW with linear warm-up, then a schedule.

    Parameters
    ----------
    chunk : int or None
        Maximum number of cases that each process encodes at a time. The gradient is still that of
        the whole batch, for up to a third more time: most cases are encoded twice. Batch
        normalization uses the statistics of a chunk. None encodes the batch at once.
    schedule : {"cosine", "linear", "constant"}
        Learning rate after the warm-up: to 0 along half a cosine or a line, or unchanged.
    lr : float
        Learning rate of the image tower, the projections and everything else.
    text_lr : float or None
        Learning rate of the text encoder; None uses ``lr``.
    weight_decay : float
    warmup : float
        Fraction of all steps.
    clip : float
        Maximum norm of the gradient.
    ema_decay : float
        Decay per step of the exponential moving average of the weights, which is validated and
        kept; 0 keeps the weights themselves.
    """

    chunk: int | None = Field(default=None, ge=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    lr: float = Field(default=1e-3, gt=0)
    text_lr: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1, serialization_alias="average")


class BalanceSettings(Settings):
    """Batches with groups of patients in declared shares.

    Parameters
    ----------
    attribute : str
        ``"sex"``, ``"age_band"``, ``"race"``, ``"view"``, ``"modality"``, ``"site"``,
        ``"scanner"``, or a column kept at ingest. "unknown" is a group.
    strength : float
        0 keeps the archive's mix, 1 gives every group the same share.
    repeats : int
        Maximum number of times a case is drawn per epoch.
    age_bands : tuple of int
        First age of each band but the youngest.
    """

    attribute: str = Field(default="sex", min_length=1)
    strength: float = Field(default=1.0, ge=0, le=1)
    repeats: int = Field(default=4, ge=1)
    age_bands: tuple[int, ...] = (40, 60, 75)


class LoraSettings(Settings):
    """Low-rank adapters of one encoder (:mod:`medembed.training.lora`).

    Parameters
    ----------
    rank : int
    alpha : int
        The adapters' output is scaled by ``alpha / rank``.
    targets : str
        Regular expression that is searched in the names of linear layers. The default is what
        transformers call the projections of attention.
    """

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: int = Field(default=16, ge=1)
    targets: str = (
        r"(^|\.)(query|key|value|[qkv]|[qkv]_proj|[qkv]_lin|(query|key|value)_proj|W?qkv|qkv_proj)$"
    )

    @field_validator("targets")
    @classmethod
    def _is_an_expression(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class LoraSides(Settings):
    """Encoders of which only low-rank adapters are trained.

    Parameters
    ----------
    image, text : LoraSettings or None
        None trains the whole encoder, unless it is frozen. ``lora.text.rank=8`` is enough.
    """

    image: LoraSettings | None = None
    text: LoraSettings | None = None


class HeaderSettings(Settings):
    """What the header (or the table) says about an examination: modality, view, body part.

    Parameters
    ----------
    text : bool
        Put it above the whole note, "Chest radiograph, PA view.", in training and when the library
        is embedded. Typed queries are read as they are; sentences and phrases of
        ``text_augmentation`` are too, so that the model knows texts without it.
    labels : bool
        Use it as findings: in the prompts of ``loss.phrases_weight``, in
        ``loss.findings_weight``, and in the phrases of ``text_augmentation``.
    """

    text: bool = False
    labels: bool = False


class HeadSettings(Settings):
    """One of several heads over frozen features (:mod:`medembed.model.heads`).

    Parameters
    ----------
    method : {"contrastive", "ridge", "cca", "csa"}
        Trained as the configuration says, or a closed form (:mod:`medembed.training.closed_forms`).
    image : ImageSettings or None
        Its image features; None takes those of the configuration.
    candidates : tuple of ImageSettings
        Instead of ``image``: the one is taken whose neighborhoods are most like those of the
        texts (mutual k nearest neighbors), such as one of several layers.
    text : {"encoder", "words"}
        The text encoder's features, or which words a text has (tf-idf).
    weight : float
        Weight of its similarity beside the other heads', all brought to the same spread.
    seeds : int
        Number of contrastive heads, each from another seed.
    dim : int or None
        Dimensions of its space; None takes ``projection.dim``.
    ridge : float or None
        Regularization of a closed form; None chooses it by cross-validation over patients.
    """

    method: Literal["contrastive", "ridge", "cca", "csa"] = "contrastive"
    image: ImageSettings | None = None
    candidates: tuple[ImageSettings, ...] = ()
    text: Literal["encoder", "words"] = "encoder"
    weight: float = Field(default=1.0, gt=0)
    seeds: int = Field(default=1, ge=1, le=32)
    dim: int | None = Field(default=None, ge=1)
    ridge: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.image is not None and self.candidates:
            raise ValueError("give image or candidates, not both")
        if self.method != "contrastive" and self.seeds > 1:
            raise ValueError("a closed form has no seed; seeds is for contrastive heads")
        return self


class RerankSettings(Settings):
    """A reranker that reads image and text together, trained after the alignment.

    It reorders the first hits of a search (:mod:`medembed.encoders.reranker`); the vectors stay.

    Parameters
    ----------
    net : RerankerSettings
        Its size.
    epochs : int
    batch_size : int
        Every image of a batch is read with every text of it.
    hard : int
        Cases drawn beside each case from those that the towers confuse most with it.
    candidates : int
        How many of these there are.
    lr, weight_decay : float
    """

    net: RerankerSettings = RerankerSettings()
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=2)
    hard: int = Field(default=3, ge=0)
    candidates: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)


class TrainingConfig(Settings):
    """Complete configuration of a training.

    Parameters
    ----------
    name : str
        Name of the model and of its folder under ``models`` in the library.
    seed : int
    epochs : int
    batch_size : int
    validate_every : int
        Epochs between validations.
    patience : int
        Number of validations without improvement after which training stops; 0 disables it.
    heads : tuple of HeadSettings
        Several heads over frozen features, fused into one model; empty trains one.
    rerank : RerankSettings or None
        A reranker beside the towers, trained after them; None trains none.
    balance : BalanceSettings or None
        Balanced batches; None draws cases regardless of group.
    study : StudySettings or None
        How the images of a case are pooled, trained with the rest. None trains on one image of a
        case at a time, and a case's vector is the mean of its images' vectors.
    header : HeaderSettings
        Use of modality, view and body part.
    lora : LoraSides
        Low-rank adapters instead of whole encoders.
    preprocess, image, text, projection, loss, image_augmentation, text_augmentation, optim
        See each class.
    frozen_variants : int
        Number of text views per report that are cached if the text encoder is frozen.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``"auto"`` times a few steps and uses the faster one of the first two. ``"float16"`` scales
        the loss against underflow and needs a CUDA device.
    channels_last : bool or "auto"
        Memory layout of images on a CUDA device. Never used on a processor, where oneDNN's
        channels-last kernels give gradients that differ from run to run and write past their
        buffers (oneDNN 3.12 in torch 2.13, AVX2).
    checkpoint_seconds : float
        Seconds between checkpoints inside an epoch.
    workers : int
        Number of processes that decode scans; 0 uses one per core.
    prefetch : int
        Number of steps whose images and texts are read while an earlier one is computed. It does
        not change the weights.
    sharding : {"none", "full"}
        With several processes (torchrun): ``"full"`` divides the weights of the trained encoders
        and their optimizer state among them (FSDP), ``"none"`` keeps a copy in each (DDP).
    loggers : tuple of {"tensorboard", "mlflow", "wandb"}
        Where to report measures besides ``history.csv``, which is always written.
    """

    name: str = Field(default="model", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    seed: int = 0
    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=2)
    validate_every: int = Field(default=1, ge=1)
    patience: int = Field(default=8, ge=0)
    heads: tuple[HeadSettings, ...] = ()
    rerank: RerankSettings | None = None
    balance: BalanceSettings | None = None
    study: StudySettings | None = None
    header: HeaderSettings = HeaderSettings()
    lora: LoraSides = LoraSides()
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
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    checkpoint_seconds: float = Field(default=60.0, gt=0)
    workers: int = Field(default=0, ge=0)
    prefetch: int = Field(default=2, ge=0)
    sharding: Literal["none", "full"] = "none"
    loggers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _published_preprocess(cls, values: Any) -> Any:
        """Keys of ``preprocess`` that are not given are those of a published encoder."""
        return with_stated_preprocess(values)

    @model_validator(mode="after")
    def _heads_are_over_frozen_features(self) -> Self:
        if self.heads and not (self.image.frozen and self.text.frozen):
            raise ValueError("heads need image.frozen=true and text.frozen=true")
        sets = [self.image, *(s for h in self.heads for s in (h.image, *h.candidates) if s)]
        if self.heads and any(each.cell_channels for each in sets):
            raise ValueError("heads are over the features themselves; they need cell_channels=0")
        for name, side in (("image", self.image), ("text", self.text)):
            if side.frozen and getattr(self.lora, name) is not None:
                raise ValueError(f"lora.{name} needs {name}.frozen=false")
        learns = self.loss.phrases_weight or self.loss.findings_weight
        if self.header.labels and not (learns or self.text_augmentation.phrases):
            raise ValueError(
                "header.labels needs loss.phrases_weight, loss.findings_weight or "
                "text_augmentation.phrases"
            )
        if self.loss.structure and not (self.image.frozen and self.text.frozen):
            raise ValueError("loss.structure needs image.frozen=true and text.frozen=true")
        if self.rerank and self.heads:
            raise ValueError("rerank needs a model of one head; leave out heads")
        return self

    @model_validator(mode="after")
    def _study_pooling_is_alone(self) -> Self:
        if self.study and self.heads:
            raise ValueError("study pools for a single head; leave out heads")
        if self.study and self.loss.structure:
            raise ValueError("loss.structure compares single images; leave out study")
        if self.study and self.rerank:
            raise ValueError("rerank reads the images of a case one by one; leave out study")
        return self
