"""Groups against the rest for any outcome of a case: the audit's own comparison, row by row.

Estimates, gaps, intervals and tests come from :mod:`evaluation.audit.contrasts`, the same as for
the table of outcomes: one row for each attribute, group and measure, Holm's adjusted p over all
rows of the call, and a verdict. Rows of groups too small to be shown hold no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, replace
from math import isfinite, isnan
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.audit.contrasts import Block, compare
from evaluation.audit.hypotheses import holm_of_questions
from evaluation.audit.table_input import Queries, read_queries
from evaluation.labels import UNKNOWN, group_labels
from evaluation.stats import Minimum, decide
from evaluation.stats.verdict import Precision, Reason, Verdict
from medembed.errors import InputError

__all__ = [
    "Contrast",
    "PlainRow",
    "SectionResult",
    "against_rest",
    "contrast_groups",
    "judge",
    "plain",
    "settle",
    "small_groups",
    "suppressed",
    "text_groups",
]

Inner = tuple[float, float] | None
_EVERY_SIZE = Minimum(1, 1)
"""Groups are merged where cases are read; here they are compared as they come."""


class PlainRow:
    """A row that can be written as JSON; a frozen dataclass."""

    def to_json(self) -> dict[str, Any]:
        """Plain values under the row's names; what is no finite number becomes None."""
        return plain(asdict(self))  # type: ignore[call-overload, no-any-return, unused-ignore]


@dataclass(frozen=True)
class Contrast(PlainRow):
    """A group against the rest.

    Parameters
    ----------
    attribute, group, measure : str
    estimate, ci_low, ci_high : float or None
        95% interval over patients; None where not assessable or suppressed.
    rest_estimate : float or None
    gap, gap_ci_low, gap_ci_high : float or None
        Group less rest.
    p, p_adjusted : float or None
        Of no gap; Holm over all rows made together.
    n_patients, n_queries, n_events : int or None
        None where suppressed; events are what the measure counts, for a proportion.
    precision : {"usual", "low", "suppressed"}
    verdict : {"within", "exceeds", "differs", "inconclusive", "not_assessable"}
    reason : str
    inner_low, inner_high : float or None
        Ends of the gap at 1 - 2 alpha, which the verdict is taken from.
    """

    attribute: str
    group: str
    measure: str
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    rest_estimate: float | None = None
    gap: float | None = None
    gap_ci_low: float | None = None
    gap_ci_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n_patients: int | None = None
    n_queries: int | None = None
    n_events: int | None = None
    precision: Precision = "usual"
    verdict: Verdict = Verdict.NOT_ASSESSABLE
    reason: str = ""
    inner_low: float | None = None
    inner_high: float | None = None


Shown = TypeVar("Shown", bound=PlainRow)


