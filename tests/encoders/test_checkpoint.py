"""A checkpoint from elsewhere is loaded whole or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medembed.encoders.checkpoint import load_weights, open_checkpoint
from medembed.errors import ModelError


class Tied(nn.Module):
    """Two names of one weight, as T5 has them."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Embedding(3, 2)
        self.embed = nn.Embedding(3, 2)
        self.embed.weight = self.shared.weight


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def prefixed(prefix: str, other: nn.Module) -> dict[str, torch.Tensor]:
    return {prefix + key: tensor.clone() for key, tensor in other.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_type_becomes_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"a": torch.ones(2, dtype=dtype), "n": torch.ones(1, dtype=torch.int64)},
              tmp_path / "model.safetensors")  # fmt: skip
    tensors = open_checkpoint(str(tmp_path)).tensors()
    assert tensors["a"].dtype == torch.float32
    assert tensors["n"].dtype == torch.int64


def test_weights_in_parts_are_put_together(tmp_path: Path) -> None:
    for at in range(2):
        save_file({f"w{at}": torch.full((1,), float(at))}, tmp_path / f"part-{at}.safetensors")
    index = {"weight_map": {f"w{at}": f"part-{at}.safetensors" for at in range(2)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint = open_checkpoint(str(tmp_path))
    assert {k: float(v) for k, v in checkpoint.tensors().items()} == {"w0": 0.0, "w1": 1.0}
    (tmp_path / "part-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"1 of 2 weight files is missing.*part-1"):
        checkpoint.tensors()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no weights"),
        ({"pytorch_model.bin": b"x"}, r"pytorch_model\.bin is not read"),
        ({"model.safetensors": b"\x10\0\0"}, "damaged"),
        ({"a.safetensors": b"", "b.safetensors": b""}, "2 safetensors files"),
        ({"model.safetensors.index.json": b"{}"}, "not valid"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "../a"}}'}, "outside"),
    ],
)
def test_bad_weights_are_one_line_without_the_path(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        open_checkpoint(str(tmp_path)).tensors()
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "bert.", "text.transformer."])
def test_a_prefix_on_either_side_is_resolved(prefix: str) -> None:
    inner, outer = net(), net()
    load_weights(inner, prefixed(prefix, outer), name="x")
    wrapped = nn.ModuleDict({"base": net()})
    load_weights(wrapped, outer.state_dict(), name="x")
    for module in (inner, wrapped["base"]):
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, outer.state_dict()[key])


def test_missing_and_unexpected_keys_are_counted_and_named() -> None:
    tensors = net().state_dict()
    del tensors["2.weight"], tensors["2.bias"]
    with pytest.raises(ModelError, match=r"2 of 9 weights are missing, the first is 2\.bias"):
        load_weights(net(), tensors, name="x")
    tensors = net().state_dict() | {"lm_head.weight": torch.ones(1), "head2.b": torch.ones(1)}
    with pytest.raises(ModelError, match=r"1 weight belongs to no part.*head2\.b"):
        load_weights(net(), tensors, name="x", drop=[r"^lm_head\."])
    with pytest.raises(ModelError, match=r"8 of 9 weights are missing.*9 have other names"):
        load_weights(net(), {f"{i}x": torch.ones(1) for i in range(9)}, name="x")


def test_a_tied_weight_is_there_once_and_optional_ones_may_be_missing() -> None:
    module = Tied()
    load_weights(module, {"shared.weight": torch.ones(3, 2)}, name="x")
    assert torch.equal(module.embed.weight, torch.ones(3, 2))
    tensors = net().state_dict()
    del tensors["2.bias"], tensors["1.num_batches_tracked"]
    load_weights(net(), tensors | {"a.position_ids": torch.ones(1)}, name="x", optional=[r"bias$"])


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(2, 5), r"shape \(2, 5\).*should have \(2, 4\)"),
        (torch.ones(2, 4, dtype=torch.int8), r"quantized \(int8\)"),
        (torch.full((2, 4), float("inf")), "not finite"),
    ],
)
def test_a_weight_that_does_not_fit_is_named(tensor: torch.Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=rf"2\.weight.*{message}"):
        load_weights(net(), net().state_dict() | {"2.weight": tensor}, name="x")


def test_a_name_that_is_nowhere_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="no-such-model: there is no such folder, and the hub"):
        open_checkpoint("nobody/no-such-model")
    with pytest.raises(ModelError, match="no such folder") as caught:
        open_checkpoint(str(tmp_path / "absent"))
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="this is a file"):
        open_checkpoint(str(tmp_path / "weights.bin"))


def test_settings_are_read_from_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{")
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.name == tmp_path.name
    assert checkpoint.config == {"model_type": "bert"}
    assert checkpoint.read_json("absent.json") is None
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.read_json("1_Pooling/config.json")
    with pytest.raises(ModelError, match="outside"):
        checkpoint.part("../elsewhere")
