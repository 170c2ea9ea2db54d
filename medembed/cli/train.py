"""The verb ``train``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from medembed.cli.frame import AsJson, LibraryPath, emit, note, progress_bar, verb

__all__ = ["train"]


@verb
def train(
    library: LibraryPath,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the configuration."),
    ] = None,
    config: Annotated[
        str,
        typer.Option("--config", metavar="FILE", help="A YAML file, or a name such as starter."),
    ] = "starter",
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an earlier part of this training.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Align images with notes, so that each finds the other.

    Stopped, the same command goes on where it was. The model becomes the library's active one.

    Example: medembed train demo-library --config demo epochs=10 optim.lr=1e-3
    """
    from medembed.config import load_config
    from medembed.library import CaseLibrary

    settings = load_config(config, overrides or ())
    with CaseLibrary.open(library) as opened:
        from medembed.training import prepare
        from medembed.training import train as run

        with progress_bar("decode") as progress:
            prepare(opened, settings, progress)
        with progress_bar("train") as progress:
            report = run(opened, settings, progress, on_epoch=_say, restart=restart)

    def human() -> None:
        write = sys.stdout.write
        if report.unchanged:
            write(f"{report.name} has been trained so already; --restart does it anew\n")
        write(f"{report.name}: {report.n_train} cases to learn from, {report.n_val} to judge by\n")
        if report.refused:
            refused = ", ".join(f"{n} {why}" for why, n in sorted(report.refused.items()))
            write(f"scans that could not be read: {refused}\n")
        if "score" in report.best:
            write(f"kept {_line(report.best)}\n")
        write(f"model in {report.folder}\nnext: medembed embed {library}\n")

    emit(report.to_json(), as_json, human)


def _line(entry: Mapping[str, float]) -> str:
    parts = [f"epoch {entry['epoch']:.0f}", f"loss {entry['loss']:.3f}"]
    if "score" in entry:
        parts.append(f"validation loss {entry['val_loss']:.3f}")
        both = (entry["text_to_image_R@10"], entry["image_to_text_R@10"])
        parts.append(
            f"R@10 text→image {both[0]:.3f}, image→text {both[1]:.3f} of {entry['pool']:.0f}"
        )
    return ", ".join(parts)


def _say(entry: Mapping[str, float]) -> None:
    if "score" in entry:
        note(_line(entry))
