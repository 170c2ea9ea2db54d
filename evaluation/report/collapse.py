"""What of a table stays in sight and what is folded away, with the verdicts of what is folded.

A board reads the answer, the declared questions and whatever was established; an auditor opens the
rest. A verdict that weighs is never folded away, and on paper nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.report.verdicts import Verdict
from evaluation.report.view_model import OutcomeReading, Row, against_rest, loudest

__all__ = ["LOUD", "Fold", "FoldedOutcome", "counted", "fold_outcomes", "fold_rows"]

LOUD = frozenset({"exceeds", "differs", "worse", "other"})
"""Verdicts that stay in sight; ``other`` is one that this page does not know."""

MOST_OPEN = 8
"""Rows of a declared outcome's drawing that stay in sight; all that weigh do, however many."""

_ORDER = (
    "exceeds",
    "differs",
    "worse",
    "improved",
    "other",
    "inconclusive",
    "within",
    "not_assessable",
)

Counts = list[tuple[Verdict, int]]
Block = tuple[str, list[Row]]


def counted(rows: Iterable[Mapping[str, Any]]) -> Counts:
    """Count rows by verdict, those that weigh first.

    Parameters
    ----------
    rows : iterable of mapping
        With ``shown_verdict``.

    Returns
    -------
    list of (Verdict, int)
    """
    found: dict[Verdict, int] = {}
    for row in rows:
        found[row["shown_verdict"]] = found.get(row["shown_verdict"], 0) + 1
    return sorted(found.items(), key=lambda pair: (_ORDER.index(pair[0].name), pair[0].words))


@dataclass(frozen=True)
class Fold:
    """Rows of one table, parted.

    Parameters
    ----------
    shown, folded : list of dict
    counts : list of (Verdict, int)
        Of all rows that are not in sight, those that were left out among them.
    left_out : int
        Rows that stand in the JSON only.
    left_loud : int
        Rows among those whose verdict weighs: only where there are very many.
    """

    shown: list[Row]
    folded: list[Row]
    counts: Counts
    left_out: int = 0
    left_loud: int = 0

    @property
    def rows(self) -> list[Row]:
        """All rows that stand on the page."""
        return [*self.shown, *self.folded]

    @property
    def hidden(self) -> int:
        """How many rows are not in sight."""
        return sum(count for _, count in self.counts)


def fold_rows(rows: Sequence[Row], most: int, keep: Callable[[Row], bool] | None = None) -> Fold:
    """Part the rows of a table.

    Parameters
    ----------
    rows : sequence of dict
        In the order of the page.
    most : int
        Rows on the page; of those that weigh, four times as many.
    keep : callable of a row, optional
        Whether it stays in sight; by default where its verdict is one of :data:`LOUD`.

    Returns
    -------
    Fold
    """
    stays = keep or (lambda row: row["shown_verdict"].name in LOUD)
    loud = [row for row in rows if stays(row)]
    quiet = [row for row in rows if not stays(row)]
    shown = loud[: 4 * most]
    folded = quiet[: max(0, most - len(shown))]
    return Fold(
        shown,
        folded,
        counted([*quiet, *loud[len(shown) :]]),
        len(rows) - len(shown) - len(folded),
        len(loud) - len(shown),
    )


@dataclass(frozen=True)
class FoldedOutcome:
    """An outcome's tables: what stays in sight, and what is folded.

    Parameters
    ----------
    one : OutcomeReading
    declared : bool
        Whether a question was declared of it, so that its drawing stays open.
    shown, folded : list of (str, list of dict)
        Heading and rows.
    counts : list of (Verdict, int)
        Of every row that is not in sight.
    """

    one: OutcomeReading
    declared: bool
    shown: list[Block]
    folded: list[Block]
    counts: Counts

    @property
    def hidden(self) -> int:
        """How many rows are not in sight."""
        return sum(count for _, count in self.counts)


def fold_outcomes(
    outcomes: Sequence[OutcomeReading], rows: Sequence[Row], declared: Collection[str]
) -> list[FoldedOutcome]:
    """Part the tables of all outcomes; those of which a question was declared come first.

    Parameters
    ----------
    outcomes : sequence of OutcomeReading
    rows : sequence of dict
        All rows of the table.
    declared : collection of str
        Outcomes of the declared questions; where there is none, the first outcome stays open.

    Returns
    -------
    list of FoldedOutcome
    """
    named = {str(name) for name in declared}
    named |= {str(row.get("outcome")) for row in rows if row.get("primary") and against_rest(row)}
    opened = named & {one.name for one in outcomes} or {one.name for one in outcomes[:1]}
    found = [
        _fold_outcome(one, [r for r in rows if str(r.get("outcome")) == one.name], opened)
        for one in outcomes
    ]
    return sorted(found, key=lambda item: not item.declared)


def _fold_outcome(
    one: OutcomeReading, rows: Sequence[Row], opened: Collection[str]
) -> FoldedOutcome:
    single = [row for _, own in one.blocks for row in own]
    stay = {id(row) for row in [*single, *one.intersections, *one.others] if _weighs(row)}
    if one.name in opened:
        stay |= {id(row) for row in single if row.get("verdict_naive") in ("exceeds", "differs")}
        asked = {row["shown_attribute"] for row in single if row.get("primary")}
        told = [row for row in loudest(single) if row["shown_verdict"].name != "not_assessable"]
        told.sort(key=lambda row: row["shown_attribute"] not in asked)
        stay |= {id(row) for row in told[: max(0, MOST_OPEN - len(stay))]}
    blocks: list[Block] = [
        *one.blocks,
        ("Groups that share two attributes or more", one.intersections),
        ("Other contrasts", one.others),
    ]
    shown, folded = (
        [(head, kept) for head, own in blocks if (kept := [r for r in own if (id(r) in stay) is s])]
        for s in (True, False)
    )
    in_sight = {id(row) for row in rows} & stay
    return FoldedOutcome(
        one,
        one.name in opened,
        shown,
        folded,
        counted(row for row in rows if id(row) not in in_sight),
    )


def _weighs(row: Mapping[str, Any]) -> bool:
    return bool(row.get("primary")) or row["shown_verdict"].name in LOUD
