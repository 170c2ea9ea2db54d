"""A small BERT and its WordPiece vocabulary, both learnt from the library's notes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pydantic import Field
from torch import nn

from medembed.encoders.settings import Options, TextEncoder
from medembed.encoders.tokens import Tokens, WordPieceTokens
from medembed.encoders.transformer_text import TextPooling, TransformerText, restore_text
from medembed.errors import ConfigError

__all__ = ["BERT", "learn_wordpiece"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class BertOptions(Options):
    """Options of the small BERT.

    Parameters
    ----------
    vocabulary : int
        Largest number of word pieces.
    min_notes : int
        A piece is learnt only from words that stand in so many notes; rarer words, names of
        persons among them, are spelt from smaller pieces.
    width, depth, heads : int
    dropout : float
    pooling : {"mean", "cls"}
    """

    vocabulary: int = Field(default=2000, ge=50)
    min_notes: int = Field(default=5, ge=1)
    width: int = Field(default=192, ge=8)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    pooling: TextPooling = "mean"


def learn_wordpiece(
    notes: Sequence[str], vocabulary: int, min_notes: int, length: int
) -> WordPieceTokens:
    """Learn a lower-case WordPiece vocabulary.

    A word counts once a note, so that one long note cannot bring its own words in.

    Parameters
    ----------
    notes : sequence of str
    vocabulary : int
        Largest number of pieces.
    min_notes : int
        Notes that a pair of pieces must stand in to be joined.
    length : int
        Tokens of a text that are read.

    References
    ----------
    Wu et al. 2016, Google's Neural Machine Translation System, section 4.1.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()

    def words() -> Iterator[str]:
        for note in notes:
            parts = splitter.pre_tokenize_str(normalizer.normalize_str(note))
            yield " ".join(sorted({word for word, _ in parts}))

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106  no password
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=min_notes,
        special_tokens=list(_SPECIAL),
        show_progress=False,
        limit_alphabet=200,
    )
    tokenizer.train_from_iterator(words(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    # the same JSON for the same notes: keys of the vocabulary in the order of their ids
    described = json.loads(tokenizer.to_str())
    pieces = described["model"]["vocab"]
    described["model"]["vocab"] = dict(sorted(pieces.items(), key=lambda item: item[1]))
    return WordPieceTokens(json.dumps(described, ensure_ascii=False), length)


def _build(options: BertOptions, max_length: int, notes: Sequence[str]) -> tuple[nn.Module, Tokens]:
    if not notes:
        raise ConfigError("a vocabulary is learnt from notes, and there are none")
    if options.width % options.heads:
        raise ConfigError("the heads of a BERT must divide its width")
    tokens = learn_wordpiece(notes, options.vocabulary, options.min_notes, max_length)
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=tokens.size,
        hidden_size=options.width,
        num_hidden_layers=options.depth,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.width,
        hidden_dropout_prob=options.dropout,
        attention_probs_dropout_prob=options.dropout,
        max_position_embeddings=max_length,
        pad_token_id=0,
    )
    net = BertModel(config, add_pooling_layer=False)
    return TransformerText(net, options.pooling), tokens


BERT = TextEncoder(BertOptions, _build, restore_text)
