"""The network over the cells of a frozen encoder: shared by all cells, kept in place, served."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_pairs import write_library
from torch import nn

from medembed.config import load_config
from medembed.encoders.efficientnet_lite import EfficientNetLite0
from medembed.encoders.settings import ImageSettings
from medembed.errors import ConfigError
from medembed.model import DualEncoder, embed_library
from medembed.model.cell_network import CellNetwork
from medembed.model.feature_cache import image_key
from medembed.model.mean_vectors import unit_rows
from medembed.model.onnx_export import export_image_side
from medembed.model.onnx_side import OnnxSide
from medembed.model.torch_side import TorchSide
from medembed.model.towers import ImageSide, ProjectionSettings
from medembed.preprocess import Preprocess
from medembed.training import train

CELLS = ["image.frozen=true", "image.pooling=grid", "image.grid=4", "image.cell_channels=4"]


@pytest.fixture(autouse=True)
def _same_weights() -> object:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_a_thing_is_seen_the_same_wherever_it_lies() -> None:
    network = CellNetwork(3, 16, 5, 2).eval()
    thing = torch.randn(3)
    found = []
    for row, column in ((5, 5), (5, 9), (10, 5)):  # inside regions of 4 x 4 cells
        cells = torch.zeros(1, 3, 16, 16)
        cells[0, :, row, column] = thing
        with torch.no_grad():
            parts = network(cells.flatten(1)).reshape(2, 5, 4, 4)  # mean and maximum
        found.append(parts[:, :, row // 4, column // 4])
        elsewhere = parts[1, :, 3, 3]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
    assert (found[0][1] - elsewhere).abs().max() > 0.01  # and it is told where


@pytest.mark.parametrize(("dimensions", "grid"), [(2, 3), (2, 7), (2, 8), (3, 2)])
def test_its_width_is_what_it_returns_and_every_layer_learns(dimensions: int, grid: int) -> None:
    network = CellNetwork(6, grid, 8, dimensions)
    out = network(torch.randn(5, 6 * grid**dimensions))
    assert out.shape == (5, network.width)
    (out * torch.randn(out.shape)).sum().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None
        assert name.endswith("bias") or weights.grad.abs().max() > 0


@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_gives_the_same_vectors_on_onnx_runtime(dimensions: int) -> None:
    class Map(nn.Module):
        width = 3

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pool = nn.functional.avg_pool2d if dimensions == 2 else nn.functional.avg_pool3d
            return torch.cat([pool(images, 2) * k for k in (1, -2, 3)], dim=1)

    size = (14,) * dimensions
    settings = ImageSettings(
        encoder="toy", pooling="grid", grid=7, max_pool=True, cell_channels=4, frozen=True
    )
    side = ImageSide(Map(), settings, dimensions, ProjectionSettings(dim=8))
    side(torch.randn(6, 1, *size))  # in training mode: running means that are not 0
    side.eval()
    exported = export_image_side(side, Preprocess(dimensions=dimensions, size=size))
    assert exported.data is not None, exported.about
    pixels = np.random.default_rng(0).normal(size=(5, 1, *size)).astype(np.float32)
    ours, theirs = OnnxSide("image", exported.data), TorchSide(side)
    assert np.abs(unit_rows(ours.run(pixels)) - unit_rows(theirs.run(pixels))).max() <= 1e-5


def test_a_model_with_it_trains_is_kept_and_embeds(tmp_path: object) -> None:
    with write_library(tmp_path / "library", 24) as library:
        folder = train(library, load_config("toy", [*CELLS, "epochs=2"])).folder
        model = DualEncoder.load(folder)
        embed_library(library, model)
        ids, vectors = library.vectors(model.fingerprint, "image")
        assert len(ids) == len(list(library.cases()))
        assert np.isfinite(np.asarray(vectors)).all()
        assert any("look.weight" in name for name in model.image_side().state_dict())


@pytest.mark.parametrize(
    "overrides",
    [
        ["image.frozen=false", "image.cell_channels=4"],
        ["image.frozen=true", "image.pooling=average", "image.cell_channels=4"],
        [*CELLS, "text.frozen=true", "heads=[{seeds: 2}]"],
    ],
)
def test_it_is_refused_where_there_is_no_frozen_grid(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="cell_channels"):
        load_config("toy", overrides)


def test_finer_channels_stand_beside_those_of_stride_16() -> None:
    both = EfficientNetLite0(40, 16, finer=True).eval()
    coarse, fine = EfficientNetLite0(40, 16).eval(), EfficientNetLite0(40, 8).eval()
    weights = both.state_dict()
    coarse.load_state_dict(weights)
    fine.load_state_dict({name: weights[name] for name in fine.state_dict()})
    images = torch.randn(2, 1, 40, 40)  # maps of 5 and of 3 pixels: the last is half empty
    with torch.no_grad():
        found, of_8 = both(images), fine(images)
        torch.testing.assert_close(found[:, :112], coarse(images))
    assert found.shape == (2, 152, 3, 3) == (2, both.width, 3, 3)
    torch.testing.assert_close(found[:, 112:, 1, 0], of_8[:, :, 2:4, 0:2].amax(dim=(2, 3)))
    torch.testing.assert_close(found[:, 112:, 2, 2], of_8[:, :, 4, 4])


def test_features_with_and_without_finer_channels_are_kept_apart() -> None:
    keys = set()
    for finer in (False, True):
        torch.manual_seed(0)
        net = EfficientNetLite0(32, 16, finer)
        settings = ImageSettings(encoder="efficientnet-lite0", pooling="grid", grid=2)
        side = ImageSide(net, settings, 2, ProjectionSettings(dim=4))
        keys.add(image_key(side, Preprocess(size=32)))
    assert len(keys) == 2
