"""The queries of a comparison: cases of the archive, by image, by report and by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import LoadedCases, load_cases
from evaluation.retrieval.zero_shot import finding_phrase
from medembed.errors import FingerprintError, LibraryError, MedEmbedError

if TYPE_CHECKING:
    from medembed.cases import Finding
    from medembed.library import CaseLibrary

__all__ = ["KINDS", "ComparedModel", "QueryVectors", "draw_queries", "load_both", "query_vectors"]

KINDS = ("image", "note", "words")

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ComparedModel:
    """One of two models.

    Parameters
    ----------
    name : str
    fingerprint : str
    encode : callable, optional
        From texts to unit vectors ``(n, d)``; None if the model itself is not at hand.
    trained_here : bool
        Whether it was, or may have been, trained on this library: then only cases held out of
        the training are queries.
    """

    name: str
    fingerprint: str
    encode: Callable[[list[str]], Floats] | None = None
    trained_here: bool = False


@dataclass(frozen=True)
class QueryVectors:
    """The queries of one kind under both models.

    Parameters
    ----------
    rows : int64 array of shape (n_queries,)
        The case of each, among those of the gallery.
    before, after : float32 arrays of shape (n_queries, d)
        Under the active model and the candidate, whose dimensions may differ.
    """

    rows: Rows
    before: Floats
    after: Floats


def load_both(
    library: CaseLibrary, active: ComparedModel, candidate: ComparedModel
) -> tuple[LoadedCases, Floats, dict[str, int]]:
    """Load the cases that have image vectors of both models.

    Returns
    -------
    cases : LoadedCases
        With the active model's image vectors.
    after : float32 array of shape (n_cases, d)
        The candidate's.
    coverage : dict
        ``both, only_active, only_candidate``: cases.

    Raises
    ------
    FingerprintError
        If one has no vectors here.
    """
    ids, vectors = library.vectors(candidate.fingerprint, "image")
    for model, there in ((active, True), (candidate, len(ids) > 0)):
        if not there or not library.vectors(model.fingerprint, "image")[0]:
            raise FingerprintError(
                "the library has no image vectors of this model",
                where=model.name,
                hint=f"run: medembed embed LIBRARY --model {model.name} --no-activate",
            )
    cases = load_cases(library, active.fingerprint, split="all", with_notes=False)
    place = {case_id: row for row, case_id in enumerate(ids)}
    kept = np.array([i for i, name in enumerate(cases.case_ids) if name in place], dtype=np.int64)
    if not len(kept):
        raise FingerprintError(
            "no case has image vectors of both models",
            where=candidate.name,
            hint=f"run: medembed embed LIBRARY --model {candidate.name} --no-activate",
        )
    coverage = {
        "both": len(kept),
        "only_active": len(cases) - len(kept),
        "only_candidate": len(ids) - len(kept),
    }
    cases = cases.take(kept)
    return cases, vectors[[place[name] for name in cases.case_ids]], coverage


def draw_queries(
    library: CaseLibrary, cases: LoadedCases, most: int, held_out: bool, seed: int
) -> Rows:
    """Draw at most so many cases as queries, patient by patient in an order drawn by ``seed``.

    With ``held_out`` only cases of the split ``test``.

    Raises
    ------
    LibraryError
        If there are none.
    """
    among = np.arange(len(cases), dtype=np.int64)
    if held_out:
        tested = set(library.split("test"))
        among = np.array([i for i in among if cases.case_ids[i] in tested], dtype=np.int64)
    if not len(among):
        raise LibraryError(
            "no case with vectors of both models was held out of the training",
            hint="embed the split test with both: medembed embed LIBRARY --model NAME",
        )
    owners, place = np.unique(cases.owners[among], return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(owners))[place]
    drawn = among[np.argsort(order, kind="stable")][:most]
    return np.sort(drawn)


def query_vectors(
    kind: str,
    library: CaseLibrary,
    cases: LoadedCases,
    after: Floats,
    rows: Rows,
    models: tuple[ComparedModel, ComparedModel],
) -> QueryVectors | str:
    """Return the queries of a kind, or why there are none."""
    if kind == "image":
        return QueryVectors(rows, cases.images[rows], after[rows])
    if kind == "note":
        return _notes(library, cases, rows, models)
    return _words(cases, rows, models)


def _notes(
    library: CaseLibrary,
    cases: LoadedCases,
    rows: Rows,
    models: tuple[ComparedModel, ComparedModel],
) -> QueryVectors | str:
    found = [library.vectors(model.fingerprint, "note") for model in models]
    places = [{case_id: row for row, case_id in enumerate(ids)} for ids, _ in found]
    kept = [r for r in rows.tolist() if all(cases.case_ids[r] in place for place in places)]
    if not kept:
        return "no query has a report with vectors of both models"
    before, then = (
        vectors[[place[cases.case_ids[row]] for row in kept]]
        for (_, vectors), place in zip(found, places, strict=True)
    )
    return QueryVectors(np.array(kept, dtype=np.int64), before, then)


def _words(
    cases: LoadedCases, rows: Rows, models: tuple[ComparedModel, ComparedModel]
) -> QueryVectors | str:
    kept = [row for row in rows.tolist() if cases.findings[row]]
    if not kept:
        return "no query has findings"
    phrases = [_phrase(cases.findings[row]) for row in kept]
    distinct = sorted(set(phrases))
    at = [distinct.index(phrase) for phrase in phrases]
    encoded: list[Floats] = []
    for model in models:
        if model.encode is None:
            return f"the library has no encoder of {model.name}, only its vectors"
        try:
            encoded.append(model.encode(distinct))
        except MedEmbedError as error:
            return f"{model.name} encodes no text: {error.what}"
    return QueryVectors(np.array(kept, dtype=np.int64), encoded[0][at], encoded[1][at])


def _phrase(findings: Sequence[Finding]) -> str:
    """The findings as a reader would type them: ``"left pleural effusion, cardiomegaly"``."""
    return ", ".join(dict.fromkeys(finding_phrase(f.label, f.side) for f in findings))
