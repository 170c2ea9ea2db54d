"""Attention of one set of vectors to another, as the resampler and the reranker use it."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

__all__ = ["CrossAttention", "feed_forward"]


class CrossAttention(nn.Module):
    """Multi-head attention with layer normalization before it; the queries are not added back.

    Parameters
    ----------
    width : int
    heads : int
        Must divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_queries = nn.LayerNorm(width)
        self.norm_keys = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        """Let queries ``(n, q, width)`` read keys ``(n, m, width)`` where ``seen`` ``(n, m)``."""
        split = (self.heads, -1)
        q = self.queries(self.norm_queries(queries)).unflatten(-1, split).transpose(1, 2)
        k, v = self.keys_values(self.norm_keys(keys)).chunk(2, dim=-1)
        k, v = (part.unflatten(-1, split).transpose(1, 2) for part in (k, v))  # (n, heads, m, _)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None, :])
        return cast(torch.Tensor, self.out(mixed.transpose(1, 2).flatten(2)))


def feed_forward(width: int) -> nn.Sequential:
    """Two layers, four times as wide between them, with layer normalization before."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )
