"""From a library to an aligned model."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from medembed.library import CaseLibrary
from medembed.library.locks import writer_lock
from medembed.model.activation import PENDING, keep_serving, propose
from medembed.model.dual_encoder import DualEncoder
from medembed.model.model_files import MODEL_VERSION
from medembed.model.towers import build_towers
from medembed.preprocess import PREPROCESS_VERSION
from medembed.privacy.private_files import private_folder
from medembed.training.choices import (
    Choices,
    Run,
    choose_device,
    computing,
    made_with,
    run_key,
)
from medembed.training.cohort import Cohort, gather
from medembed.training.learnable import (
    NothingLearntError,
    require_learnable,
    require_parameters,
    require_readable_notes,
)
from medembed.training.learning_curve import history_files
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
    chosen : dict
        What the training computed with: ``device``, ``bfloat16``, ``channels_last``, ``threads``.
        With the configuration and the cases it decides the weights to the bit.
    why : dict of str to str
        Why each was chosen.
    collapse : dict
        Whether the model tells cases apart: :class:`medembed.training.collapse.CollapseCheck`.
        A collapsed model is kept in its folder and never becomes active by itself.
    remarks : list of str
        What else a reader should know.
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
    chosen: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    collapse: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    unchanged: bool = False

    @property
    def collapsed(self) -> bool:
        """Whether the model is of no use."""
        return bool(self.collapse.get("collapsed"))

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
    return _gather(library, config, progress)[2]


def _gather(
    library: CaseLibrary, config: TrainingConfig, progress: Progress | None = None
) -> tuple[Cohort, Cohort, dict[str, int]]:
    return gather(
        library,
        config.preprocess,
        balance=config.balance,
        findings=config.loss.findings,
        workers=config.workers,
        progress=progress,
        check=partial(require_learnable, config),
    )


def train(
    library: CaseLibrary,
    config: TrainingConfig,
    progress: Progress | None = None,
    *,
    on_epoch: OnEpoch | None = None,
    restart: bool = False,
) -> TrainReport:
    """Align images and notes of the library's training split.

    The model then waits for its vectors: :func:`medembed.model.embed_library` makes it the active
    one, and until then the one before serves. Interrupted, the next call with the same
    configuration and cases resumes.

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
        Where there are too few cases with a scan and a note, or they hold nothing to tell apart.
    LibraryBusyError
        Where a training of this name is under way.
    ConfigError
        Where the configuration asks for what is not there, or nothing can be learnt with it; then
        nothing is kept of this training.
    """
    device, why_device = choose_device(config)
    cohort, val, refused = _gather(library, config)
    lock = library.path / "models" / f".{config.name}.lock"
    with writer_lock(lock, f"the training of model {config.name!r}", 0):
        return _Training(library, config, cohort, val, refused, (device, why_device)).run(
            progress, on_epoch, restart
        )


@dataclass(frozen=True)
class _Training:
    """One training from its cases to its folder; the caller holds the lock of its name."""

    library: CaseLibrary
    config: TrainingConfig
    cohort: Cohort
    val: Cohort
    refused: dict[str, int]
    device: tuple[str, str]

    @property
    def folder(self) -> Path:
        return self.library.path / "models" / self.config.name

    @property
    def work(self) -> Path:
        """Where the checkpoint lies."""
        return self.folder.with_name(f".{self.config.name}.training")

    def run(
        self, progress: Progress | None, on_epoch: OnEpoch | None, restart: bool
    ) -> TrainReport:
        key = _key(self.config, self.cohort.digest, self.val.digest)
        if restart:
            shutil.rmtree(self.work, ignore_errors=True)
        elif (done := _finished(self.folder, key)) is not None:
            report = TrainReport(**{**done, "folder": str(self.folder), "unchanged": True})
            self._offer(report)
            return report
        private_folder(self.work)
        try:
            model, report, kept = self._train(key, progress, on_epoch)
        except NothingLearntError:
            shutil.rmtree(self.work, ignore_errors=True)
            raise
        files = {
            "training.json": json.dumps(kept, indent=1).encode(),
            **history_files(report.history),
        }
        keep_serving(self.library, self.config.name, model.fingerprint)
        model.save(self.folder, files)
        self._offer(report)
        shutil.rmtree(self.work, ignore_errors=True)
        return report

    def _train(
        self, key: str, progress: Progress | None, on_epoch: OnEpoch | None
    ) -> tuple[DualEncoder, TrainReport, dict[str, Any]]:
        config, cohort = self.config, self.cohort
        earlier = Run.read(self.work / "run.json", key)
        threads = earlier.choices.threads if earlier else torch.get_num_threads()
        device = torch.device(earlier.choices.device if earlier else self.device[0])
        with torch.random.fork_rng(devices=[]), computing(threads):
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
            require_readable_notes(tokens, cohort)
            trainer = Trainer(config, cohort, self.val, towers, tokens, device)
            require_parameters(towers)
            run = earlier or self._choose(trainer, key)
            trainer.use(run.choices.mode)
            outcome = trainer.run(self.work / "checkpoint.pt", key, progress, on_epoch)
            model = DualEncoder(architecture, config.preprocess, tokens, towers.cpu())
            fingerprint = model.fingerprint
        chosen = asdict(run.choices)
        report = TrainReport(
            folder=str(self.folder),
            name=config.name,
            fingerprint=fingerprint,
            n_train=len(cohort),
            n_val=len(self.val),
            refused=self.refused,
            history=outcome.history,
            best=outcome.best,
            chosen=chosen,
            why=run.why,
            collapse=outcome.collapse.to_json(),
            remarks=_remarks(self.val),
            seconds=outcome.seconds,
        )
        kept = {
            **report.to_json(),
            "folder": "",
            "key": run_key(key, chosen),
            "made_with": made_with(run.choices.device),
            "config": config.model_dump(mode="json"),
        }
        return model, report, kept

    def _choose(self, trainer: Trainer, key: str) -> Run:
        """Choose what the configuration leaves open, and write it down before the first step."""
        mode, measured = trainer.choose_mode()
        seconds = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in measured.items())
        why_mode = f"measured: {seconds}" if measured else "as configured"
        run = Run(
            Choices(self.device[0], mode.bfloat16, mode.channels_last, torch.get_num_threads()),
            {
                "device": self.device[1],
                "bfloat16": why_mode,
                "channels_last": why_mode,
                "threads": "as torch found them (OMP_NUM_THREADS sets them)",
            },
        )
        run.write(self.work / "run.json", key)
        return run

    def _offer(self, report: TrainReport) -> None:
        """Let the model wait for its vectors, unless it has collapsed."""
        if not report.collapsed:
            propose(self.library, self.config.name)
        elif self.library.get_meta(PENDING) == self.config.name:
            self.library.set_meta(PENDING, None)


def _remarks(val: Cohort) -> list[str]:
    if len(val) > 1:
        return []
    return [
        "no validation cases with a scan and a note: the last epoch was kept, "
        "and nothing says which was best"
    ]


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
    held, chosen = kept.pop("key", None), kept.get("chosen")
    if held != (key if chosen is None else run_key(key, chosen)):
        return None
    names = {each.name for each in fields(TrainReport)}
    return {name: value for name, value in kept.items() if name in names}
