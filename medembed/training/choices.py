"""What a training computes with: chosen once, written down, and kept when it is resumed.

The same configuration, cases and choices give the same weights to the bit. What was measured
(``precision: auto``) or found on the machine (device, threads) is a choice as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from medembed.errors import ConfigError
from medembed.privacy.private_files import replace_private
from medembed.training.feature_feeders import Mode
from medembed.training.settings import TrainingConfig

__all__ = ["Choices", "Run", "choose_device", "computing", "made_with", "run_key"]


@dataclass(frozen=True)
class Choices:
    """What decides, beside configuration and cases, which weights come out.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    bfloat16, channels_last : bool
    threads : int
        Sums are split among the threads of a processor, and rounded accordingly.
    """

    device: str
    bfloat16: bool
    channels_last: bool
    threads: int

    @property
    def mode(self) -> Mode:
        """Precision and memory layout."""
        return Mode(self.bfloat16, self.channels_last)


@dataclass(frozen=True)
class Run:
    """The choices of one training and their reasons, beside its checkpoint.

    Parameters
    ----------
    choices : Choices
    why : dict of str to str
        Reason of each choice.
    """

    choices: Choices
    why: dict[str, str]

    def write(self, path: Path, key: str) -> None:
        """Keep it for the next part of this training."""
        kept = {"key": key, "chosen": asdict(self.choices), "why": self.why}
        with replace_private(path) as file:
            file.write(json.dumps(kept, indent=1).encode())

    @classmethod
    def read(cls, path: Path, key: str) -> Run | None:
        """Give what the first part of the training of this key chose; None without one."""
        try:
            kept = json.loads(path.read_bytes())
            if kept["key"] != key:
                return None
            run = cls(Choices(**kept["chosen"]), dict(kept["why"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if run.choices.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "this training was begun on a CUDA device, and none is here",
                where="device",
                hint="--restart begins anew on the processor",
            )
        if run.choices.device == "cpu" and run.choices.channels_last:
            raise ConfigError(
                "this training was begun in channels last, which is not safe on a processor",
                where="channels_last",
                hint="--restart begins anew without",
            )
        return run


def run_key(key: str, choices: Mapping[str, Any]) -> str:
    """Name a training with its choices: equal keys, equal weights."""
    return hashlib.sha256(json.dumps([key, dict(choices)], sort_keys=True).encode()).hexdigest()


def choose_device(config: TrainingConfig) -> tuple[str, str]:
    """Device to train on, and why.

    Raises
    ------
    ConfigError
        Where a CUDA device is asked for and none is there, or channels last without one.
    """
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise ConfigError("no CUDA device is here", where="device", hint="device=cpu or auto")
    if config.device != "auto":
        chosen = config.device, "as configured"
    else:
        chosen = ("cuda", "a CUDA device is here") if there else ("cpu", "no CUDA device is here")
    if chosen[0] == "cpu" and config.channels_last is True:
        raise ConfigError(
            "channels last is for CUDA devices: on a processor its gradients cannot be repeated",
            where="channels_last",
            hint="channels_last=auto or false",
        )
    return chosen


def made_with(device: str) -> dict[str, str]:
    """What else ran: versions and hardware that may round in another way."""
    found = {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}
    if device == "cuda":
        found["cuda"] = torch.cuda.get_device_name()
    return found


@contextmanager
def computing(with_threads: int) -> Iterator[None]:
    """Compute with so many threads, and with algorithms that give the same sums every time."""
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    held = cudnn.deterministic, cudnn.benchmark
    torch.set_num_threads(with_threads)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.deterministic, cudnn.benchmark = held
