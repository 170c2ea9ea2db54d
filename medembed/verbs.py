"""The commands as functions: ``medembed.ingest``, ``train``, ``embed`` and ``evaluate``.

Each takes a library's folder or an open :class:`medembed.CaseLibrary`, does what the command of
the same name does, and returns what that prints. An open library stays open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medembed.errors import InputError, ModelError
from medembed.library import CaseLibrary

if TYPE_CHECKING:
    from medembed.config import TrainingConfig
    from medembed.library import IngestReport
    from medembed.model import DualEncoder, EmbedReport
    from medembed.progress import Progress
    from medembed.training import TrainReport
    from medembed.training.trainer import OnEpoch

__all__ = ["embed", "evaluate", "ingest", "train"]


def ingest(
    library: CaseLibrary | str | Path,
    *sources: str | Path,
    format: str = "auto",
    notes: str | Path | None = None,
    keep_columns: Sequence[str] = (),
    shift_dates: bool = False,
    vocabulary: str | Path | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Add cases to a library, creating it if needed.

    Parameters
    ----------
    library : CaseLibrary or path
    *sources : path
        Tables, folders of DICOM files, or single files.
    format : str
        ``"auto"``, or a name listed by ``medembed show sources``.
    notes : path, optional
        Table of reports for DICOM files.
    keep_columns : sequence of str
        Additional columns to keep for ``where``.
    shift_dates : bool
        Shift each patient's dates by a secret offset.
    vocabulary : str or path, optional
        Vocabulary for reading reports: a name or a YAML file.
    replace : bool
        Overwrite cases whose content changed.
    progress : callable of (done, total), optional

    Returns
    -------
    IngestReport
        Numbers of cases, and a reason for each file that was refused.

    Raises
    ------
    InputError
        If no source is given, or one cannot be read at all.
    """
    from medembed.library import IngestReport
    from medembed.library.ingestion import ingest as take
    from medembed.library.ingestion import write_refusals
    from medembed.notes import load_vocabulary
    from medembed.sources import open_source

    if not sources:
        raise InputError("nothing to ingest", hint="give at least one table, folder or file")
    words = load_vocabulary(str(vocabulary)) if vocabulary else None
    table = None if notes is None else Path(notes)
    opened = [
        open_source(Path(source), format, notes=table, keep_columns=tuple(keep_columns))
        for source in sources
    ]
    report = IngestReport()
    with _opened(library, create=True) as target:
        for source in opened:
            report += take(
                target,
                source,
                replace=replace,
                shift_dates=shift_dates,
                progress=progress,
                vocabulary=words,
            )
        write_refusals(target, report.refusals)
    return report


