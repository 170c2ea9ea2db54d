"""What was asked before the data was looked at: primary hypotheses and families of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.audit.table_input import UNKNOWN, Grouping
from evaluation.stats import holm_by_family
from medembed.errors import InputError

__all__ = [
    "OTHER", "PRIMARY", "Hypothesis", "Plan", "asked_of", "holm_of_questions", "question",
    "reference_of",
]  # fmt: skip

PRIMARY, OTHER = "primary", "all other"


@dataclass(frozen=True)
class Hypothesis:
    """One question: is this group served otherwise than the rest, in this outcome?

    Parameters
    ----------
    attribute, outcome : str
    group : str or None
        None for each group of the attribute but "unknown", which has to be named to be primary.
    """

    attribute: str
    outcome: str
    group: str | None = None

    @classmethod
    def of(cls, given: Any) -> Hypothesis:
        """Read a mapping, (attribute, outcome) or (attribute, group, outcome).

        Raises
        ------
        InputError
            Where it is neither.
        """
        if isinstance(given, Hypothesis):
            return given
        held: dict[str, Any] = {}
        if isinstance(given, Mapping):
            held = dict(given)
        elif isinstance(given, Sequence) and not isinstance(given, str) and len(given) in (2, 3):
            held = {"attribute": given[0], "outcome": given[-1]}
            held |= {"group": given[1]} if len(given) == 3 else {}
        if not {"attribute", "outcome"} <= set(held) <= {"attribute", "outcome", "group"}:
            raise InputError(
                "a hypothesis that is not understood",
                hint="give attribute, outcome and, if it is one, the group",
            )
        return cls(**{name: str(value) for name, value in held.items() if value is not None})

    def holds(self, attribute: str, group: str, outcome: str) -> bool:
        """Whether a row of the table answers it."""
        if (attribute, outcome) != (self.attribute, self.outcome):
            return False
        parts = group.split("*") if "*" in attribute else [group]
        return group == self.group if self.group is not None else UNKNOWN not in parts


@dataclass(frozen=True)
class Plan:
    """Primary hypotheses and families of tests.

    Parameters
    ----------
    primary : tuple of Hypothesis
    families : tuple of (name, hypotheses)
        A row belongs to the first family that holds it, else to "all other".
    """

    primary: tuple[Hypothesis, ...]
    families: tuple[tuple[str, tuple[Hypothesis, ...]], ...]

    @classmethod
    def of(
        cls,
        primary: Sequence[Any],
        families: Mapping[str, Sequence[Any]] | None,
        groupings: Sequence[Grouping],
        outcomes: Sequence[str],
    ) -> Plan:
        """Read and check what was declared.

        Raises
        ------
        InputError
            Where a hypothesis is on something that is not audited, or on a reference group.
        """
        first = tuple(Hypothesis.of(given) for given in primary)
        declared = [
            (str(name), tuple(Hypothesis.of(given) for given in members))
            for name, members in (families or {}).items()
        ]
        if any(name == OTHER for name, _ in declared):
            raise InputError(f'a family cannot be called "{OTHER}"', where="families")
        by_name = {grouping.attribute: grouping for grouping in groupings}
        for one in (*first, *(h for _, members in declared for h in members)):
            own = by_name.get(one.attribute)
            if own is None or one.outcome not in outcomes:
                raise InputError(
                    f"a hypothesis on {one.attribute!r} and {one.outcome!r}, which are not audited",
                    hint="name attributes and outcomes of this audit",
                )
            if one.group is not None and one.group == own.reference and own.pair is None:
                raise InputError(
                    f"a hypothesis on {one.group!r}, which the others are compared with",
                    where=one.attribute, hint="name another group, or another reference",
                )  # fmt: skip
        return cls(first, (*declared, (PRIMARY, first)))

    def is_primary(self, attribute: str, groups: Sequence[str], outcome: str) -> bool:
        """Whether a question on these groups was named beforehand."""
        return any(h.holds(attribute, group, outcome) for h in self.primary for group in groups)

    def family(self, attribute: str, groups: Sequence[str], outcome: str) -> str:
        """Name the family in which the p-value of a question on these groups is adjusted."""
        for name, members in self.families:
            if any(h.holds(attribute, group, outcome) for h in members for group in groups):
                return name
        return OTHER


def asked_of(grouping: Grouping, group: int) -> tuple[str, ...]:
    """Name the groups whose question a comparison of a group with the rest is.

    Two known groups are each other's rest: one question.
    """
    both = grouping.pair if grouping.pair is not None and group in grouping.pair else (group,)
    return tuple(grouping.names[number] for number in both)


def reference_of(
    grouping: Grouping, outcome: str, plan: Plan, patients: NDArray[np.int64]
) -> int | None:
    """Which group the others are compared with, so that its own contrast is not shown.

    Returns
    -------
    int or None
        The declared one. Of two known groups the one that no primary hypothesis names where one
        names the other, or else the larger. None with more groups.
    """
    if grouping.reference is not None:
        return grouping.names.index(grouping.reference)
    if grouping.pair is None:
        return None
    one, two = grouping.pair
    named = [
        Hypothesis(grouping.attribute, outcome, grouping.names[group]) in plan.primary
        for group in (one, two)
    ]
    if named[0] != named[1]:
        return two if named[0] else one
    return one if patients[one] > patients[two] else two


def question(
    grouping: Grouping, outcome: str, comparison: str, group: int, other: int
) -> tuple[Any, ...]:
    """Name the hypothesis that a comparison tests: of two groups there is one for each outcome."""
    pair = grouping.pair
    if pair is not None and group in pair and (other in pair or other < 0):
        return grouping.attribute, outcome
    return grouping.attribute, outcome, comparison, group, other


def holm_of_questions(
    p_values: ArrayLike, families: Sequence[str], questions: Sequence[tuple[Any, ...]]
) -> NDArray[np.float64]:
    """Holm's p within each family; a question that two tests ask counts once.

    Of an attribute with two groups each is the other's rest: one test, whose gap has two signs.

    Parameters
    ----------
    p_values : float array of shape (n_tests,)
        NaN for what was not tested.
    families : sequence of str
    questions : sequence of tuples
        Equal for tests of one hypothesis.

    Examples
    --------
    >>> holm_of_questions([0.01, 0.01, 0.04], ["all"] * 3, [("sex",), ("sex",), ("age", "old")])
    array([0.02, 0.02, 0.04])
    """
    p = np.asarray(p_values, dtype=np.float64)
    asked: dict[tuple[Any, ...], list[int]] = {}
    for number in np.flatnonzero(~np.isnan(p)).tolist():
        asked.setdefault((families[number], *questions[number]), []).append(number)
    if not asked:
        return np.full(p.shape, np.nan)
    adjusted = holm_by_family([p[tests[0]] for tests in asked.values()], [key[0] for key in asked])
    out = np.full(p.shape, np.nan)
    for value, tests in zip(adjusted.tolist(), asked.values(), strict=True):
        out[tests] = value
    return out
