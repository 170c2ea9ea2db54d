"""Conditions on cases, as given to ``--where``, and their translation to SQL.

A condition is ``field operator value``; several are combined with AND. "unknown" is a value of
every text field (``sex!=F`` matches a case of unknown sex, ``race=unknown`` selects such cases).
An unknown age or date meets no comparison, not even ``!=``; use ``age=unknown`` or
``age!=unknown``. ``finding!=X`` matches every case without X. Text comparison ignores ASCII case.
Values are bound as parameters, never written into SQL.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from medembed.cases import Finding
from medembed.errors import ConditionError, InputError
from medembed.notes import canonical_label

__all__ = [
    "FIELDS",
    "Condition",
    "Where",
    "attribute_named",
    "compile_conditions",
    "parse_condition",
    "parse_where",
]

_TEXT_COLUMNS = {
    "case": "case_id",
    "patient": "patient_id",
    "group": "group_id",
    "split": "split",
    "sex": "sex",
    "modality": "modality",
    "view": "view",
    "kind": "kind",
    "race": "race",
    "site": "site",
    "scanner": "scanner",
}
_ORDERED_COLUMNS = {"age": "age_years", "date": "study_date"}

FIELDS: tuple[str, ...] = (*_TEXT_COLUMNS, *_ORDERED_COLUMNS, "finding", "note")
"""Fields that every library has; kept attributes add more."""

_SHAPE = re.compile(
    r"""^\s*(?P<field>[^<>=!~]+?)\s*
        (?P<op>>=|<=|!=|==|=|>|<|~|(?<=\s)not\s+in(?=\s)|(?<=\s)in(?=\s))
        \s*(?P<value>.*?)\s*$""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_ORDER = (">", ">=", "<", "<=")
_MOST_VALUES = 1000
_HELP = "for example sex=F, age>=60, view in PA,AP, finding=effusion:right, date>=2019-01-01"

Value: TypeAlias = str | float | None
Where: TypeAlias = "str | Condition | Iterable[str | Condition] | None"


@dataclass(frozen=True)
class Condition:
    """One parsed condition.

    Parameters
    ----------
    field : str
        One of :data:`FIELDS`, or the name of a kept attribute.
    op : {"=", "!=", "<", "<=", ">", ">=", "in", "not in", "~"}
    values : tuple of str or float or None
        One value, or the values of ``in``; None means an unknown age or date.
    """

    field: str
    op: str
    values: tuple[Value, ...]


def parse_condition(text: str) -> Condition:
    """Parse one condition.

    Raises
    ------
    ConditionError
        If it lacks a field, operator or value, or the value does not fit the field.

    Examples
    --------
    >>> parse_condition("age>=60")
    Condition(field='age', op='>=', values=(60.0,))
    >>> parse_condition("view in PA, AP").values
    ('PA', 'AP')
    """
    match = _SHAPE.match(text)
    if match is None or not match["value"] or "\x00" in text:
        raise ConditionError("a condition needs a field, an operator and a value", hint=_HELP)
    name = match["field"].strip()
    field = name.lower() if name.lower() in FIELDS else name
    op = " ".join(match["op"].lower().split()).replace("==", "=")
    raw = [match["value"]]
    if op in ("in", "not in"):
        raw = [part.strip() for part in match["value"].split(",")]
        if not all(raw) or len(raw) > _MOST_VALUES:
            raise ConditionError(
                f"{op!r} takes 1 to {_MOST_VALUES} values, separated by commas", where=_show(field)
            )
    if (op == "~") != (field == "note"):
        raise ConditionError(
            "'~' is for the field 'note', and 'note' takes only '~'", where=_show(field), hint=_HELP
        )
    if op in _ORDER and (field in _TEXT_COLUMNS or field == "finding"):
        raise ConditionError(
            f"{op!r} works only for age, date and numbers",
            where=_show(field),
            hint="use =, != or in",
        )
    return Condition(field, op, tuple(_value(field, op, part) for part in raw))


