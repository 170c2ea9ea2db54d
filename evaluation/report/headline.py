"""The answer in plain words: what was found, what was ruled out, and what nobody can tell.

The order of the answers is that of their weight for patients. A gap outranks everything; then
doubt; "no gap" is said only of groups that could be assessed, and only where none is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.report.number_format import finite
from evaluation.report.view_model import Row, against_rest, loudest, names

__all__ = [
    "Answer",
    "Primary",
    "answer",
    "by_adjusting",
    "by_outcome",
    "changed_by_adjusting",
    "primaries",
]

State = Literal["gap", "doubt", "clear", "none"]
MOST_NAMED = 12


@dataclass(frozen=True)
class Answer:
    """What the board reads first.

    Parameters
    ----------
    state : {"gap", "doubt", "clear", "none"}
    worse, better : list of dict
        Rows with an established gap, to the group's harm or in its favour; primary ones first.
    counts : dict
        Comparisons of a group with the rest, by verdict.
    total : int
    undecided : list of str
        Groups of one attribute with a comparison that could not be told.
    elsewhere : int
        Gaps established in named findings, which are harm as well.
    named : list of str
        Groups that the headline names, each once.
    unassessed : list of str
        Groups without any figure that could be tested.
    unexplained : list of str
        Groups with a gap before adjusting of which the adjusted figures tell nothing.
    """

    state: State
    worse: list[Row]
    better: list[Row]
    counts: dict[str, int]
    total: int
    named: list[str]
    unassessed: list[str]
    undecided: list[str]
    elsewhere: int
    unexplained: list[str]

    @property
    def assessed(self) -> int:
        """How many comparisons have a figure that could be tested."""
        return self.total - self.counts["not_assessable"]


def answer(rows: Sequence[Row], elsewhere: int = 0) -> Answer:
    """Sum up the table of outcomes.

    Parameters
    ----------
    rows : sequence of dict
        As :func:`evaluation.report.view_model.outcome_readings` gives them.
    elsewhere : int
        Gaps established in named findings.

    Returns
    -------
    Answer
        Over the comparisons with the rest; other contrasts of the same groups stand further down.
    """
    compared = [row for row in rows if against_rest(row)]
    counts = dict.fromkeys(("exceeds", "differs", "inconclusive", "within", "not_assessable"), 0)
    for row in compared:
        verdict = row["shown_verdict"].name
        counts[verdict if verdict in counts else "not_assessable"] += 1
    found = sorted(
        (row for row in compared if row["shown_verdict"].name in ("exceeds", "differs")),
        key=lambda row: (
            not row.get("primary"),
            "*" in str(row.get("attribute")),
            -abs(finite(row.get("gap")) or 0.0),
        ),
    )
    worse = [row for row in found if row["shown_worse"] is not False]
    better = [row for row in found if row["shown_worse"] is False]
    if found or elsewhere:
        state: State = "gap"
    elif counts["inconclusive"]:
        state = "doubt"
    else:
        state = "clear" if counts["within"] else "none"
    tested = {_key(row) for row in compared if row["shown_verdict"].name != "not_assessable"}
    silent = [row for row in compared if _key(row) not in tested and "*" not in _key(row)[0]]
    return Answer(
        state=state,
        worse=worse,
        better=better,
        counts=counts,
        total=len(compared),
        named=_once(row["shown_group"] for row in (_single(worse or better) or worse or better)),
        unassessed=_once(row["shown_group"] for row in silent),
        undecided=_once(
            row["shown_group"]
            for row in _single(compared)
            if row["shown_verdict"].name == "inconclusive"
        ),
        elsewhere=elsewhere,
        unexplained=_once(
            row["shown_group"]
            for row in compared
            if row.get("verdict_naive") in ("exceeds", "differs")
            and row["shown_verdict"].name in {"inconclusive", "not_assessable"}
        ),
    )


def by_outcome(rows: Sequence[Row], most: int = MOST_NAMED) -> list[tuple[str, str, list[Row]]]:
    """Gather findings by outcome, so that each harm is said once.

    Parameters
    ----------
    rows : sequence of dict
    most : int
        Rows that are shown of them all.

    Returns
    -------
    list of (title, harm, rows)
    """
    gathered: dict[tuple[str, str], list[Row]] = {}
    for row in rows[:most]:
        gathered.setdefault((row["shown_outcome"], row["shown_harm"]), []).append(row)
    return [(title, harm, own) for (title, harm), own in gathered.items()]


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row.get("attribute")), str(row.get("group"))


def _single(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "*" not in str(row.get("attribute"))]


def _once(words: Any) -> list[str]:
    return list(dict.fromkeys(words))


@dataclass(frozen=True)
class Primary:
    """A question that was declared before the data was looked at, with its answers.

    Parameters
    ----------
    attribute, outcome : str
        Titles.
    group : str or None
        None where the question is of every group.
    rows : list of dict
        Empty where the audit holds no such comparison.
    left_out : int
        Groups beyond the first few, that weigh less.
    """

    attribute: str
    outcome: str
    group: str | None
    rows: list[Row]
    left_out: int = 0


def primaries(report: Mapping[str, Any], rows: Sequence[Row]) -> list[Primary]:
    """Lay the declared questions beside what the audit found.

    Parameters
    ----------
    report : mapping
    rows : sequence of dict

    Returns
    -------
    list of Primary
        A question that was declared and never answered is there, without rows.
    """
    protocol = report.get("protocol")
    declared = protocol.get("primary") if isinstance(protocol, Mapping) else None
    naming = names(report)
    compared = [row for row in rows if against_rest(row)]
    found = []
    for question in declared or []:
        if not isinstance(question, Mapping):
            continue
        attribute, outcome = question.get("attribute"), question.get("outcome")
        group = question.get("group")
        own = [
            row
            for row in compared
            if str(row.get("attribute")) == str(attribute)
            and str(row.get("outcome")) == str(outcome)
            and (group is None or str(row.get("group")) == str(group))
        ]
        found.append(
            Primary(
                naming.attribute(attribute),
                naming.outcome(outcome),
                None if group is None else naming.group(attribute, group),
                loudest(own)[:MOST_NAMED],
                max(0, len(own) - MOST_NAMED),
            )
        )
    if not found:  # a table without a protocol says itself which rows are primary
        for row in compared:
            if row.get("primary"):
                shown = (row["shown_attribute"], row["shown_outcome"], row["shown_group"])
                found.append(Primary(*shown, [row]))
    return found


def changed_by_adjusting(rows: Sequence[Row]) -> list[Row]:
    """Find the comparisons whose verdict is another one without the adjustment.

    Parameters
    ----------
    rows : sequence of dict

    Returns
    -------
    list of dict
    """
    return [
        row
        for row in rows
        if against_rest(row)
        and row.get("verdict_naive") is not None
        and row.get("verdict_naive") != row.get("verdict")
        and {"exceeds", "differs"} & {row.get("verdict_naive"), row.get("verdict")}
    ]


def by_adjusting(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """Gather what depends on the adjustment by group and verdict, so that each is said once.

    Parameters
    ----------
    rows : sequence of dict

    Returns
    -------
    list of (group, verdict, rows)
        Gaps that the mix of cases hid come first.
    """
    gathered: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        gathered.setdefault((row["shown_group"], row["shown_verdict"].name), []).append(row)
    found = [(group, verdict, own) for (group, verdict), own in gathered.items()]
    return sorted(found, key=lambda item: item[1] not in ("exceeds", "differs"))
