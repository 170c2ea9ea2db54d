"""Time, memory and gradients of a large contrastive batch in chunks.

    python tests/benchmarks/grad_cache.py                                     # about three minutes
    python tests/benchmarks/grad_cache.py --batch 128 --width 384 --depth 6   # as large as MiniLM

Three ways compute the gradient of one batch of text pairs with the same transformer (random
weights, no dropout) and the same symmetric loss, in turn within each round: the whole batch in one
graph, ``medembed.training.grad_cache.backward_in_parts``, and the cached loss of
sentence-transformers (``CachedMultipleNegativesRankingLoss``). Prints one JSON object, and each
round on stderr. Memory is what graphs keep for the backward pass, counted and not timed, of a
smaller network (``--memory-width``, two layers), so that a batch of 4,096 ends soon: of the towers
in chunks, and of the loss, whose cosines grow with the square of the batch in all three ways.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from medembed.training.grad_cache import Vectors, backward_in_parts, chunk_bounds
from medembed.training.loss import clip_loss

SCALE = 20.0
Features = dict[str, torch.Tensor]


class Encoder(nn.Module):
    """A BERT that both ways of calling understand."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        settings = BertConfig(
            vocab_size=2000,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=width // 32,
            intermediate_size=4 * width,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.net = BertModel(settings, add_pooling_layer=False)

    def forward(self, features: Features) -> Features:
        states = self.net(**features).last_hidden_state
        return {"sentence_embedding": functional.normalize(states.mean(1), dim=-1)}

    def __getitem__(self, _: int) -> nn.Module:
        return self.net


class Held:
    """Bytes of tensors that graphs keep for the backward pass, and their maximum."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def measure(self, run: Callable[[], object]) -> int:
        meter = self

        class Kept:
            def __init__(self, tensor: torch.Tensor) -> None:
                self.tensor = tensor
                meter.now += tensor.nbytes
                meter.most = max(meter.most, meter.now)

            def __del__(self) -> None:
                meter.now -= self.tensor.nbytes

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            run()
        return self.most


def ways(model: Encoder, chunk: int) -> dict[str, Callable[[list[Features]], None]]:
    """Return the three ways to compute the gradient of a batch of two sides."""
    scale = torch.tensor(SCALE)
    device = next(model.parameters()).device
    theirs = CachedMultipleNegativesRankingLoss(
        model,
        scale=SCALE,
        mini_batch_size=chunk,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )

    def encode(part: list[Features]) -> Vectors:
        return tuple(model(side)["sentence_embedding"] for side in part)

    def loss(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        none = torch.zeros(len(one), len(one), dtype=torch.bool, device=device)
        return clip_loss(one, other, scale.to(device), none)

    def naive(sides: list[Features]) -> None:
        loss(*encode(sides)).backward()

    def cached(sides: list[Features]) -> None:
        bounds = chunk_bounds(len(sides[0]["input_ids"]), chunk)
        parts = [[{k: v[a:b] for k, v in side.items()} for side in sides] for a, b in bounds]
        backward_in_parts(model, encode, parts, loss, device=device)

    def reference(sides: list[Features]) -> None:
        theirs(sides, torch.empty(0)).backward()

    return {"naive": naive, "medembed": cached, "sentence_transformers": reference}


def in_chunks(model: Encoder, sides: list[Features], chunk: int) -> None:
    """Compute a gradient in chunks, with a loss that keeps next to nothing."""

    def encode(part: list[Features]) -> Vectors:
        return tuple(model(side)["sentence_embedding"] for side in part)

    bounds = chunk_bounds(len(sides[0]["input_ids"]), chunk)
    parts = [[{k: v[a:b] for k, v in side.items()} for side in sides] for a, b in bounds]
    device = sides[0]["input_ids"].device
    backward_in_parts(model, encode, parts, lambda one, other: (one - other).sum(), device=device)


def gradient(model: nn.Module) -> torch.Tensor:
    """Return all gradients in one vector, and clear them."""
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--chunk", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", type=int, nargs="*", default=[64, 512, 4096])
    parser.add_argument("--memory-width", type=int, default=64)
    asked = parser.parse_args()
    torch.manual_seed(0)
    model = Encoder(asked.width, asked.depth).to(asked.device)

    def batch(n: int, tokens: int) -> list[Features]:
        shape = (n, tokens)
        return [
            {
                "input_ids": torch.randint(0, 2000, shape, device=asked.device),
                "attention_mask": torch.ones(shape, dtype=torch.long, device=asked.device),
            }
            for _ in range(2)
        ]

    def wait() -> None:
        if asked.device.startswith("cuda"):
            torch.cuda.synchronize()

    sides = batch(asked.batch, asked.tokens)
    runs = ways(model, asked.chunk)
    gradients = {}
    for name, run in runs.items():  # also the warm-up
        run(sides)
        gradients[name] = gradient(model)
    length = gradients["naive"].norm()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(asked.rounds):
        for name, run in runs.items():
            wait()
            start = time.perf_counter()
            run(sides)
            wait()
            seconds[name].append(time.perf_counter() - start)
            gradient(model)
        last = ", ".join(f"{name} {of[-1]:.2f} s" for name, of in seconds.items())
        print(last, file=sys.stderr, flush=True)
    ratios = {
        name: [took / naive for took, naive in zip(of, seconds["naive"], strict=True)]
        for name, of in seconds.items()
    }
    held = {}
    small = Encoder(asked.memory_width, 2).to(asked.device)
    none = torch.tensor(SCALE, device=asked.device)
    for n in asked.memory:
        of_chunks = Held().measure(
            lambda n=n: in_chunks(small, batch(n, asked.tokens), asked.chunk)
        )
        gradient(small)
        one, other = torch.rand(2, n, asked.memory_width, device=asked.device).requires_grad_()
        same = torch.zeros(n, n, dtype=torch.bool, device=asked.device)
        of_loss = Held().measure(lambda a=one, b=other, s=same: clip_loss(a, b, none, s).backward())
        held[n] = {"towers": of_chunks, "loss": of_loss}
    print(
        json.dumps(
            {
                "settings": vars(asked),
                "threads": torch.get_num_threads(),
                "load": os.getloadavg()[0],
                "versions": {p: version(p) for p in ("torch", "sentence-transformers")},
                "seconds": {name: statistics.median(of) for name, of in seconds.items()},
                "ratio_to_naive": {name: statistics.median(of) for name, of in ratios.items()},
                "gradient_difference": {
                    name: float((found - gradients["naive"]).norm() / length)
                    for name, found in gradients.items()
                },
                "graph_bytes_by_batch": held,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
