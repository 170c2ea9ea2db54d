"""A second model beside the toy one: vectors of the same size that mean something else."""

from __future__ import annotations

import torch

from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.model import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess


def second_toy_model(seed: int = 1) -> DualEncoder:
    """The toy model with a random projection on both sides, drawn by ``seed``."""
    torch.manual_seed(seed)
    preprocess = Preprocess(size=32, window="range", hu_window="range", mean=0.0, std=1.0)
    towers, tokens, architecture = build_towers(
        ImageSettings(encoder="toy", pooling="grid", grid=2),
        TextSettings(encoder="toy", max_length=64),
        ProjectionSettings(dim=4, kind="linear"),
        dimensions=2,
        size=(32, 32),
    )
    return DualEncoder(architecture, preprocess, tokens, towers)