def _value(field: str, op: str, text: str) -> Value:
    if field == "age":
        if text.lower() == "unknown" and op not in _ORDER:
            return None
        if not re.fullmatch(r"\d{1,3}(\.\d*)?", text, re.ASCII):
            raise ConditionError("age must be a number of years", where=field, hint="age>=60")
        return float(text)
    if field == "date":
        if text.lower() == "unknown" and op not in _ORDER:
            return None
        try:
            if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
                raise ValueError
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise ConditionError(
                "write dates as year-month-day", where=field, hint="date>=2019-01-01"
            ) from None
    if field == "finding":
        try:
            finding = Finding.parse(text)
            return str(Finding(canonical_label(finding.label), finding.side))
        except InputError as error:
            raise ConditionError(error.what, where=field, hint="finding=effusion:right") from None
    if field == "note" and not re.search(r"\w", text):
        raise ConditionError("no word to search for", where=field)
    if field not in FIELDS and op in _ORDER:
        if not re.fullmatch(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", text, re.IGNORECASE | re.ASCII):
            raise ConditionError(f"{op!r} needs a number", where=_show(field))
        return float(text)
    return text


def parse_where(where: Where) -> tuple[Condition, ...]:
    """Parse one condition, several, or none."""
    if where is None:
        return ()
    parts: Sequence[str | Condition]
    parts = [where] if isinstance(where, (str, Condition)) else list(where)
    return tuple(parse_condition(part) if isinstance(part, str) else part for part in parts)


def compile_conditions(
    conditions: Sequence[Condition], attributes: Collection[str] = ()
) -> tuple[str, list[str | float]]:
    """Compile conditions to an SQL expression over ``cases AS c`` and its parameters.

    Parameters
    ----------
    conditions : sequence of Condition
    attributes : collection of str
        Names of the kept attributes.

    Raises
    ------
    ConditionError
        If a field is neither in :data:`FIELDS` nor in ``attributes``.
    """
    parts, params = ["1"], list[str | float]()
    for condition in conditions:
        sql, values = _compile(condition, attributes)
        parts.append(f"({sql})")
        params.extend(values)
    return " AND ".join(parts), params


def attribute_named(field: str, attributes: Collection[str]) -> str | None:
    """Return the kept attribute that a field names, in any case; None if there is none."""
    named = {name.lower(): name for name in attributes}
    return field if field in attributes else named.get(field.lower())


def _compile(condition: Condition, attributes: Collection[str]) -> tuple[str, list[str | float]]:
    field, op, values = condition.field, condition.op, condition.values
    negated = op in ("!=", "not in")
    if field in _TEXT_COLUMNS:
        column = f"coalesce(c.{_TEXT_COLUMNS[field]}, 'unknown') COLLATE NOCASE"
        return _among(column, [str(v) for v in values], negated)
    if field in _ORDERED_COLUMNS:
        return _ordered(f"c.{_ORDERED_COLUMNS[field]}", op, values, negated)
    if field == "finding":
        return _finding([Finding.parse(str(v)) for v in values], negated)
    if field == "note":
        words = re.findall(r"\w+", str(values[0]))
        query = " ".join(
            f'"{word}"' for word in words
        )  # quoted, so that no FTS5 operator takes effect
        return "c.id IN (SELECT rowid FROM note_words WHERE note_words MATCH ?)", [query]
    name = attribute_named(field, attributes)
    if name is None:
        fields = ", ".join((*FIELDS, *sorted(attributes)))
        raise ConditionError(f"unknown field {_show(field)}", hint=f"use one of: {fields}")
    value = "(SELECT a.value FROM attributes a WHERE a.case_row = c.id AND a.name = ?)"
    if op in _ORDER:
        number = float(str(values[0]))
        return f"coalesce(as_number({value}) {op} ?, 0)", [name, number]
    sql, params = _among(
        f"coalesce({value}, 'unknown') COLLATE NOCASE", [str(v) for v in values], negated
    )
    return sql, [name, *params]


def _among(column: str, values: list[str], negated: bool) -> tuple[str, list[str | float]]:
    marks = ", ".join("?" * len(values))
    return f"{column} {'NOT IN' if negated else 'IN'} ({marks})", list(values)


def _ordered(
    column: str, op: str, values: Sequence[Value], negated: bool
) -> tuple[str, list[str | float]]:
    if op in _ORDER:
        return f"coalesce({column} {op} ?, 0)", [v for v in values if v is not None]
    known = [v for v in values if v is not None]
    marks = ", ".join("?" * len(known))
    if negated:  # an unknown value meets no comparison, not even !=
        return f"{column} IS NOT NULL AND {column} NOT IN ({marks})", known
    unknown = f" OR {column} IS NULL" if None in values else ""
    return f"coalesce({column} IN ({marks}), 0){unknown}", known


def _finding(wanted: Sequence[Finding], negated: bool) -> tuple[str, list[str | float]]:
    clauses, params = [], list[str | float]()
    for finding in wanted:
        if finding.side:
            clauses.append("(f.label = ? AND f.side IN (?, 'bilateral'))")
            params.extend((finding.label, finding.side))
        else:
            clauses.append("f.label = ?")
            params.append(finding.label)
    inner = f"SELECT f.case_row FROM findings f WHERE {' OR '.join(clauses)}"  # noqa: S608  marks only
    return f"c.id {'NOT IN' if negated else 'IN'} ({inner})", params


def _show(field: str) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in field)
    return repr(plain if len(plain) <= 40 else plain[:37] + "...")
