"""Read hits (a run) and relevance (qrels) from TREC files, csv and parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import UNKNOWN, group_labels
from evaluation.tables import TABLE_SUFFIXES, column_numbers, read_table
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Judgments", "read_qrels", "read_run"]

_RUN = ("query", "Q0", "case", "rank", "score", "tag")
_QRELS = ("query", "Q0", "case", "grade")


@dataclass(frozen=True)
class Judgments:
    """A number for pairs of a query and a case: the score of a hit, or the grade of its relevance.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    query, case : str arrays of shape (n,)
        No pair twice, none empty.
    value : float64 array of shape (n,)
        Finite.
    row : int array of shape (n,)
        Line of a TREC file; row of a table, whose header is row 1.
    patient, case_patient : str array of shape (n,) or None
        Patients of the query and of the case; empty if unknown.
    """

    name: str
    query: NDArray[np.str_]
    case: NDArray[np.str_]
    value: NDArray[np.float64]
    row: NDArray[np.int64]
    patient: NDArray[np.str_] | None = None
    case_patient: NDArray[np.str_] | None = None


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
        csv, tsv or parquet with the columns ``query``, ``case`` and ``grade`` (0 or above; 0 is not
        relevant), and where known ``patient`` and ``case_patient``; any other suffix: TREC qrels,
        ``query 0 case grade`` on each line.

    Raises
    ------
    InputError
        As for :func:`read_run`, and if a grade is below 0.
    """
    read = _read(Path(path), _QRELS, "grade", "judgments")
    if (read.value < 0).any():
        first = int(read.row[read.value < 0][0])
        raise InputError(
            f"a grade below 0 in row {first}", where=read.name, hint="0 is not relevant"
        )
    return read


def _read(path: Path, fields: Sequence[str], number: str, what: str) -> Judgments:
    if path.suffix.lower() in TABLE_SUFFIXES:
        table = read_table(path, ("query", "case", number))
        rows = np.arange(2, len(table) + 2)
    else:
        table, rows = _trec(path, fields)
    if not len(table):
        raise InputError(f"no {what}", where=path.name)
    known = [name for name in ("query", "case", "patient", "case_patient") if name in table]
    ids = {name: _ids(table[name]) for name in known}
    values = column_numbers(table[number])
    return _checked(Judgments(path.name, value=values, row=rows, **ids), number)


def _trec(path: Path, fields: Sequence[str]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    import pandas as pd  # slow to import

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot be read ({why})", where=path.name) from None
    kept, rows = [], []
    for row, line in enumerate(lines, 1):
        cells = line.split()
        if cells and len(cells) != len(fields):
            raise InputError(
                f"line {row} has {len(cells)} fields instead of {len(fields)}",
                where=path.name,
                hint=f"a line is: {' '.join(fields)}; other formats are .csv, .tsv and .parquet",
            )
        if cells:
            kept.append(cells)
            rows.append(row)
    return pd.DataFrame(kept, columns=list(fields)), np.array(rows, dtype=np.int64)


def _ids(column: Any) -> NDArray[np.str_]:
    """Ids as text, missing ones empty."""
    labels = group_labels(column.to_numpy(dtype=object))
    return np.where(labels == UNKNOWN, "", labels)


def _checked(read: Judgments, number: str) -> Judgments:
    pairs = np.stack([read.query, read.case], axis=1)
    first = np.zeros(len(pairs), dtype=np.bool_)
    first[np.unique(pairs, axis=0, return_index=True)[1]] = True
    for wrong, what, hint in (
        ((read.query == "") | (read.case == ""), "without a query or a case", ""),
        (~np.isfinite(read.value), f"with a {number} that is not a finite number", ""),
        (~first, "with a pair of query and case that was there before", "keep one of each"),
    ):
        if wrong.any():
            raise InputError(
                f"rows {what}: {int(wrong.sum())}, the first is row {int(read.row[wrong][0])}",
                where=read.name,
                hint=hint,
            )
    return read
