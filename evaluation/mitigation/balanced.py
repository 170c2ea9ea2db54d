"""Group-balanced batches: the training deals them, and an audit assesses what they did."""

from __future__ import annotations

from medembed.training.balanced_sampler import BalancedBatches, balanced_batches, group_shares

__all__ = ["BalancedBatches", "balanced_batches", "group_shares"]
