"""Evaluate the hits of any system: a run, with relevance from qrels or from a library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import GatheredCases, gather
from evaluation.retrieval.relevance import Listed
from evaluation.retrieval.run_files import Judgments
from evaluation.retrieval.score_rows import RankedLists
from evaluation.retrieval.scores import RetrievalScores, retrieval_scores
from evaluation.retrieval.tasks import Relevance, ranked_elsewhere
from medembed.errors import InputError

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["RunScores", "evaluate_run"]


class _Known(NamedTuple):
    """Where ids have to be, in words, and what to do about those that are not."""

    name: str
    hint: str = ""


_QRELS = _Known("the qrels")
_SPLIT = _Known("the split", "use the case ids of the library's split")
OwnPatient = Literal["excluded", "excluded_unless_relevant", "counted"]
Unit = Literal["library", "column", "query"]
Ids = NDArray[np.str_]


@dataclass(frozen=True)
class RunScores:
    """Result of :func:`evaluate_run`.

    Parameters
    ----------
    scores : dict of str to RetrievalScores
        ``qrels``; or ``own``; or ``finding`` (same side) and ``finding_either_side``.
    relevance : {"qrels", "own", "finding"}
    own_patient : {"excluded", "excluded_unless_relevant", "counted"}
        What became of hits of the query's own patient.
    patients : {"library", "column", "query"}
        What intervals resample: patients of the library or of a column, or single queries.
    n_hits, n_queries, n_without_hits : int
        Hits; queries that have to be answered; those of them without a hit, which count 0.
    seed : int
    """

    scores: dict[str, RetrievalScores]
    relevance: Literal["qrels", "own", "finding"]
    own_patient: OwnPatient
    patients: Unit
    n_hits: int
    n_queries: int
    n_without_hits: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Every figure under a name."""
        return {
            **{name: scores.to_json() for name, scores in self.scores.items()},
            "relevance": self.relevance,
            "own_patient": self.own_patient,
            "patients": self.patients,
            "n_hits": self.n_hits,
            "n_queries": self.n_queries,
            "n_without_hits": self.n_without_hits,
            "seed": self.seed,
        }


def evaluate_run(
    run: Judgments,
    qrels: Judgments | None = None,
    library: CaseLibrary | None = None,
    *,
    split: str = "test",
    relevant: Relevance = "finding",
    min_grade: float = 0.0,
    repetitions: int = 2000,
    seed: int = 0,
) -> RunScores:
    """Measure a run: with qrels, with a library, or with both.

    Parameters
    ----------
    run : Judgments
        Hits and their scores (:func:`evaluation.retrieval.run_files.read_run`).
    qrels : Judgments, optional
        Relevant cases and their grades (:func:`evaluation.retrieval.run_files.read_qrels`); their
        queries are those that have to be answered. Without a library the gallery is all cases that
        the run or the qrels name.
    library : CaseLibrary, optional
        Then queries and hits are its case ids, the gallery is the split and the patients are known.
        Without qrels every case of the split has to be answered, and relevance follows from the
        findings or notes by the rules of :mod:`evaluation.retrieval.tasks`.
    split : {"test", "val", "train", "all"}
        Of the library.
    relevant : {"finding", "own"}
        Without qrels: other patients' cases with the same finding, or the query's own case.
    min_grade : float
        Smallest grade of the qrels that counts as relevant; any above 0 by default.
    repetitions, seed : int

    Returns
    -------
    RunScores

    Raises
    ------
    InputError
        If there is neither a library nor qrels, the run has queries or cases that they do not
        have, or some queries have a patient and others have none.
    """
    cases = None if library is None else gather(library, None, split=split)
    common: dict[str, Any] = {"repetitions": repetitions, "seed": seed}
    if qrels is not None:
        return _against_qrels(run, qrels, cases, min_grade, **common)
    if cases is not None:
        return _within_library(run, cases, relevant, **common)
    raise InputError("a run without relevance", hint="give --qrels FILE or a LIBRARY")


