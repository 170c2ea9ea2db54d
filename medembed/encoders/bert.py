"""A small BERT and its WordPiece vocabulary, both learned from the library's notes."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import nn

from medembed.encoders.settings import Options, TextEncoder
from medembed.encoders.tokenizers import Tokens
from medembed.encoders.transformer_text import TextPooling, TransformerText, restore_text
from medembed.encoders.wordpiece import learn_wordpiece
from medembed.errors import ConfigError

__all__ = ["BERT"]


class BertOptions(Options):
    """Options of the small BERT.

    Parameters
    ----------
    vocabulary : int
        Maximum number of word pieces.
    min_notes : int
        Notes in which a word must occur to become a piece; rarer words, such as people's names, are
        spelled from smaller pieces.
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


def _build(options: BertOptions, max_length: int, notes: Sequence[str]) -> tuple[nn.Module, Tokens]:
    if not notes:
        raise ConfigError("there are no notes from which to learn a vocabulary")
    if options.width % options.heads:
        raise ConfigError("the number of heads must divide the width of the BERT")
    tokens = learn_wordpiece(notes, options.vocabulary, options.min_notes, max_length)
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=tokens.size,
        hidden_size=options.width,
        num_hidden_layers=options.depth,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.width,
        hidden_dropout_prob=options.dropout,
        attention_probs_dropout_prob=0.0,  # otherwise attention takes several times as long
        max_position_embeddings=max_length,
        pad_token_id=0,
    )
    net = BertModel(config, add_pooling_layer=False)
    return TransformerText(net, options.pooling), tokens


BERT = TextEncoder(BertOptions, _build, restore_text)
