"""Train an aligned model on a library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medembed.errors import MedEmbedError
from medembed.library import CaseLibrary
from medembed.library.erasure import library_state, refuse_if_erased_since
from medembed.library.locks import writer_lock
from medembed.model.activation import PENDING, keep_serving, propose
from medembed.model.dual_encoder import DualEncoder
from medembed.model.portable import without_folders
from medembed.model.towers import build_towers
from medembed.privacy.private_files import private_folder
from medembed.progress import Progress
from medembed.training.choices import (
    Choices,
    Run,
    choose_device,
    computing,
    made_with,
    run_key,
    training_key,
)
from medembed.training.cohort import TrainingCohort, load_cohorts
from medembed.training.engine import Engine, engine, require_processes
from medembed.training.fusion import FusionOutcome, train_heads
from medembed.training.learnable import (
    NothingLearnedError,
    require_parameters,
    require_readable_notes,
    require_trainable,
)
from medembed.training.learning_curve import history_files
from medembed.training.loggers import reporting, require_loggers
from medembed.training.lora import add_adapters, merge_adapters
from medembed.training.rerank_training import TrainedReranker, train_reranker
from medembed.training.settings import TrainingConfig
from medembed.training.train_report import TrainReport, finished_training
from medembed.training.trainer import OnEpoch, Trainer, TrainingOutcome

__all__ = ["TrainReport", "prepare", "train"]


_CHECKED = 40
"""Cases on which a side's ONNX file is compared with torch."""


def prepare(
    library: CaseLibrary, config: TrainingConfig, progress: Progress | None = None
) -> dict[str, int]:
    """Decode and preprocess all scans, so that epochs read no DICOM.

    :func:`train` also does this; call it before for a separate progress bar.

    Returns
    -------
    dict of str to int
        Number of unreadable scans by reason.
    """
    return _load_cohorts(library, config, progress)[2]


def _load_cohorts(
    library: CaseLibrary, config: TrainingConfig, progress: Progress | None = None
) -> tuple[TrainingCohort, TrainingCohort, dict[str, int]]:
    require_loggers(config)
    require_processes(config, choose_device(config)[0])
    return load_cohorts(
        library,
        config.preprocess,
        balance=config.balance,
        study=config.study,
        findings=config.loss.findings,
        header=config.header,
        workers=config.workers,
        progress=progress,
        check=partial(require_trainable, config),
    )


def train(
    library: CaseLibrary,
    config: TrainingConfig,
    progress: Progress | None = None,
    *,
    on_epoch: OnEpoch | None = None,
    encoding: Progress | None = None,
    reranking: Progress | None = None,
    restart: bool = False,
) -> TrainReport:
    """Align images and notes of the library's training split.

    The model becomes active once :func:`medembed.model.embed_library` has embedded the library;
    until then the previous one serves. If interrupted, the next call with the same configuration
    and cases resumes.

    Parameters
    ----------
    library : CaseLibrary
    config : TrainingConfig
    progress : callable, optional
        Called with (steps done, total).
    on_epoch : callable, optional
        Called after each epoch with its history entry.
    encoding : callable, optional
        Called with (images or texts encoded, total) while features of frozen encoders are computed
        that the library's cache lacks.
    reranking : callable, optional
        Called with (steps done, total) while the reranker is trained, if there is one.
    restart : bool
        Discard the checkpoint or result of this training and start over.

    Raises
    ------
    LibraryError
        If there are too few cases with a scan and a note, or they are all alike.
    LibraryBusyError
        If a training of this name is running.
    ConfigError
        If the configuration cannot be met or nothing can be learned with it; nothing is kept
        then.
    """
    device, why_device = choose_device(config)
    with engine(config, device) as processes:
        before = library_state(library)
        cohort, val, refused = _load_cohorts(library, config)
        lock = library.path / "models" / f".{config.name}.lock"
        with _locked(lock, f"the training of model {config.name!r}", processes):
            # from here on an erasure sees that this training runs
            refuse_if_erased_since(library, before)
            if not processes.main:  # one voice
                progress = on_epoch = encoding = None
            training = _Training(
                library, config, cohort, val, refused, why_device, processes,
                library_state(library), reranking,
            )  # fmt: skip
            return training.run(progress, on_epoch, encoding, restart)


@contextmanager
def _locked(lock: Path, holding: str, processes: Engine) -> Iterator[None]:
    """Hold the lock for all processes of this training."""
    with ExitStack() as stack:
        refused: MedEmbedError | None = None
        if processes.main:
            try:
                stack.enter_context(writer_lock(lock, holding, 0))
            except MedEmbedError as error:
                refused = error
        refused = processes.agree(refused)
        if refused is not None:
            raise refused
        yield
        processes.wait()


