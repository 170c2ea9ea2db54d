"""Evaluate the hits of any system: a run, with relevance from qrels or from a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import UNKNOWN, group_labels
from evaluation.retrieval.load_cases import LoadedCases, load_cases
from evaluation.retrieval.relevance import Listed
from evaluation.retrieval.scores import RetrievalScores, retrieval_scores
from evaluation.retrieval.tasks import Relevance, pool_rules
from evaluation.tables import TABLE_SUFFIXES, column_numbers, read_table
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from medembed.library import CaseLibrary

__all__ = ["Judgments", "RunScores", "evaluate_run", "read_qrels", "read_run"]

_RUN = ("query", "Q0", "case", "rank", "score", "tag")
_QRELS = ("query", "Q0", "case", "grade")
_SPLIT = "the split"

OwnPatient = Literal["excluded", "excluded_unless_relevant", "counted"]
Unit = Literal["library", "column", "query"]


@dataclass(frozen=True)
class Judgments:
    """A number for pairs of a query and a case: the score of a hit, or the grade of its relevance.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    table : pandas.DataFrame
        Text: ``query`` and ``case`` (no pair twice, none empty), where known ``patient`` (of the
        query) and ``case_patient``, empty if unknown. Finite: ``value``. The index is the line of a
        TREC file, or the row of a table, whose header is row 1.
    """

    name: str
    table: pd.DataFrame


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
        """Every figure under a name, each relevance's scores at the top."""
        scores = {name: scores.to_json() for name, scores in self.scores.items()}
        return scores | {name: value for name, value in vars(self).items() if name != "scores"}


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
        Hits and their scores, from :func:`read_run`.
    qrels : Judgments, optional
        Relevant cases and their grades, from :func:`read_qrels`; their queries are those that have
        to be answered. Without a library the gallery is all cases that the run or the qrels name.
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

    Raises
    ------
    InputError
        If there is neither a library nor qrels, the run has queries or cases that they do not
        have, or some queries have a patient and others have none.
    """
    cases = None if library is None else load_cases(library, None, split=split)
    draws: dict[str, Any] = {"repetitions": repetitions, "seed": seed}
    if qrels is not None:
        return _against_qrels(run, qrels, cases, min_grade, draws)
    if cases is None:
        raise InputError("a run without relevance", hint="give --qrels FILE or a LIBRARY")
    hits = _by_query(run, cases.case_ids, cases.case_ids, _SPLIT)
    sides = {"own": True} if relevant == "own" else {"finding": True, "finding_either_side": False}
    scores: dict[str, RetrievalScores] = {}
    for name, side in sides.items():
        relation, left_out = pool_rules(cases, relevant, side)
        scores[name] = retrieval_scores(
            None, None, relation, cases.owners, excluded=left_out, run=hits, **draws
        )
    return RunScores(scores, relevant, "excluded", "library", *_counts(run, hits), seed)


def _against_qrels(
    run: Judgments,
    qrels: Judgments,
    cases: LoadedCases | None,
    min_grade: float,
    draws: dict[str, Any],
) -> RunScores:
    queries = sorted(set(qrels.table["query"]))
    named = {*run.table["case"], *qrels.table["case"]}
    items = sorted(named) if cases is None else cases.case_ids
    hits = _by_query(run, queries, items, "the qrels")
    graded = _by_query(qrels, queries, items, "the qrels")
    owners: NDArray[Any] | None
    item_owners: NDArray[Any] | None
    if cases is not None:
        _refuse_strangers(qrels, "query", items, _SPLIT)
        place = {name: at for at, name in enumerate(items)}
        owners, item_owners = cases.owners[[place[name] for name in queries]], cases.owners
    else:
        owners = _patients([run, qrels], "query", queries)
        item_owners = None if owners is None else _patients([run, qrels], "case", items)
        if owners is not None and (owners == "").any():
            raise InputError(
                f"{int((owners == '').sum())} queries without a patient",
                hint="fill the column patient, or leave it out",
            )
    relation = Listed([at for at, _ in graded], len(items), [grades for _, grades in graded])
    found = retrieval_scores(
        None, None, relation, owners,
        gallery_patients=item_owners, run=hits, min_grade=min_grade, **draws,
    )  # fmt: skip
    unit: Unit = "library" if cases is not None else "query" if owners is None else "column"
    own: OwnPatient = "counted" if item_owners is None else "excluded_unless_relevant"
    return RunScores({"qrels": found}, "qrels", own, unit, *_counts(run, hits), draws["seed"])


def _by_query(
    file: Judgments, queries: Sequence[str], items: Sequence[str], known: str
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """For each query, which ``known`` names, the places of its cases in items, and their values."""
    _refuse_strangers(file, "query", queries, known)
    _refuse_strangers(file, "case", items, _SPLIT)
    place = {name: at for at, name in enumerate(items)}
    places = np.array([place[name] for name in file.table["case"]], dtype=np.int64)
    values = file.table["value"].to_numpy(dtype=np.float64)
    rows = file.table.groupby("query").indices
    return [(places[at], values[at]) for at in (rows.get(query, []) for query in queries)]


def _counts(run: Judgments, hits: Sequence[tuple[Any, Any]]) -> tuple[int, int, int]:
    return len(run.table), len(hits), sum(not len(items) for items, _ in hits)


def _refuse_strangers(
    file: Judgments, column: Literal["query", "case"], among: Sequence[str], known: str
) -> None:
    ids = file.table[column]
    strange = ids[~ids.isin(among)]
    if len(strange):
        what = "queries" if column == "query" else "cases"
        raise InputError(
            f"{what} that are not in {known}: {strange.nunique()}, the first in row "
            f"{strange.index[0]}",
            where=file.name,
            hint="use the case ids of the library's split" if known == _SPLIT else "",
        )


def _patients(
    files: Sequence[Judgments], of: Literal["query", "case"], ids: Sequence[str]
) -> NDArray[np.str_] | None:
    """Patient of each query or case, empty if unknown; None if no file has the column."""
    column = "patient" if of == "query" else "case_patient"
    patient_of: dict[str, str] = {}
    there = [file for file in files if column in file.table]
    for file in there:
        for name, patient in zip(file.table[of], file.table[column], strict=True):
            if patient and patient_of.setdefault(name, patient) != patient:
                raise InputError(f"a {of} with two patients", where=file.name)
    return np.array([patient_of.get(name, "") for name in ids], dtype=str) if there else None


def read_run(path: str | Path) -> Judgments:
    """Read the hits of any system.

    Parameters
    ----------
    path : str or Path
        csv, tsv or parquet with the columns ``query``, ``case`` and ``score`` (higher is nearer),
        and where known ``patient`` (of the query) and ``case_patient``; any other suffix: a TREC
        run, ``query Q0 case rank score tag`` on each line. As in trec_eval, ranks are not read: the
        order is that of the scores.

    Raises
    ------
    InputError
        If the file is missing or empty, lacks a column, has a pair twice, an empty id, or a score
        that is not a finite number.
    """
    return _read(Path(path), _RUN, "score", "hits")


def read_qrels(path: str | Path) -> Judgments:
    """Read which cases are relevant to which queries, and how relevant.

    Parameters
    ----------
    path : str or Path
        As for :func:`read_run`, with ``grade`` instead of ``score`` (0 or above; 0 is not
        relevant); TREC qrels have ``query 0 case grade`` on each line.

    Raises
    ------
    InputError
        As for :func:`read_run`, and if a grade is below 0.
    """
    read = _read(Path(path), _QRELS, "grade", "judgments")
    below = read.table["value"] < 0
    if below.any():
        raise InputError(
            f"a grade below 0 in row {below.idxmax()}", where=read.name, hint="0 is not relevant"
        )
    return read


def _read(path: Path, fields: Sequence[str], number: str, what: str) -> Judgments:
    import pandas as pd  # slow to import

    if path.suffix.lower() in TABLE_SUFFIXES:
        given = read_table(path, ("query", "case", number))
        given.index = pd.RangeIndex(2, len(given) + 2)
    else:
        given = _trec(path, fields)
    if not len(given):
        raise InputError(f"no {what}", where=path.name)
    table = pd.DataFrame({"value": column_numbers(given[number])}, index=given.index)
    for name in ("query", "case", "patient", "case_patient"):
        if name in given:
            labels = group_labels(given[name].to_numpy(dtype=object))
            table[name] = np.where(labels == UNKNOWN, "", labels)
    for wrong, words, hint in (
        ((table["query"] == "") | (table["case"] == ""), "without a query or a case", ""),
        (~np.isfinite(table["value"]), f"with a {number} that is not a finite number", ""),
        (
            table.duplicated(["query", "case"]),
            "with a pair of query and case that was there before",
            "keep one of each",
        ),
    ):
        if wrong.any():
            raise InputError(
                f"rows {words}: {wrong.sum()}, the first is row {wrong.idxmax()}",
                where=path.name,
                hint=hint,
            )
    return Judgments(path.name, table)


def _trec(path: Path, fields: Sequence[str]) -> pd.DataFrame:
    """Read a table whose index is the line."""
    import pandas as pd  # slow to import

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot be read ({why})", where=path.name) from None
    cells = {row: line.split() for row, line in enumerate(lines, 1) if line.strip()}
    for row, found in cells.items():
        if len(found) != len(fields):
            raise InputError(
                f"line {row} has {len(found)} fields instead of {len(fields)}",
                where=path.name,
                hint=f"a line is: {' '.join(fields)}; other formats are .csv, .tsv and .parquet",
            )
    return pd.DataFrame(list(cells.values()), index=list(cells), columns=list(fields))
