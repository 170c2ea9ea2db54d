"""Image and text vectors of a batch; features of frozen encoders come from the library's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from medembed.encoders.study_images import StudyBatch
from medembed.encoders.study_pooling import Elements
from medembed.encoders.tokenizers import Tokens
from medembed.model.feature_cache import FeatureCache, image_key, text_key, token_key
from medembed.model.towers import Towers
from medembed.notes import can_swap_laterality
from medembed.progress import Progress
from medembed.training.cohort import TrainingCohort
from medembed.training.settings import TrainingConfig
from medembed.training.text_views import TextView

__all__ = ["ImageFeeder", "Mode", "TextFeeder"]

_CHUNK = 64
_CPU_VALUES = 200_000
"""Pixels of a chunk on a processor: 4 images of 224². The buffers of larger ones are mapped and
cleared anew for every layer, which takes up to four times as long as computing them."""

_ALIKE = 16
_KEPT_AT_ONCE = 1024
"""Images or texts encoded between two writes to the cache."""

_MIRRORED = "~mirrored"


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
        self.cache: FeatureCache | None = None
        if config.image.frozen:
            key = image_key(towers.image, config.preprocess)
            self.cache = FeatureCache(cohort.cache, key)
        # the scan of each row, and the row's place in it
        self._place: dict[int, tuple[str, int]] = {}
        for rows, files in zip(cohort.rows, cohort.files, strict=True):
            at = 0
            for name, count in files:
                self._place.update((int(rows[at + i]), (name, i)) for i in range(count))
                at += count

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
            return self.towers.image.projection(self.tensor(rows, mirror))
        return self.forward(images)

    def pool(
        self, study: StudyBatch, mirror: npt.NDArray[np.bool_], images: torch.Tensor | None
    ) -> torch.Tensor:
        """Return vectors ``(n, dim)`` of cases whose images are pooled; see :meth:`encode`.

        Parameters
        ----------
        study : StudyBatch
        mirror : bool array ``(n,)``
        images : Tensor ``(n, m, c, *size)`` or None
        """
        side = self.towers.image
        if images is None:
            turned = np.repeat(mirror, study.present.sum(axis=1))
            features = self.tensor(study.rows[study.present], turned)
            return side.pool(Elements.of(study, side.projection(features)))
        present = torch.from_numpy(study.present).to(images.device)
        return side.pool(Elements.of(study, self.forward(images[present])))

    def whole(self, case: int) -> torch.Tensor:
        """Return vectors ``(m, dim)`` of all images of a case, without augmentation.

        Where images are pooled, there is one.
        """
        if self.cohort.studies:
            study = StudyBatch.of([self.cohort.studies[case]])
            images = None
            if not self.config.image.frozen:
                images = self.pixels(study.rows[0])[None]
            return self.pool(study, np.zeros(1, dtype=bool), images)
        rows = self.cohort.rows[case]
        if self.config.image.frozen:
            return self.towers.image.projection(self.tensor(rows))
        return self.forward(self.pixels(rows))

    def prepare(self, progress: Progress | None = None) -> None:
        """Encode what the cache lacks, if the encoder is frozen.

        Parameters
        ----------
        progress : callable, optional
            Called with (images done, total).
        """
        if self.cache is None:
            return
        turns = ("", _MIRRORED) if self.config.image_augmentation.mirror else ("",)
        spans: dict[str, list[int]] = {}
        for row, (name, _) in self._place.items():
            if any(name + turn not in self.cache for turn in turns):
                spans.setdefault(name, []).append(row)
        total, done = sum(map(len, spans.values())), 0
        waiting: dict[str, npt.NDArray[np.float32]] = {}
        if progress and total:
            progress(0, total)
        for names in _grouped(spans):
            rows = np.array([row for name in names for row in spans[name]], dtype=np.int64)
            images = self.pixels(rows)
            for turn in turns:
                encoded = self._encode(images.flip(-1) if turn else images)
                at = 0
                for name in names:
                    waiting[name + turn] = encoded[at : at + len(spans[name])]
                    at += len(spans[name])
            done += len(rows)
            if len(waiting) >= _KEPT_AT_ONCE or done == total:
                self.cache.add(waiting)
                waiting = {}
            if progress:
                progress(done, total)

    @torch.no_grad()
    def _encode(self, images: torch.Tensor) -> npt.NDArray[np.float32]:
        self.towers.image.eval()
        size = len(images)
        if self.device.type == "cpu":
            size = max(1, _CPU_VALUES // int(np.prod(images.shape[1:])))
        parts = [self.towers.image.features(self.normalized(p)) for p in images.split(size)]
        return torch.cat(parts).float().cpu().numpy()

    def table(self, cases: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the mean features ``(n, width)`` of each case's images, of a frozen encoder."""
        plain = [self.features(self.cohort.rows[case]).mean(axis=0) for case in cases]
        return np.stack(plain)

    def features(
        self, rows: npt.NDArray[np.int64], mirror: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return features ``(n, width)`` of rows, mirrored or not, of a frozen encoder."""
        cache = self.cache
        assert cache is not None  # only frozen encoders are asked
        turned = np.zeros(len(rows), dtype=bool) if mirror is None else mirror
        places = [self._place[row] for row in rows.tolist()]
        if any(name not in cache for name, _ in places):
            self.prepare()
        return np.stack(
            [
                cache.get(name + _MIRRORED if turn else name)[at]
                for (name, at), turn in zip(places, turned.tolist(), strict=True)
            ]
        )

    def tensor(
        self, rows: npt.NDArray[np.int64], mirror: npt.NDArray[np.bool_] | None = None
    ) -> torch.Tensor:
        """Return :meth:`features` on the device."""
        return torch.from_numpy(self.features(rows, mirror)).to(self.device)


def _grouped(spans: Mapping[str, Sequence[int]]) -> Iterator[list[str]]:
    """Group scans so that a group has about :data:`_CHUNK` images."""
    names: list[str] = []
    count = 0
    for name, rows in spans.items():
        names.append(name)
        count += len(rows)
        if count >= _CHUNK:
            yield names
            names, count = [], 0
    if names:
        yield names


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
        self._turnable: dict[int, bool] = {}
        self.cache: FeatureCache | None = None
        if config.text.frozen:
            self.cache = FeatureCache(cohort.cache, token_key(towers.text.encoder, tokens))

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
            if self.cache is not None:  # few variants per case, so that features can be kept
                view = self._variant(case, int(rng.integers(self.config.frozen_variants)))
            else:
                view = self.cohort.reports[case].draw(self.config.text_augmentation, rng)
            views.append(view.mirrored(self._mirror) if turned else view)
        return views

    def _variant(self, case: int, number: int) -> TextView:
        report = self.cohort.reports[case]
        # the same for all seeds, splits and configurations, so that they share the features
        source = np.random.default_rng((2, int(text_key(report.body)[:12], 16), number))
        return report.draw(self.config.text_augmentation, source)

    def every_view(self) -> list[list[TextView]]:
        """Return the whole text and the variants of each case, equally many for all."""
        numbers = range(self.config.frozen_variants)
        return [
            [report.full, *(self._variant(case, number) for number in numbers)]
            for case, report in enumerate(self.cohort.reports)
        ]

    @property
    def width(self) -> int:
        """Number of features of a text."""
        return self.towers.text.width

    def prepare(self, progress: Progress | None = None) -> None:
        """Encode every text that training may draw and the cache lacks, if the encoder is frozen.

        Parameters
        ----------
        progress : callable, optional
            Called with (texts done, total).
        """
        if self.cache is None:
            return
        views = [view for of_case in self.every_view() for view in of_case]
        if self.config.image_augmentation.mirror:
            views += [view.mirrored(self._mirror) for view in views]
        self._fill([view.text for view in views], progress)

    def _fill(self, texts: Sequence[str], progress: Progress | None = None) -> None:
        cache = self.cache
        assert cache is not None  # only frozen encoders are asked
        lacking = [text for text in dict.fromkeys(texts) if text_key(text) not in cache]
        lacking.sort(key=len)  # little padding
        waiting: dict[str, npt.NDArray[np.float32]] = {}
        if progress and lacking:
            progress(0, len(lacking))
        for at in range(0, len(lacking), _CHUNK):
            chosen = lacking[at : at + _CHUNK]
            self.towers.text.eval()
            with torch.no_grad():
                rows = self.towers.text.features(*self._encoded(chosen)).float().cpu().numpy()
            waiting.update((text_key(t), row[None]) for t, row in zip(chosen, rows, strict=True))
            if len(waiting) >= _KEPT_AT_ONCE or at + _CHUNK >= len(lacking):
                cache.add(waiting)
                waiting = {}
            if progress:
                progress(at + len(chosen), len(lacking))

    def table(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the features ``(n, width)`` of texts, of a frozen encoder."""
        cache = self.cache
        assert cache is not None  # only frozen encoders are asked
        self._fill(texts)
        return np.concatenate([cache.get(text_key(text)) for text in texts])

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Run the text tower: ``(n, dim)``."""
        if self.cache is None:
            return self._by_length(texts)
        features = torch.from_numpy(self.table(texts)).to(self.device)
        return self.towers.text.projection(features)

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
