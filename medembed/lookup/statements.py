"""The noun :class:`Statements`: what each case states, as columns beside the index."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from medembed.library.statements import note_assertions, read_statements
from medembed.lookup.agreement import (
    DEGREES,
    NO_REPORT,
    STATEMENT_BITS,
    age_agreement,
    degree_factors,
    finding_table,
)
from medembed.lookup.note_words import name_ranks
from medembed.lookup.terms import Term, TermKind
from medembed.notes import Assertion, Side, Status
from medembed.notes.degrees import degree_of

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["Statements"]

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]

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
        self._case_ids = case_ids
        self._row_of = {name: row for row, name in enumerate(case_ids)}
        n = len(case_ids)
        self._ages: Floats = np.full(n, np.nan, dtype=np.float32)
        texts: dict[TermKind, list[str]] = {
            kind: ["unknown"] * n
            for kind in (TermKind.SEX, TermKind.MODALITY, TermKind.VIEW, TermKind.BODY_PART)
        }
        bits: defaultdict[str, bytearray] = defaultdict(lambda: bytearray(n))
        states_something = np.zeros(n, dtype=bool)
        for case in read_statements(library):
            row = self._row_of.get(case.case_id)
            if row is None:
                continue
            states_something[row] = bool(case.assertions or (recorded and case.findings))
            if case.age_years is not None:
                self._ages[row] = case.age_years
            texts[TermKind.SEX][row] = case.sex
            texts[TermKind.MODALITY][row] = case.modality
            texts[TermKind.VIEW][row] = case.view
            texts[TermKind.BODY_PART][row] = case.body_part
            for label, status, side, _, _, historical in case.assertions or ():
                if not historical:
                    bits[label][row] |= STATEMENT_BITS[status, side]
            for label, side in case.findings if recorded else ():
                bits[label][row] |= STATEMENT_BITS["present", side]
        self._bits: dict[str, Bits] = {
            label: np.frombuffer(column, dtype=np.uint8) for label, column in bits.items()
        }
        self._silent: Bits = np.where(states_something, 0, NO_REPORT).astype(np.uint8)
        self._order: npt.NDArray[np.intp] | None = None
        self._codes = {kind: _coded(column) for kind, column in texts.items()}
        self._degrees: dict[str, Bits] = {}
        self._lock = threading.Lock()

    @property
    def n_silent(self) -> int:
        """Number of cases about whose findings nothing is known: no report that could be read."""
        return int(np.count_nonzero(self._silent))

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

        A finding on the other side only is the opposite of one on a side.
        """
        opposed = np.zeros(len(self._case_ids), dtype=bool)
        for term in terms:
            one = self.agreement_with(term)
            if term.kind is TermKind.FINDING or (one.size and one.min() != one.max()):
                opposed |= one <= -1
            if term.kind is TermKind.FINDING and term.side and term.status == "present":
                elsewhere = self.agreement_with(replace(term, side="", degree=""))
                opposed |= (one < 0) & (elsewhere > 0)
        return opposed

    def has_any(self, term: Term) -> bool:
        """Return whether any case agrees with a term."""
        return bool((self.agreement_with(term) > 0).any())

    def agreement_with(self, term: Term) -> Floats:
        """Return the agreement of each case with one term, -1 to 1, shape ``(n,)``."""
        if term.kind is TermKind.AGE and term.years is not None:
            return age_agreement(self._ages, term.years)
        if term.kind is not TermKind.FINDING:
            codes, names = self._codes[term.kind]
            wanted = [code.casefold() for code in term.codes]
            values = [
                0.0 if name == "unknown" else 1.0 if name in wanted else -1.0 for name in names
            ]
            return np.array(values, dtype=np.float32)[codes]
        stated = self._bits.get(term.value)
        bits = self._silent if stated is None else stated | self._silent
        agreement: Floats = finding_table(term)[bits]
        if term.degree and term.status != "absent" and stated is not None:
            factors = degree_factors(term.degree)[self._degrees_of(term.value)]
            agreement = np.where(agreement > 0, agreement * factors, agreement)
        return agreement

    def _degrees_of(self, label: str) -> Bits:
        """Return the place in DEGREES that each report gives a finding; read on first use."""
        with self._lock:
            found = self._degrees.get(label)
            if found is None:
                found = self._degrees[label] = self._read_degrees(label)
            return found

    def _read_degrees(self, label: str) -> Bits:
        degrees = np.zeros(len(self._case_ids), dtype=np.uint8)
        rows = np.flatnonzero(self._bits[label])
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


def _coded(column: Sequence[str]) -> tuple[npt.NDArray[np.intp], list[str]]:
    """Number the values of a column, ignoring case."""
    numbers: dict[str, int] = {}
    codes = np.array(
        [numbers.setdefault(value.casefold(), len(numbers)) for value in column], dtype=np.intp
    )
    return codes, list(numbers)
