"""The processes and devices of a training: one processor, one GPU, or several under torchrun.

Each process encodes its share of a batch. The vectors of all are gathered, every process computes
the loss of the whole batch, and the gradients of the weights are averaged once per step, after the
last chunk. Equal in all processes are therefore: vectors, loss, temperature, heads and weights.

Accelerate forms the group of processes, chooses the device, and gathers, averages and broadcasts.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from medembed.errors import ConfigError
from medembed.training.grad_cache import Vectors

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.distributed.tensor import DTensor

    from medembed.model.towers import Towers
    from medembed.training.settings import TrainingConfig

__all__ = ["Engine", "engine", "is_main_process", "require_processes"]

T = TypeVar("T")

_PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before the training ends with an error."""

_BUCKET = 2**24
"""Numbers averaged at once."""

_HINT = "start with torchrun --nproc_per_node N -m medembed.cli train …, or unset WORLD_SIZE"

_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def is_main_process() -> bool:
    """Whether this process writes files and speaks to the user: the first one of torchrun."""
    return _processes() == 1 or os.environ.get("RANK", "0") == "0"


def _processes() -> int:
    said = os.environ.get("WORLD_SIZE", "1")
    if not said.isdigit() or int(said) < 1:
        raise ConfigError(
            f"WORLD_SIZE is {said!r}, not a number of processes",
            where="environment",
            hint="unset WORLD_SIZE and RANK, or start with torchrun",
        )
    return int(said)


@contextmanager
def engine(config: TrainingConfig, device: str) -> Iterator[Engine]:
    """Join the other processes of this training, if torchrun started several.

    Parameters
    ----------
    config : TrainingConfig
    device : {"cpu", "cuda"}

    Raises
    ------
    ConfigError
        If the environment speaks of several processes that cannot be reached, or there are more of
        them than GPUs.
    """
    require_processes(config, device)
    if _processes() == 1:
        yield Engine(torch.device(device))
        return
    accelerator = _joined(device)
    try:
        yield Engine(accelerator.device, accelerator, sharded=config.sharding == "full")
    finally:
        accelerator.end_training()  # leaves the group
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        type(accelerator.state)._reset_state(reset_partial_state=True)


def require_processes(config: TrainingConfig, device: str) -> None:
    """Refuse an environment of several processes that cannot find each other.

    Raises
    ------
    ConfigError
    """
    several = _processes()
    if several == 1:
        if config.sharding == "full":
            raise ConfigError(
                "sharding=full divides the weights among processes, but there is only one",
                where="sharding",
                hint="use sharding=none, or start with torchrun",
            )
        return
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is {several}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set",
            where="environment",
            hint=_HINT,
        )
    local = os.environ["LOCAL_RANK"]
    if device == "cuda" and (not local.isdigit() or int(local) >= torch.cuda.device_count()):
        raise ConfigError(
            f"more processes than CUDA devices ({torch.cuda.device_count()})",
            where="torchrun --nproc_per_node",
            hint="start one process per device, or use device=cpu",
        )


def _joined(device: str) -> Accelerator:
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    try:
        return Accelerator(
            cpu=device == "cpu",
            mixed_precision="no",  # the feeders choose where lower precision is used
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"the {_processes()} processes of this training did not find each other "
            f"within {_PATIENCE.seconds // 60} minutes",
            where="MASTER_ADDR and MASTER_PORT",
            hint=_HINT,
        ) from error