def train(
    library: CaseLibrary | str | Path,
    config: TrainingConfig | str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    restart: bool = False,
    embed_cases: bool = True,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainReport:
    """Train a model on a library, embed the library's cases, and make the model the active one.

    Parameters
    ----------
    library : CaseLibrary or path
    config : TrainingConfig, str or path, optional
        A configuration, its name, or a YAML file. None chooses one by what the library holds.
    overrides : sequence of str
        Values of the configuration, such as ``"optim.lr=1e-3"``; not with a TrainingConfig.
    restart : bool
        Discard the checkpoint or the result of this training and start over.
    embed_cases : bool
        Embed the cases after training; :func:`embed` does it otherwise.
    progress : callable of (done, total), optional
        Of the training and then of the embedding.
    on_epoch : callable, optional
        Called after each epoch with its entry of the learning curve.

    Raises
    ------
    ModelError
        If the model has collapsed: it is kept but not activated.
    InputError
        If the configuration is not valid or the library has too few cases.
    """
    from medembed.config import load_config
    from medembed.training import TrainingConfig
    from medembed.training import train as run

    if isinstance(config, TrainingConfig) and overrides:
        raise InputError(
            "overrides go with the name or file of a configuration, not with a TrainingConfig"
        )
    with _opened(library) as opened:
        if config is None:
            import torch

            from medembed.training.preset import choose_preset

            config = choose_preset(opened, has_cuda=torch.cuda.is_available()).name
        if not isinstance(config, TrainingConfig):
            config = load_config(config, overrides)
        report = run(opened, config, progress, on_epoch=on_epoch, restart=restart)
        if report.collapsed:
            raise ModelError(
                f"the model has collapsed: {'; '.join(report.collapse['reasons'])}",
                where=report.name,
                hint="it was kept but not activated; try other data, a lower optim.lr or more "
                "epochs",
            )
        if embed_cases:
            embed(opened, report.name, progress=progress)
    return report


def embed(
    library: CaseLibrary | str | Path,
    model: DualEncoder | str | Path | None = None,
    *,
    activate: bool | None = None,
    processes: int = 0,
    devices: Sequence[str] = (),
    engine: Literal["local", "ray"] = "local",
    progress: Progress | None = None,
) -> EmbedReport:
    """Embed the scans and reports of the cases that have no vectors yet.

    Parameters
    ----------
    library : CaseLibrary or path
    model : DualEncoder, name or folder, optional
        Default: the newly trained one that has no vectors yet, else the active one.
    activate : bool, optional
        True: make this model the active one even if it lacks vectors. False: leave the active one.
        None: a newly trained model becomes active if it has its vectors.
    processes : int
        Decode and encode in so many processes; 0 means one per device. A script that asks for
        more than one needs ``if __name__ == "__main__":``, as for :mod:`multiprocessing`.
    devices : sequence of str
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, which the processes take in turn.
    engine : {"local", "ray"}
        Ray Data runs on this machine, or on the cluster that ``RAY_ADDRESS`` names.
    progress : callable of (done, total), optional
    """
    from medembed.lookup.novelty_calibration import calibrate_novelty
    from medembed.lookup.score_evaluation import evaluate_if_due
    from medembed.model import DualEncoder, embed_library, find_model
    from medembed.model.embed_engines import embed_engine
    from medembed.model.engine_kind import EngineKind
    from medembed.model.resolve import choose_model

    with _opened(library) as opened:
        if not isinstance(model, DualEncoder):
            name = None if model is None else str(model)
            model = DualEncoder.load(find_model(opened, name, newest=True))
        runs = embed_engine(opened, model, EngineKind(engine), processes=processes, devices=devices)
        report = embed_library(opened, model, progress, engine=runs, make_active=activate)
        calibrate_novelty(opened)
        evaluate_if_due(opened, choose_model(opened, model))
        return report


def evaluate(
    library: CaseLibrary | str | Path,
    split: str = "test",
    *,
    model: DualEncoder | str | Path | None = None,
    pool: int | None = None,
    allow_partial: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Any:
    """Measure the search of a library on held-out cases, with intervals over patients.

    Parameters
    ----------
    library : CaseLibrary or path
    split : {"test", "val", "train"}
    model : DualEncoder, name, folder or fingerprint, optional
        Default: the active one.
    pool : int, optional
        Draw this many cases, patient by patient.
    allow_partial : bool
        Measure the cases that have vectors if others of the split lack them.
    seed : int
        Seed of all random draws.
    progress : callable of (done, total), optional

    Returns
    -------
    evaluation.LibraryScores
        ``.to_json()`` gives every figure by name.
    """
    from medembed.model.resolve import choose_model

    # By name: medembed stands below evaluation and must work without it.
    try:
        measure = import_module("evaluation.retrieval.library").evaluate_library
    except ModuleNotFoundError:
        raise InputError("the package evaluation is not installed") from None
    options = {} if progress is None else {"progress": progress}
    with _opened(library) as opened:
        return measure(
            opened,
            split,
            choose_model(opened, model).fingerprint,
            pool,
            allow_partial=allow_partial,
            seed=seed,
            **options,
        )


@contextmanager
def _opened(library: CaseLibrary | str | Path, *, create: bool = False) -> Iterator[CaseLibrary]:
    """Open a folder for the block; a library that is open already stays open after it."""
    if isinstance(library, CaseLibrary):
        yield library
    elif isinstance(library, str | Path):
        with CaseLibrary.open(library, create=create) as opened:
            yield opened
    else:
        raise InputError(f"a library is a folder or a CaseLibrary, not a {type(library).__name__}")
