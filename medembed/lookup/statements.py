"""The noun :class:`Statements`: what each case states, as columns beside the index."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from medembed.columns import CaseFilter
from medembed.columns.column import Coded, Column
from medembed.library.statements import is_body_part, note_assertions
from medembed.lookup.agreement import (
    DEGREES,
    NO_REPORT,
    STATEMENT_BITS,
    age_agreement,
    degree_factors,
    finding_table,
)
from medembed.lookup.note_words import name_ranks
from medembed.lookup.terms import QueryTerms, Term, TermKind
from medembed.notes import Assertion, Side, Status, current_label
from medembed.notes.degrees import degree_of

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["Statements"]

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]

_FIELDS = {TermKind.SEX: "sex", TermKind.MODALITY: "modality", TermKind.VIEW: "view"}

_ATTRIBUTE_WEIGHT = 0.5
"""Of a modality, view, body part, sex or age beside a finding, which has weight 1."""


class Statements:
    """What the library states about the cases of an index; valid for one revision of it.

    Parameters
    ----------
    library : CaseLibrary
    case_ids : sequence of str
        Of the index, in its order.
    recorded : bool
        Whether a case's recorded findings count beside those that its report states.
    """

    def __init__(
        self, library: CaseLibrary, case_ids: Sequence[str], *, recorded: bool = True
    ) -> None:
        self._library = library
        self._case_ids = tuple(case_ids)
        self._recorded = recorded
        self._columns, self._places = CaseFilter.of(library).placed(self._case_ids)
        self._ages: Floats = self._of_cases(self._columns.ages, np.nan).astype(np.float32)
        is_read = self._columns.is_read
        if recorded:
            is_read = is_read | self._columns.findings.having(lambda _: True)
        states_something = self._of_cases(is_read, False)
        self._silent: Bits = np.where(states_something, 0, NO_REPORT).astype(np.uint8)
        self._order: npt.NDArray[np.intp] | None = None
        self._bits: dict[str, Bits | None] = {}
        self._degrees: dict[str, Bits] = {}
        self._lock = threading.Lock()

    def _of_cases(self, column: npt.NDArray[Any], missing: object) -> npt.NDArray[Any]:
        """Return a column of the library for the cases of the index."""
        return np.append(column, np.asarray(missing, column.dtype))[self._places]

    def _stated(self, label: str) -> Bits | None:
        """Return what each case states about a finding; None if no case states anything."""
        with self._lock:
            if label not in self._bits:
                self._bits[label] = self._read_bits(label)
            return self._bits[label]

    def _read_bits(self, label: str) -> Bits | None:
        columns, is_stated = self._columns, False
        bits = np.zeros(len(columns), np.uint8)
        for code, (name, status, side) in enumerate(columns.statements.values):
            if name == label:
                bits[columns.statements.of_code(code)] |= STATEMENT_BITS[status, side]
                is_stated = True
        for code, (name, side) in enumerate(columns.findings.values if self._recorded else ()):
            if current_label(name) == label:
                bits[columns.findings.of_code(code)] |= STATEMENT_BITS["present", side]
                is_stated = True
        return self._of_cases(bits, 0) if is_stated else None

    @property
    def n_silent(self) -> int:
        """Number of cases about whose findings nothing is known: no report that could be read."""
        return int(np.count_nonzero(self._silent))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._case_ids)}

    def row(self, case_id: str) -> int:
        """Return the row of a case."""
        return self._row_of[case_id]

    @property
    def rank(self) -> npt.NDArray[np.intp]:
        """Position of each case id among the sorted ids: the order of equal scores."""
        if self._order is None:
            self._order = name_ranks(self._case_ids)
        return self._order

    def agreement(self, terms: Sequence[Term]) -> Floats:
        """Return the mean agreement of each case with the terms, -1 to 1, shape ``(n,)``.

        A finding has weight 1, an attribute 0.5. An attribute on which the cases do not differ
        has none.
        """
        total = np.zeros(len(self._case_ids), dtype=np.float32)
        weights = 0.0
        for term in terms:
            weight = 1.0 if term.kind is TermKind.FINDING else _ATTRIBUTE_WEIGHT
            one = self.agreement_with(term)
            if term.kind is not TermKind.FINDING and (not one.size or one.min() == one.max()):
                continue
            total += np.float32(weight) * one
            weights += weight
        return total / np.float32(weights) if weights else total

    def contradicts(self, terms: Sequence[Term]) -> npt.NDArray[np.bool_]:
        """Return whether each case states the opposite of any term, shape ``(n,)``.

        Not whether it states a finding on the other side: see :meth:`is_elsewhere`.
        """
        opposed = np.zeros(len(self._case_ids), dtype=bool)
        for term in terms:
            one = self.agreement_with(term)
            if term.kind is TermKind.FINDING or (one.size and one.min() != one.max()):
                opposed |= one <= -1
        return opposed

    def is_elsewhere(self, term: Term) -> npt.NDArray[np.bool_]:
        """Return whether each case states a finding only on the other side, shape ``(n,)``."""
        if term.kind is not TermKind.FINDING or not term.side or term.status != "present":
            return np.zeros(len(self._case_ids), dtype=bool)
        anywhere = self.agreement_with(replace(term, side="", degree=""))
        return (self.agreement_with(term) < 0) & (anywhere > 0)

    def opposed(self, terms: QueryTerms) -> list[tuple[npt.NDArray[np.bool_], tuple[str, ...]]]:
        """Return cases with the words of a query that count nothing for them.

        No word does for a case that contradicts a term. For one that states a finding on the other
        side only, the words of that finding do not.
        """
        return [
            (self.contradicts(terms.terms), terms.words),
            *((self.is_elsewhere(term), words) for term, words in terms.sided),
        ]

    def has_any(self, term: Term) -> bool:
        """Return whether any case agrees with a term."""
        return bool((self.agreement_with(term) > 0).any())

    def agreement_with(self, term: Term) -> Floats:
        """Return the agreement of each case with one term, -1 to 1, shape ``(n,)``."""
        if term.kind is TermKind.AGE and term.years is not None:
            return age_agreement(self._ages, term.years)
        if term.kind is not TermKind.FINDING:
            return self._attribute_agreement(term)
        stated = self._stated(term.value)
        bits = self._silent if stated is None else stated | self._silent
        agreement: Floats = finding_table(term)[bits]
        if term.degree and term.status != "absent" and stated is not None:
            factors = degree_factors(term.degree)[self._degrees_of(term.value, stated)]
            agreement = np.where(agreement > 0, agreement * factors, agreement)
        return agreement

    def _attribute_agreement(self, term: Term) -> Floats:
        """Return 1 where a case has what the term names, -1 where it has something else."""
        wanted = {code.casefold() for code in term.codes}
        found = np.zeros(len(self._columns), np.float32)
        for column in self._columns_of(term.kind):
            if not isinstance(column, Coded):
                continue
            table = [
                0.0 if (value or "unknown").casefold() == "unknown" else 1.0 if one else -1.0
                for value in column.values
                for one in (value is not None and value.casefold() in wanted,)
            ]
            has = column.where(lambda value: value is not None)
            found = np.where(has, np.array(table, np.float32)[column.codes], found)
        agreement: Floats = self._of_cases(found.astype(np.float32), 0)
        return agreement

    def _columns_of(self, kind: TermKind) -> list[Column]:
        """Return the columns that may tell; of two that do, the later one counts."""
        if kind is TermKind.BODY_PART:
            named = self._columns.attributes
            return [named[name] for name in sorted(named) if is_body_part(name)]
        return [self._columns.fields[_FIELDS[kind]]]

    def _degrees_of(self, label: str, stated: Bits) -> Bits:
        """Return the place in DEGREES that each report gives a finding; read on first use."""
        with self._lock:
            found = self._degrees.get(label)
            if found is None:
                found = self._degrees[label] = self._read_degrees(label, stated)
            return found

    def _read_degrees(self, label: str, bits: Bits) -> Bits:
        degrees = np.zeros(len(self._case_ids), dtype=np.uint8)
        rows = np.flatnonzero(bits)
        ids = [self._case_ids[int(row)] for row in rows]
        for case_id, text, assertions in note_assertions(self._library, ids):
            for name, status, side, start, end, historical in assertions:
                if name == label and status != "absent" and not historical:
                    stated = Assertion(
                        label,
                        cast(Status, status),
                        cast(Side, side),
                        start,
                        end,
                    )
                    place = DEGREES.index(degree_of(text, stated))
                    row = self._row_of[case_id]
                    degrees[row] = max(int(degrees[row]), place)
        return degrees
