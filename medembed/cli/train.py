"""The verb ``train``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, ProgressBars, emit, note, progress_bar, verb
from medembed.cli.embed import show_embedded
from medembed.counted import counted
from medembed.errors import ModelError

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model import EmbedReport
    from medembed.training import TrainReport

__all__ = ["train"]


@verb
def train(
    library: LibraryPath,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Override configuration values."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="A YAML file, or the name of a configuration, such as starter. "
            "By default one is chosen by what the library holds.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard the checkpoint and start over.")
    ] = False,
    no_embed: Annotated[
        bool,
        typer.Option(
            "--no-embed",
            help="Do not embed the cases; run medembed embed to do so and to activate the model.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model to align images with reports, and embed the library's cases.

    If interrupted, run the same command to resume. The model becomes the active one once the
    library has its vectors; until then the previous one stays active. A collapsed model is kept
    but not activated, and the exit code is 2.

    Example: medembed train demo-library --config demo epochs=10 optim.lr=1e-3
    """
    from medembed.config import load_config
    from medembed.library import CaseLibrary

    settings = load_config(config, overrides or ()) if config else None
    embedded: EmbedReport | None = None
    why = "as given"
    with CaseLibrary.open(library) as opened:
        if settings is None:
            import torch

            from medembed.training.preset import choose_preset

            preset = choose_preset(opened, has_cuda=torch.cuda.is_available())
            config, why = preset.name, preset.why
            note(f"configuration {config}: {why}")
            settings = load_config(config, overrides or ())
        from medembed.training import prepare
        from medembed.training import train as run
        from medembed.training.engine import is_main_process

        if not is_main_process():  # another process of torchrun decodes, embeds and reports
            run(opened, settings, restart=restart)
            return
        with progress_bar("decode") as progress:
            prepare(opened, settings, progress)
        with ProgressBars() as bars:
            report = run(
                opened,
                settings,
                bars.named("train"),
                on_epoch=_note_epoch,
                encoding=bars.named("encode"),
                reranking=bars.named("rerank"),
                restart=restart,
            )
        if not (no_embed or report.collapsed):
            embedded = _embed(opened, report.folder)

    def human() -> None:
        _print(report)
        if embedded is not None:
            show_embedded(embedded, str(library))
        elif not report.collapsed:
            sys.stdout.write(f"next: medembed embed {library}\n")

    payload = {
        **report.to_json(),
        "configuration": config,
        "configuration_why": why,
        "embedded": embedded.to_json() if embedded else None,
    }
    emit(payload, as_json, human)
    if report.collapsed:
        raise ModelError(
            f"the model has collapsed: {'; '.join(report.collapse['reasons'])}",
            where=report.name,
            hint="it was kept but not activated; try other data, a lower optim.lr or more epochs",
        )


def _embed(library: CaseLibrary, folder: str) -> EmbedReport:
    from medembed.lookup.novelty_calibration import calibrate_novelty
    from medembed.lookup.score_evaluation import evaluate_if_due
    from medembed.model import DualEncoder, embed_library
    from medembed.model.resolve import choose_model

    model = DualEncoder.load(folder)
    with progress_bar("embed") as progress:
        report = embed_library(library, model, progress, waiting=note, cached=True)
    with progress_bar("calibrate") as progress:
        calibrate_novelty(library, progress=progress)
    with progress_bar("measure scores") as progress:
        evaluate_if_due(library, choose_model(library, model), progress=progress)
    return report


def _print(report: TrainReport) -> None:
    write = sys.stdout.write
    if report.unchanged:
        write(
            f"Model {report.name!r} is already trained with this configuration; "
            "use --restart to retrain.\n"
        )
    write(
        f"{report.name}: {counted(report.n_train, 'training case')}, "
        f"{counted(report.n_val, 'validation case')}\n"
    )
    if report.refused:
        refused = ", ".join(f"{n} {why}" for why, n in sorted(report.refused.items()))
        write(f"unreadable scans: {refused}\n")
    for remark in report.remarks:
        write(f"{remark}\n")
    if "score" in report.best:
        write(f"kept {_line(report.best)}\n")
    if report.collapse:
        from medembed.training.collapse import CollapseCheck

        write(f"{CollapseCheck.from_json(report.collapse)}\n")
    write(f"model in {report.folder}\n")


def _line(entry: Mapping[str, float]) -> str:
    parts = []
    if "epoch" in entry:
        parts += [f"epoch {entry['epoch']:.0f}", f"loss {entry['loss']:.3f}"]
    if "val_loss" in entry:
        parts.append(f"validation loss {entry['val_loss']:.3f}")
    if "score" in entry:
        shown = []
        for name, title in (("text_to_image", "text→image"), ("image_to_text", "image→text")):
            value, low, high = (entry[f"{name}_R@10{end}"] for end in ("", "_low", "_high"))
            shown.append(f"{title} {value:.3f} [{low:.3f}, {high:.3f}]")
        patients = counted(int(entry["patients"]), "patient")
        parts.append(f"R@10 {', '.join(shown)} (95%, {entry['pool']:.0f} cases of {patients})")
    return ", ".join(parts)


def _note_epoch(entry: Mapping[str, float]) -> None:
    if "score" in entry:
        note(_line(entry))
