"""The comparisons of the table of outcomes; an attribute with two groups is one comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite
from statistics import median_low

from evaluation.labels import UNKNOWN
from evaluation.report.model import Report
from evaluation.report.names import Names
from evaluation.report.number_format import Kind, finite, gap_kind, in_steps, level_kind
from evaluation.report.records import RowVerdict
from evaluation.report.rows import OutcomeRow

__all__ = ["ESTABLISHED", "Compared", "Noticed", "compare", "louder_first", "noticed"]

ESTABLISHED = frozenset({RowVerdict.EXCEEDS, RowVerdict.DIFFERS})
_ORDER: tuple[str, ...] = (
    RowVerdict.EXCEEDS, RowVerdict.DIFFERS, RowVerdict.INCONCLUSIVE, RowVerdict.WITHIN,
)  # fmt: skip
_MIRRORED = 1e-6
"""Two groups' gaps add up to less than this where each is the other's rest."""


@dataclass(frozen=True)
class Compared:
    """A row of the outcomes, with the row that says the same from the other group's side.

    Parameters
    ----------
    row : OutcomeRow
        Of the group that does worse, where there are two.
    twin : OutcomeRow or None
        Of the other one of an attribute with two groups.
    names : Names
    """

    row: OutcomeRow
    twin: OutcomeRow | None
    names: Names

    def seen_from(self, group: str) -> Compared:
        """Turn it around if the other group is the one that is asked about."""
        if self.twin is None or self.row.group == group:
            return self
        return Compared(self.twin, self.row, self.names)

    @property
    def rows(self) -> list[OutcomeRow]:
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
    def verdict(self) -> RowVerdict | str:
        """The louder of both rows' verdicts; without a number nothing is ruled out or in doubt."""
        if self.row.gap is None and self.row.verdict not in ESTABLISHED:
            return RowVerdict.NOT_ASSESSABLE
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
        return self.verdict == RowVerdict.INCONCLUSIVE or self.verdict not in set(RowVerdict)

    @property
    def loss(self) -> float | None:
        """By how much the group is served worse, above 0; None without a number."""
        value = finite(self.row.gap)
        if value is None:
            return None
        return -value if self.names.higher_is_better(self.row.outcome) else value

    @property
    def unit(self) -> str:
        """``proportion`` or ``score``."""
        return self.names.unit(self.row.outcome)

    @property
    def step(self) -> float:
        """The coarsest step that its numbers are rounded to; 0 where they are not."""
        return max(finite(self.row.step) or 0.0, finite(self.row.step_rest) or 0.0)

    @property
    def gap_kind(self) -> Kind:
        """How a gap is written."""
        return in_steps(gap_kind(self.unit), self.step)

    @property
    def size_kind(self) -> Kind:
        """How a gap is written without its sign."""
        return in_steps("size" if self.unit == "proportion" else "away", self.step)

    @property
    def level_kind(self) -> Kind:
        """How the outcome itself is written."""
        return in_steps(level_kind(self.unit), finite(self.row.step))


def _weight(verdict: str) -> int:
    return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)


def compare(report: Report) -> list[Compared]:
    """Gather the comparisons of a report in the order of its table."""
    names = Names(report)
    by_question: dict[tuple[str, str, str], list[OutcomeRow]] = {}
    references: dict[tuple[str, str], OutcomeRow] = {}
    for row in report.outcomes.table:
        if row.is_reference:
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
            if reference is None or not row.against_rest or UNKNOWN in _parts(row):
                found.append(Compared(row, None, names))
            else:
                found.append(_worse_first(row, row.mirrored(reference), names))
    return found


def _parts(row: OutcomeRow) -> list[str]:
    group = row.group or ""
    return group.split("*") if row.is_intersection else [group]


def _worse_first(one: OutcomeRow, two: OutcomeRow, names: Names) -> Compared:
    loss = Compared(one, None, names).loss or 0.0
    return Compared(one, two, names) if loss >= 0 else Compared(two, one, names)


def _mirrored(one: OutcomeRow, two: OutcomeRow) -> bool:
    if one.gap is None or two.gap is None or not one.against_rest:
        return False
    return abs(one.gap + two.gap) < _MIRRORED


def louder_first(found: Iterable[Compared]) -> list[Compared]:
    """Put what matters most first: declared, then established, then the largest gaps."""
    return sorted(
        found,
        key=lambda one: (not one.primary, _weight(one.verdict), -abs(finite(one.row.gap) or 0.0)),
    )


@dataclass(frozen=True)
class Noticed:
    """The gap that the audit would notice.

    Parameters
    ----------
    size : float
    kind : str
        How it is written.
    from_width : bool
        Whether it is half an interval's width, since the audit did not simulate itself.
    """

    size: float
    kind: Kind
    from_width: bool


def noticed(report: Report, asked: Iterable[Compared]) -> Noticed | None:
    """Say which gap the audit would notice, in the middle one of these comparisons.

    Those of proportions decide where there are any. None where nothing is known.
    """
    smallest = {
        (row.attribute, row.group, row.outcome): finite(row.smallest_gap)
        for row in report.instrument.detectable
    }
    found = list(asked)
    kinds: dict[str, Kind] = {"proportion": "size_0", "score": "away_2"}
    for unit, kind in kinds.items():
        own = [one for one in found if one.unit == unit]
        sizes = [smallest.get((one.row.attribute, one.row.group, one.row.outcome)) for one in own]
        widths = [
            None if low is None or high is None else (high - low) / 2
            for low, high in ((one.row.gap_ci_low, one.row.gap_ci_high) for one in own)
        ]
        for values, from_width in ((sizes, False), (widths, True)):
            # One that no gap could be noticed in is worse than any size.
            ordered = [inf if value is None else value for value in values]
            if ordered and isfinite(middle := median_low(ordered)):
                return Noticed(middle, kind, from_width)
    return None
