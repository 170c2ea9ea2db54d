"""The losses agree with slow ones written from their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from medembed.training.loss import clip_loss, findings_loss, overlap, siglip_loss


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


def units(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    both = torch.randn(2, n, 5, generator=made, dtype=torch.float64)
    return tuple(functional.normalize(both, dim=-1))  # type: ignore[return-value]


@pytest.mark.parametrize("positive", [False, True])
def test_the_sigmoid_loss_is_that_of_its_formula(positive: bool) -> None:
    images, texts = units(5, 1)
    same = torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) < 0.3
    scale, bias = 7.0, -2.0
    expected = 0.0
    for i in range(5):
        for j in range(5):
            if i != j and bool(same[i, j]) and not positive:
                continue
            sign = 1 if i == j or bool(same[i, j]) else -1
            logit = sign * (scale * float(images[i] @ texts[j]) + bias)
            expected += math.log1p(math.exp(-logit)) / 5
    found = siglip_loss(images, texts, torch.tensor(scale), torch.tensor(bias), same, positive)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_the_sigmoid_loss_is_its_authors_on_one_batch() -> None:
    # Zhai et al. 2023, algorithm 1: labels = 2 eye - 1, -sum(log_sigmoid(labels * logits)) / n
    images, texts = units(6, 3)
    logits = images @ texts.T * 10 - 10
    labels = 2 * torch.eye(6, dtype=torch.float64) - 1
    theirs = -functional.logsigmoid(labels * logits).sum() / 6
    none = torch.zeros(6, 6, dtype=torch.bool)
    ours = siglip_loss(images, texts, torch.tensor(10.0), torch.tensor(-10.0), none)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_smoothed_and_soft_targets_are_those_of_their_words(
    smoothing: float, soft: bool, positive: bool
) -> None:
    images, texts = units(4, 4)
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[0, 2] = same[3, 1] = True
    like = torch.rand(4, 4, generator=torch.Generator().manual_seed(5)) if soft else None
    logits = (6.0 * images @ texts.T).numpy()
    total = 0.0
    for by_image in (True, False):
        for own in range(4):
            pairs = [(own, j) if by_image else (j, own) for j in range(4)]
            row = [logits[pair] for pair in pairs]
            true = [i == j or bool(same[i, j]) for i, j in pairs]
            counted = [positive or i == j or not bool(same[i, j]) for i, j in pairs]
            target = [
                float(i == j or (positive and yes)) or (float(like[i, j]) if soft else 0.0)  # type: ignore[index]
                for (i, j), yes in zip(pairs, true, strict=True)
            ]
            target = [t * c for t, c in zip(target, counted, strict=True)]
            target = [
                (1 - smoothing) * t / sum(target) + smoothing * c / sum(counted)
                for t, c in zip(target, counted, strict=True)
            ]
            norm = math.log(sum(math.exp(v) for v, c in zip(row, counted, strict=True) if c))
            total -= sum(t * (v - norm) for t, v in zip(target, row, strict=True)) / 8
    found = clip_loss(
        images, texts, torch.tensor(6.0), same, positive, smoothing=smoothing, soft=like
    )
    assert float(found) == pytest.approx(total, rel=1e-6)


def test_a_masked_pair_gets_no_gradient_under_smoothing() -> None:
    images, texts = (side.requires_grad_() for side in units(2, 6))
    same = torch.ones(2, 2, dtype=torch.bool)
    clip_loss(images, texts, torch.tensor(5.0), same, smoothing=0.1).backward()
    assert float(images.grad.abs().max()) < 1e-7  # type: ignore[union-attr]


def test_cases_with_the_same_findings_are_alike() -> None:
    stated = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 1, float("nan")], [0, 0, 0]])
    assert overlap(stated).tolist() == [[1, 1, 0.5, 0], [1, 1, 0.5, 0], [0.5, 0.5, 1, 0], [0] * 4]
