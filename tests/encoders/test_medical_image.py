"""Published medical encoders give the vectors that their own code gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medembed.encoders import IMAGE_ENCODERS
from medembed.encoders.settings import TextSettings
from medembed.errors import ConfigError, MedEmbedError, ModelError
from medembed.model import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess
from medembed.scans import Scan
from medembed.training.settings import TrainingConfig

GOLDEN = Path(__file__).parent / "golden" / "image"


def images(channels: int, edge: int) -> torch.Tensor:
    """As golden/image/make_golden.py draws them."""
    rng = np.random.default_rng(7)
    return torch.from_numpy(rng.normal(size=(3, channels, edge, edge)).astype(np.float32))


def golden(name: str) -> torch.Tensor:
    return torch.tensor(json.loads((GOLDEN / name / "vectors.json").read_text()))


def build(name: str, source: Path, size: tuple[int, ...], dimensions: int = 2) -> Any:
    entry = IMAGE_ENCODERS[name]
    return entry.build(entry.options(source=str(source)), dimensions, size).eval()


def spread(net: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in (*net.parameters(), *net.buffers()):
            if value.is_floating_point():
                value.copy_(0.2 * torch.rand(value.shape, generator=generator) + 0.01)
    return net.eval()


@pytest.mark.parametrize("name", ["open_clip", "open_clip_timm"])
def test_an_open_clip_tower_gives_the_vectors_of_open_clip(name: str) -> None:
    """Golden: open_clip 3.3.0 and timm 1.0.31 with tiny sizes (golden/image/make_golden.py)."""
    net = build("hub", GOLDEN / name, (32, 32))
    with torch.no_grad():
        found = net.pooled(images(3, 32))
        feature_map = net(images(3, 32))
    assert float((found - golden(name)).abs().max()) <= 1e-5 * float(golden(name).abs().max())
    assert feature_map.shape == (3, net.width, 2, 2)
    assert float(golden(name).std(dim=0).min()) > 1e-3


def test_an_open_clip_folder_states_its_preprocessing() -> None:
    entry = IMAGE_ENCODERS["hub"]
    assert entry.preprocess is not None
    stated = entry.preprocess(entry.options(source=str(GOLDEN / "open_clip")))
    preprocess = Preprocess.from_config(stated)
    assert (preprocess.shape, preprocess.resize) == ((1, 32, 32), "shortest")
    assert preprocess.mean == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attentional_pool": True}, "attentional_pool"),
        ({"layers": [1, 1, 1, 1]}, "ResNet"),
        ({"timm_model_name": "convnext_base", "timm_proj": "linear"}, "not known here"),
        ({"width": 48}, "shape"),
        ({"layers": 3}, "missing"),
    ],
)
def test_another_open_clip_tower_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    shutil.copytree(GOLDEN / "open_clip", tmp_path / "given")
    path = tmp_path / "given" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"].update(changes)
    if "timm_model_name" in changes:
        for key in ("layers", "width", "patch_size", "head_width"):
            del config["model_cfg"]["vision_cfg"][key]
    path.write_text(json.dumps(config))
    with pytest.raises(MedEmbedError, match=message):
        build("hub", tmp_path / "given", (32, 32))


def test_a_leftover_key_of_an_open_clip_tower_is_refused(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "open_clip_timm", tmp_path / "given")
    path = tmp_path / "given" / "open_clip_model.safetensors"
    weights = load_file(path)
    save_file({**weights, "visual.trunk.blocks.0.ls1.gamma": torch.ones(24)}, path)
    with pytest.raises(ModelError, match=r"ls1\.gamma"):
        build("hub", tmp_path / "given", (32, 32))


def test_a_torchxrayvision_densenet_gives_its_own_features() -> None:
    """Golden: torchxrayvision 1.5.7, features2 (golden/image/make_golden.py)."""
    net = build("torchxrayvision", GOLDEN / "xrv", (64, 64))
    with torch.no_grad():
        found = net(images(1, 64) * 500).mean(dim=(2, 3))
    expected = golden("xrv")
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_torchxrayvision_sees_minus_to_plus_1024() -> None:
    entry = IMAGE_ENCODERS["torchxrayvision"]
    assert entry.preprocess is not None
    preprocess = Preprocess.from_config(entry.preprocess(entry.options(source="x")))
    picture = np.linspace(0, 255, 224 * 224, dtype=np.float32).reshape(224, 224)
    seen = preprocess(Scan(picture.round()))
    theirs = (2 * (picture.round() / 255) - 1) * 1024  # xrv.datasets.normalize(picture, 255)
    assert np.abs(seen[0, 0] - theirs).max() <= 1e-3


def test_a_pickled_module_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "densenet.pt")
    with pytest.raises(ModelError, match="holds code") as found:
        build("torchxrayvision", tmp_path / "densenet.pt", (64, 64))
    assert "save_file" in str(found.value)
    torch.save(spread(torch.nn.Linear(2, 2)).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ModelError, match="no weights of a TorchXRayVision"):
        build("torchxrayvision", tmp_path / "other.pt", (64, 64))
    (tmp_path / "broken.pt").write_bytes(b"not a file of weights")
    with pytest.raises(ModelError, match=r"holds code|damaged"):
        build("torchxrayvision", tmp_path / "broken.pt", (64, 64))
    with pytest.raises(ModelError, match="no such folder"):
        build("torchxrayvision", tmp_path / "absent.pt", (64, 64))


@pytest.mark.parametrize(("depth", "shortcut"), [(10, "B"), (18, "A"), (50, "B")])
def test_a_medicalnet_file_gives_the_features_of_monais_own_loading(
    depth: int, shortcut: str, tmp_path: Path
) -> None:
    """The file has the keys of MedicalNet's; MONAI's network of the same weights is the oracle."""
    from monai.networks.nets.resnet import ResNet

    block, layers = {
        10: ("basic", [1, 1, 1, 1]), 18: ("basic", [2, 2, 2, 2]), 50: ("bottleneck", [3, 4, 6, 3]),
    }[depth]  # fmt: skip
    theirs = spread(
        ResNet(
            block, layers, [4, 4, 8, 8], n_input_channels=1, conv1_t_stride=2,
            shortcut_type=shortcut, feed_forward=False, bias_downsample=depth == 18,
        )
    )  # fmt: skip
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    path = tmp_path / f"resnet_{depth}_23dataset.pth"
    torch.save({"state_dict": state}, path)
    net = build("medicalnet", path, (32, 32, 32), 3)
    volume = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = net(volume).mean(dim=(2, 3, 4)), theirs(volume)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)


def swin(width: int = 12) -> Any:
    from monai.networks.nets.swin_unetr import SwinUNETR

    return spread(SwinUNETR(in_channels=1, out_channels=2, feature_size=width, spatial_dims=3))


@pytest.mark.parametrize("kind", ["whole", "pretraining"])
def test_a_swin_encoder_gives_swinunetrs_deepest_map(kind: str, tmp_path: Path) -> None:
    theirs = swin()
    if kind == "whole":
        state = theirs.state_dict()
    else:  # the names of the pretraining's code
        state = {
            f"module.{key.replace('.mlp.linear', '.mlp.fc')}": value
            for key, value in theirs.swinViT.state_dict().items()
        }
        state["module.rotation_head.weight"] = torch.zeros(4, 4)
    torch.save({"state_dict": state}, tmp_path / "weights.pt")
    net = build("swin-unetr", tmp_path / "weights.pt", (32, 32, 32), 3)
    volume = torch.rand(1, 1, 32, 40, 48, generator=torch.Generator().manual_seed(1))  # d, h, w
    with torch.no_grad():
        found = net(volume)
        world = volume.permute(0, 1, 4, 3, 2).flip(2, 3)  # to right, to front, up
        expected = theirs.swinViT(world)[-1]
    back = expected.flip(2, 3).permute(0, 1, 4, 3, 2)
    assert torch.allclose(found, back, rtol=1e-4, atol=1e-5)


def write_bundle(folder: Path, definition: dict[str, Any], net: Any, shape: list[Any]) -> None:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    image = {"num_channels": 1, "spatial_shape": shape, "format": "hounsfield"}
    metadata = {"network_data_format": {"inputs": {"image": image}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    transforms = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.5, 2.0]},
        {"_target_": "ScaleIntensityRanged", "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1},
    ]
    config = {"network_def": definition, "preprocessing": {"transforms": transforms}, "classes": 2}
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    torch.save(net.state_dict(), folder / "models" / "model.pt")


def test_a_monai_bundle_is_read_with_its_window_spacing_and_axes(tmp_path: Path) -> None:
    from monai.networks.nets.segresnet import SegResNet

    theirs = spread(
        SegResNet(init_filters=8, in_channels=1, out_channels=2, blocks_down=(1, 1), blocks_up=(1,))
    )
    definition = {
        "_target_": "SegResNet", "init_filters": 8, "in_channels": 1, "out_channels": "@classes",
        "blocks_down": [1, 1], "blocks_up": [1],
    }  # fmt: skip
    write_bundle(tmp_path / "bundle", definition, theirs, [16, 24, 8])
    entry = IMAGE_ENCODERS["hub"]
    assert entry.preprocess is not None
    options = entry.options(source=str(tmp_path / "bundle"))
    preprocess = Preprocess.from_config(entry.preprocess(options))
    assert preprocess.shape == (1, 8, 24, 16)
    assert preprocess.spacing_mm == (2.0, 1.5, 1.0)
    volume = np.zeros((8, 24, 16), np.float32)
    volume[:, :, 0], volume[:, :, 1] = -57, 164
    seen = preprocess(Scan(volume, units="HU", spacing_mm=(2.0, 1.5, 1.0)))
    assert (seen[0, 0, 0, 0, 0], seen[0, 0, 0, 0, 1]) == (0.0, 1.0)
    net = build("hub", tmp_path / "bundle", preprocess.shape[1:], 3)
    with torch.no_grad():
        found = net(torch.from_numpy(seen))
        world = torch.from_numpy(seen).permute(0, 1, 4, 3, 2).flip(2, 3)
        expected = theirs.encode(world)[0]
    assert torch.equal(found, expected.flip(2, 3).permute(0, 1, 4, 3, 2))


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"_target_": "os.system", "command": "true"}, "not known here"),
        ({"_target_": "somewhere.SegResNet"}, "not known here"),
        ({"_target_": "SegResNet", "in_channels": "$__import__('os')"}, "not run"),
        ({"_target_": "SegResNet", "act": {"_target_": "torch.nn.ReLU"}}, "not run"),
        ({"_target_": "SegResNet", "surprise": 1}, "arguments"),
    ],
)
def test_no_code_of_a_bundle_is_run(
    definition: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "bundle", definition, torch.nn.Linear(1, 1), [16, 16, 16])
    with pytest.raises(ModelError, match=message):
        build("hub", tmp_path / "bundle", (16, 16, 16), 3)


@pytest.mark.parametrize(
    "name", ["torchxrayvision", pytest.param("swin-unetr", marks=pytest.mark.slow), "hub"]
)
def test_a_saved_model_needs_no_weights_from_elsewhere(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if name == "swin-unetr":
        source.mkdir()
        torch.save({"state_dict": swin().state_dict()}, source / "weights.pt")
    else:
        shutil.copytree(GOLDEN / {"hub": "open_clip_timm"}.get(name, "xrv"), source)
    three = name == "swin-unetr"
    small = {"size": 32, "spacing_mm": None} if three else {"size": 32}
    config = TrainingConfig.model_validate(
        {
            "image": {"encoder": name, "options": {"source": str(source)}},
            "preprocess": {} if name == "hub" else small,
        }
    )
    assert config.image.pooling == ("own" if name == "hub" else "average")
    towers, tokens, architecture = build_towers(
        config.image,
        TextSettings(encoder="toy"),
        ProjectionSettings(dim=4),
        dimensions=config.preprocess.dimensions,
        size=config.preprocess.shape[1:],
    )
    model = DualEncoder(architecture, config.preprocess, tokens, towers)
    shape = (20, 40, 40) if three else (40, 50)
    scan = Scan(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    before = model.encode_scans([scan])
    folder = model.save(tmp_path / "model")
    shutil.rmtree(source)
    again = DualEncoder.load(folder)
    assert np.abs(again.encode_scans([scan]) - before).max() <= 1e-4  # by ONNX Runtime, not torch
    assert str(tmp_path) not in (folder / "model.json").read_text()


def test_dimensions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="2D images only"):
        build("torchxrayvision", GOLDEN / "xrv", (32, 32, 32), 3)
