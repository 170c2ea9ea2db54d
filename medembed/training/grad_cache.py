"""Exact gradients of a contrastive batch that does not fit into memory.

A contrastive loss compares every case of a batch with every other, so that its gradient cannot be
accumulated over smaller batches. It can be computed in two passes: the first encodes the batch in
chunks and keeps only the vectors; the loss of all vectors gives the gradient of each; the second
pass encodes each chunk but the last again and hands its vectors' gradients to the weights. One
chunk's graph is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

__all__ = ["RandomState", "Vectors", "backward_in_parts", "chunk_bounds", "has_batch_norm"]

Part = TypeVar("Part")
Vectors = tuple[torch.Tensor, ...]
"""Vectors of one part, one tensor ``(n, dim)`` for each kind (images, texts, …)."""

_BatchNorm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class RandomState:
    """State of torch's random numbers on the processor and on one CUDA device.

    Parameters
    ----------
    processor : uint8 Tensor
    cuda : uint8 Tensor or None
    device : torch.device
    """

    processor: torch.Tensor
    cuda: torch.Tensor | None
    device: torch.device

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """Record the present state."""
        on_cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), on_cuda, device)

    def restore(self) -> None:
        """Make the recorded state the present one."""
        torch.set_rng_state(self.processor)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


def chunk_bounds(n: int, chunk: int | None) -> list[tuple[int, int]]:
    """Divide ``n`` rows into chunks of nearly equal size, none larger than ``chunk``.

    Examples
    --------
    >>> chunk_bounds(10, 4)
    [(0, 4), (4, 7), (7, 10)]
    >>> chunk_bounds(10, None)
    [(0, 10)]
    """
    count = 1 if chunk is None else max(1, -(-n // chunk))
    size, larger = divmod(n, count)
    ends = [(at + 1) * size + min(at + 1, larger) for at in range(count)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a layer normalizes by the batch in training."""
    return any(isinstance(layer, _BatchNorm) for layer in module.modules())


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch normalization as they are."""
    layers = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = layer.training is False  # eval still reads them
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _same(vectors: Vectors) -> Vectors:
    return vectors


def backward_in_parts(
    module: nn.Module,
    encode: Callable[[Part], Vectors],
    parts: Sequence[Part],
    loss_of: Callable[..., torch.Tensor],
    *,
    device: torch.device,
    scaled: Callable[[torch.Tensor], torch.Tensor] | None = None,
    gather: Callable[[Vectors], Vectors] = _same,
    own: Callable[[Vectors], Vectors] = _same,
) -> torch.Tensor:
    """Accumulate the gradient of a loss of all vectors of a batch, encoded part by part.

    The graph of the last part is kept; the others are encoded twice, with the same random numbers
    (dropout). With one part nothing is encoded twice. Batch normalization in training normalizes
    each part by its own statistics, in both passes alike, and updates the running ones in the first
    pass only. All other layers treat rows separately, so that the gradient is that of the whole
    batch in one graph.

    Weights that only the loss uses (temperature, heads) get their gradient once, from the loss of
    the whole batch.

    Parameters
    ----------
    module : Module
        What ``encode`` runs.
    encode : callable
        Vectors of a part; every part has the same kinds, perhaps with no rows.
    parts : sequence
    loss_of : callable
        Loss of the vectors of all parts, one argument for each kind.
    device : torch.device
        Where ``encode`` draws random numbers.
    scaled : callable, optional
        Scales the loss before its gradient is taken, as float16 needs.
    gather, own : callable
        Put the vectors of other processes beside the own ones, and take the own rows of the
        gradients.

    Returns
    -------
    Tensor, scalar
        The loss, not scaled, detached.

    References
    ----------
    Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup,
    section 3.2.
    """
    states: list[RandomState] = []
    encoded: list[Vectors] = []
    for number, part in enumerate(parts, start=1):
        states.append(RandomState.now(device))
        with torch.set_grad_enabled(number == len(parts)):
            encoded.append(encode(part))
    after = RandomState.now(device)
    kinds = tuple(torch.cat([v.detach() for v in kind]) for kind in zip(*encoded, strict=True))
    leaves = tuple(v.detach().requires_grad_() for v in gather(kinds))
    loss = loss_of(*leaves)
    (scaled(loss) if scaled else loss).backward()
    gradients = own(tuple(torch.zeros_like(v) if v.grad is None else v.grad for v in leaves))
    sizes = [[len(vectors[kind]) for vectors in encoded] for kind in range(len(kinds))]
    divided = list(
        zip(*(g.split(of_kind) for g, of_kind in zip(gradients, sizes, strict=True)), strict=True)
    )
    _backward(encoded.pop(), divided[-1])  # its graph is still there
    with _statistics_kept(module):
        for part, state, gradient in zip(parts[:-1], states[:-1], divided[:-1], strict=True):
            state.restore()
            _backward(encode(part), gradient)
    after.restore()
    return loss.detach()


def _backward(vectors: Vectors, gradients: Vectors) -> None:
    """Pass the gradients on to what the vectors were computed from, if it has a graph."""
    pairs = [(v, g) for v, g in zip(vectors, gradients, strict=True) if v.requires_grad and len(v)]
    if pairs:
        torch.autograd.backward([v for v, _ in pairs], [g for _, g in pairs])
