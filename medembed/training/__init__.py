"""Aligning images with notes: contrastive, patient-aware, resumable."""

from __future__ import annotations

from medembed.training.settings import TrainingConfig
from medembed.training.train import TrainReport, prepare, train

__all__ = ["TrainReport", "TrainingConfig", "prepare", "train"]