@dataclass(frozen=True)
class SectionResult(Generic[Shown]):
    """What a section found.

    Parameters
    ----------
    rows : tuple of rows
    notes : tuple of str
    settings : mapping of str to int
        Sizes and numbers of draws.
    """

    rows: tuple[Shown, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Rows, notes and settings in plain values."""
        rows = [row.to_json() for row in self.rows]
        return {"rows": rows, "notes": list(self.notes), **self.settings}


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a row to values that JSON knows: Python's own numbers, and None for NaN.

    Examples
    --------
    >>> plain({"n": np.int64(3), "gap": float("nan"), "ratio": np.float32(0.5)})
    {'n': 3, 'gap': None, 'ratio': 0.5}
    """
    out: dict[str, Any] = {}
    for name, value in row.items():
        kept = value.item() if isinstance(value, np.generic) else value
        out[name] = None if isinstance(kept, float) and not isfinite(kept) else kept
    return out


def text_groups(values: ArrayLike, name: str, n: int) -> NDArray[np.str_]:
    """Groups as text by :func:`evaluation.labels.group_label`; ``"unknown"`` is one like any other.

    Parameters
    ----------
    values : array of shape (n,)
    name : str
        Of the attribute, for the message.
    n : int
        Cases that there are.

    Examples
    --------
    >>> text_groups(["F", "", None, float("nan")], "sex", 4).tolist()
    ['F', 'unknown', 'unknown', 'unknown']
    """
    given = np.asarray(values, dtype=object)
    if given.shape != (n,):
        raise InputError(f"attribute {name!r} has {given.size} values for {n} cases")
    return group_labels(given)


def small_groups(n_patients: Mapping[str, int], minimum: Minimum) -> frozenset[str]:
    """Groups of one attribute that are too small to show.

    Examples
    --------
    >>> sorted(small_groups({"F": 60, "M": 35, "O": 5, "none": 0}, Minimum()))
    ['O']
    """
    return frozenset(g for g, n in n_patients.items() if 0 < n < minimum.reported)


def contrast_groups(
    outcomes: Mapping[str, ArrayLike],
    patients: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    only: str | None = None,
    margin: float = 0.05,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> tuple[Contrast, ...]:
    """Compare each group with the rest on every outcome.

    Parameters
    ----------
    outcomes : mapping of str to float array of shape (n,)
        NaN where not measured. Of 0 and 1 only: Korn–Graubard with MOVER; else bootstrap-t.
    patients : array of shape (n,)
    groups : mapping of str to array of shape (n,)
        By attribute.
    only : str, optional
        The one group to compare (``"unknown"``); all by default.
    margin, alpha : float
        Of the verdict.
    minimum : Minimum, optional
    repetitions, seed : int
        Of the bootstrap.

    Returns
    -------
    tuple of Contrast
        Sorted as given; Holm over all of them.

    Examples
    --------
    >>> rows = contrast_groups({"hit": [1, 0] * 40}, range(80), {"sex": ["F", "F", "M", "M"] * 20})
    >>> [(r.group, r.estimate, r.gap, r.verdict.value) for r in rows]
    [('F', 0.5, 0.0, 'inconclusive'), ('M', 0.5, 0.0, 'inconclusive')]
    """
    least = minimum or Minimum()
    found = against_rest(
        outcomes, patients, groups, alpha=alpha, minimum=least, repetitions=repetitions, seed=seed
    )
    rows = [
        suppressed(Contrast(row.attribute, row.group, row.measure), least)
        if 0 < (row.n_patients or 0) < least.reported
        else row
        for row in found
        if only is None or row.group == only
    ]
    return settle(rows, margin=margin, alpha=alpha)


def against_rest(
    outcomes: Mapping[str, ArrayLike],
    patients: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    alpha: float,
    minimum: Minimum,
    repetitions: int = 0,
    seed: int = 0,
) -> list[Contrast]:
    """Give every group's figures, whatever its size: before Holm, verdicts and suppression.

    Parameters
    ----------
    outcomes, patients, groups, alpha, minimum, repetitions, seed
        As in :func:`contrast_groups`. Intervals are at the levels ``1 - alpha`` and
        ``1 - 2 alpha``; with 0 repetitions outcomes other than 0 and 1 have none.

    Returns
    -------
    list of Contrast
        By attribute, then outcome, then group.
    """
    if not outcomes or not groups:
        return []
    columns = {f"outcome: {name}": np.asarray(values) for name, values in outcomes.items()}
    of = {f"attribute: {name}": np.asarray(values, dtype=object) for name, values in groups.items()}
    queries = read_queries(
        {"patient": np.asarray(patients), **columns, **of}, list(columns), list(of),
        patient="patient", intersections=False, minimum=_EVERY_SIZE,
    )  # fmt: skip
    blocks = compare(
        queries, contrasts="rest", minimum=minimum, alpha=alpha, repetitions=repetitions, seed=seed
    )
    return [
        _row(Contrast(attribute, label, measure), queries, block, group, column, minimum)
        for attribute, block in zip(groups, blocks, strict=True)
        for column, measure in enumerate(outcomes)
        for group, label in enumerate(block.grouping.names)
    ]


def _row(
    row: Contrast, queries: Queries, block: Block, group: int, column: int, minimum: Minimum
) -> Contrast:
    measure, unit = block.measure, float(queries.scale[column])
    proportion = queries.kinds[column] == "proportion"
    k, n = int(measure.k[group, column]), int(measure.n[group, column])
    row = replace(
        row,
        n_patients=k,
        n_queries=n,
        n_events=round(float(measure.events[group, column])) if proportion else None,
        precision=minimum.precision(k) if k else "usual",
    )
    if not k:
        return replace(row, reason="nothing of this group was measured")
    means = [
        float(m) * unit for m in (measure.mean[group, column], block.other_mean[group, column])
    ]
    own, rest = (min(1.0, max(0.0, m)) for m in means) if proportion else means
    low, high = measure.low[group, column] * unit, measure.high[group, column] * unit
    row = replace(row, estimate=own)
    if not isnan(low + high):
        row = replace(row, ci_low=min(float(low), own), ci_high=max(float(high), own))
    if int(block.other_k[group, column]) < minimum.reported:
        return replace(row, reason="too few patients outside the group to compare with")
    gap, p = float(block.gap[group, column]) * unit, float(block.p[group, column])
    row = replace(row, rest_estimate=rest, gap=gap, p=p if isfinite(p) else None)
    ends = block.ends[:, :, group, column] * unit
    if np.isnan(ends).any():  # an end at one level alone bounds nothing that is shown
        return replace(row, reason="the outcome varies too little for an interval")
    (low, high), (inner_low, inner_high) = ends.tolist()
    return replace(
        row, gap_ci_low=min(low, gap), gap_ci_high=max(high, gap),
        inner_low=min(inner_low, gap), inner_high=max(inner_high, gap),
    )  # fmt: skip


class _Tested(Protocol):
    """A row that :func:`judge` can fill in."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def p(self) -> float | None: ...

    @property
    def reason(self) -> str: ...


Row = TypeVar("Row", bound=_Tested)


def judge(
    rows: Sequence[Row],
    gaps: Sequence[float | None],
    inner: Sequence[Inner],
    margins: Sequence[float],
    *,
    alpha: float,
    questions: Sequence[tuple[Any, ...]] | None = None,
) -> tuple[Row, ...]:
    """Adjust the rows' p-values together (Holm) and give each its verdict.

    Parameters
    ----------
    rows : sequence of n rows
        Frozen dataclasses with ``p, p_adjusted, verdict, reason``; one that has a reason already
        is not assessable.
    gaps : sequence of n floats or None
    inner : sequence of n (low, high) or None
        Intervals of the gaps at the level ``1 - 2 alpha``.
    margins : sequence of n floats
    alpha : float
    questions : sequence of n tuples, optional
        Equal for tests of one hypothesis, which count once.
    """
    asked = questions or [(number,) for number in range(len(rows))]
    p_values = [np.nan if row.p is None else row.p for row in rows]
    adjusted = holm_of_questions(p_values, ["all"] * len(rows), asked).tolist()
    done = []
    for row, gap, ends, margin, p in zip(rows, gaps, inner, margins, adjusted, strict=True):
        known = p if isfinite(p) else None
        if row.reason:
            done.append(replace(row, p_adjusted=known, verdict=Verdict.NOT_ASSESSABLE))
            continue
        found = decide(gap, ends, known, margin=margin, alpha=alpha)
        done.append(replace(row, p_adjusted=known, verdict=found.verdict, reason=found.reason))
    return tuple(done)


def settle(
    rows: Sequence[Contrast],
    *,
    margin: float,
    alpha: float,
    parts: Sequence[str] | None = None,
) -> tuple[Contrast, ...]:
    """Judge the rows together.

    Parameters
    ----------
    rows : sequence of Contrast
    margin, alpha
    parts : sequence of str, optional
        What each row is about besides its names (a finding). Of an attribute with two groups each
        is the other's rest: one question, which counts once.
    """
    about = parts or [""] * len(rows)
    tables: dict[tuple[str, ...], set[str]] = {}
    for row, part in zip(rows, about, strict=True):
        if row.group != UNKNOWN:
            tables.setdefault((part, row.attribute, row.measure), set()).add(row.group)
    questions = [
        key if row.group != UNKNOWN and len(tables[key]) == 2 else (*key, row.group)
        for row, part in zip(rows, about, strict=True)
        for key in [(part, row.attribute, row.measure)]
    ]
    inner: list[Inner] = [
        None if r.inner_low is None or r.inner_high is None else (r.inner_low, r.inner_high)
        for r in rows
    ]
    return judge(
        rows, [row.gap for row in rows], inner, [margin] * len(rows), alpha=alpha,
        questions=questions,
    )  # fmt: skip


def suppressed(row: Contrast, minimum: Minimum) -> Contrast:
    """A group too small to be shown: no number at all."""
    return replace(row, precision="suppressed", reason=Reason.FEW.text(minimum))
