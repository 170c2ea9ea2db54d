"""From a library to an aligned model."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.model.dual_encoder import DualEncoder
from medembed.model.folder import MODEL_VERSION
from medembed.model.towers import build_towers
from medembed.preprocess import PREPROCESS_VERSION
from medembed.training.cohort import gather
from medembed.training.history import history_files
from medembed.training.settings import TrainingConfig
from medembed.training.trainer import OnEpoch, Trainer

__all__ = ["TrainReport", "prepare", "train"]

Progress = Callable[[int, int | None], None]

_VERSION = 2
"""Raised whenever the same configuration would train to other weights than before."""


@dataclass(frozen=True)
class TrainReport:
    """What a training came to.

    Parameters
    ----------
    folder : str
        Of the model.
    name, fingerprint : str
    n_train, n_val : int
        Cases with a scan and a note.
    refused : dict of str to int
        Scans that could not be read, by reason.
    history : list of dict
        One entry an epoch.
    best : dict
        The entry whose weights were kept.
    mode : dict
        Precision and memory layout that were used.
    seconds : float
        Of training alone.
    unchanged : bool
        Whether this very training had been done before, so that nothing was left to do.
    """

    folder: str
    name: str
    fingerprint: str
    n_train: int
    n_val: int
    refused: dict[str, int]
    history: list[dict[str, float]]
    best: dict[str, float]
    mode: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0
    unchanged: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything under its name."""
        return asdict(self)


def prepare(
    library: CaseLibrary, config: TrainingConfig, progress: Progress | None = None
) -> dict[str, int]:
    """Decode and preprocess the scans that training will read, so that epochs touch no DICOM.

    :func:`train` does it by itself; called before, it has a progress of its own.

    Returns
    -------
    dict of str to int
        Scans that could not be read, by reason.
    """
    found = gather(
        library,
        config.preprocess,
        balance=config.balance,
        workers=config.workers,
        progress=progress,
    )
    return found[2]


def train(
    library: CaseLibrary,
    config: TrainingConfig,
    progress: Progress | None = None,
    *,
    on_epoch: OnEpoch | None = None,
    restart: bool = False,
) -> TrainReport:
    """Align images and notes of the library's training split and make the model its active one.

    Interrupted, the next call with the same configuration and cases goes on where it stood.

    Parameters
    ----------
    library : CaseLibrary
    config : TrainingConfig
    progress : callable, optional
        Called with (steps done, all steps).
    on_epoch : callable, optional
        Called with the entry of the history after each epoch.
    restart : bool
        Forget an earlier part, or an earlier end, of this training.

    Raises
    ------
    LibraryError
        Where there are too few cases with a scan and a note.
    ConfigError
        Where the configuration asks for what is not there.
    """
    device = _device(config.device)
    cohort, val, refused = gather(
        library, config.preprocess, balance=config.balance, workers=config.workers
    )
    key = _key(config, cohort.digest, val.digest)
    models = library.path / "models"
    folder, work = models / config.name, models / f".{config.name}.training"
    if restart:
        shutil.rmtree(work, ignore_errors=True)
    elif (done := _finished(folder, key)) is not None:
        library.active_model = config.name
        return TrainReport(**{**done, "folder": str(folder), "unchanged": True})
    work.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        towers, tokens, architecture = build_towers(
            config.image,
            config.text,
            config.projection,
            dimensions=config.preprocess.dimensions,
            size=config.preprocess.shape[1:],
            notes=[report.full.text for report in cohort.reports],
            temperature=config.loss.temperature,
        )
        trainer = Trainer(config, cohort, val, towers, tokens, device)
        outcome = trainer.run(work / "checkpoint.pt", key, progress, on_epoch)
    model = DualEncoder(architecture, config.preprocess, tokens, towers.cpu())
    report = TrainReport(
        folder=str(folder),
        name=config.name,
        fingerprint=model.fingerprint,
        n_train=len(cohort),
        n_val=len(val),
        refused=refused,
        history=outcome.history,
        best=outcome.best,
        mode=asdict(outcome.mode),
        seconds=outcome.seconds,
    )
    kept = {**report.to_json(), "folder": "", "key": key, "config": config.model_dump(mode="json")}
    files = {
        "training.json": json.dumps(kept, indent=1).encode(),
        **history_files(outcome.history),
    }
    model.save(folder, files)
    library.active_model = config.name
    shutil.rmtree(work, ignore_errors=True)
    return report


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no CUDA device is here", where="device", hint="device=cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _key(config: TrainingConfig, *digests: str) -> str:
    """Name what a checkpoint belongs to: configuration, cases and code."""
    left_out = {"name", "workers", "checkpoint_seconds"}
    if config.balance is None:  # trainings of before there was a choice keep their key
        left_out.add("balance")
    settings: Mapping[str, Any] = config.model_dump(mode="json", exclude=left_out)
    parts = [_VERSION, MODEL_VERSION, PREPROCESS_VERSION, settings, digests]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _finished(folder: Path, key: str) -> dict[str, Any] | None:
    """Give the report of this very training, where it has come to its end."""
    try:
        kept: dict[str, Any] = json.loads((folder / "training.json").read_bytes())
    except (OSError, ValueError):
        return None
    if kept.pop("key", None) != key:
        return None
    kept.pop("config", None)
    return kept
