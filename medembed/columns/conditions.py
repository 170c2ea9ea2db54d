"""Which cases meet a condition, by their columns; the same as :mod:`medembed.library.filters`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import numpy as np

from medembed.cases import Finding
from medembed.columns.case_columns import IDENTIFIERS, TEXTS, CaseColumns
from medembed.columns.column import Coded, Column, Mask
from medembed.library import Condition
from medembed.library.database import as_number
from medembed.library.filters import attribute_named

__all__ = ["meeting"]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_EXACT = 2**53


def meeting(columns: CaseColumns, condition: Condition) -> Mask | None:
    """Return which cases meet a condition, shape ``(n,)``.

    Returns
    -------
    bool array or None
        None if the columns cannot tell, and ``library.sqlite`` must: words of a report, an order
        among texts of which only hashes are kept, a field that does not exist, odd values.
    """
    if condition.field == "age":
        return _age(columns, condition)
    if condition.field == "date":
        return _date(columns.fields["date"], condition)
    if condition.field == "finding":
        return _finding(columns, condition)
    if condition.field == "note":
        return None
    if condition.field in IDENTIFIERS or condition.field in TEXTS:
        return _text(columns.fields[condition.field], condition)
    name = attribute_named(condition.field, columns.attributes)
    return None if name is None else _text(columns.attributes[name], condition)


def _is_negated(condition: Condition) -> bool:
    return condition.op in ("!=", "not in")


def _text(column: Column, condition: Condition) -> Mask | None:
    if condition.op in _COMPARE:
        if not isinstance(column, Coded):
            return None
        compare, limit = _COMPARE[condition.op], float(str(condition.values[0]))

        def passes(value: str | None) -> bool:
            number = None if value is None else as_number(value)
            return number is not None and compare(number, limit)

        return column.where(passes)
    found = column.among([str(value) for value in condition.values])
    return ~found if _is_negated(condition) else found


def _age(columns: CaseColumns, condition: Condition) -> Mask | None:
    known = [value for value in condition.values if value is not None]
    # SQLite compares whole numbers exactly, and texts with numbers by rules of its own
    if not all(isinstance(v, int | float) and isfinite(v) and abs(v) < _EXACT for v in known):
        return None
    unknown = np.isnan(columns.ages)
    if condition.op in _COMPARE:
        if len(known) != 1 or len(condition.values) != 1:
            return None
        found: Mask = np.asarray(_COMPARE[condition.op](columns.ages, float(known[0])))
        return found
    found = np.isin(columns.ages, np.array(known, np.float64))
    if _is_negated(condition):
        return ~(found | unknown)
    return found | unknown if None in condition.values else found


def _date(column: Column, condition: Condition) -> Mask | None:
    known = [value for value in condition.values if value is not None]
    if not isinstance(column, Coded) or not all(isinstance(value, str) for value in known):
        return None
    if condition.op in _COMPARE:
        if len(known) != 1 or len(condition.values) != 1:
            return None
        compare, limit = _COMPARE[condition.op], known[0]
        return column.where(lambda value: value is not None and compare(value, limit))
    if _is_negated(condition):
        return column.where(lambda value: value is not None and value not in known)
    return column.where(lambda value: value in condition.values)


def _finding(columns: CaseColumns, condition: Condition) -> Mask:
    wanted = [Finding.parse(str(value)) for value in condition.values]

    def passes(thing: tuple[str, str]) -> bool:
        label, side = thing
        return any(
            label == one.label and (not one.side or side in (one.side, "bilateral"))
            for one in wanted
        )

    found = columns.findings.having(passes)
    return ~found if _is_negated(condition) else found
