"""Configurations: YAML files, validated against the settings classes.

The public names are imported on first use: finding a file needs no torch, the settings of a
training do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medembed.config.files import config_names, find_config, read_yaml
    from medembed.config.load import load_config
    from medembed.training.settings import TrainingConfig

_HOME = {
    "TrainingConfig": "medembed.training.settings",
    "config_names": "medembed.config.files",
    "find_config": "medembed.config.files",
    "load_config": "medembed.config.load",
    "read_yaml": "medembed.config.files",
}

__all__ = ["TrainingConfig", "config_names", "find_config", "load_config", "read_yaml"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'medembed.config' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
