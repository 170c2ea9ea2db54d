"""The verb ``use``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.cli.embed import show_embedded
from medembed.counted import counted
from medembed.errors import InputError, ModelError

__all__ = ["use"]

_FROM = {
    "library": "a model of the library",
    "folder": "copied into the library",
    "published": "a published pair, without training",
}


@verb
def use(
    library: LibraryPath,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            show_default=False,
            help="A model of the library by name or fingerprint; a model's folder; or a CLIP, "
            "SigLIP, ALIGN or open_clip checkpoint, by its folder or its name on the hub.",
        ),
    ] = None,
    back: Annotated[
        bool,
        typer.Option("--back", help="Go back to the model that was active before the present one."),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name in the library; default: that of the folder."),
    ] = None,
    revision: Annotated[
        str, typer.Option("--revision", help="Commit of the hub's repository.")
    ] = "main",
    activate: Annotated[
        bool | None,
        typer.Option(
            "--activate/--no-activate",
            show_default=False,
            help="Make it the active one even if it lacks vectors, or has collapsed; with --back "
            "at once, before the cases that came in since have vectors. Or only embed with it, to "
            "compare it with the active one.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search with a model as it is: embed the library, build the index, make the model active.

    Nothing is trained. The previous model stays active until the library has the vectors of this
    one; then the library changes over in one step, and readers at work follow. --back returns to
    the previous model in the same way. If interrupted, run the same command to resume. Weights are
    read from safetensors only, and no code of a repository is run.

    Example: medembed use demo-library ./medsiglip-448

    Example: medembed use demo-library --back
    """
    from medembed.library import CaseLibrary

    if (model is None) is not back or (back and (name is not None or activate is False)):
        raise InputError(
            "give a MODEL, or --back alone or with --activate",
            where="use",
            hint="medembed show LIBRARY lists the models",
        )

    with CaseLibrary.open(library) as opened:
        from medembed.lookup.novelty_calibration import calibrate_novelty
        from medembed.lookup.score_evaluation import evaluate_if_due
        from medembed.model.resolve import choose_model
        from medembed.model.use_model import go_back, use_model

        with progress_bar("embed") as progress:
            if model is None:
                report = go_back(opened, at_once=bool(activate), progress=progress, waiting=note)
            else:
                report = use_model(
                    opened,
                    model,
                    name,
                    revision=revision,
                    make_active=activate,
                    progress=progress,
                    waiting=note,
                )
        with progress_bar("calibrate") as progress:
            calibrate_novelty(opened, progress=progress)
        with progress_bar("measure scores") as progress:
            evaluate_if_due(opened, choose_model(opened, report.name), progress=progress)

    def human() -> None:
        sys.stdout.write(
            f"{report.name}: {_FROM[report.origin]}, {counted(report.dim, 'dimension')}\n"
        )
        show_embedded(report.embedded, str(library))

    emit(report.to_json(), as_json, human)
    if not report.embedded.active and activate is not False:
        raise ModelError(
            "the model is not active, and the previous one serves on",
            where=report.name,
            hint="make its scans readable and run the same command, or give --activate",
        )
