"""Evaluate a library: the three ways to ask, on cases that the model was not trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evaluation.retrieval.load_cases import GatheredCases, gather
from evaluation.retrieval.tasks import Direction, image_to_image, image_to_text, text_to_image
from medembed.errors import FingerprintError, InputError, LibraryError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.library import CaseLibrary

__all__ = ["LibraryScores", "evaluate_library", "find_fingerprint"]

WAYS = ("text_to_image", "image_to_text", "image_to_image", "image_to_image_by_finding")
"""The ways to ask; ``image_to_image`` counts the same finding on the same side."""


@dataclass(frozen=True)
class LibraryScores:
    """What :func:`evaluate_library` found.

    Parameters
    ----------
    split : str
    fingerprint : str
        Of the model.
    seed : int
    directions : dict of str to Direction
        By the names of ``WAYS``; only those that could be assessed.
    not_assessable : dict of str to str
        Why the others could not.
    n_cases, n_patients : int
        Cases with an image vector that were drawn, and their patients (or groups).
    """

    split: str
    fingerprint: str
    seed: int
    directions: dict[str, Direction]
    not_assessable: dict[str, str]
    n_cases: int
    n_patients: int
    _names: tuple[str, ...] = field(default=WAYS, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Every figure under a name; what could not be assessed says why and has no figure."""
        ways: dict[str, Any] = {}
        nulls: dict[str, Any] = {}
        for name in self._names:
            if name in self.directions:
                ways[name] = self.directions[name].scores.to_json()
                nulls[name] = self.directions[name].nulls_json()
            else:
                ways[name] = {"not_assessable": self.not_assessable[name]}
        return {
            **ways,
            "nulls": nulls,
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
        Whose cases ask and are searched.
    fingerprint : str, optional
        Model; by default that of the library's active one (:func:`find_fingerprint`).
    pool : int, optional
        Draw that many cases, patient by patient; all without it.
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
    LibraryError, FingerprintError
        Where the split is empty or smaller than the pool, or has no vectors of the model.
    """
    if fingerprint is None:
        fingerprint = find_fingerprint(library)
    directions: dict[str, Direction] = {}
    missing: dict[str, str] = {}
    by_image = gather(library, fingerprint, split=split, with_notes=False)
    if len(by_image) < 2 or len(set(by_image.owners.tolist())) < 2:
        raise LibraryError(
            f"the split {split!r} holds vectors of {len(by_image)} case(s) "
            f"of {len(set(by_image.owners.tolist()))} patient(s)",
            hint="a retrieval needs at least two patients",
        )
    paired = _with_notes(library, fingerprint, split, pool, seed)
    if pool is not None:
        # Without any notes the pool is one of images; else it is the pool of pairs for all ways.
        by_image = paired or gather(
            library, fingerprint, split=split, with_notes=False, pool=pool, seed=seed
        )
    common: dict[str, Any] = {"repetitions": repetitions, "shuffles": shuffles, "seed": seed}
    steps: dict[str, Callable[[], Direction]] = {
        "image_to_image": lambda: image_to_image(by_image, side=True, **common),
        "image_to_image_by_finding": lambda: image_to_image(by_image, side=False, **common),
    }
    if paired is None:
        reason = f"no case of the split {split!r} has a note vector of this model"
        missing |= {"text_to_image": reason, "image_to_text": reason}
    else:
        both = paired
        steps = {
            "text_to_image": lambda: text_to_image(both, **common),
            "image_to_text": lambda: image_to_text(both, **common),
            **steps,
        }
    for done, (name, step) in enumerate(steps.items()):
        if progress:
            progress(done, len(steps))
        try:
            directions[name] = step()
        except InputError as error:
            missing[name] = str(error)
    if not directions:
        raise LibraryError(
            f"nothing can be assessed in the split {split!r}: {next(iter(missing.values()))}"
        )
    if progress:
        progress(len(steps), len(steps))
    return LibraryScores(
        split=split,
        fingerprint=fingerprint,
        seed=seed,
        directions=directions,
        not_assessable=missing,
        n_cases=len(by_image),
        n_patients=len(set(by_image.owners.tolist())),
    )


def _with_notes(
    library: CaseLibrary, fingerprint: str, split: str, pool: int | None, seed: int
) -> GatheredCases | None:
    noted = set(library.vectors(fingerprint, "note")[0])
    if not noted & set(library.split(split)) & set(library.vectors(fingerprint, "image")[0]):
        return None
    return gather(library, fingerprint, split=split, pool=pool, seed=seed)


def find_fingerprint(library: CaseLibrary, model: str | None = None) -> str:
    """Give the fingerprint of a model by name, without loading it.

    Parameters
    ----------
    library : CaseLibrary
    model : str, optional
        Name of a model of the library, its folder, or a fingerprint (its first characters do);
        by default the library's active model, or the only one that left vectors.

    Raises
    ------
    FingerprintError, ModelError
        Where nothing or several things answer to it.
    """
    known = sorted({space.fingerprint for space in library.embedding_sets() if space.n_vectors})
    if not known:
        raise FingerprintError("this library has no vectors", hint="run: medembed embed LIBRARY")
    name = model or library.active_model
    if name is None:
        if len(known) == 1:
            return known[0]
        raise FingerprintError(
            f"vectors of {len(known)} models and none is the active one", hint="name it by --model"
        )
    from pathlib import Path

    for folder in (library.path / "models" / name, Path(name)):
        if folder.is_dir():
            return _stated_fingerprint(folder)
    alike = [fingerprint for fingerprint in known if fingerprint.startswith(name)]
    if len(alike) == 1:
        return alike[0]
    raise ModelError(
        f"no model of this library is called {name!r}", hint="see: medembed show LIBRARY"
    )


def _stated_fingerprint(folder: Path) -> str:
    path = folder / "model.json"
    try:
        stated = json.loads(path.read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, ValueError, AttributeError):
        stated = None
    if not isinstance(stated, str) or not stated:
        raise ModelError("a model that does not state its fingerprint", where=folder.name)
    return stated
