"""Groups against the rest for any outcome of a case, and the rows and verdicts of all sections.

Estimates, gaps, intervals and tests come from :mod:`evaluation.audit.contrasts`, as for the table
of outcomes: one row for each attribute, group and measure, Holm's adjusted p over all rows of the
call, and a verdict. Rows of groups too small to be shown hold no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, replace
from math import isfinite, isnan
from typing import Any, ClassVar, Generic, TypeVar

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
    "Contrast", "PlainRow", "SectionResult", "against_rest", "contrast_groups", "judge", "numbers",
    "settle", "suppressed", "text_groups",
]  # fmt: skip

_EVERY_SIZE = Minimum(1, 1)
"""Groups are merged where cases are read; here they are compared as they come."""

Floats = NDArray[np.float64]


class PlainRow:
    """A row of a section: a frozen dataclass that can be written as JSON.

    Columns of one name mean the same in all sections; None where not assessable or suppressed:

    - ``ci_low, ci_high``: 95% interval over patients.
    - ``p, p_adjusted``: of no difference; by Holm over all rows made together.
    - ``verdict, reason``: within, exceeds, differs, inconclusive or not_assessable, and why.
    - ``inner_low, inner_high``: interval at 1 - 2 alpha, which the verdict is taken from.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    p: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values under the row's names; what is no finite number becomes None."""
        return {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in asdict(self).items()
        }


Row = TypeVar("Row", bound=PlainRow)


@dataclass(frozen=True)
class Contrast(PlainRow):
    """A group against the rest; columns as in :class:`PlainRow`.

    Parameters
    ----------
    finding : str
        Which one was searched; empty, and not written, where the row is not about one.
    estimate, rest_estimate : float or None
        Of the group and of the rest.
    gap, gap_ci_low, gap_ci_high : float or None
        Group less rest.
    n_events : int or None
        What the measure counts, for a proportion.
    """

    finding: str = field(default="", kw_only=True)
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

    def to_json(self) -> dict[str, Any]:
        """Plain values under the row's names."""
        row = super().to_json()
        if not self.finding:
            del row["finding"]
        return row


@dataclass(frozen=True)
class SectionResult(Generic[Row]):
    """What a section found: rows, notes on how to read them, and sizes and numbers of draws."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    settings: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Rows, notes and settings in plain values."""
        rows = [row.to_json() for row in self.rows]
        return {"rows": rows, "notes": list(self.notes), **self.settings}


def text_groups(values: ArrayLike, name: str, n: int) -> NDArray[np.str_]:
    """Groups as text by :func:`evaluation.labels.group_label`; n values of attribute ``name``.

    Examples
    --------
    >>> text_groups(["F", "", None, float("nan")], "sex", 4).tolist()
    ['F', 'unknown', 'unknown', 'unknown']
    """
    given = np.asarray(values, dtype=object)
    if given.shape != (n,):
        raise InputError(f"attribute {name!r} has {given.size} values for {n} cases")
    return group_labels(given)


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
    groups : mapping of attribute to array of shape (n,)
    only : str, optional
        The one group to compare (``"unknown"``); all by default.
    margin, alpha, minimum, repetitions, seed
        Of the verdict, of what is shown, and of the bootstrap.

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

    Parameters are those of :func:`contrast_groups`; with 0 repetitions outcomes other than 0 and 1
    have no intervals. Rows go by attribute, then outcome, then group.
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
        _row(Contrast(attribute, label, measure), queries, block, (group, column), minimum)
        for attribute, block in zip(groups, blocks, strict=True)
        for column, measure in enumerate(outcomes)
        for group, label in enumerate(block.grouping.names)
    ]


