"""Measures of a training, reported to TensorBoard, MLflow or Weights & Biases.

Only numbers are reported: neither notes, nor names of cases, nor the configuration, whose values
may be paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.errors import ConfigError
from medembed.privacy.private_files import private_folder

if TYPE_CHECKING:
    from medembed.training.settings import TrainingConfig

__all__ = ["Report", "reporting", "require_loggers"]

Report = Callable[[Mapping[str, float]], None]

_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}

_SILENT = {
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_X_DISABLE_META": "true",
}
"""What Weights & Biases would send by itself: output, code, and the command line with its paths."""


def require_loggers(config: TrainingConfig) -> None:
    """Refuse loggers whose package is not installed.

    Raises
    ------
    ConfigError
    """
    for name in config.loggers:
        if not any(find_spec(package) for package in _PACKAGES[name]):
            raise ConfigError(
                f"the logger {name} is not installed",
                where="loggers",
                hint=f"pip install {name}, or remove it from loggers",
            )


@contextmanager
def reporting(config: TrainingConfig, folder: Path) -> Iterator[Report]:
    """Report epochs to the configured loggers inside this block.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
        Where loggers with files write them, in a folder of the training's name.

    Yields
    ------
    callable
        Takes the entry of an epoch.

    Raises
    ------
    ConfigError
        If a logger cannot be started.
    """
    trackers: list[Any] = []
    try:
        for name in config.loggers:
            trackers.append(_started(name, config.name, folder))

        def report(entry: Mapping[str, float]) -> None:
            values = {key: float(value) for key, value in entry.items() if key != "epoch"}
            for tracker in trackers:
                tracker.log(values, step=int(entry["epoch"]))

        yield report
    finally:
        for tracker in trackers:
            tracker.finish()


def _started(name: str, run: str, folder: Path) -> Any:
    from accelerate import tracking

    try:
        if name == "tensorboard":
            private_folder(folder)
            tracker = tracking.TensorBoardTracker(run, logging_dir=str(folder))
        elif name == "mlflow":
            tracker = tracking.MLflowTracker("medembed", run_name=run)
        else:
            for key, value in _SILENT.items():
                os.environ.setdefault(key, value)
            tracker = tracking.WandBTracker("medembed", name=run)
        tracker.start()
    except Exception as error:  # each logger raises its own kinds
        raise ConfigError(
            f"the logger {name} could not be started ({type(error).__name__})",
            where="loggers",
            hint="check its settings in the environment, or remove it from loggers",
        ) from error
    return tracker
