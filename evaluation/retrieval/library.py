"""Evaluate a library: the retrieval tasks on cases that the model was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluation.retrieval.load_cases import GatheredCases, gather
from evaluation.retrieval.tasks import TaskScores, image_to_image, image_to_text, text_to_image
from medembed.errors import FingerprintError, InputError, LibraryError
from medembed.model.resolve import choose_model

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
    split : str
    fingerprint : str
        Of the model.
    seed : int
    tasks : dict of str to TaskScores
        By the names in :data:`TASKS`; only those that could be assessed.
    not_assessable : dict of str to str
        Why the others could not.
    n_cases, n_patients : int
        Cases with an image vector that were drawn, and their patients (or groups).
    """

    split: str
    fingerprint: str
    seed: int
    tasks: dict[str, TaskScores]
    not_assessable: dict[str, str]
    n_cases: int
    n_patients: int

    def to_json(self) -> dict[str, Any]:
        """Every figure under a name; a task that could not be assessed has a reason, no figure."""
        scores = {
            name: self.tasks[name].scores.to_json()
            if name in self.tasks
            else {"not_assessable": self.not_assessable[name]}
            for name in TASKS
        }
        return {
            **scores,
            "nulls": {name: self.tasks[name].nulls_json() for name in TASKS if name in self.tasks},
            "split": self.split,
            "model": self.fingerprint,
            "seed": self.seed,
            "n_cases": self.n_cases,
            "n_patients": self.n_patients,
        }


def evaluate_library(
    library: CaseLibrary,
    split: str = "test",
    fingerprint: str | None = None,
    pool: int | None = None,
    *,
    repetitions: int = 2000,
    shuffles: int = 100,
    seed: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
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
    repetitions : int
        Draws of patients for the intervals.
    shuffles : int
        Repetitions of each null control.
    seed : int
    progress : callable of (done, total), optional

    Returns
    -------
    LibraryScores

    Raises
    ------
    LibraryError, FingerprintError, ModelError
        If the split is empty or smaller than the pool, or has no vectors of the model, or if no
        model is active.
    """
    if fingerprint is None:
        fingerprint = choose_model(library).fingerprint
    by_image = gather(library, fingerprint, split=split, with_notes=False)
    n_patients = len(set(by_image.owners.tolist()))
    if n_patients < 2:
        raise LibraryError(
            f"the split {split!r} has vectors of {len(by_image)} case(s) "
            f"of {n_patients} patient(s)",
            hint="a retrieval needs at least two patients",
        )
    paired: GatheredCases | None = None
    with suppress(FingerprintError):  # without note vectors, images alone are assessed
        paired = gather(library, fingerprint, split=split, pool=pool, seed=seed)
    if pool is not None:
        # Without any notes the pool is one of images; else it is the pool of pairs for all tasks.
        by_image = paired or gather(
            library, fingerprint, split=split, with_notes=False, pool=pool, seed=seed
        )
    common: dict[str, Any] = {"repetitions": repetitions, "shuffles": shuffles, "seed": seed}
    steps: dict[str, Callable[[], TaskScores]] = {}
    missing: dict[str, str] = {}
    if paired is None:
        reason = f"no case of the split {split!r} has a note vector of this model"
        missing = {"text_to_image": reason, "image_to_text": reason}
    else:
        both = paired
        steps["text_to_image"] = lambda: text_to_image(both, **common)
        steps["image_to_text"] = lambda: image_to_text(both, **common)
    steps["image_to_image"] = lambda: image_to_image(by_image, side=True, **common)
    steps["image_to_image_by_finding"] = lambda: image_to_image(by_image, side=False, **common)
    tasks: dict[str, TaskScores] = {}
    for done, (name, step) in enumerate(steps.items()):
        if progress:
            progress(done, len(steps))
        try:
            tasks[name] = step()
        except InputError as error:
            missing[name] = str(error)
    if not tasks:
        raise LibraryError(
            f"nothing can be assessed in the split {split!r}: {next(iter(missing.values()))}"
        )
    if progress:
        progress(len(steps), len(steps))
    return LibraryScores(
        split=split,
        fingerprint=fingerprint,
        seed=seed,
        tasks=tasks,
        not_assessable=missing,
        n_cases=len(by_image),
        n_patients=len(set(by_image.owners.tolist())),
    )
