"""Write tiny random open_clip checkpoints and the text vectors that open_clip itself gives.

Run once with open_clip_torch 3.3.0 (and ftfy, wcwidth) on the path::

    PYTHONPATH=tests:OPEN_CLIP python tests/encoders/golden/make_open_clip.py

open_clip needs torchvision to be imported, though nothing of it for its text towers: it is replaced
by a stand-in, so that what runs is open_clip's own text code and tokenizer wrapper.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

HERE = Path(__file__).parent / "open_clip"
TEXTS = [
    "No pleural effusion.",
    "Large RIGHT pleural effusion,  with\nadjacent atelectasis (3.5 cm). " * 8,
    "Left apical nodule\n\n2. Stable cardiomegaly",
]
VISION = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
BIOMED = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
SMALL = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 32,
}  # fmt: skip


def _open_clip() -> Any:
    for name in ("", ".transforms", ".transforms.functional", ".ops", ".ops.misc"):
        stand_in = MagicMock()
        stand_in.__spec__ = types.SimpleNamespace(
            name=f"torchvision{name}", loader=None, origin=None, submodule_search_locations=[]
        )
        stand_in.__path__ = []
        sys.modules[f"torchvision{name}"] = stand_in
    import torch

    sys.modules["torchvision.ops.misc"].FrozenBatchNorm2d = torch.nn.BatchNorm2d  # type: ignore[attr-defined]
    import open_clip

    return open_clip


def main() -> None:
    """Write the three checkpoints."""
    open_clip = _open_clip()
    from support.tiny_encoders import byte_bpe, wordpiece
    from transformers import BertConfig, RobertaConfig

    with tempfile.TemporaryDirectory() as scratch:
        for name, config in (
            ("biomed", BertConfig(vocab_size=90, max_position_embeddings=64, **SMALL)),
            ("roberta", RobertaConfig(vocab_size=310, max_position_embeddings=64, pad_token_id=1,
                                      type_vocab_size=1, layer_norm_eps=1e-5, **SMALL)),
        ):  # fmt: skip
            config.save_pretrained(Path(scratch) / name)
        bert = {
            "hf_model_name": str(Path(scratch) / "biomed"),
            "hf_model_pretrained": False,
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 32,
        }
        roberta = {
            "hf_model_name": str(Path(scratch) / "roberta"),
            "hf_model_pretrained": False,
            "hf_proj_type": "linear",
            "hf_pooler_type": "mean_pooler",
            "context_length": 48,
        }
        own = {"context_length": 40, "vocab_size": 310, "width": 24, "heads": 3, "layers": 2}
        wordpiece(HERE / "biomed")
        _write(open_clip, "biomed", bert, BIOMED, {})
        byte_bpe(
            HERE / "roberta", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s>",
            bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        )  # fmt: skip
        _write(open_clip, "roberta", roberta, "roberta-base", {})
        _clip_tokenizer(HERE / "own")
        _write(open_clip, "own", own, "", {"quick_gelu": True})


def _clip_tokenizer(folder: Path) -> None:
    """Write one whose end of text is the highest id, as in CLIP."""
    from support.tiny_encoders import byte_bpe
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    made = byte_bpe(folder, ["<unk>"], "$A", lower=True, unk_token="<unk>")
    backend = made.backend_tokenizer
    backend.add_special_tokens([AddedToken("<|startoftext|>"), AddedToken("<|endoftext|>")])
    ends = [(each, backend.token_to_id(each)) for each in ("<|startoftext|>", "<|endoftext|>")]
    backend.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=ends
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<|endoftext|>",
        eos_token="<|endoftext|>", bos_token="<|startoftext|>",
    ).save_pretrained(folder)  # fmt: skip


def _write(
    open_clip: Any, name: str, text: dict[str, Any], encoder: str, more: dict[str, Any]
) -> None:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(3)
    kind = open_clip.model.CustomTextCLIP if encoder else open_clip.model.CLIP
    model = kind(embed_dim=20, vision_cfg=VISION, text_cfg=text, **more).eval()
    with torch.no_grad():
        for weight in model.parameters():  # so that biases and norms are told apart
            weight.add_(torch.randn_like(weight) * 0.08)
        tokenizer = open_clip.tokenizer.HFTokenizer(
            str(HERE / name), context_length=text["context_length"]
        )
        vectors = model.encode_text(tokenizer(TEXTS))
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()},
        HERE / name / "open_clip_model.safetensors",
    )
    stated = {**text, **({"hf_model_name": encoder} if encoder else {})}
    config = {"model_cfg": {"embed_dim": 20, "vision_cfg": VISION, "text_cfg": stated, **more}}
    (HERE / name / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    golden = {
        "origin": f"open_clip_torch {open_clip.__version__}, encode_text of make_open_clip.py",
        "texts": TEXTS,
        "vectors": [[round(float(value), 6) for value in row] for row in vectors],
    }
    (HERE / name / "vectors.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
