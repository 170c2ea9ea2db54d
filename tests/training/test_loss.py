"""The losses agree with slow ones written from their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from medembed.training.loss import clip_loss, findings_loss


def slow_loss(
    images: np.ndarray, texts: np.ndarray, scale: float, same: np.ndarray, positive: bool
) -> float:
    n = len(images)
    logits = [[scale * float(images[i] @ texts[j]) for j in range(n)] for i in range(n)]
    total = 0.0
    for own in range(n):
        for by_image in (True, False):
            row = logits[own] if by_image else [logits[i][own] for i in range(n)]
            true_of = [same[own][j] if by_image else same[j][own] for j in range(n)]
            right = [j for j in range(n) if j == own or (positive and true_of[j])]
            counted = [j for j in range(n) if j == own or positive or not true_of[j]]
            norm = math.log(sum(math.exp(row[j]) for j in counted))
            total += sum(norm - row[j] for j in right) / len(right)
    return total / (2 * n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.booleans(), st.floats(1, 30))
def test_the_contrastive_loss_is_that_of_its_formula(
    seed: int, n: int, positive: bool, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(2, n, 3))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    same = rng.random((n, n)) < 0.3
    fast = clip_loss(
        torch.from_numpy(images),
        torch.from_numpy(texts),
        torch.tensor(scale, dtype=torch.float64),
        torch.from_numpy(same),
        positive,
    )
    assert float(fast) == pytest.approx(slow_loss(images, texts, scale, same, positive), rel=1e-5)


def test_a_masked_negative_gets_no_gradient() -> None:
    images = functional.normalize(torch.randn(2, 4), dim=1).requires_grad_()
    texts = functional.normalize(torch.randn(2, 4), dim=1).requires_grad_()
    all_same = torch.ones(2, 2, dtype=torch.bool)
    clip_loss(images, texts, torch.tensor(5.0), all_same).backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) < 1e-7


def test_open_findings_do_not_count() -> None:
    logits = torch.tensor([[2.0, -1.0, 50.0]])
    stated = torch.tensor([[1.0, 0.0, float("nan")]])
    by_hand = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-1.0))) / 2
    assert float(findings_loss(logits, stated)) == pytest.approx(by_hand, rel=1e-6)