@dataclass(frozen=True)
class _Training:
    """One training, from cases to model folder; the caller holds the lock of its name."""

    library: CaseLibrary
    config: TrainingConfig
    cohort: TrainingCohort
    val: TrainingCohort
    refused: dict[str, int]
    why_device: str
    engine: Engine
    state: dict[str, Any]
    reranking: Progress | None = None

    @property
    def folder(self) -> Path:
        return self.library.path / "models" / self.config.name

    @property
    def work(self) -> Path:
        """Folder of the checkpoint."""
        return self.folder.with_name(f".{self.config.name}.training")

    def run(
        self,
        progress: Progress | None,
        on_epoch: OnEpoch | None,
        encoding: Progress | None,
        restart: bool,
    ) -> TrainReport:
        main = self.engine.main
        key = training_key(self.config, self.cohort.digest, self.val.digest)
        done = None if restart else self.engine.agree(finished_training(self.folder, key))
        if done is not None:
            report = TrainReport(**{**done, "folder": str(self.folder), "unchanged": True})
            if main:
                self._offer(report)
            return report
        if main and restart:
            shutil.rmtree(self.work, ignore_errors=True)
        if main:
            private_folder(self.work)
        self.engine.wait()
        try:
            model, report, kept = self._reported(key, progress, on_epoch, encoding)
        except NothingLearnedError:
            if main:
                shutil.rmtree(self.work, ignore_errors=True)
            raise
        if not main:
            return report
        files = {
            "training.json": json.dumps(kept, indent=1).encode(),
            **history_files(report.history),
        }
        keep_serving(self.library, self.config.name, model.fingerprint)
        model.save(self.folder, files)
        self._offer(report)
        shutil.rmtree(self.work, ignore_errors=True)
        return report

    def _reported(
        self,
        key: str,
        progress: Progress | None,
        on_epoch: OnEpoch | None,
        encoding: Progress | None,
    ) -> tuple[DualEncoder, TrainReport, dict[str, Any]]:
        """Train, and report every epoch to the caller and to the loggers."""
        if not self.engine.main:
            return self._train(key, progress, on_epoch, encoding)
        with reporting(self.config, self.library.path / "logs") as log:

            def both(entry: Mapping[str, float]) -> None:
                log(entry)
                if on_epoch:
                    on_epoch(entry)

            return self._train(key, progress, both, encoding)

    def _train(
        self,
        key: str,
        progress: Progress | None,
        on_epoch: OnEpoch | None,
        encoding: Progress | None,
    ) -> tuple[DualEncoder, TrainReport, dict[str, Any]]:
        config, cohort = self.config, self.cohort
        earlier = Run.read(self.work / "run.json", key, self.engine.world)
        self.engine.wait()
        threads = earlier.choices.threads if earlier else torch.get_num_threads()
        processes = self.engine
        if earlier and earlier.choices.device != processes.device.type:
            processes = Engine(torch.device(earlier.choices.device))
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
                study=config.study,
            )
            if config.header.text:
                architecture["header"] = True
            require_readable_notes(tokens, cohort)
            add_adapters(config, towers)
            trainer = Trainer(config, cohort, self.val, towers, tokens, processes)
            require_parameters(towers)
            run = earlier or self._choose(trainer, key)
            trainer.use(run.choices.mode)
            trainer.prepare(encoding)
            outcome: TrainingOutcome | FusionOutcome
            if config.heads:
                outcome = train_heads(
                    config, cohort, self.val, towers, tokens, architecture,
                    lambda settings, pair: Trainer(
                        settings, cohort, self.val, pair, tokens, processes
                    ),
                    self.work, key, progress, on_epoch, encoding,
                )  # fmt: skip
                towers, architecture = outcome.towers, outcome.architecture
            else:
                outcome = trainer.run(self.work / "checkpoint.pt", key, progress, on_epoch)
            merge_adapters(towers)
            added: list[TrainedReranker] = []
            if config.rerank and self.engine.main and not outcome.collapse.collapsed:
                added = [
                    train_reranker(
                        config, cohort, self.val, towers, tokens, processes.device,
                        self.reranking, encoding,
                    )
                ]  # fmt: skip
            model = DualEncoder(architecture, config.preprocess, tokens, towers.cpu())
            for each in added:
                model.add_reranker(each.files)
            fingerprint = model.fingerprint
            sample = _sample(self.val if len(self.val) else cohort)
            in_torch = model.export(*sample) if self.engine.main else []
        chosen = run.choices.to_json()
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
            remarks=[
                *_remarks(self.val),
                *outcome.remarks,
                *(each.remark for each in added),
                *in_torch,
            ],
            seconds=outcome.seconds,
        )
        kept = {
            **report.to_json(),
            "folder": "",
            "library": self.state,
            "key": run_key(key, chosen),
            "made_with": made_with(run.choices.device),
            "config": without_folders(config.model_dump(mode="json")),
        }
        return model, report, kept

    def _choose(self, trainer: Trainer, key: str) -> Run:
        """Choose what the configuration leaves open, and record it before the first step."""
        mode, measured = self.engine.agree(trainer.choose_mode())
        seconds = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in measured.items())
        why_mode = f"measured: {seconds}" if measured else "as configured"
        run = Run(
            Choices(
                trainer.device.type,
                mode.bfloat16,
                mode.channels_last,
                torch.get_num_threads(),
                mode.float16,
                self.engine.world,
            ),
            {
                "device": self.why_device,
                "bfloat16": why_mode,
                "channels_last": why_mode,
                "threads": "default of torch (set OMP_NUM_THREADS to change it)",
            },
        )
        if self.engine.main:
            run.write(self.work / "run.json", key)
        return run

    def _offer(self, report: TrainReport) -> None:
        """Queue the model for activation, unless it has collapsed."""
        if not report.collapsed:
            propose(self.library, self.config.name)
        elif self.library.get_meta(PENDING) == self.config.name:
            self.library.set_meta(PENDING, None)


def _sample(cohort: TrainingCohort) -> tuple[npt.NDArray[Any], list[str]]:
    """Return pixels and notes on which the exported model is compared with the trained one."""
    chosen = range(0, len(cohort), max(1, len(cohort) // _CHECKED))
    rows = np.concatenate([cohort.rows[at][:1] for at in chosen])
    return cohort.pixels.rows(rows), [cohort.reports[at].full.text for at in chosen]


def _remarks(val: TrainingCohort) -> list[str]:
    if len(val) > 1:
        return []
    return [
        "no validation cases with a scan and a note: kept the last epoch, which may not be the best"
    ]