def _within_library(
    run: Judgments, cases: GatheredCases, relevant: Relevance, *, repetitions: int, seed: int
) -> RunScores:
    ids = np.array(cases.case_ids)
    lists, counts = _ranked_lists(run, ids, ids, _SPLIT)
    names = {"own": True} if relevant == "own" else {"finding": True, "finding_either_side": False}
    scores = {
        name: ranked_elsewhere(
            cases, lists, relevant=relevant, side=side, repetitions=repetitions, seed=seed
        )
        for name, side in names.items()
    }
    return RunScores(scores, relevant, "excluded", "library", seed=seed, **counts)


def _against_qrels(
    run: Judgments,
    qrels: Judgments,
    cases: GatheredCases | None,
    min_grade: float,
    *,
    repetitions: int,
    seed: int,
) -> RunScores:
    queries = np.unique(qrels.query)
    items = np.union1d(run.case, qrels.case) if cases is None else np.array(cases.case_ids)
    lists, counts = _ranked_lists(run, queries, items, _QRELS)
    item_of = _places(qrels.case, items, _SPLIT, "cases", qrels, qrels.row)
    rows = _rows_by_query(np.searchsorted(queries, qrels.query), len(queries))
    relation = Listed(
        [item_of[row] for row in rows], len(items), [qrels.value[row] for row in rows]
    )
    owners: NDArray[Any] | None
    item_owners: NDArray[Any] | None
    if cases is not None:
        owners = cases.owners[_places(queries, items, _SPLIT, "queries", qrels, None)]
        item_owners = cases.owners
    else:
        owners = _patients([run, qrels], "query", queries)
        item_owners = None if owners is None else _patients([run, qrels], "case", items)
        if owners is not None and (owners == "").any():
            raise InputError(
                f"{int((owners == '').sum())} queries without a patient",
                hint="fill the column patient, or leave it out",
            )
    found = retrieval_scores(
        None, None, relation, owners, gallery_patients=item_owners, run=lists,
        min_grade=min_grade, repetitions=repetitions, seed=seed,
    )  # fmt: skip
    unit: Unit = "library" if cases is not None else "query" if owners is None else "column"
    own: OwnPatient = "counted" if item_owners is None else "excluded_unless_relevant"
    return RunScores({"qrels": found}, "qrels", own, unit, seed=seed, **counts)


def _ranked_lists(
    run: Judgments, queries: Ids, items: Ids, known: _Known
) -> tuple[RankedLists, dict[str, int]]:
    """Hits by query, and how many there are."""
    query_of = _places(run.query, queries, known, "queries", run, run.row)
    item_of = _places(run.case, items, _SPLIT, "cases", run, run.row)
    rows = _rows_by_query(query_of, len(queries))
    counts = {
        "n_hits": len(run.query),
        "n_queries": len(queries),
        "n_without_hits": sum(not len(row) for row in rows),
    }
    return RankedLists([(item_of[row], run.value[row]) for row in rows], len(items)), counts


def _rows_by_query(query_of: NDArray[np.int64], n_queries: int) -> list[NDArray[np.int64]]:
    order = np.argsort(query_of, kind="stable")
    return np.split(order, np.searchsorted(query_of[order], np.arange(1, n_queries)))


def _places(
    ids: Ids, among: Ids, known: _Known, what: str, file: Judgments, rows: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Index of each id among those that are known; ``rows`` of the file name the first stranger."""
    order = np.argsort(among)
    found: NDArray[np.int64] = order[
        np.searchsorted(among, ids, sorter=order).clip(max=len(among) - 1)
    ]
    strange = among[found] != ids
    if strange.any():
        first = "" if rows is None else f", the first in row {rows[strange][0]}"
        raise InputError(
            f"{what} that are not in {known.name}: {len(np.unique(ids[strange]))}{first}",
            where=file.name,
            hint=known.hint,
        )
    return found


def _patients(files: list[Judgments], of: Literal["query", "case"], ids: Ids) -> Ids | None:
    """Patient of each query or case, empty if unknown; None if no file has the column."""
    patient_of: dict[str, str] = {}
    there = False
    for file in files:
        patients = file.patient if of == "query" else file.case_patient
        if patients is None:
            continue
        there = True
        named = file.query if of == "query" else file.case
        for name, patient in zip(named.tolist(), patients.tolist(), strict=True):
            if patient and patient_of.setdefault(name, patient) != patient:
                raise InputError(f"a {of} with two patients", where=file.name)
    if not there:
        return None
    return np.array([patient_of.get(name, "") for name in ids.tolist()], dtype=str)
