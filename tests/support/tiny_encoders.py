"""Tiny random encoders, saved by their own libraries, and the vectors that those give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

TEXTS = [
    "No pleural effusion.",
    "x",
    "Large RIGHT pleural effusion,  with\nadjacent atelectasis (3.5 cm). Heart size is normal. "
    * 12,
    "Left apical nodule\n\n2. Stable cardiomegaly",
]
CORPUS = [*TEXTS, "The lungs are clear. There is no pneumothorax or consolidation." * 2]
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def wordpiece(folder: Path, **more: Any) -> PreTrainedTokenizerFast:
    """A BERT-like tokenizer: [CLS] text [SEP], padded by 0."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    return _saved(tokenizer, folder, {f"{k}_token": v for k, v in names.items()} | more)


def byte_bpe(
    folder: Path, special: Sequence[str], template: str, lower: bool = False, **more: Any
) -> PreTrainedTokenizerFast:
    """A byte-level BPE with special tokens in the given order, as RoBERTa, CLIP or Qwen have."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if lower:
        from tokenizers.normalizers import Lowercase

        tokenizer.normalizer = Lowercase()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    used = [(each, tokenizer.token_to_id(each)) for each in special if each in template]
    if used:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=used
        )
    return _saved(tokenizer, folder, more)


def unigram(folder: Path, **more: Any) -> PreTrainedTokenizerFast:
    """A sentencepiece-like tokenizer: text </s>, padded by 0, as T5 has."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    about = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _saved(tokenizer, folder, about | more)


def _saved(tokenizer: Tokenizer, folder: Path, about: dict[str, Any]) -> PreTrainedTokenizerFast:
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **about)
    made.save_pretrained(folder)
    return made


def save(model: Any, folder: Path) -> None:
    """Save with weights that tell everything apart: some start as zeros or ones."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.08)
    model.eval().save_pretrained(folder)


def hidden_states(
    folder: Path, texts: Sequence[str], length: int, kind: Any = AutoModel
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Last hidden states and mask as transformers gives them for a padded batch."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = kind.from_pretrained(folder).eval()
    batch = tokenizer(
        list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
    )
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    return hidden.numpy(), batch["attention_mask"].numpy()
