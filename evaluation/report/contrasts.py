"""The comparisons of the table of outcomes; an attribute with two groups is one comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evaluation.labels import UNKNOWN
from evaluation.report.model import Report, Row
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, kind_of
from evaluation.report.texts import VERDICTS
from evaluation.stats.verdict import Verdict

__all__ = ["ESTABLISHED", "Compared", "compare", "louder_first"]

ESTABLISHED = frozenset({Verdict.EXCEEDS, Verdict.DIFFERS})
_ORDER: tuple[str, ...] = (
    Verdict.EXCEEDS, Verdict.DIFFERS, Verdict.INCONCLUSIVE, Verdict.WITHIN,
)  # fmt: skip
_MIRRORED = 1e-6
"""Two groups' gaps add up to less than this where each is the other's rest."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A row of the outcomes: of two groups, that of the one that does worse.

    ``twin`` is the row that says the same from the other group's side.
    """

    row: Row
    twin: Row | None
    names: Names

    def seen_from(self, group: str | None) -> Compared:
        """Turn it around if the other group is the one that is asked about."""
        if self.twin is None or group in {None, self.row.group}:
            return self
        return Compared(self.twin, self.row, self.names)

    @property
    def rows(self) -> list[Row]:
        """One row, or both of an attribute with two groups."""
        return [self.row] if self.twin is None else [self.row, self.twin]

    @property
    def group(self) -> str:
        """Name of the group."""
        return self.names.of(self.row)

    @property
    def other(self) -> str:
        """Name of whom it is compared with."""
        return self.names.other(self.row) if self.twin is None else self.names.of(self.twin)

    @property
    def outcome(self) -> str:
        """Title of the outcome."""
        return self.names.outcome(self.row.outcome)

    @property
    def verdict(self) -> str:
        """The louder of both rows' verdicts; without a number nothing is ruled out or in doubt."""
        if self.row.gap is None and self.row.verdict not in ESTABLISHED:
            return Verdict.NOT_ASSESSABLE
        return min((row.verdict for row in self.rows), key=_weight)

    @property
    def primary(self) -> bool:
        """Whether it was declared beforehand."""
        return any(row.primary for row in self.rows)

    @property
    def established(self) -> bool:
        """Whether a gap is established."""
        return self.verdict in ESTABLISHED

    @property
    def undecided(self) -> bool:
        """Whether it could not be told; so too of a verdict that is not known here."""
        return self.verdict == Verdict.INCONCLUSIVE or self.verdict not in VERDICTS

    @property
    def loss(self) -> float | None:
        """By how much the group is served worse, above 0; None without a number."""
        value = self.row.gap
        higher = self.names.describe(self.row.outcome).higher_is_better
        return -value if value is not None and higher else value

    @property
    def unit(self) -> str:
        """``proportion`` or ``score``."""
        return self.names.describe(self.row.outcome).unit

    def kind(self, what: str) -> Kind:
        """How its gap, the gap's size, or its level is written."""
        coarsest = max(self.row.step or 0.0, self.row.step_rest or 0.0)
        return kind_of(what, self.unit, self.row.step if what == "level" else coarsest)


def _weight(verdict: str) -> int:
    return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)


def compare(report: Report) -> list[Compared]:
    """Gather the comparisons of a report in the order of its table."""
    names = Names(report)
    by_question: dict[tuple[str, str, str], list[Row]] = {}
    references: dict[tuple[str, str], Row] = {}
    for row in report.outcomes.rows:
        if row.comparison == "reference":
            references[row.outcome, row.attribute] = row
        else:
            by_question.setdefault((row.outcome, row.comparison, row.attribute), []).append(row)
    found = []
    for (outcome, _, attribute), rows in by_question.items():
        reference = references.get((outcome, attribute))
        if reference is None and len(rows) == 2 and _mirrored(*rows):
            found.append(_worse_first(rows[0], rows[1], names))
            continue
        for row in rows:
            parts = (row.group or "").split("*") if row.is_intersection else [row.group]
            if reference is None or not row.decides or UNKNOWN in parts:
                found.append(Compared(row, None, names))
            else:
                found.append(_worse_first(row, row.mirrored(reference), names))
    return found


def _worse_first(one: Row, two: Row, names: Names) -> Compared:
    loss = Compared(one, None, names).loss or 0.0
    return Compared(one, two, names) if loss >= 0 else Compared(two, one, names)


def _mirrored(one: Row, two: Row) -> bool:
    if one.gap is None or two.gap is None or not one.against_rest:
        return False
    return abs(one.gap + two.gap) < _MIRRORED


def louder_first(found: Iterable[Compared]) -> list[Compared]:
    """Put what matters most first: declared, then established, then the largest gaps."""
    return sorted(
        found, key=lambda one: (not one.primary, _weight(one.verdict), -abs(one.row.gap or 0.0))
    )
