"""A published image encoder gives the vectors here that its own library gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from support.tiny_image_models import FAMILIES, HEADED, edit_json, spread, write_model

from medembed.encoders import IMAGE_ENCODERS
from medembed.encoders.checkpoint import open_checkpoint
from medembed.encoders.image_processor import stated_preprocess
from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.errors import ConfigError, ModelError
from medembed.model import DualEncoder
from medembed.model.towers import ProjectionSettings, build_towers
from medembed.preprocess import Preprocess
from medembed.scans import Scan
from medembed.training.settings import TrainingConfig

PICTURE = np.random.default_rng(3).integers(0, 256, (61, 45)).astype(np.uint8)

QUICK_AND_SLOW = [
    "clip",
    *(
        pytest.param(family, marks=pytest.mark.slow)
        for family in ("siglip", "align", "dinov2_with_registers", "swin")
    ),
]


def picture(mode: str) -> Image.Image:
    return Image.fromarray(PICTURE).convert(mode)


def theirs(model: Any, processor: Any, mode: str = "RGB") -> torch.Tensor:
    """The vector by the library's own path: processor, model, its own pooling."""
    pixels = processor(images=picture(mode), return_tensors="pt")["pixel_values"]
    if pixels.shape[1] == 1:
        pixels = pixels.expand(-1, 3, -1, -1)
    with torch.no_grad():
        if hasattr(model, "get_image_features"):
            features = model.get_image_features(pixel_values=pixels)
            return features if isinstance(features, torch.Tensor) else features.pooler_output
        outputs = model(pixel_values=pixels)
    kind = model.config.model_type
    if kind in ("vit", "deit"):
        return outputs.last_hidden_state[:, 0]
    return outputs.pooler_output.flatten(1)


def ours(folder: Path) -> tuple[torch.nn.Module, Preprocess, torch.Tensor]:
    entry = IMAGE_ENCODERS["hub"]
    options = entry.options(source=str(folder))
    assert entry.preprocess is not None
    preprocess = Preprocess.from_config(entry.preprocess(options))
    module = entry.build(options, 2, preprocess.shape[1:]).eval()
    pixels = torch.from_numpy(preprocess(Scan(PICTURE.astype(np.float32))))
    with torch.no_grad():
        return module, preprocess, module.pooled(pixels)  # type: ignore[operator]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_familys_vectors_are_those_of_its_own_library(family: str, tmp_path: Path) -> None:
    model, processor = write_model(tmp_path, family)
    module, preprocess, vector = ours(tmp_path)
    expected = theirs(model, processor)
    assert vector.shape == expected.shape == (1, module.pooled_width)
    assert float(expected.std()) > 1e-3
    assert float((vector - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))
    assert preprocess.channels == 3
    with torch.no_grad():
        feature_map = module(torch.zeros(2, 3, *preprocess.shape[1:]))
    assert feature_map.shape[:2] == (2, module.width)
    assert feature_map.ndim == 4


