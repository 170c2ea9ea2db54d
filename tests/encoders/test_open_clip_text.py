"""An open_clip checkpoint gives the vectors that open_clip gives; golden/make_open_clip.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medembed.encoders.huggingface import load_text
from medembed.encoders.transformer_text import restore_text
from medembed.errors import ModelError

GOLDEN = Path(__file__).parent / "golden" / "open_clip"


def copied(name: str, to: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / name, to / name))


def change(folder: Path, **text: Any) -> None:
    path = folder / "open_clip_config.json"
    about = json.loads(path.read_text())
    about["model_cfg"]["text_cfg"] |= text
    path.write_text(json.dumps(about))


@pytest.mark.parametrize("name", ["biomed", "roberta", "own"])
def test_vectors_are_those_of_open_clip(name: str) -> None:
    golden = json.loads((GOLDEN / name / "vectors.json").read_text())
    module, tokens = load_text(str(GOLDEN / name), 256)
    ids, mask = tokens(golden["texts"])
    again = restore_text(json.loads(json.dumps(module.architecture))).eval()
    again.load_state_dict(module.state_dict())
    for each in (module.eval(), again):
        with torch.no_grad():
            out = each(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        np.testing.assert_allclose(out, golden["vectors"], atol=1e-5)
    assert "visual" not in str(list(module.state_dict()))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("own", {"embed_cls": True}, "embed_cls"),
        ("own", {"pool_type": "last"}, "pooling or projection"),
        ("own", {"layers": 3}, "of 53 weights are missing, the first is"),
        ("own", {"layers": 1}, "belong to no part"),
        ("own", {"width": 12}, "shape"),
        ("biomed", {"hf_pooler_type": "max_pooler"}, "max_pooler"),
        ("biomed", {"hf_proj_type": "linear"}, "weights (is|are) missing"),
        ("biomed", {"hf_model_name": "nobody/no-such"}, "put that encoder's config.json"),
        ("roberta", {"tokenizer_kwargs": {"clean": "canonicalize"}}, "tokenizer_kwargs"),
    ],
)
def test_what_cannot_be_honored_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = copied(name, tmp_path)
    change(folder, **text)
    with pytest.raises(ModelError, match=message) as caught:
        load_text(str(folder), 64)
    assert str(tmp_path) not in str(caught.value)


def test_settings_beside_the_weights_are_used(tmp_path: Path) -> None:
    folder = copied("biomed", tmp_path)
    module, _ = load_text(str(folder), 64)
    change(folder, hf_model_name="hospital/own-bert")
    about = {"model_type": "bert", **module.architecture["config"]}
    (folder / "config.json").write_text(json.dumps(about))
    again, _ = load_text(str(folder), 64)
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, module.state_dict()[key])


def test_a_weight_too_few_or_too_many_is_refused(tmp_path: Path) -> None:
    folder = copied("biomed", tmp_path)
    path = folder / "open_clip_model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "text.proj.4.weight": torch.ones(2)}, path)
    with pytest.raises(ModelError, match=r"proj\.4\.weight"):
        load_text(str(folder), 64)
    tensors.pop("text.transformer.encoder.layer.1.output.dense.bias")
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"1 of \d+ weights is missing"):
        load_text(str(folder), 64)