class Engine:
    """One process of a training.

    Parameters
    ----------
    device : torch.device
    accelerator : Accelerator, optional
        The group of processes; None if this is the only one.
    sharded : bool
        Whether the weights of trained encoders are divided among the processes.
    """

    def __init__(
        self,
        device: torch.device,
        accelerator: Accelerator | None = None,
        *,
        sharded: bool = False,
    ) -> None:
        self.device = device
        self.sharded = sharded and accelerator is not None
        self._accelerator = accelerator
        self.world = accelerator.num_processes if accelerator else 1
        self.rank = accelerator.process_index if accelerator else 0

    @property
    def main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self._accelerator:
            self._accelerator.wait_for_everyone()

    def agree(self, value: T) -> T:
        """Return the main process's value in all processes."""
        if self._accelerator is None:
            return value
        from accelerate.utils import broadcast_object_list

        held = [value]
        broadcast_object_list(held)
        return held[0]

    # rows of a batch ---------------------------------------------------------------------------

    def share(self, n: int) -> npt.NDArray[np.int64]:
        """Return the positions of a batch of ``n`` that this process encodes.

        Every process encodes as many, so that all make the same calls; surplus rows repeat others
        and get no gradient.
        """
        size = -(-n // self.world)
        return (self.rank * size + np.arange(size)) % max(n, 1)

    def gather(self, vectors: Vectors, counts: Sequence[int]) -> Vectors:
        """Put the vectors of all processes together, in the order of the batch."""
        if self._accelerator is None:
            return vectors
        found = [self._accelerator.gather(v.contiguous()) for v in vectors]
        return tuple(v[:n] for v, n in zip(found, counts, strict=True))

    def own(self, gradients: Vectors) -> Vectors:
        """Take the rows of this process, scaled so that the mean over processes is their sum."""
        if self._accelerator is None:
            return gradients
        parts = []
        for whole in gradients:
            size = -(-len(whole) // self.world)
            part = whole[self.rank * size : (self.rank + 1) * size]
            surplus = part.new_zeros((size - len(part), *part.shape[1:]))
            parts.append(self.world * torch.cat([part, surplus]))
        return tuple(parts)

    # weights -----------------------------------------------------------------------------------

    def place(self, towers: Towers) -> Towers:
        """Return the towers to train, equal in all processes, on the device.

        They are ``towers`` themselves unless they are sharded.
        """
        towers = (copy.deepcopy(towers) if self.sharded else towers).to(self.device)
        if self._accelerator is None:
            return towers
        for value in (*towers.parameters(), *towers.buffers()):
            torch.distributed.broadcast(value.detach(), 0)
        if self.sharded:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh(self.device.type, (self.world,))
            for side in (towers.image, towers.text):
                if any(weight.requires_grad for weight in side.encoder.parameters()):
                    fully_shard(side.encoder, mesh=mesh)
        return towers

    def average(self, parameters: Iterable[nn.Parameter], module: nn.Module) -> None:
        """Average the gradients of replicated weights, and running statistics, over processes.

        The gradients of sharded weights are averaged by the backward pass.
        """
        if self._accelerator is None:
            return
        replicated = [p for p in parameters if not _is_sharded(p)]
        used = torch.tensor([float(p.grad is not None) for p in replicated], device=self.device)
        used = self._accelerator.reduce(used, "sum")
        tensors: list[torch.Tensor] = []
        for parameter, count in zip(replicated, used.tolist(), strict=True):
            if count:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                tensors.append(parameter.grad)
        tensors += [b for b in module.buffers() if b.is_floating_point() and not _is_sharded(b)]
        for bucket in _buckets(tensors):
            flat = torch.cat([t.detach().reshape(-1) for t in bucket])
            flat = self._accelerator.reduce(flat, "mean")
            for tensor, value in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.detach().copy_(value.view_as(tensor))

    def clip(self, parameters: Sequence[nn.Parameter], most: float) -> torch.Tensor:
        """Limit the norm of the whole gradient; return what it was."""
        if not self.sharded:
            return nn.utils.clip_grad_norm_(parameters, most)
        gradients = [p.grad for p in parameters if p.grad is not None]
        squares = torch.zeros(2, dtype=torch.float64, device=self.device)
        for gradient in gradients:
            at = int(_is_sharded(gradient))
            squares[at] += _local(gradient).detach().double().square().sum()
        assert self._accelerator is not None
        squares[1] = self._accelerator.reduce(squares[1:].clone(), "sum")[0]
        norm = squares.sum().sqrt()
        factor = float((most / (norm + 1e-6)).clamp(max=1.0))
        for gradient in gradients:
            _local(gradient).mul_(factor)
        return norm.float()

    def whole(self, value: Any) -> Any:
        """Return a state with the parts of sharded tensors put together, on the processor."""
        if not self.sharded:
            return value
        if isinstance(value, torch.Tensor):
            return _sharded(value).full_tensor().cpu() if _is_sharded(value) else value
        if isinstance(value, Mapping):
            return {key: self.whole(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.whole(each) for each in value)
        return value

    def like(self, value: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
        """Return a whole tensor on the device, divided as ``model`` is."""
        if not _is_sharded(model):
            return value.to(self.device)
        from torch.distributed.tensor import distribute_tensor

        divided = _sharded(model)
        return distribute_tensor(value.to(self.device), divided.device_mesh, divided.placements)

    def load(self, module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
        """Load whole tensors into a module; those that are not named stay."""
        held = module.state_dict()
        if self.sharded:
            state = {name: self.like(value, held[name]) for name, value in state.items()}
        module.load_state_dict({**held, **state})

    def load_optimizer(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Load a whole state into an optimizer."""
        if self.sharded:
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            moments = {
                at: {
                    name: self.like(value, weights[at]) if value.ndim else value
                    for name, value in each.items()
                }
                for at, each in state["state"].items()
            }
            state = {**state, "state": moments}
        optimizer.load_state_dict(state)


def _is_sharded(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return _sharded(tensor).to_local() if _is_sharded(tensor) else tensor


def _sharded(tensor: torch.Tensor) -> DTensor:
    return cast("DTensor", tensor)


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Group tensors of one type, each group of limited size."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        bucket: list[torch.Tensor] = []
        for tensor in (each for each in tensors if each.dtype == dtype):
            if bucket and sum(t.numel() for t in bucket) + tensor.numel() > _BUCKET:
                yield bucket
                bucket = []
            bucket.append(tensor)
        if bucket:
            yield bucket
