"""The toy model with a projection that changes nothing: its head can be told from its features."""

from __future__ import annotations

import torch

from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.encoders.study_pooling import StudySettings
from medembed.model.dual_encoder import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess


def linear_toy(size: int = 32, study: StudySettings | None = None) -> DualEncoder:
    """Build it; see :func:`medembed.model.toy_model`."""
    towers, tokens, architecture = build_towers(
        ImageSettings(encoder="toy", pooling="grid", grid=2),
        TextSettings(encoder="toy", max_length=64),
        ProjectionSettings(dim=4, kind="linear"),
        dimensions=2,
        size=(size, size),
        study=study,
    )
    with torch.no_grad():
        for side in (towers.image, towers.text):
            for name, part in side.projection.named_parameters():
                part.copy_(torch.eye(4) if name.endswith("weight") else torch.zeros(4))
    preprocess = Preprocess(size=size, window="range", hu_window="range", mean=0.0, std=1.0)
    return DualEncoder(architecture, preprocess, tokens, towers)
