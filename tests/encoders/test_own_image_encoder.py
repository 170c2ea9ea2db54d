"""An encoder of another package needs one entry point, and may have its own pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import medembed.encoders
from medembed.encoders.settings import ImageEncoder, Options, TextSettings
from medembed.model import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.registry import Registry
from medembed.scans import Scan
from medembed.training.settings import TrainingConfig


class StripesOptions(Options):
    """Options of the example."""

    bands: int = 4


class Stripes(nn.Module):
    """Means of horizontal bands, once for each channel; as the guide shows it."""

    def __init__(self, options: StripesOptions) -> None:
        super().__init__()
        self.bands = options.bands
        self.width = 3
        self.pooled_width = 3 * options.bands
        self.scale = nn.Parameter(torch.ones(1))
        self.kept_options: dict[str, Any] = {"bands": options.bands}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.scale

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        bands = nn.functional.adaptive_avg_pool2d(self(images), (self.bands, 1))
        return bands.flatten(1)


def build(options: StripesOptions, dimensions: int, size: tuple[int, ...]) -> nn.Module:
    assert (dimensions, size) == (2, (24, 24))
    return Stripes(options)


STRIPES = ImageEncoder(
    StripesOptions,
    build,
    build,
    lambda options: {"size": 24, "window": "display", "mean": [0.0] * 3, "std": [1.0, 0.5, 0.25]},
    pooling="own",
)


class Point:
    name = "stripes"

    def load(self) -> ImageEncoder:
        return STRIPES


def test_an_entry_points_encoder_is_found_preprocessed_pooled_and_restored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def points(group: str, name: str | None = None) -> list[Point]:
        fits = group == "medembed.image_encoders" and name in (None, "stripes")
        return [Point()] if fits else []

    monkeypatch.setattr("medembed.registry.entry_points", points)
    encoders: Registry[ImageEncoder] = Registry("image encoder", "medembed.image_encoders")
    monkeypatch.setattr(medembed.encoders, "IMAGE_ENCODERS", encoders)
    monkeypatch.setattr("medembed.model.towers.IMAGE_ENCODERS", encoders)
    config = TrainingConfig.model_validate({"image": {"encoder": "stripes"}})
    assert config.image.pooling == "own"
    assert (config.preprocess.shape, config.preprocess.channels) == ((1, 24, 24), 3)
    towers, tokens, architecture = build_towers(
        config.image,
        TextSettings(encoder="toy", options={"width": 12}),
        ProjectionSettings(dim=12, kind="none"),
        dimensions=2,
        size=(24, 24),
    )
    model = DualEncoder(architecture, config.preprocess, tokens, towers)
    bands = np.array([[0], [51], [102], [204]], np.float32)
    picture = np.tile(np.repeat(bands, 6, axis=0), (1, 24))
    (vector,) = model.encode_scans([Scan(picture)])
    means = np.array([0, 0.2, 0.4, 0.8])
    expected = np.concatenate([means, means / 0.5, means / 0.25])
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    again = DualEncoder.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.encode_scans([Scan(picture)])[0], vector)
