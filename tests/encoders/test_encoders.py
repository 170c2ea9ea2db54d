"""Every encoder gives feature maps of the width that it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.errors import ConfigError, InputError, ModelError
from medembed.model.towers import ProjectionSettings, build_towers

SMALL = {
    "densenet121": {"init_features": 8, "growth_rate": 4},
    "resnet10": {"widths": [4, 4, 8, 8]},
    "resnet18": {"widths": [4, 4, 8, 8]},
    "resnet34": {"widths": [4, 4, 8, 8]},
    "resnet50": {"widths": [4, 4, 8, 8]},
    "vit": {"width": 16, "heads": 2, "depth": 1},
}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_monai_encoders_give_maps_in_2d_and_3d(name: str, dimensions: int) -> None:
    entry = IMAGE_ENCODERS[name]
    size = (32,) * dimensions
    module = entry.build(entry.options(**SMALL[name]), dimensions, size).eval()
    with torch.no_grad():
        out = module(torch.zeros(1, 1, *size))
    assert out.shape[:2] == (1, module.width)
    assert out.ndim == 2 + dimensions


def test_grid_pooling_knows_left_from_right_and_average_does_not() -> None:
    image = torch.zeros(2, 1, 32, 32)
    image[0, :, :, :16] = 1
    image[1] = image[0].flip(-1)
    for pooling, differs in (("grid", True), ("average", False)):
        towers, _, _ = build_towers(
            ImageSettings(encoder="toy", pooling=pooling, grid=2),
            TextSettings(encoder="toy"),
            ProjectionSettings(dim=4),
            dimensions=2,
            size=(32, 32),
        )
        left, right = towers.image.features(image)
        assert bool((left - right).abs().max() > 0.1) is differs


def test_an_unknown_encoder_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="resnet10"):
        IMAGE_ENCODERS["resnet11"]
    assert {"bert", "hub", "minilm", "toy"} <= set(TEXT_ENCODERS)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"image\.options\.widthz"):
        build_towers(
            ImageSettings(encoder="resnet10", options={"widthz": [1, 2, 3, 4]}),
            TextSettings(encoder="toy"),
            ProjectionSettings(),
            dimensions=2,
            size=(32, 32),
        )


def test_normalized_features_do_not_depend_on_their_scale() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 1, 32, 32) * torch.rand(64, 1, 1, 1)
    sides = []
    for factor in (1.0, 100.0):
        torch.manual_seed(1)
        towers, _, _ = build_towers(
            ImageSettings(encoder="toy", grid=2, batch_norm=True),
            TextSettings(encoder="toy"),
            ProjectionSettings(dim=4),
            dimensions=2,
            size=(32, 32),
        )
        towers.train()
        for _ in range(100):  # the running mean and variance settle
            towers.image(images * factor)
        towers.eval()
        sides.append(towers.image(images * factor))
    torch.testing.assert_close(sides[0], sides[1], rtol=0.05, atol=0.05)


def _bert_folder(folder: Path) -> None:
    """A tiny BERT as transformers would save one."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from medembed.encoders.wordpiece import learn_wordpiece

    tokens = learn_wordpiece(["right pleural effusion", "left nodule"] * 5, 100, 2, 16)
    config = BertConfig(
        vocab_size=tokens.size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "raw.json").write_bytes(tokens.files()["tokenizer.json"])
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "raw.json"), pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)


def test_a_local_transformers_folder_becomes_a_text_tower(tmp_path: Path) -> None:
    _bert_folder(tmp_path)
    entry = TEXT_ENCODERS["hub"]
    module, tokens = entry.build(entry.options(source=str(tmp_path)), 64, [])
    assert tokens.max_length == 16  # no more than the encoder has places for
    ids, mask = tokens(["right effusion", "left"])
    with torch.no_grad():
        out = module(torch.from_numpy(ids), torch.from_numpy(mask))
    assert out.shape == (2, 16)
    assert str(tmp_path) not in json.dumps(module.architecture)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    _bert_folder(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    entry = TEXT_ENCODERS["hub"]
    with pytest.raises(ModelError, match="safetensors"):
        entry.build(entry.options(source=str(tmp_path)), 64, [])


def test_code_in_a_folder_is_never_run(tmp_path: Path) -> None:
    _bert_folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    config["model_type"] = "evil"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    entry = TEXT_ENCODERS["hub"]
    with pytest.raises(ModelError):
        entry.build(entry.options(source=str(tmp_path)), 64, [])
