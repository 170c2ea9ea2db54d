"""The verb ``embed``."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.cli.suggestion import suggested_search
from medembed.counted import counted
from medembed.errors import FingerprintError, InputError
from medembed.model.engine_kind import EngineKind

if TYPE_CHECKING:
    from medembed.model import EmbedReport
    from medembed.model.int8 import Int8Loss

__all__ = ["embed", "show_embedded"]


class Precision(StrEnum):
    """Numbers that a model computes with."""

    FLOAT32 = "float32"
    INT8 = "int8"


@verb
def embed(
    library: LibraryPath,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Name or folder of a model. Default: the newly trained one that has no vectors "
            "yet, else the active one.",
        ),
    ] = None,
    activate: Annotated[
        bool | None,
        typer.Option(
            "--activate/--no-activate",
            show_default=False,
            help="Make this model the active one, even if it lacks vectors. Or leave the active "
            "one, to compare both first: medembed compare-models.",
        ),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="int8: make a faster, smaller variant NAME-int8 of the model, embed with it, and "
            "print what it loses; it becomes active only with --activate.",
        ),
    ] = Precision.FLOAT32,
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            min=0,
            help="Decode and encode in so many processes, which share the cores. 0: one per "
            "device; with Ray one per node.",
        ),
    ] = 0,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="cpu, cuda, or cuda:1 for one of several GPUs. Repeat it to use several, one "
            "process each. Default: cpu.",
        ),
    ] = None,
    engine: Annotated[
        EngineKind,
        typer.Option(
            "--engine",
            help="ray: run on Ray Data, on this machine or on the cluster that RAY_ADDRESS names "
            "(needs the extra ray).",
        ),
    ] = EngineKind.LOCAL,
    as_json: AsJson = False,
) -> None:
    """Embed the scans and reports of the cases that have no vectors yet.

    A newly trained model becomes the active one at the end, unless --no-activate is given. If
    interrupted, run the same command to resume, with the same or other --processes.

    Example: medembed embed demo-library
    """
    from medembed.library import CaseLibrary

    devices = _checked(device or [])
    loss: Int8Loss | None = None
    with CaseLibrary.open(library) as opened:
        from medembed.columns import LibraryColumns
        from medembed.index import compact_index
        from medembed.lookup.novelty_calibration import calibrate_novelty
        from medembed.lookup.score_evaluation import evaluate_if_due
        from medembed.model import DualEncoder, embed_library, find_model
        from medembed.model.embed_engines import embed_engine
        from medembed.model.resolve import choose_model

        folder = find_model(opened, model, newest=True)
        one = len(devices) == 1 and engine is EngineKind.LOCAL
        loaded = DualEncoder.load(folder, device=devices[0] if one else "cpu")
        make_active = activate
        if precision is Precision.INT8:
            from medembed.model.int8 import make_int8, measure_int8_loss

            float32, make_active = loaded.fingerprint, bool(activate)
            loaded = make_int8(opened, loaded, folder.name)
        runs = embed_engine(opened, loaded, engine, processes=processes, devices=devices)
        with progress_bar("embed") as progress:
            report = embed_library(
                opened, loaded, progress, engine=runs, make_active=make_active, waiting=note
            )
        with progress_bar("calibrate") as progress:
            calibrate_novelty(opened, progress=progress)
        LibraryColumns(opened).current()
        with suppress(FingerprintError):  # no image has a vector
            compact_index(opened, loaded.fingerprint)
        with progress_bar("measure scores") as progress:
            evaluate_if_due(opened, choose_model(opened, loaded), progress=progress)
        if precision is Precision.INT8:
            loss = measure_int8_loss(opened, float32, loaded.fingerprint)

    def human() -> None:
        if loss is not None:
            show_loss(loss, f"{folder.name.replace('@', '-')}-int8")
        show_embedded(report, str(library))

    payload = report.to_json()
    emit({**payload, "int8": loss.to_json()} if loss else payload, as_json, human)


def _checked(devices: list[str]) -> list[str]:
    for name in devices:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
            raise InputError("no such device", where="--device", hint="cpu, cuda or cuda:1")
    return devices


def show_loss(loss: Int8Loss, name: str) -> None:
    """Print how the searches of an int8 variant differ from those of its model."""
    write = sys.stdout.write
    write(f"{name}: the int8 variant, a model of its own\n")
    if loss.overlap_at_10 is None:
        write(
            f"its loss is unknown: {counted(loss.n_cases, 'case')} with image vectors of both "
            "models, 12 are needed; run medembed embed without --precision first\n"
        )
        return
    write(
        f"image→image: {loss.overlap_at_10:.1%} of the ten nearest are the same "
        f"({counted(loss.n_queries, 'query', 'queries')} among {counted(loss.n_cases, 'case')})\n"
    )
    if loss.recall_at_10_int8 is not None and loss.recall_at_10_float32 is not None:
        write(
            f"text→image R@10 {loss.recall_at_10_int8:.3f}, in float32 "
            f"{loss.recall_at_10_float32:.3f} ({counted(loss.n_pairs, 'note')} among "
            f"{counted(loss.n_cases, 'case')})\n"
        )


def show_embedded(report: EmbedReport, library: str) -> None:
    """Print what was embedded, whether the model is active, and the next command."""
    write = sys.stdout.write
    images, notes = counted(report.images, "image vector"), counted(report.notes, "note vector")
    write(f"wrote {images} and {notes}\n")
    if report.refused:
        refused = ", ".join(f"{n} {why}" for why, n in sorted(report.refused.items()))
        write(f"cases with unreadable scans: {refused}\n")
    if report.dropped:
        n = counted(report.dropped, "case")
        if report.activated:
            write(f"{n} found with the previous model can no longer be found\n")
        else:
            write(
                f"not activated: {n} could not be found with it; "
                "use --activate to activate it anyway\n"
            )
    if report.activated:
        write("this model is now the active one\n")
    elif not report.active:
        write(
            "this model is not active; search with --model, compare it with the active one "
            "(medembed compare-models) or change over to it (medembed use)\n"
        )
        return
    from medembed.library import CaseLibrary

    with CaseLibrary.open(library) as opened:
        write(f"next: {suggested_search(opened, library)}\n")
