"""Chunks give the gradient of the whole batch, with one chunk's graph in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.small_pairs import small_config, write_library
from torch import nn
from torch.nn import functional

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.training import train
from medembed.training.grad_cache import (
    RandomState,
    Vectors,
    backward_in_parts,
    chunk_bounds,
)
from medembed.training.loss import clip_loss, siglip_loss

CPU = torch.device("cpu")


class Pair(nn.Module):
    """A convolutional and a transformer tower with dropout, and a temperature."""

    def __init__(self, norm: bool = False, dropout: float = 0.3) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2),
            nn.BatchNorm2d(4) if norm else nn.GroupNorm(2, 4),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(4 * 3 * 3, 8),
        )
        self.words = nn.Embedding(20, 8)
        self.text = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def encode(self, part: tuple[torch.Tensor, torch.Tensor]) -> Vectors:
        images, ids = part
        sides = self.image(images), self.text(self.words(ids)).mean(1)
        return tuple(functional.normalize(side, dim=-1) for side in sides)

    def clip(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        same = torch.zeros(len(images), len(images), dtype=torch.bool)
        return clip_loss(images, texts, self.logit_scale.exp(), same)

    def siglip(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        same = torch.zeros(len(images), len(images), dtype=torch.bool)
        return siglip_loss(images, texts, self.logit_scale.exp(), self.bias, same)


def inputs(n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(5)
    images = torch.rand(n, 1, 8, 8, generator=made, dtype=dtype)
    return images, torch.randint(0, 20, (n, 6), generator=made)


def cut(
    whole: tuple[torch.Tensor, torch.Tensor], chunk: int | None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(whole[0][a:b], whole[1][a:b]) for a, b in chunk_bounds(len(whole[0]), chunk)]


def gradients(pair: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in pair.named_parameters() if p.grad is not None}


def in_one_graph(pair: Pair, parts: list[tuple[torch.Tensor, torch.Tensor]], loss: str) -> Vectors:
    """The whole batch in one graph, with the random numbers that chunks draw."""
    encoded = [pair.encode(part) for part in parts]
    vectors = tuple(torch.cat(side) for side in zip(*encoded, strict=True))
    getattr(pair, loss)(*vectors).backward()
    return vectors


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], at: float) -> None:
    """Each entry differs by at most that fraction of the length of the whole gradient."""
    assert one.keys() == other.keys()
    length = float(torch.cat([gradient.flatten() for gradient in one.values()]).norm())
    for name, gradient in one.items():
        assert float((gradient - other[name]).abs().max()) <= at * length, name


@pytest.mark.parametrize(("dtype", "at"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
@pytest.mark.parametrize("chunk", [1, 3, 8, 23])
@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_chunks_give_the_gradient_of_one_graph_with_dropout(
    dtype: torch.dtype, at: float, chunk: int, loss: str
) -> None:
    torch.manual_seed(0)
    pair = Pair().to(dtype)
    other = copy.deepcopy(pair)
    parts = cut(inputs(23, dtype), chunk)
    torch.manual_seed(1)
    in_one_graph(pair, parts, loss)
    after = torch.rand(1)
    torch.manual_seed(1)
    backward_in_parts(other, other.encode, parts, getattr(other, loss), device=CPU)
    assert torch.equal(torch.rand(1), after)  # the random numbers go on as after one pass
    expected = gradients(pair)
    assert "logit_scale" in expected
    assert {"image.0.weight", "words.weight", "text.linear1.weight"} <= expected.keys()
    assert_equal(expected, gradients(other), at)


@pytest.mark.parametrize(("dtype", "at"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_without_dropout_the_size_of_chunks_does_not_matter(dtype: torch.dtype, at: float) -> None:
    pair = Pair(dropout=0.0).to(dtype)
    whole = inputs(19, dtype)
    found = []
    for chunk in (None, 19, 7, 1):
        pair.zero_grad()
        backward_in_parts(pair, pair.encode, cut(whole, chunk), pair.clip, device=CPU)
        found.append(gradients(pair))
    for other in found[1:]:
        assert_equal(found[0], other, at)


def test_without_the_recorded_random_numbers_the_gradient_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    pair = Pair()
    parts = cut(inputs(12, torch.float32), 4)
    torch.manual_seed(1)
    in_one_graph(pair, parts, "clip")
    expected = gradients(pair)
    pair.zero_grad()
    monkeypatch.setattr(RandomState, "restore", lambda _: None)
    torch.manual_seed(1)
    backward_in_parts(pair, pair.encode, parts, pair.clip, device=CPU)
    with pytest.raises(AssertionError):
        assert_equal(expected, gradients(pair), 1e-3)


def test_batch_normalization_uses_a_chunk_and_counts_it_once() -> None:
    torch.manual_seed(0)
    pair = Pair(norm=True).double()
    other = copy.deepcopy(pair)
    parts = cut(inputs(20, torch.float64), 5)
    torch.manual_seed(1)
    in_one_graph(pair, parts, "clip")
    torch.manual_seed(1)
    backward_in_parts(other, other.encode, parts, other.clip, device=CPU)
    assert_equal(gradients(pair), gradients(other), 1e-10)
    for (name, one), two in zip(pair.named_buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two), name
    assert int(other.image[1].num_batches_tracked) == 4
    assert other.image[1].track_running_stats


def test_batch_normalization_in_eval_is_that_of_the_whole_batch() -> None:
    pair = Pair(norm=True, dropout=0.0).double()
    pair.image[1].eval()
    whole = inputs(20, torch.float64)
    backward_in_parts(pair, pair.encode, cut(whole, None), pair.clip, device=CPU)
    expected = gradients(pair)
    pair.zero_grad()
    backward_in_parts(pair, pair.encode, cut(whole, 6), pair.clip, device=CPU)
    assert_equal(expected, gradients(pair), 1e-10)


def held_bytes(run: Callable[[], object]) -> int:
    """Most bytes of tensors that graphs kept at one time for the backward pass."""
    held, most = 0, 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal held, most
            self.tensor = tensor
            held += tensor.nbytes
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.tensor.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        run()
    return most


def test_what_graphs_keep_does_not_grow_with_the_batch() -> None:
    pair = Pair()

    def cost(n: int, chunk: int | None) -> int:
        def encoder_only(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
            return (images * texts).sum() * pair.logit_scale  # its graph grows with n only

        parts = cut(inputs(n, torch.float32), chunk)
        whole = held_bytes(
            lambda: backward_in_parts(pair, pair.encode, parts, encoder_only, device=CPU)
        )
        vectors = 3 * n * 8 * 4  # of the loss: both sides and their product
        return whole - vectors

    small, large = cost(64, 32), cost(4096, 32)
    assert large <= small
    assert cost(4096, None) > 50 * small


def test_chunks_are_of_nearly_equal_size() -> None:
    for n in (1, 2, 31, 64, 100):
        for chunk in (1, 3, 32, None):
            bounds = chunk_bounds(n, chunk)
            sizes = [b - a for a, b in bounds]
            assert sum(sizes) == n
            assert bounds[0][0] == 0
            assert all(one[1] == two[0] for one, two in pairwise(bounds))
            assert max(sizes) - min(sizes) <= 1
            assert chunk is None or max(sizes) <= chunk
            if chunk and chunk >= 3 and n > 1:
                assert min(sizes) >= 2  # batch normalization needs two rows


def test_a_training_in_chunks_is_that_of_whole_batches(tmp_path: Path, bare_models: None) -> None:
    library = write_library(tmp_path)
    words = ["workers=1", "epochs=2", "loss.findings_weight=0.5", "loss.phrases_weight=0.5"]
    losses = []
    for chunk in ("null", "3"):
        config = load_config("toy", [*words, "loss.min_cases=2", f"optim.chunk={chunk}"])
        report = train(library, config, restart=True)
        losses.append([entry[name] for entry in report.history for name in ("loss", "temperature")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_chunks_too_small_for_batch_normalization_are_refused(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    image = {**small_config().image.model_dump(), "batch_norm": True}
    config = small_config(image=image, optim={"chunk": 2})
    with pytest.raises(ConfigError, match="at least 3 cases") as caught:
        train(library, config)
    assert "\n" not in str(caught.value)
