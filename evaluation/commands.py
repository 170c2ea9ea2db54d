"""Verbs of the command line that live in ``evaluation``: ``medembed evaluate``."""

from __future__ import annotations

from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, progress_bar, verb

__all__ = ["evaluate"]


@verb
def evaluate(
    library: LibraryPath,
    split: Annotated[
        str, typer.Option("--split", help="Cases that ask and are searched: test, val or train.")
    ] = "test",
    pool: Annotated[
        int | None,
        typer.Option("--pool", min=2, help="Draw that many cases, patient by patient; else all."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or fingerprint of a model; else the active one."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure the search on its own cases, with intervals over patients and null controls.

    Cases ask that the model was not trained on: with a report, with a scan, for the same finding.

    Example: medembed evaluate demo-library --split test --pool 300
    """
    from evaluation.retrieval.library import evaluate_library, find_fingerprint
    from medembed.library import CaseLibrary

    with CaseLibrary.open(library) as opened:
        fingerprint = find_fingerprint(opened, model)
        with progress_bar("evaluating") as progress:
            result = evaluate_library(
                opened, split, fingerprint, pool, seed=seed, progress=progress
            )

    def human() -> None:
        from rich.console import Console
        from rich.text import Text

        from evaluation.retrieval.text_report import (
            LEGEND,
            excluded_line,
            meaning,
            score_table,
            title,
        )

        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 120
        console.print(
            f"Split {result.split}: {result.n_cases} cases of {result.n_patients} patients, "
            f"model {result.fingerprint[:12]}, seed {result.seed}"
        )
        for way, direction in result.directions.items():
            console.print(Text(f"\n{title(way)}", style="bold"))
            console.print(Text(excluded_line(direction)))
            console.print(score_table(direction, wide=console.width >= 96))
        console.print(Text(f"\n{LEGEND}\n"))
        for sentence in meaning(result):
            console.print(Text(sentence))

    if split == "train":
        note("medembed: the model has seen these cases; the figures say how well it remembers")
    emit(result.to_json(), as_json, human)
