"""Evaluate a library: the retrieval tasks on cases that the model was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from evaluation.retrieval.coverage import Coverage, require_complete
from evaluation.retrieval.load_cases import LoadedCases, load_cases
from evaluation.retrieval.tasks import TaskScores, image_to_image, image_to_text, text_to_image
from medembed.errors import FingerprintError, InputError, LibraryError
from medembed.model.resolve import choose_model
from medembed.progress import Progress, no_progress

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["TASKS", "LibraryScores", "evaluate_library"]

TASKS = ("text_to_image", "image_to_text", "image_to_image", "image_to_image_by_finding")
"""The retrieval tasks; ``image_to_image`` counts the same finding on the same side."""


@dataclass(frozen=True)
class LibraryScores:
    """Result of :func:`evaluate_library`.

    Parameters
    ----------
    split, fingerprint, seed
        As they were asked for; the fingerprint is the model's.
    tasks, not_assessable : dict of str to TaskScores, and to str
        By the names in :data:`TASKS`: those that could be assessed, and why the others could not.
    n_cases, n_patients : int
        Cases with an image vector that were drawn, and their patients (or groups).
    coverage : Coverage
        How many of the split's cases have vectors.
    """

    split: str
    fingerprint: str
    seed: int
    tasks: dict[str, TaskScores]
    not_assessable: dict[str, str]
    n_cases: int
    n_patients: int
    coverage: Coverage

    def to_json(self) -> dict[str, Any]:
        """Every figure under a name; a task that could not be assessed has a reason, no figure."""
        scores: dict[str, Any] = {}
        nulls: dict[str, Any] = {}
        for name in TASKS:
            if name in self.not_assessable:
                scores[name] = {"not_assessable": self.not_assessable[name]}
                continue
            task = self.tasks[name]
            scores[name] = task.scores.to_json()
            nulls[name] = {kind: null.to_json() for kind, null in task.nulls.items()}
        return {
            **scores,
            "nulls": nulls,
            "split": self.split,
            "model": self.fingerprint,
            "seed": self.seed,
            "n_cases": self.n_cases,
            "n_patients": self.n_patients,
            "coverage": self.coverage.to_json(),
        }


def evaluate_library(
    library: CaseLibrary,
    split: str = "test",
    fingerprint: str | None = None,
    pool: int | None = None,
    *,
    allow_partial: bool = False,
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
    progress: Progress = no_progress,
) -> LibraryScores:
    """Measure the retrieval of a library's own cases from the vectors that it keeps.

    Parameters
    ----------
    library : CaseLibrary
    split : {"test", "val", "train"}
        Whose cases are the queries and the gallery.
    fingerprint : str, optional
        Model; by default that of the library's active one.
    pool : int, optional
        Draw that many cases, patient by patient; all by default.
    allow_partial : bool
        Measure the cases that have vectors if others of the split lack them.
    repetitions, shuffles, seed : int
        Draws of patients for the intervals; repetitions of each null control.
    progress : callable of (done, total)

    Raises
    ------
    LibraryError, FingerprintError, ModelError
        If the split is empty or smaller than the pool, or has no vectors of the model or (without
        ``allow_partial``) only those of some cases, or if no model is active.
    """
    if fingerprint is None:
        fingerprint = choose_model(library).fingerprint
    load = partial(load_cases, library, fingerprint, split=split, seed=seed)
    by_image = load(with_notes=False)
    coverage = require_complete(library, fingerprint, split, allow_partial=allow_partial)
    n_patients = len(set(by_image.owners.tolist()))
    if n_patients < 2:
        raise LibraryError(
            f"the split {split!r} has vectors of {len(by_image)} case(s) "
            f"of {n_patients} patient(s)",
            hint="a retrieval needs at least two patients",
        )
    paired: LoadedCases | None = None
    with suppress(FingerprintError):  # without note vectors, images alone are assessed
        paired = load(pool=pool)
    if pool is not None:
        # Without any notes the pool is one of images; else it is the pool of pairs for all tasks.
        by_image = paired or load(with_notes=False, pool=pool)
    steps: dict[str, tuple[LoadedCases | None, Callable[..., TaskScores]]] = {
        "text_to_image": (paired, text_to_image),
        "image_to_text": (paired, image_to_text),
        "image_to_image": (by_image, image_to_image),
        "image_to_image_by_finding": (by_image, partial(image_to_image, side=False)),
    }
    tasks: dict[str, TaskScores] = {}
    missing: dict[str, str] = {}
    for done, (name, (cases, task)) in enumerate(steps.items()):
        progress(done, len(steps))
        if cases is None:
            missing[name] = f"no case of the split {split!r} has a note vector of this model"
            continue
        try:
            tasks[name] = task(cases, repetitions=repetitions, shuffles=shuffles, seed=seed)
        except InputError as error:
            missing[name] = str(error)
    if not tasks:
        raise LibraryError(
            f"nothing can be assessed in the split {split!r}: {next(iter(missing.values()))}"
        )
    progress(len(steps), len(steps))
    return LibraryScores(
        split=split,
        fingerprint=fingerprint,
        seed=seed,
        tasks=tasks,
        not_assessable=missing,
        n_cases=len(by_image),
        n_patients=len(set(by_image.owners.tolist())),
        coverage=coverage,
    )
