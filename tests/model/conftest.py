"""Models that several tests look at, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.model import DualEncoder, toy_model
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess

NOTES = [f"Right pleural effusion of {n} mm. No pneumothorax." for n in range(20)]


@pytest.fixture(scope="session")
def toy() -> DualEncoder:
    return toy_model()


@pytest.fixture(scope="session")
def toy_folder(toy: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.save(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="session")
def small() -> DualEncoder:
    """A real pair of the smallest size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        towers, tokens, architecture = build_towers(
            ImageSettings(
                encoder="resnet10",
                grid=2,
                max_pool=True,
                bottleneck_channels=4,
                options={"widths": [4, 4, 8, 8]},
            ),
            TextSettings(
                encoder="bert",
                max_length=24,
                options={"width": 16, "depth": 1, "heads": 2, "vocabulary": 200},
            ),
            ProjectionSettings(dim=8, kind="mlp"),
            dimensions=2,
            size=(32, 32),
            notes=NOTES,
        )
    return DualEncoder(architecture, Preprocess(size=32), tokens, towers)


@pytest.fixture(scope="session")
def small_folder(small: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.save(tmp_path_factory.mktemp("models") / "small")
