"""Configuration of a training.

The settings of the loss, the optimizer, the augmentations and the adapters stand beside the code
that they set.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

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
from medembed.training.augment import ImageAugmentation
from medembed.training.lora import LoraSettings, LoraSides
from medembed.training.objective import LossSettings
from medembed.training.schedules import OptimSettings
from medembed.training.text_views import TextAugmentation

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
