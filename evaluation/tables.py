"""Read a csv or parquet table; cells of text files stay as written until they are numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.labels import UNKNOWN, group_labels
from medembed.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLE_SUFFIXES", "column_numbers", "read_table"]

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_SEPARATORS = (",", ";", "\t")
_TRUTH = {"true": 1.0, "false": 0.0}


def read_table(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table from a csv, tsv or parquet file.

    Parameters
    ----------
    path : str or Path
        Text files are UTF-8, with a header, separated by comma, semicolon or tab; their cells are
        read as text, so that an id like ``007`` stays one.
    columns : sequence of str
        That have to be there.

    Raises
    ------
    InputError
        If the file is missing, of another kind, empty or unreadable, or has a column twice or not
        at all.
    """
    import pandas as pd  # slow to import

    file = Path(path)
    if file.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError("not a table", where=file.name, hint="give a .csv, .tsv or .parquet file")
    kind = file.suffix.lower().removeprefix(".")
    try:
        read = pd.read_parquet if kind == "parquet" else _read_text
        table = read(file)
    except FileNotFoundError:
        raise InputError("no such file", where=file.name) from None
    except OSError as error:
        why = error.strerror or "not a parquet file"
        raise InputError(f"cannot be read ({why})", where=file.name) from None
    except (ValueError, pd.errors.ParserWarning):  # among them parser errors and not UTF-8
        text = "rows with as many cells as the header, UTF-8 text"
        raise InputError(
            f"cannot be read as {kind}", where=file.name, hint="" if kind == "parquet" else text
        ) from None
    table.columns = [str(name).strip() for name in table.columns]
    names = list(table.columns)
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"columns named twice: {', '.join(doubled)}", where=file.name)
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(
            f"columns missing: {', '.join(missing)}", where=file.name, hint="see its header"
        )
    return table


def column_numbers(column: Any) -> NDArray[np.float64]:
    """Numbers of a pandas column of numbers, truth values or text, as float64 of shape (n,).

    NaN for missing values, infinity for a text that is no number.
    """
    import pandas as pd

    if column.dtype.kind in "biuf":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    text = group_labels(column.to_numpy(dtype=object))
    plain = pd.Series(text).str.lower().map(_TRUTH)
    numbers = pd.to_numeric(pd.Series(text), errors="coerce").fillna(plain)
    values = np.array(numbers, dtype=np.float64)
    values[np.isnan(values) & (text != UNKNOWN)] = np.inf
    return values


def _read_text(file: Path) -> pd.DataFrame:
    import pandas as pd

    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline()
    separator = max(_SEPARATORS, key=header.count)
    if not header.strip():
        raise ValueError("no header")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        cells = pd.read_csv(
            file, sep=separator, header=None, dtype=str, keep_default_na=False,
            encoding="utf-8-sig", skipinitialspace=True,
        )  # fmt: skip
    table = cells.iloc[1:].reset_index(drop=True)
    table.columns = cells.iloc[0].astype(str)
    return table
