"""A pretrained text encoder gives the vectors that its own library gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from support import tiny_encoders as tiny
from support.tiny_encoders import SMALL, TEXTS, byte_bpe, hidden_states, save, unigram, wordpiece

from medembed.encoders.huggingface import load_text
from medembed.encoders.tokenizers import read_tokens
from medembed.encoders.transformer_text import restore_text

# transformers 5.0 compiles parts of DeBERTa and ModernBERT in a way that torch has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

Vectors = np.ndarray[Any, Any]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
QWEN = ["<|endoftext|>", "<|im_end|>"]
CLIP = ["<unk>", "<|startoftext|>", "<|endoftext|>"]


def ours(folder: Path, length: int = 512, texts: list[str] = TEXTS, **options: Any) -> Vectors:
    """Vectors of ours, and of what a model folder would keep of it, which must be the same."""
    module, tokens = load_text(str(folder), length, **options)
    ids, mask = tokens(texts)
    again = restore_text(json.loads(json.dumps(module.architecture))).eval()
    again.load_state_dict(module.state_dict())
    ids_again, mask_again = read_tokens(tokens.files())(texts)
    with torch.no_grad():
        out = module.eval()(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        kept = again(torch.from_numpy(ids_again), torch.from_numpy(mask_again)).numpy()
    assert out.shape == (len(texts), module.width)
    np.testing.assert_allclose(out, kept, rtol=1e-5, atol=1e-6)
    assert str(folder) not in json.dumps(module.architecture) + str(tokens.files())
    return out


def mean_of(hidden: Vectors, mask: Vectors) -> Vectors:
    return np.stack([h[m == 1].mean(axis=0) for h, m in zip(hidden, mask, strict=True)])


def first_of(hidden: Vectors, mask: Vectors) -> Vectors:
    return np.stack([h[m == 1][0] for h, m in zip(hidden, mask, strict=True)])


def last_of(hidden: Vectors, mask: Vectors) -> Vectors:
    return np.stack([h[m == 1][-1] for h, m in zip(hidden, mask, strict=True)])


def bert(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.BertConfig(vocab_size=90, max_position_embeddings=40, **SMALL)
    save(transformers.BertModel(config), folder)


def bert_mlm(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.BertConfig(vocab_size=90, max_position_embeddings=40, **SMALL)
    save(transformers.BertForMaskedLM(config), folder)


def distilbert(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.DistilBertConfig(
        vocab_size=90, dim=32, hidden_dim=48, n_layers=2, n_heads=2, max_position_embeddings=40
    )
    save(transformers.DistilBertForSequenceClassification(config), folder)


def electra(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.ElectraConfig(
        vocab_size=90, embedding_size=16, max_position_embeddings=40, **SMALL
    )
    save(transformers.ElectraModel(config), folder)


def _roberta(folder: Path, config_class: Any, model_class: Any) -> None:
    byte_bpe(
        folder, ROBERTA, "<s> $A </s>",
        bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    config = config_class(
        vocab_size=310, max_position_embeddings=42, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, **SMALL,
    )  # fmt: skip
    save(model_class(config), folder)


def roberta(folder: Path) -> None:
    _roberta(folder, transformers.RobertaConfig, transformers.RobertaForMaskedLM)


def xlm_roberta(folder: Path) -> None:
    _roberta(folder, transformers.XLMRobertaConfig, transformers.XLMRobertaModel)


def mpnet(folder: Path) -> None:
    _roberta(folder, transformers.MPNetConfig, transformers.MPNetModel)


def modernbert(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.ModernBertConfig(
        vocab_size=90, max_position_embeddings=40, global_attn_every_n_layers=2,
        local_attention=8, pad_token_id=0, bos_token_id=2, cls_token_id=2, eos_token_id=3,
        sep_token_id=3, **SMALL,
    )  # fmt: skip
    save(transformers.ModernBertForMaskedLM(config), folder)


def deberta_v2(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.DebertaV2Config(
        vocab_size=90, max_position_embeddings=40, relative_attention=True, position_buckets=8,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, **SMALL,
    )  # fmt: skip
    save(transformers.DebertaV2Model(config), folder)


def albert(folder: Path) -> None:
    wordpiece(folder)
    config = transformers.AlbertConfig(
        vocab_size=90, embedding_size=16, max_position_embeddings=40, **SMALL
    )
    save(transformers.AlbertModel(config), folder)


ENCODERS = [
    albert, bert, bert_mlm, deberta_v2, distilbert, electra, modernbert, mpnet, roberta,
    xlm_roberta,
]  # fmt: skip


@pytest.mark.parametrize("make", ENCODERS, ids=lambda each: each.__name__)
def test_encoders_are_pooled_as_told_from_the_same_hidden_states(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path)
    hidden, mask = hidden_states(tmp_path, TEXTS, 40)
    assert mask[2].sum() == 40  # one is truncated at the last place there is
    np.testing.assert_allclose(ours(tmp_path), mean_of(hidden, mask), atol=1e-5)
    np.testing.assert_allclose(ours(tmp_path, pooling="cls"), first_of(hidden, mask), atol=1e-5)
    short, mask = hidden_states(tmp_path, TEXTS, 12)
    np.testing.assert_allclose(ours(tmp_path, 12), mean_of(short, mask), atol=1e-5)


@pytest.mark.parametrize("whole", [True, False], ids=["encoder and decoder", "encoder"])
@pytest.mark.parametrize("kind", ["T5", "MT5", "UMT5"])
def test_t5_gives_its_encoder(tmp_path: Path, kind: str, whole: bool) -> None:
    unigram(tmp_path)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=95, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    name = f"{kind}ForConditionalGeneration" if whole else f"{kind}EncoderModel"
    save(getattr(transformers, name)(config), tmp_path)
    encoder = getattr(transformers, f"{kind}EncoderModel")
    hidden, mask = hidden_states(tmp_path, TEXTS, 512, encoder)
    assert mask.shape[1] > 100  # its positions are relative: nothing is cut
    np.testing.assert_allclose(ours(tmp_path), mean_of(hidden, mask), atol=1e-5)


def test_bart_gives_its_encoder(tmp_path: Path) -> None:
    _roberta_tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    byte_bpe(tmp_path, _roberta_tokens, "<s> $A </s>", pad_token="<pad>", eos_token="</s>")
    config = transformers.BartConfig(
        vocab_size=310, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=48,
        decoder_ffn_dim=48, encoder_attention_heads=2, decoder_attention_heads=2,
        max_position_embeddings=40,
    )  # fmt: skip
    model = transformers.BartModel(config)
    save(model, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=40, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        hidden = model.get_encoder()(**batch).last_hidden_state.numpy()
    expected = mean_of(hidden, batch["attention_mask"].numpy())
    np.testing.assert_allclose(ours(tmp_path), expected, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["Qwen2", "Qwen3", "Llama", "Mistral"])
def test_decoders_give_their_last_token_on_whatever_side_they_pad(
    tmp_path: Path, kind: str, side: str
) -> None:
    byte_bpe(
        tmp_path, QWEN, "$A <|endoftext|>",
        pad_token="<|endoftext|>", eos_token="<|endoftext|>", padding_side=side,
    )  # fmt: skip
    more = {"head_dim": 16} if kind == "Qwen3" else {}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=310, num_key_value_heads=1, max_position_embeddings=64, pad_token_id=0,
        bos_token_id=0, eos_token_id=0, **SMALL, **more,
    )  # fmt: skip
    save(getattr(transformers, f"{kind}ForCausalLM")(config), tmp_path)
    hidden, mask = hidden_states(tmp_path, TEXTS, 64)
    assert bool(mask[1][-1]) is (side == "left")
    np.testing.assert_allclose(ours(tmp_path), last_of(hidden, mask), atol=1e-5)


def clip_config(**more: Any) -> Any:
    vision = {**SMALL, "image_size": 16, "patch_size": 8}
    text = {**SMALL, "vocab_size": 310, "max_position_embeddings": 77, "bos_token_id": 1}
    return transformers.CLIPConfig(
        text_config={**text, "eos_token_id": 2, "pad_token_id": 2, **more},
        vision_config=vision,
        projection_dim=24,
    )


def clip_tokens(folder: Path, **more: Any) -> Any:
    return byte_bpe(
        folder, CLIP, "<|startoftext|> $A <|endoftext|>", lower=True,
        bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        unk_token="<unk>", **more,
    )  # fmt: skip


def features_of(
    folder: Path, length: int, reader: Any = transformers.AutoTokenizer, **call: Any
) -> Vectors:
    """``get_text_features`` of the whole pair."""
    tokenizer = reader.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(
        TEXTS, truncation=True, max_length=length, return_tensors="pt", **{"padding": True, **call}
    )
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        return model.get_text_features(**batch).pooler_output.numpy()


@pytest.mark.parametrize("eos", [2, 1], ids=["highest id", "end of text"])
def test_clip_gives_its_projected_text_features(tmp_path: Path, eos: int) -> None:
    clip_tokens(tmp_path)
    # the end of text is no highest id here; both ways of CLIP to find it are told apart
    save(transformers.CLIPModel(clip_config(eos_token_id=eos)), tmp_path)
    out = ours(tmp_path)
    assert out.shape[1] == 24
    np.testing.assert_allclose(out, features_of(tmp_path, 77), atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", ["Siglip", "Siglip2"])
def test_siglip_reads_64_places_always(tmp_path: Path, kind: str, masked: bool, side: str) -> None:
    names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    unigram(tmp_path, model_input_names=names, padding_side=side)
    config = getattr(transformers, f"{kind}Config")(
        text_config={**SMALL, "vocab_size": 95, "projection_size": 24},
        vision_config={**SMALL, "image_size": 16, "patch_size": 8, "num_patches": 4},
    )
    save(getattr(transformers, f"{kind}Model")(config), tmp_path)
    out = ours(tmp_path)
    assert out.shape[1] == 24
    # AutoTokenizer of older versions finds SigLIP's only where sentencepiece is installed
    fast = transformers.PreTrainedTokenizerFast if kind == "Siglip" else transformers.AutoTokenizer
    expected = features_of(tmp_path, 64, fast, padding="max_length")
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(ours(tmp_path, texts=TEXTS[:1]), expected[:1], atol=1e-5)


def test_align_gives_its_projected_text_features(tmp_path: Path) -> None:
    wordpiece(tmp_path)
    config = transformers.AlignConfig(
        text_config={**SMALL, "vocab_size": 90, "max_position_embeddings": 40},
        vision_config={
            "image_size": 32, "width_coefficient": 0.1, "depth_coefficient": 0.1,
            "hidden_dim": 32, "in_channels": [8], "out_channels": [8], "kernel_sizes": [3],
            "strides": [1], "num_block_repeats": [1], "expand_ratios": [1],
            "depthwise_padding": [],
        },
        projection_dim=24,
    )  # fmt: skip
    save(transformers.AlignModel(config), tmp_path)
    np.testing.assert_allclose(ours(tmp_path), features_of(tmp_path, 40), atol=1e-5)


@pytest.mark.parametrize("projects", [True, False])
def test_a_text_tower_of_clip_alone(tmp_path: Path, projects: bool) -> None:
    clip_tokens(tmp_path)
    kind = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
    config = clip_config().text_config
    config.projection_dim = 24
    model = kind(config)
    save(model, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=77, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        out = model(**batch)
    expected = out.text_embeds if projects else out.pooler_output
    np.testing.assert_allclose(ours(tmp_path), expected.numpy(), atol=1e-5)


POOLINGS = [
    "mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens", ("cls", "mean"),
]  # fmt: skip


def sentence_folder(folder: Path, make: Callable[[Path], None], *after: Any, **more: Any) -> Any:
    """Save an encoder with the modules after it, by sentence-transformers itself."""
    pytest.importorskip("sentence_transformers")  # not among the oldest declared versions
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    make(folder / "encoder")
    model = SentenceTransformer(
        modules=[Transformer(str(folder / "encoder"), max_seq_length=24), *after], **more
    )
    model.save(str(folder / "saved"))
    return SentenceTransformer(str(folder / "saved"))


@pytest.mark.parametrize("mode", POOLINGS, ids=str)
def test_each_pooling_of_sentence_transformers(tmp_path: Path, mode: Any) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = sentence_folder(tmp_path, bert, Pooling(32, pooling_mode=mode))
    np.testing.assert_allclose(ours(tmp_path / "saved"), model.encode(TEXTS), atol=1e-5)


def test_all_layers_of_sentence_transformers_and_its_default_prompt(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        LayerNorm,
        Normalize,
        Pooling,
    )

    after = (
        Pooling(32, pooling_mode="cls"), Dense(32, 16), Dense(16, 16, use_residual=True),
        Dense(16, 8, bias=False, activation_function=torch.nn.GELU(), use_residual=True),
        LayerNorm(8), Normalize(),
    )  # fmt: skip
    model = sentence_folder(
        tmp_path, roberta, *after,
        prompts={"query": "find: ", "note": "note: "}, default_prompt_name="note",
    )  # fmt: skip
    folder = tmp_path / "saved"
    np.testing.assert_allclose(ours(folder), model.encode(TEXTS), atol=1e-5)
    for prompt, name in (("query", "query"), ("find: ", "query")):
        np.testing.assert_allclose(
            ours(folder, prompt=prompt), model.encode(TEXTS, prompt_name=name), atol=1e-5
        )
    np.testing.assert_allclose(ours(folder, prompt=""), model.encode(TEXTS, prompt=""), atol=1e-5)


def test_an_older_folder_of_sentence_transformers(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    sentence_folder(tmp_path, bert, Pooling(32, pooling_mode="max"))
    folder = tmp_path / "saved"
    names = ("Transformer", "Pooling")
    modules = [
        {"idx": at, "name": str(at), "path": "" if at == 0 else "1_Pooling",
         "type": f"sentence_transformers.models.{name}"}
        for at, name in enumerate(names)
    ]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    old = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False}
    old |= {"pooling_mode_cls_token": False, "pooling_mode_max_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(old))
    about = {"max_seq_length": 12, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(about))
    expected = SentenceTransformer(str(folder)).encode(TEXTS)
    np.testing.assert_allclose(ours(folder), expected, atol=1e-5)


def test_a_decoder_of_sentence_transformers_pads_on_the_left(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    def make(folder: Path) -> None:
        byte_bpe(
            folder, QWEN, "$A <|endoftext|>", pad_token="<|endoftext|>",
            eos_token="<|endoftext|>", padding_side="left",
        )  # fmt: skip
        config = transformers.Qwen3Config(
            vocab_size=310, num_key_value_heads=1, head_dim=16, pad_token_id=0, **SMALL
        )
        save(transformers.Qwen3Model(config), folder)

    model = sentence_folder(tmp_path, make, Pooling(32, pooling_mode="lasttoken"), Normalize())
    np.testing.assert_allclose(ours(tmp_path / "saved"), model.encode(TEXTS), atol=1e-5)


def test_a_t5_of_sentence_transformers(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    def make(folder: Path) -> None:
        unigram(folder)
        config = transformers.T5Config(
            vocab_size=95, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=2,
            decoder_start_token_id=0,
        )  # fmt: skip
        save(transformers.T5EncoderModel(config), folder)

    after = (Pooling(32), Dense(32, 8, activation_function=torch.nn.Identity()), Normalize())
    model = sentence_folder(tmp_path, make, *after)
    np.testing.assert_allclose(ours(tmp_path / "saved"), model.encode(TEXTS), atol=1e-5)


def test_a_batch_changes_no_vector(tmp_path: Path) -> None:
    roberta(tmp_path)
    whole = ours(tmp_path, pooling="max")
    alone = np.concatenate([ours(tmp_path, pooling="max", texts=[text]) for text in tiny.TEXTS])
    np.testing.assert_allclose(whole, alone, atol=1e-5)