def _row(
    row: Contrast, queries: Queries, block: Block, at: tuple[int, int], minimum: Minimum
) -> Contrast:
    measure, unit = block.measure, float(queries.scale[at[1]])
    proportion = queries.kinds[at[1]] == "proportion"
    k = int(measure.k[at])
    row = replace(
        row, n_patients=k, n_queries=int(measure.n[at]),
        n_events=round(float(measure.events[at])) if proportion else None,
        precision=minimum.precision(k) if k else "usual",
    )  # fmt: skip
    if not k:
        return replace(row, reason="nothing of this group was measured")
    own, rest = (float(mean[at]) * unit for mean in (measure.mean, block.other_mean))
    if proportion:
        own, rest = (min(1.0, max(0.0, mean)) for mean in (own, rest))
    low, high = (float(end[at]) * unit for end in (measure.low, measure.high))
    row = replace(row, estimate=own)
    if not isnan(low + high):
        row = replace(row, ci_low=min(low, own), ci_high=max(high, own))
    if int(block.other_k[at]) < minimum.reported:
        return replace(row, reason="too few patients outside the group to compare with")
    gap, p = float(block.gap[at]) * unit, float(block.p[at])
    row = replace(row, rest_estimate=rest, gap=gap, p=p if isfinite(p) else None)
    ends = block.ends[:, :, *at] * unit
    if np.isnan(ends).any():  # an end at one level alone bounds nothing that is shown
        return replace(row, reason="the outcome varies too little for an interval")
    (low, high), (inner_low, inner_high) = ends.tolist()
    return replace(
        row, gap_ci_low=min(low, gap), gap_ci_high=max(high, gap),
        inner_low=min(inner_low, gap), inner_high=max(inner_high, gap),
    )  # fmt: skip


def numbers(rows: Sequence[PlainRow], *names: str) -> Floats:
    """Columns of the rows as an array of shape (n_rows, n_names), NaN for None."""
    table = [[getattr(row, name) for name in names] for row in rows]
    return np.array(table, dtype=np.float64).reshape(len(rows), len(names))


def judge(
    rows: Sequence[Row],
    tested: Floats,
    margins: ArrayLike,
    *,
    alpha: float,
    questions: Sequence[tuple[Any, ...]] | None = None,
) -> tuple[Row, ...]:
    """Adjust the rows' p-values together (Holm) and give each its verdict.

    A row that has a reason already is not assessable. ``tested`` (n, 3) holds the gaps and the ends
    of their intervals at the level ``1 - 2 alpha``; ``margins`` are one for all rows, or (n,).
    ``questions`` are equal for tests of one hypothesis, which count once.
    """
    asked = questions or [(number,) for number in range(len(rows))]
    adjusted = holm_of_questions(numbers(rows, "p")[:, 0], ["all"] * len(rows), asked).tolist()
    each = np.broadcast_to(np.asarray(margins, dtype=np.float64), len(rows)).tolist()
    done = []
    for row, (gap, *ends), margin, p in zip(rows, tested.tolist(), each, adjusted, strict=True):
        held: dict[str, Any] = {"p_adjusted": p if isfinite(p) else None}
        if not row.reason:
            found = decide(gap, (ends[0], ends[1]), p, margin=margin, alpha=alpha)
            held |= {"verdict": found.verdict, "reason": found.reason}
        done.append(replace(row, **held))
    return tuple(done)


def settle(rows: Sequence[Contrast], *, margin: float, alpha: float) -> tuple[Contrast, ...]:
    """Judge rows together; of two known groups each is the other's rest: one question."""
    tables: dict[tuple[str, ...], set[str]] = {}
    keys = [(row.finding, row.attribute, row.measure) for row in rows]
    for row, key in zip(rows, keys, strict=True):
        tables.setdefault(key, set()).update({row.group} - {UNKNOWN})
    questions = [
        key if row.group != UNKNOWN and len(tables[key]) == 2 else (*key, row.group)
        for row, key in zip(rows, keys, strict=True)
    ]
    tested = numbers(rows, "gap", "inner_low", "inner_high")
    return judge(rows, tested, margin, alpha=alpha, questions=questions)


def suppressed(row: Contrast, minimum: Minimum) -> Contrast:
    """A group too small to be shown: no number at all."""
    return replace(row, precision="suppressed", reason=Reason.FEW.text(minimum))
