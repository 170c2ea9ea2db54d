"""Configurations: YAML files checked against the settings of the code they set."""

from __future__ import annotations

from medembed.config.load import config_names, find_config, load_config
from medembed.training.settings import TrainingConfig

__all__ = ["TrainingConfig", "config_names", "find_config", "load_config"]