@pytest.mark.parametrize("family", ["clip", "dinov2", "convnext", "siglip"])
def test_a_gray_picture_is_read_as_their_rgb(family: str, tmp_path: Path) -> None:
    """Their processors turn gray pictures into RGB; ours repeats the channel."""
    _, processor = write_model(tmp_path, family)
    preprocess = ours(tmp_path)[1]
    expected = processor(images=picture("L").convert("RGB"), return_tensors="np")["pixel_values"]
    found = preprocess(Scan(PICTURE.astype(np.float32)))
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("name", sorted({each[1] for each in FAMILIES.values()}))
@pytest.mark.parametrize("shape", [(301, 417), (417, 301), (90, 90)])
def test_the_defaults_of_each_processor_are_ours(
    name: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    processor = getattr(transformers, name)()
    kind = name.removesuffix("Pil")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": kind}))
    preprocess = Preprocess.from_config(stated_preprocess(open_checkpoint(str(tmp_path))))
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    image = Image.fromarray(pixels).convert("RGB")
    expected = processor(images=image, return_tensors="np")["pixel_values"]
    found = preprocess(Scan(pixels.astype(np.float32)))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("family", sorted(HEADED))
def test_a_classifiers_head_is_left_out_and_its_prefix_understood(
    family: str, tmp_path: Path
) -> None:
    model, processor = write_model(tmp_path, family, HEADED[family]())
    vector = ours(tmp_path)[2]
    expected = theirs(model.base_model, processor)
    assert float((vector - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_loaded_as_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    model, _ = write_model(tmp_path, "dinov2")
    half = model.to(dtype)
    half.save_pretrained(tmp_path)
    module, _, vector = ours(tmp_path)
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    assert vector.dtype == torch.float32
    expected = ours_of(half.float(), tmp_path)
    assert float((vector - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def ours_of(model: Any, folder: Path) -> torch.Tensor:
    processor = transformers.BitImageProcessorPil.from_pretrained(folder)
    return theirs(model, processor)


def test_a_missing_key_is_refused_with_its_name(tmp_path: Path) -> None:
    write_model(tmp_path, "dinov2")
    weights = load_file(tmp_path / "model.safetensors")
    for key in [key for key in weights if "layer.1." in key]:
        del weights[key]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"weights are missing, the first is .*\.1\."):
        ours(tmp_path)


def test_a_key_of_no_known_part_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "vit")
    weights = load_file(tmp_path / "model.safetensors")
    weights["encoder.adapter.weight"] = torch.zeros(2)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"encoder\.adapter\.weight"):
        ours(tmp_path)


def test_weights_of_another_shape_and_without_numbers_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "vit")
    weights = load_file(tmp_path / "model.safetensors")
    key = next(key for key in weights if key.endswith("projection.weight"))
    save_file({**weights, key: weights[key] * float("nan")}, tmp_path / "model.safetensors",
              {"format": "pt"})  # fmt: skip
    with pytest.raises(ModelError, match="not finite"):
        ours(tmp_path)
    save_file({**weights, key: torch.zeros(3, 3, 8, 8)}, tmp_path / "model.safetensors",
              {"format": "pt"})  # fmt: skip
    with pytest.raises(ModelError, match="has the shape"):
        ours(tmp_path)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": "siglip2"}, "NaFlex"),
        ("config.json", {"model_type": "mobilevit"}, "not known here"),
        ("config.json", {"model_type": None}, "it is no folder of transformers"),
        ("config.json", {"quantization_config": {"bits": 4}}, "quantized"),
        ("preprocessor_config.json", {"do_pad": True}, "do_pad is set"),
        ("preprocessor_config.json", {"do_resize": False}, "keep their own size"),
        ("preprocessor_config.json", {"do_center_crop": False}, "not cropped"),
        ("preprocessor_config.json", {"resample": 5}, "resample is 5"),
        ("preprocessor_config.json", {"image_processor_type": "OwlViTImageProcessor"}, "OwlViT"),
        ("preprocessor_config.json", {"size": {"longest_edge": 32}}, "longest_edge"),
        ("preprocessor_config.json", {"size": "large"}, "not valid"),
        ("preprocessor_config.json", {"crop_size": {"height": 99, "width": 99}}, "crop is larger"),
    ],
)
def test_what_cannot_be_honored_is_refused_in_one_line(
    file: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_model(tmp_path, "clip_vision_model")
    edit_json(tmp_path / file, **changes)
    with pytest.raises(ModelError, match=message) as found:
        ours(tmp_path)
    assert "\n" not in str(found.value)
    assert str(tmp_path) not in str(found.value)


def test_without_a_word_on_preprocessing_it_is_not_guessed(tmp_path: Path) -> None:
    write_model(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="does not say how its images are prepared"):
        ours(tmp_path)


def test_older_files_say_size_as_a_number(tmp_path: Path) -> None:
    for kind, expected in (
        ("CLIPFeatureExtractor", {"size": [30, 30], "resize": "shortest", "crop_from": 40}),
        ("ViTFeatureExtractor", {"size": [40, 40], "resize": "squash"}),
    ):
        (tmp_path / "preprocessor_config.json").write_text(
            json.dumps({"feature_extractor_type": kind, "size": 40, "crop_size": 30})
        )
        stated = stated_preprocess(open_checkpoint(str(tmp_path)))
        assert expected.items() <= stated.items()


def test_a_configurations_own_keys_win_over_the_checkpoints(tmp_path: Path) -> None:
    write_model(tmp_path, "dinov2")
    image = {"encoder": "hub", "options": {"source": str(tmp_path)}}
    stated = TrainingConfig.model_validate({"image": image})
    assert stated.preprocess.shape == (1, 32, 32)
    assert stated.preprocess.mean == (0.5307, 0.5307, 0.5307)
    assert stated.image.pooling == "own"
    own = TrainingConfig.model_validate(
        {"image": {**image, "pooling": "grid"}, "preprocess": {"size": 64, "window": "file"}}
    )
    assert own.preprocess.shape == (1, 64, 64)
    assert own.preprocess.window == "file"
    assert own.preprocess.interpolation == "bicubic"
    assert own.image.pooling == "grid"


def pair(folder: Path, pooling: str | None = None) -> DualEncoder:
    image = {"encoder": "hub", "options": {"source": str(folder)}}
    config = TrainingConfig.model_validate(
        {"image": image if pooling is None else {**image, "pooling": pooling, "grid": 2}}
    )
    torch.manual_seed(0)
    towers, tokens, architecture = build_towers(
        config.image,
        TextSettings(encoder="toy"),
        ProjectionSettings(dim=8),
        dimensions=2,
        size=config.preprocess.shape[1:],
    )
    return DualEncoder(architecture, config.preprocess, tokens, towers)


@pytest.mark.parametrize("pooling", [None, "average", "grid"])
@pytest.mark.parametrize("family", QUICK_AND_SLOW)
def test_a_saved_model_needs_no_source_and_names_no_place(
    family: str, pooling: str | None, tmp_path: Path
) -> None:
    write_model(tmp_path / "source", family)
    model = pair(tmp_path / "source", pooling)
    scans = [Scan(PICTURE.astype(np.float32)), Scan(PICTURE.T[::-1].astype(np.float32))]
    before = model.encode_scans(scans)
    folder = model.save(tmp_path / "model")
    for path in (tmp_path / "source").iterdir():
        path.unlink()
    again = DualEncoder.load(folder)
    assert np.abs(again.encode_scans(scans) - before).max() <= 1e-6
    assert again.fingerprint == model.fingerprint
    for path in folder.glob("*.json"):
        assert str(tmp_path) not in path.read_text()


def test_an_encoder_without_pooling_of_its_own_says_so() -> None:
    settings = ImageSettings(encoder="resnet10", pooling="own", options={"widths": [4, 4, 8, 8]})
    with pytest.raises(ConfigError, match="no pooling of its own"):
        build_towers(
            settings, TextSettings(encoder="toy"), ProjectionSettings(), dimensions=2, size=(32, 32)
        )


def test_gray_pixels_are_repeated_and_other_channels_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "dinov2")
    side = pair(tmp_path).image_side()
    gray = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(side(gray), side(gray.expand(-1, 3, -1, -1)))
        with pytest.raises(ConfigError, match="reads 3 channels, and the preprocessing makes 2"):
            side(torch.rand(2, 2, 32, 32))


def test_a_size_that_the_network_does_not_read_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "vit")
    entry = IMAGE_ENCODERS["hub"]
    with pytest.raises(ConfigError, match="32 × 32 pixels, not of 64 × 64"):
        entry.build(entry.options(source=str(tmp_path)), 2, (64, 64))
    with pytest.raises(ConfigError, match="2D images only"):
        entry.build(entry.options(source=str(tmp_path)), 3, (32, 32, 32))


def test_a_larger_image_than_dinov2_was_trained_with_is_read(tmp_path: Path) -> None:
    model, _ = write_model(tmp_path, "dinov2")
    entry = IMAGE_ENCODERS["hub"]
    module = entry.build(entry.options(source=str(tmp_path)), 2, (48, 64)).eval()
    images = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        assert module(images).shape == (1, 32, 6, 8)
        expected = model(pixel_values=images).pooler_output
        assert torch.allclose(module.pooled(images), expected, atol=1e-5)  # type: ignore[operator]


def test_spread_weights_make_vectors_differ() -> None:
    """The parity above would be empty if all images had one vector."""
    model = spread(HEADED["vit"]().base_model)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, second = (model(pixel_values=x).last_hidden_state[:, 0] for x in (a, b))
    assert float((first - second).abs().max()) > 1e-2
