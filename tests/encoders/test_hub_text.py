"""A text encoder from elsewhere is loaded whole and right, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.tiny_encoders import SMALL, TEXTS, byte_bpe, save, unigram, wordpiece

from medembed.encoders.huggingface import load_text
from medembed.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT as transformers saves one."""
    wordpiece(tmp_path)
    config = transformers.BertConfig(vocab_size=90, max_position_embeddings=40, **SMALL)
    save(transformers.BertModel(config), tmp_path)
    return tmp_path


def encode(folder: Path, texts: list[str] = TEXTS, **options: Any) -> np.ndarray[Any, Any]:
    module, tokens = load_text(str(folder), 128, **options)
    ids, mask = tokens(texts)
    with torch.no_grad():
        return module.eval()(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the weights of a folder."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path, {"format": "pt"})


def write(folder: Path, name: str, **values: Any) -> None:
    """Change a JSON file of a folder."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    about = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(about | values))


def refused(folder: Path, message: str, **options: Any) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_text(str(folder), 64, **options)
    line = str(caught.value)
    assert line.startswith(f"{folder.name}: ")
    assert "\n" not in line
    assert str(folder.parent) not in line


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(folder: Path, dtype: torch.dtype) -> None:
    expected = encode(folder)
    edit(folder, lambda tensors: {k: v.to(dtype) for k, v in tensors.items()})
    write(folder, "config.json", dtype=str(dtype).removeprefix("torch."))
    module, _ = load_text(str(folder), 128)
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}
    np.testing.assert_allclose(encode(folder), expected, atol=0.05)


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    refused(folder, "has no tokenizer; put its tokenizer.json")


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"type": "Nothing"}}'])
def test_a_broken_tokenizer_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    refused(folder, "tokenizer cannot be read")


def test_a_sentencepiece_model_alone_is_read_or_refused(tmp_path: Path) -> None:
    config = transformers.T5Config(
        vocab_size=95, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=2
    )
    save(transformers.T5EncoderModel(config), tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")
    refused(tmp_path, "tokenizer cannot be read; install sentencepiece once")


def test_another_models_tokenizer_is_refused(folder: Path) -> None:
    byte_bpe(folder, ["<s>"], "$A", pad_token="<s>")
    refused(folder, r"tokenizer has \d{3} tokens and its network knows 90")


@pytest.mark.parametrize("prefix", ["bert.", "text.transformer."])
def test_no_weight_stays_random(folder: Path, prefix: str) -> None:
    expected = encode(folder)
    edit(folder, lambda tensors: {prefix + k: v for k, v in tensors.items()})
    if prefix == "bert.":  # as the models with heads have it
        np.testing.assert_allclose(encode(folder), expected, atol=1e-6)
    else:
        refused(folder, r"37 of 39 weights are missing, the first is embeddings\.LayerNorm\.bias")


def test_half_of_the_layers_missing_are_counted_and_named(folder: Path) -> None:
    edit(folder, lambda tensors: {k: v for k, v in tensors.items() if ".layer.1." not in k})
    refused(folder, r"16 of 3\d weights are missing, the first is encoder\.layer\.1\.")


def test_weights_of_no_part_of_the_network_are_refused(folder: Path) -> None:
    write(folder, "config.json", num_hidden_layers=1)
    refused(folder, r"16 weights belong to no part of its network.*encoder\.layer\.1\.")


def test_heads_that_are_not_used_may_be_there(folder: Path) -> None:
    expected = encode(folder)
    extra = {
        name: torch.ones(2)
        for name in ("cls.predictions.bias", "classifier.weight", "bert.embeddings.position_ids")
    }
    edit(folder, lambda tensors: tensors | extra)
    np.testing.assert_allclose(encode(folder), expected, atol=1e-6)


def test_weights_of_another_shape_are_refused_with_both(folder: Path) -> None:
    write(folder, "config.json", intermediate_size=64)
    refused(folder, r"has the shape \(48.*should have \(64")


def test_values_that_are_not_finite_are_refused(folder: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["embeddings.LayerNorm.weight"][3] = float("nan")

    edit(folder, spoil)
    refused(folder, r"embeddings\.LayerNorm\.weight has values that are not finite")


def test_quantized_weights_are_refused(folder: Path) -> None:
    write(folder, "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    refused(folder, "quantized")


def test_a_network_defined_by_its_own_code_is_refused_even_if_its_type_is_known(
    folder: Path,
) -> None:
    write(folder, "config.json", auto_map={"AutoModel": "modeling.Own"})
    (folder / "modeling.py").write_text("raise SystemExit('run')")
    refused(folder, "defined by its own code, which is not run")


def test_an_image_network_is_refused(folder: Path) -> None:
    vit = transformers.ViTConfig(image_size=16, patch_size=8, **SMALL)
    save(transformers.ViTModel(vit), folder)
    refused(folder, "does not read text")


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta", "MPNet"])
def test_positions_that_start_after_the_padding_are_counted_right(
    tmp_path: Path, kind: str
) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    byte_bpe(tmp_path, special, "<s> $A </s>", pad_token="<pad>", eos_token="</s>")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=310, max_position_embeddings=66, pad_token_id=1, **SMALL
    )
    save(getattr(transformers, f"{kind}Model")(config), tmp_path)
    _, tokens = load_text(str(tmp_path), 128)
    assert tokens.max_length == 64  # 66 less the padding's id and one
    assert np.isfinite(encode(tmp_path, ["effusion " * 500])).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 40), ({"model_max_length": 20}, 20), ({"model_max_length": 10**30}, 40)],
)
def test_the_least_of_all_limits_counts(
    folder: Path, changes: dict[str, int], expected: int
) -> None:
    write(folder, "tokenizer_config.json", **changes)
    assert load_text(str(folder), 512)[1].max_length == expected
    assert load_text(str(folder), 8)[1].max_length == 8


def test_a_text_whose_end_counts_is_cut_at_its_start(folder: Path) -> None:
    write(folder, "tokenizer_config.json", truncation_side="left")
    end = encode(folder, ["effusion " * 90 + "nodule"])
    assert not np.allclose(end, encode(folder, ["effusion " * 90]), atol=1e-3)


def sentence(folder: Path, kind: str, **settings: Any) -> None:
    """Add what a sentence-transformers folder has, with one more module."""
    names = ["models.Transformer", "models.Pooling", f"models.{kind}"]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{name}" if i else "",
            "type": f"sentence_transformers.{name}",
        }
        for i, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    write(folder, "1_models.Pooling/config.json", pooling_mode="mean")
    write(folder, f"2_models.{kind}/config.json", **settings)


def test_a_module_with_code_of_its_own_is_refused(folder: Path) -> None:
    sentence(folder, "Normalize")
    path = folder / "modules.json"
    path.write_text(path.read_text().replace("sentence_transformers.models.Tr", "custom_st.Tr"))
    (folder / "custom_st.py").write_text("raise SystemExit('run')")
    refused(folder, r"module custom_st\.Transformer is defined by its own code")


def test_the_oldest_names_of_weights_are_read(folder: Path) -> None:
    expected = encode(folder)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def rename(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for new, before in old.items():
            tensors = {f"{k.replace(new, before)}": v for k, v in tensors.items()}
        return {f"bert.{k}": v for k, v in tensors.items()}

    edit(folder, rename)  # as bert-base-uncased is published
    np.testing.assert_allclose(encode(folder), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["Router", "WeightedLayerPooling", "LSTM", "SpladePooling"])
def test_modules_that_cannot_be_honored_are_refused(folder: Path, kind: str) -> None:
    sentence(folder, kind)
    refused(folder, f"module {kind} of sentence-transformers is not supported")


def test_layers_that_do_not_fit_are_refused(folder: Path) -> None:
    about = {"in_features": 16, "out_features": 8, "activation_function": "torch.nn.Tanh"}
    sentence(folder, "Dense", **about)
    save_file({"linear.weight": torch.ones(8, 16)}, folder / "2_models.Dense/model.safetensors")
    with pytest.raises(ModelError, match="reads 16 values and is given 32"):
        load_text(str(folder), 64)
    write(folder, "2_models.Dense/config.json", in_features=32)
    refused(folder, r"1 of 2 weights is missing, the first is 0\.linear\.bias")
    write(folder, "2_models.Dense/config.json", activation_function="os.system")
    refused(folder, "activation system of its Dense is not known")
    (folder / "2_models.Dense/config.json").write_text("[]")
    refused(folder, "is not valid")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task"),
        ("sentence_bert_config.json", {"query_length": 8}, "query_length"),
        ("1_models.Pooling/config.json", {"pooling_mode": "odd"}, "not valid"),
        ("config_sentence_transformers.json", {"default_prompt_name": "absent"}, "not valid"),
    ],
)
def test_settings_that_cannot_be_honored_are_refused(
    folder: Path, name: str, values: dict[str, Any], message: str
) -> None:
    sentence(folder, "Normalize")
    write(folder, name, **values)
    refused(folder, message)


def test_a_prompt_left_out_of_the_pooling_is_refused_unless_there_is_none(folder: Path) -> None:
    sentence(folder, "Normalize")
    write(folder, "1_models.Pooling/config.json", include_prompt=False)
    write(folder, "config_sentence_transformers.json", prompts={"a": "find: "})
    assert encode(folder).shape == (4, 32)
    refused(folder, "leaves its prompt out of the pooling", prompt="a")


def test_a_pooling_that_is_told_leaves_out_what_follows_the_stated_one(folder: Path) -> None:
    plain = encode(folder, pooling="cls")
    sentence(folder, "Normalize")
    assert np.allclose(np.linalg.norm(encode(folder), axis=1), 1)
    np.testing.assert_allclose(encode(folder, pooling="cls"), plain, atol=1e-6)


def test_a_pairs_own_pooling_cannot_be_replaced(tmp_path: Path) -> None:
    unigram(tmp_path)
    config = transformers.SiglipConfig(
        text_config={**SMALL, "vocab_size": 95},
        vision_config={**SMALL, "image_size": 16, "patch_size": 8},
    )
    save(transformers.SiglipModel(config), tmp_path)
    refused(tmp_path, "has its own pooling; leave out text.options.pooling", pooling="mean")


def test_a_text_without_a_known_token_has_a_vector(tmp_path: Path) -> None:
    unigram(tmp_path)
    text = json.loads((tmp_path / "tokenizer.json").read_text())
    text["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(text))
    config = transformers.T5Config(
        vocab_size=95, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=2
    )
    save(transformers.T5EncoderModel(config), tmp_path)
    assert np.isfinite(encode(tmp_path, ["", "effusion"])).all()
