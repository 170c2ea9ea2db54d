"""Aligning images with notes: contrastive, patient-aware, resumable.

The public names are imported on first use: forming batches needs no torch, training does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medembed.training.alignment import prepare, train
    from medembed.training.settings import TrainingConfig
    from medembed.training.train_report import TrainReport

_HOME = {
    "TrainReport": "medembed.training.train_report",
    "TrainingConfig": "medembed.training.settings",
    "prepare": "medembed.training.alignment",
    "train": "medembed.training.alignment",
}

__all__ = ["TrainReport", "TrainingConfig", "prepare", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'medembed.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
