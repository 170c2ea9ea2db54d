"""Image and text vectors of a batch; features of frozen encoders are cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from medembed.encoders.tokenizers import Tokens
from medembed.model.towers import Towers
from medembed.notes import can_swap_laterality
from medembed.training.cohort import TrainingCohort
from medembed.training.settings import TrainingConfig
from medembed.training.text_views import TextView

__all__ = ["ImageFeeder", "Mode", "TextFeeder"]

_CHUNK = 64
_ALIKE = 16


@dataclass(frozen=True)
class Mode:
    """Precision and memory layout of the image tower in training.

    Parameters
    ----------
    bfloat16, channels_last, float16 : bool
    """

    bfloat16: bool = False
    channels_last: bool = False
    float16: bool = False

    def autocast(self, device: str) -> torch.autocast:
        """Compute in this precision on a device of this type."""
        lower = torch.float16 if self.float16 else torch.bfloat16
        return torch.autocast(device, lower, enabled=self.bfloat16 or self.float16)

    def __str__(self) -> str:
        precision = "bfloat16" if self.bfloat16 else "float16" if self.float16 else "float32"
        return f"{precision}, channels last" if self.channels_last else precision


class ImageFeeder:
    """Computes the image vectors of a batch.

    Parameters
    ----------
    cohort : TrainingCohort
    towers : Towers
    config : TrainingConfig
    device : torch.device
    """

    def __init__(
        self, cohort: TrainingCohort, towers: Towers, config: TrainingConfig, device: torch.device
    ) -> None:
        self.cohort = cohort
        self.towers = towers
        self.config = config
        self.device = device
        self.mode = Mode()
        self._bank: dict[int, tuple[torch.Tensor, ...]] = {}

    def pixels(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return rows of the pixel cache, in [0, 1], on the device."""
        pixels = torch.from_numpy(self.cohort.pixels.rows(rows)).to(self.device)
        return pixels.float() / self.config.preprocess.full_scale

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """Normalize pixels in [0, 1] for the encoder."""
        mean, std = map(torch.from_numpy, self.config.preprocess.mean_and_std())
        images = (images - mean.to(images.device)) / std.to(images.device)
        if self.mode.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Run the image tower in the chosen precision; the result is float32."""
        with self.mode.autocast(self.device.type):
            return self.towers.image(self.normalized(images)).float()

    def encode(
        self,
        rows: npt.NDArray[np.int64],
        mirror: npt.NDArray[np.bool_],
        images: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return vectors ``(n, dim)`` of rows of the pixel cache, of which ``images`` were made.

        A frozen encoder reads no augmented images, but the rows, mirrored or not.
        """
        if images is None:
            return self.towers.image.projection(self._features(rows, mirror))
        return self.forward(images)

    def whole(self, case: int) -> torch.Tensor:
        """Return vectors ``(m, dim)`` of all images of a case, without augmentation."""
        rows = self.cohort.rows[case]
        if self.config.image.frozen:
            plain = np.zeros(len(rows), dtype=bool)
            return self.towers.image.projection(self._features(rows, plain))
        return self.forward(self.pixels(rows))

    def _features(self, rows: npt.NDArray[np.int64], mirror: npt.NDArray[np.bool_]) -> torch.Tensor:
        """Return features of a frozen encoder, cached in float16."""
        missing = np.array([row for row in dict.fromkeys(rows.tolist()) if row not in self._bank])
        for at in range(0, len(missing), _CHUNK):
            chosen = missing[at : at + _CHUNK].astype(np.int64)
            images = self.pixels(chosen)
            turns = [images, images.flip(-1)] if self.config.image_augmentation.mirror else [images]
            with torch.no_grad():
                kept = [self.towers.image.features(self.normalized(turn)).half() for turn in turns]
            for i, row in enumerate(chosen.tolist()):
                self._bank[row] = tuple(part[i] for part in kept)
        rows_of = zip(rows.tolist(), mirror.tolist(), strict=True)
        return torch.stack([self._bank[row][int(turned)] for row, turned in rows_of]).float()


class TextFeeder:
    """Draws the text views of a batch and computes their vectors.

    Parameters
    ----------
    cohort : TrainingCohort
    towers : Towers
    tokens : Tokens
    config : TrainingConfig
    device : torch.device
    mirror : callable
        Swaps left and right in a text.
    """

    def __init__(
        self,
        cohort: TrainingCohort,
        towers: Towers,
        tokens: Tokens,
        config: TrainingConfig,
        device: torch.device,
        mirror: Callable[[str], str],
    ) -> None:
        self.cohort = cohort
        self.towers = towers
        self.tokens = tokens
        self.config = config
        self.device = device
        self._mirror = mirror
        self._kept: dict[str, torch.Tensor] = {}
        self._turnable: dict[int, bool] = {}

    def can_mirror(self, cases: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Return for which cases the report's sides can be swapped, hence the image mirrored."""
        for case in cases:
            if case not in self._turnable:
                self._turnable[case] = can_swap_laterality(self.cohort.reports[case].full.text)
        return np.array([self._turnable[case] for case in cases], dtype=np.bool_)

    def draw(
        self, cases: Sequence[int], mirror: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> list[TextView]:
        """Draw one random view of each case, with swapped sides if the image is mirrored."""
        views = []
        for case, turned in zip(cases, mirror.tolist(), strict=True):
            source = rng
            if self.config.text.frozen:  # few variants per case, so that features can be cached
                variant = int(rng.integers(self.config.frozen_variants))
                source = np.random.default_rng((self.config.seed, 2, case, variant))
            view = self.cohort.reports[case].draw(self.config.text_augmentation, source)
            views.append(view.mirrored(self._mirror) if turned else view)
        return views

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Run the text tower: ``(n, dim)``."""
        if not self.config.text.frozen:
            return self._by_length(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        for at in range(0, len(missing), _CHUNK):
            chosen = missing[at : at + _CHUNK]
            with torch.no_grad():
                features = self.towers.text.features(*self._encoded(chosen)).half()
            self._kept.update(zip(chosen, features, strict=True))
        return self.towers.text.projection(torch.stack([self._kept[t] for t in texts]).float())

    def _by_length(self, texts: Sequence[str]) -> torch.Tensor:
        """Batch texts of similar length: half of a mixed batch would be padding."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        parts = [order[at : at + _ALIKE] for at in range(0, len(order), _ALIKE)]
        vectors = [self.towers.text(*self._encoded([texts[i] for i in part])) for part in parts]
        back = torch.tensor(order, device=self.device).argsort()
        return torch.cat(vectors).float()[back]

    def _encoded(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = self.tokens(texts)
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)
