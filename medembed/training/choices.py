"""Numerical setup of a training: chosen once, recorded, and reused when it is resumed.

The same configuration, cases and choices give the same weights bit for bit. Measured settings
(``precision: auto``) and properties of the machine (device, threads) are choices too.
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

from medembed.counted import counted
from medembed.errors import ConfigError
from medembed.model.model_files import MODEL_VERSION
from medembed.preprocess import PREPROCESS_VERSION
from medembed.privacy.private_files import replace_private
from medembed.training.feature_feeders import Mode
from medembed.training.settings import TrainingConfig

__all__ = [
    "TRAINING_VERSION",
    "Choices",
    "Run",
    "choose_device",
    "computing",
    "key_settings",
    "made_with",
    "run_key",
    "training_key",
]


@dataclass(frozen=True)
class Choices:
    """What determines the weights, besides configuration and cases.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    bfloat16, channels_last : bool
    threads : int
        Number of threads, which affects how sums are rounded.
    float16 : bool
    processes : int
        Number of processes that a batch is divided among.
    """

    device: str
    bfloat16: bool
    channels_last: bool
    threads: int
    float16: bool = False
    processes: int = 1

    @property
    def mode(self) -> Mode:
        """Precision and memory layout."""
        return Mode(self.bfloat16, self.channels_last, self.float16)

    def to_json(self) -> dict[str, Any]:
        """Return the choices; what most trainings share is left out."""
        common = {"float16": False, "processes": 1}
        return {k: v for k, v in asdict(self).items() if k not in common or v != common[k]}


@dataclass(frozen=True)
class Run:
    """The choices of one training and their reasons, stored beside its checkpoint.

    Parameters
    ----------
    choices : Choices
    why : dict of str to str
        Reason of each choice.
    """

    choices: Choices
    why: dict[str, str]

    def write(self, path: Path, key: str) -> None:
        """Store it for resuming this training."""
        kept = {"key": key, "chosen": self.choices.to_json(), "why": self.why}
        with replace_private(path) as file:
            file.write(json.dumps(kept, indent=1).encode())

    @classmethod
    def read(cls, path: Path, key: str, processes: int = 1) -> Run | None:
        """Read the choices of an interrupted training with this key; None if there is none.

        Raises
        ------
        ConfigError
            If it cannot be continued here, with this number of processes.
        """
        try:
            kept = json.loads(path.read_bytes())
            if kept["key"] != key:
                return None
            run = cls(Choices(**kept["chosen"]), dict(kept["why"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if run.choices.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "this training started on a CUDA device, but none is available",
                where="device",
                hint="use --restart to start over on the processor",
            )
        if run.choices.processes != processes:
            began = counted(run.choices.processes, "process", "processes")
            raise ConfigError(
                f"this training started with {began}, not {processes}",
                where="torchrun --nproc_per_node",
                hint="use as many again, or --restart to start over",
            )
        if run.choices.device == "cpu" and run.choices.channels_last:
            raise ConfigError(
                "this training started in channels-last format, which is not safe on a processor",
                where="channels_last",
                hint="use --restart to start over without it",
            )
        return run


TRAINING_VERSION = 3
"""Increased whenever the same configuration would give other weights than before."""

_WITHOUT_EFFECT = {
    "name",
    "workers",
    "checkpoint_seconds",
    "prefetch",
    "sharding",
    "loggers",
}
"""Settings that do not change the weights."""

_ADDED: dict[str, dict[str, Any]] = {
    "": {
        "balance": None,
        "heads": [],
        "study": None,
        "rerank": None,
        "header": {"text": False, "labels": False},
        "lora": {"image": None, "text": None},
    },
    "loss": {
        "kind": "clip",
        "bias": -10.0,
        "smoothing": 0.0,
        "soft_targets": 0.0,
        "structure": 0.0,
        "negation_weight": 0.0,
    },
    "optim": {"chunk": None, "schedule": "cosine"},
    "image": {"cell_channels": 0},
    "study": {"header": False},
}
"""Later settings, with the values at which a training is the same as before they existed."""


def key_settings(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings that determine the weights.

    A setting added later is left out at its default, so that earlier trainings keep their key.
    """
    settings: dict[str, Any] = config.model_dump(
        mode="json", by_alias=True, exclude=_WITHOUT_EFFECT
    )
    images = [s for h in settings["heads"] for s in (h["image"], *h["candidates"]) if s]
    for group, added in _ADDED.items():
        places = [settings.get(group) or {}] if group else [settings]  # study may be None
        for within in (*places, *(images if group == "image" else ())):
            for name, default in added.items():
                if within.get(name) == default:
                    within.pop(name, None)
    return settings


def training_key(config: TrainingConfig, *digests: str) -> str:
    """Return the key of a training: configuration, cases by their digests, and code."""
    parts = [TRAINING_VERSION, MODEL_VERSION, PREPROCESS_VERSION, key_settings(config), digests]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_key(key: str, choices: Mapping[str, Any]) -> str:
    """Return the key of a training with its choices: equal keys give equal weights."""
    return hashlib.sha256(json.dumps([key, dict(choices)], sort_keys=True).encode()).hexdigest()


def choose_device(config: TrainingConfig) -> tuple[str, str]:
    """Choose the device to train on; return it with the reason.

    Raises
    ------
    ConfigError
        If CUDA is requested but not available, or something that needs it without it.
    """
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise ConfigError(
            "no CUDA device available", where="device", hint="use device=cpu or device=auto"
        )
    if config.device != "auto":
        chosen = config.device, "as configured"
    else:
        chosen = ("cuda", "CUDA available") if has_cuda else ("cpu", "no CUDA device")
    if chosen[0] == "cpu" and config.precision == "float16":
        raise ConfigError(
            "float16 needs a CUDA device", where="precision", hint="use bfloat16 or float32"
        )
    if config.precision == "float16" and config.sharding == "full":
        raise ConfigError(
            "float16 does not work with sharding=full", where="precision", hint="use bfloat16"
        )
    if chosen[0] == "cpu" and config.channels_last is True:
        raise ConfigError(
            "channels last needs CUDA: on a processor its gradients are not reproducible",
            where="channels_last",
            hint="use channels_last=auto or channels_last=false",
        )
    return chosen


def made_with(device: str) -> dict[str, str]:
    """Return versions and hardware that can affect rounding."""
    found = {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}
    if device == "cuda":
        found["cuda"] = torch.cuda.get_device_name()
    return found


@contextmanager
def computing(with_threads: int) -> Iterator[None]:
    """Compute with this number of threads and with deterministic algorithms."""
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    held = cudnn.deterministic, cudnn.benchmark
    torch.set_num_threads(with_threads)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.deterministic, cudnn.benchmark = held
