"""Detection of cells corrupted by a spreadsheet or decoder; parquet cells as text."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from medembed.sources.table_text import BAD_BYTE

__all__ = ["cell_fault", "plain_text"]

_ERRORS = {
    "#n/a", "#ref!", "#value!", "#name?", "#div/0!", "#null!", "#num!", "#spill!", "#calc!",
    "#nv", "#bezug!", "#wert!", "#zahl!",
}  # fmt: skip
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?e\+\d+", re.IGNORECASE | re.ASCII)
_EXACT = 2**53


def cell_fault(cells: Mapping[str, str], ids: Collection[str]) -> str:
    """Describe what is wrong with a row's cells; empty if nothing is.

    Parameters
    ----------
    cells : mapping of str to str
        Known and kept cells by column.
    ids : collection of str
        Columns that hold identifiers.
    """
    for name, cell in cells.items():
        if BAD_BYTE in cell:
            return f"column {name} has a byte that is not valid in the file's encoding"
        if "\x00" in cell:
            return f"column {name} has a zero byte"
        if cell[:1] == "#" and cell.strip().lower() in _ERRORS:
            return f"column {name} has a spreadsheet error value"
        if name in ids and any(unicodedata.category(c) == "Cf" for c in cell):
            return f"column {name} has an invisible character"
        if name in ids and _SCIENTIFIC.fullmatch(cell.strip()):
            return (
                f"column {name} has a number in scientific notation, which has lost digits; "
                "format the column as text in the spreadsheet"
            )
    return ""


def plain_text(value: object, is_id: bool) -> tuple[str, str]:
    """Convert a parquet cell to the text that csv would have.

    Parameters
    ----------
    value : object
        As returned by pyarrow.
    is_id : bool
        Whether its column holds identifiers.

    Returns
    -------
    text : str
    fault : str
        What is wrong with it; empty if nothing is.
    """
    if value is None or value != value:  # noqa: PLR0124  only NaN differs from itself
        return "", ""
    if isinstance(value, list):
        parts = [plain_text(part, is_id) for part in value]
        return ";".join(text for text, _ in parts), next((f for _, f in parts if f), "")
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8"), ""
        except UnicodeDecodeError:
            return "", "has bytes that are not UTF-8"
    if is_id and isinstance(value, bool | date | time | timedelta | dict):
        return "", "holds dates, durations, flags or structures, which cannot be identifiers"
    if is_id and isinstance(value, float) and abs(value) >= _EXACT:
        return "", "holds decimal numbers with too many digits, some of which are lost"
    if isinstance(value, datetime):
        return value.date().isoformat(), ""
    if isinstance(value, date):
        return value.isoformat(), ""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value)), ""
    return str(value), ""
