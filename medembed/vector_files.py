"""Read vectors and their case ids from ``.npy`` and ``.parquet`` files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import InputError
from medembed.unit_vectors import unit_rows

__all__ = ["ID_COLUMN", "read_vector", "read_vectors", "vector_suffix"]

ID_COLUMN = "case_id"
"""Column of the case ids."""

_SUFFIXES = (".npy", ".parquet")

Rows = npt.NDArray[np.float32]


def read_vectors(
    path: str | Path, ids: str | Path | None = None
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Read case ids and unit vectors ``(n, d)`` from a ``.npy`` or ``.parquet`` file.

    Raises
    ------
    InputError
        If the file cannot be read, an id is empty or repeated, or a row is not finite or all zeros.
    """
    path = Path(path)
    suffix = vector_suffix(path)
    if not path.is_file():
        raise InputError("no such file", where=path.name)
    if suffix == ".parquet":
        if ids is not None:
            raise InputError("goes with a .npy file only", where="--ids")
        case_ids, rows = _read_parquet(path)
    else:
        rows = _read_npy(path)
        beside = _ids_beside(path) if ids is None else Path(ids)
        case_ids = _read_ids(beside)
        if rows.ndim == 2 and len(case_ids) != len(rows):
            raise InputError(
                f"{counted(len(case_ids), 'case id')} in {beside.name}, "
                f"but {counted(len(rows), 'vector')}",
                where=path.name,
            )
    if rows.ndim != 2 or not rows.size:
        raise InputError(
            f"holds an array of shape {rows.shape}; a table (cases, dimensions) is needed",
            where=path.name,
        )
    empty = sum(not case_id for case_id in case_ids)
    repeated = len(case_ids) - len(set(case_ids))
    if empty or repeated:
        what = "have no case id" if empty else "repeat the case id of another row"
        many = counted(len(case_ids), "row")
        raise InputError(f"{empty or repeated} of {many} {what}", where=path.name)
    return case_ids, _unit(rows, path.name)


def read_vector(path: str | Path) -> npt.NDArray[np.float64]:
    """Read one vector ``(d,)`` from a ``.npy`` file of shape ``(d,)`` or ``(1, d)``.

    Raises
    ------
    InputError
        If the file cannot be read or holds another shape.
    """
    path = Path(path)
    if path.suffix.lower() != ".npy" or not path.is_file():
        raise InputError("no such .npy file", where=path.name)
    rows = _read_npy(path)
    if rows.ndim == 2 and len(rows) == 1:
        rows = rows[0]
    if rows.ndim != 1:
        raise InputError(f"holds an array of shape {rows.shape}, not one vector", where=path.name)
    return rows.astype(np.float64)


def _unit(rows: npt.NDArray[Any], where: str) -> Rows:
    try:
        return unit_rows(rows)
    except InputError as error:
        finite = np.isfinite(rows).all(axis=1)
        wrong = int((~finite).sum()) or int((~rows[finite].any(axis=1)).sum())
        count = f" ({wrong} of {counted(len(rows), 'row')})"
        raise InputError(
            f"{error.what}{count}", where=where, hint="leave out the rows of failed cases"
        ) from None


def vector_suffix(path: Path) -> str:
    """Return ``".npy"`` or ``".parquet"``; InputError for another ending."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError("the file must be .npy or .parquet", where=path.name)
    return suffix


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError):
        raise InputError("cannot be read as a .npy array of numbers", where=path.name) from None
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind not in "fiu":
        raise InputError("does not hold an array of real numbers", where=path.name)
    return loaded


def _ids_beside(path: Path) -> Path:
    for suffix in (".csv", ".txt"):
        if (beside := path.with_suffix(suffix)).is_file():
            return beside
    raise InputError(
        f"its case ids are missing: no {path.stem}.csv or {path.stem}.txt beside it",
        where=path.name,
        hint="or name their file with --ids",
    )


def _read_ids(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", where=path.name) from None
    except (OSError, UnicodeDecodeError):
        raise InputError("cannot be read as UTF-8 text", where=path.name) from None
    if path.suffix.lower() == ".txt":
        return [line.strip() for line in text.splitlines()]
    try:
        records = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error:
        raise InputError("cannot be read as a csv table", where=path.name) from None
    if not records or ID_COLUMN not in records[0]:
        raise InputError(f"has no column {ID_COLUMN}", where=path.name)
    return [(record[ID_COLUMN] or "").strip() for record in records]


def _read_parquet(path: Path) -> tuple[list[str], npt.NDArray[Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError):
        raise InputError("cannot be read as a parquet table", where=path.name) from None
    if table.column_names.count(ID_COLUMN) != 1:
        raise InputError(f"needs one column {ID_COLUMN}", where=path.name)
    case_ids = ["" if i is None else str(i).strip() for i in table.column(ID_COLUMN).to_pylist()]
    others = [name for name in table.column_names if name != ID_COLUMN]
    lists = [name for name in others if _is_list(table.schema.field(name).type)]
    numbers = [name for name in others if _is_number(table.schema.field(name).type)]
    if len(lists) == 1:
        return case_ids, _from_lists(table.column(lists[0]), path.name)
    if lists or not numbers or len(numbers) != len(others):
        raise InputError(
            f"needs besides {ID_COLUMN} one column of lists, or numeric columns only",
            where=path.name,
        )
    columns = [table.column(name).to_numpy() for name in numbers]
    return case_ids, np.stack([np.asarray(c, np.float64) for c in columns], axis=1)


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return _is_number(kind.value_type)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_floating(kind) or types.is_integer(kind))


def _from_lists(column: Any, where: str) -> npt.NDArray[Any]:
    from pyarrow import compute

    lengths = set(compute.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths:
        raise InputError("its vectors differ in length, or some are empty", where=where)
    flat = np.asarray(compute.list_flatten(column).to_numpy(zero_copy_only=False))
    return flat.reshape(len(column), lengths.pop())
