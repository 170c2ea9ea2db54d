"""From the rows of the report's JSON to what a page shows of them: names, order, drawings.

No statistic is computed here. Rows stay mappings with the audit's own columns; what is added to
them begins with ``shown_``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.report.forest_svg import Axis, Interval, gap_axis, row_svg
from evaluation.report.number_format import Kind, finite, gap_kind, in_steps, level_kind
from evaluation.report.verdicts import verdict_of
from evaluation.stats.suppression import shows_small
from medembed.errors import InputError

__all__ = [
    "OutcomeReading",
    "Section",
    "interval",
    "loudest",
    "names",
    "outcome_readings",
    "read_report",
    "section",
]

Row = dict[str, Any]
MOST_GROUPS = 60
MOST_INTERSECTIONS = 24


VERSION = 1
"""Of the report's JSON that is understood here."""


def read_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Check a report's version, and that it was made fit to be shown.

    Parameters
    ----------
    report : mapping
        See docs/reference/audit-report.md.

    Raises
    ------
    InputError
        Where it is no report, one of another version, or shows a row of too few patients.
    """
    if not isinstance(report, Mapping):
        raise InputError("a report has to be a JSON object", where="report")
    if report.get("version", VERSION) != VERSION:
        raise InputError(
            "a report of another version",
            where="report",
            hint=f"this program reads version {VERSION}: run the audit again",
        )
    if shows_small(report):
        raise InputError(
            "a report that shows groups of too few patients",
            where="report",
            hint="pass it through evaluation.stats.protect first",
        )
    return dict(report)


@dataclass(frozen=True)
class Section:
    """A part of the report, done or not.

    Parameters
    ----------
    rows : list of dict
    notes : list of str
    why : str or None
        Why it was not done; None where it was.
    """

    rows: list[Row]
    notes: list[str]
    why: str | None

    @property
    def done(self) -> bool:
        """Whether there is anything to show."""
        return self.why is None


def section(report: Mapping[str, Any], name: str, table: str = "rows") -> Section:
    """Take a section out of the report.

    Parameters
    ----------
    report : mapping
    name : str
    table : str
        Key of its rows.

    Returns
    -------
    Section
        ``why`` is the section's own reason, or that of ``report["why"][name]``, or says that none
        was given.

    Examples
    --------
    >>> section({"leakage": {"why": "no vectors"}}, "leakage").why
    'no vectors'
    """
    reasons = report.get("why")
    reason = reasons.get(name) if isinstance(reasons, Mapping) else None
    part = report.get(name)
    if not isinstance(part, Mapping):
        return Section([], [], str(reason or "No reason was recorded."))
    rows = [dict(row) for row in part.get(table) or [] if isinstance(row, Mapping)]
    notes = [str(note) for note in part.get("notes") or []]
    if not rows:
        reason = part.get("why") or reason or "There was nothing to compare."
        return Section([], notes, str(reason))
    return Section(rows, notes, None)


def interval(row: Mapping[str, Any], point: str, low: str, high: str) -> Interval:
    """Take a point and its interval out of a row."""
    return Interval(finite(row.get(point)), finite(row.get(low)), finite(row.get(high)))


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


@dataclass(frozen=True)
class Names:
    """What attributes, groups and outcomes are called on the page.

    Parameters
    ----------
    attributes, outcomes : mapping
        ``attributes`` and ``describe_outcomes`` of the report.
    """

    attributes: Mapping[str, Any]
    outcomes: Mapping[str, Any]

    def attribute(self, name: Any) -> str:
        """Name an attribute, or an intersection of several."""
        parts = str(name).split("*")
        return " and ".join(self._title(part) for part in parts)

    def _title(self, name: str) -> str:
        known = self.attributes.get(name)
        title = known.get("title") if isinstance(known, Mapping) else None
        return str(title or name.replace("_", " ").capitalize())

    def group(self, attribute: Any, group: Any) -> str:
        """Name a group; of an intersection, the parts with a comma between them."""
        if group is None or str(attribute) == "all":
            return "All patients"
        names, values = str(attribute).split("*"), str(group).split("*")
        if len(names) != len(values):
            names, values = [str(attribute)], [str(group)]
        return ", ".join(
            self._value(name, value) for name, value in zip(names, values, strict=True)
        )

    def _value(self, attribute: str, value: str) -> str:
        if value in {"unknown", ""}:
            return f"{self._title(attribute)} unknown"
        known = self.attributes.get(attribute)
        titles = known.get("groups") if isinstance(known, Mapping) else None
        if isinstance(titles, Mapping) and value in titles:
            return str(titles[value])
        if attribute == "sex":  # DICOM PatientSex (0010,0040)
            return {"F": "Female", "M": "Male", "O": "Other sex"}.get(value, value)
        known_by_itself = value.isalpha() or value.casefold().startswith(attribute.casefold())
        if len(value) <= 12 and not known_by_itself:  # "80+", "2": no word that stands alone
            return f"{self._title(attribute)} {value}"
        return _capital(value)

    def outcome(self, name: Any) -> str:
        """Name an outcome."""
        return _capital(str(self.describe(name).get("title") or name))

    def describe(self, name: Any) -> Mapping[str, Any]:
        """Everything that the report says of an outcome."""
        known = self.outcomes.get(str(name))
        return known if isinstance(known, Mapping) else {}


def names(report: Mapping[str, Any]) -> Names:
    """Collect the names that a report declares."""
    attributes, outcomes = report.get("attributes"), report.get("describe_outcomes")
    return Names(
        attributes if isinstance(attributes, Mapping) else {},
        outcomes if isinstance(outcomes, Mapping) else {},
    )


@dataclass(frozen=True)
class OutcomeReading:
    """One outcome with its groups, ready for a table.

    Parameters
    ----------
    name, title, harm : str
    higher_is_better : bool
    level, gap : str
        How its values and gaps are written.
    axis : Axis
    blocks : list of (str, list of dict)
        Groups against the rest, attribute by attribute.
    intersections, others : list of dict
        ``others`` are contrasts with another reference than the rest.
    left_out : int
        Rows that stand in the CSV only.
    adjusted : bool
        Whether naive gaps stand beside adjusted ones.
    """

    name: str
    title: str
    harm: str
    higher_is_better: bool
    level: Kind
    gap: Kind
    axis: Axis
    blocks: list[tuple[str, list[Row]]]
    intersections: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    left_out: int = 0
    adjusted: bool = False


def against_rest(row: Mapping[str, Any]) -> bool:
    """Whether a row compares a group with all the others together."""
    return row.get("comparison") in {None, "rest"}


def enrich(row: Row, naming: Names) -> Row:
    """Add what the page shows of a row: names, the verdict, and whom a gap is against."""
    described = naming.describe(row.get("outcome"))
    unit = str(described.get("unit") or "score")
    higher = described.get("higher_is_better", True) is not False
    gap = finite(row.get("gap"))
    step = finite(row.get("step")) or 0.0
    coarsest = max(step, finite(row.get("step_rest")) or 0.0)
    # without a figure nothing can be ruled out, nor be in doubt; an alarm is never taken back
    unfounded = gap is None and row.get("verdict") != "exceeds"
    return {
        **row,
        "shown_group": naming.group(row.get("attribute"), row.get("group")) + _against(row, naming),
        "shown_attribute": naming.attribute(row.get("attribute")),
        "shown_outcome": naming.outcome(row.get("outcome")),
        "shown_harm": str(described.get("harm") or ""),
        "shown_verdict": verdict_of(None if unfounded else row.get("verdict")),
        "shown_unit": unit,
        "shown_level": in_steps(level_kind(unit), step),
        "shown_gap": in_steps(gap_kind(unit), coarsest),
        "shown_size": in_steps("size" if unit == "proportion" else "away", coarsest),
        "shown_step": coarsest,
        "shown_worse": None if not gap else (gap < 0) == higher,
        "shown_higher_is_better": higher,
        "shown_suppressed": row.get("precision") == "suppressed",
    }


def _against(row: Mapping[str, Any], naming: Names) -> str:
    if against_rest(row):
        return ""
    other = str(row.get("comparison")).removeprefix("pair:")
    if other == "largest":
        return ", against the largest group"
    return f", against {naming.group(row.get('attribute'), other)}"


def outcome_readings(
    report: Mapping[str, Any], margin: float | None
) -> tuple[list[OutcomeReading], list[Row]]:
    """Read the table of outcomes.

    Parameters
    ----------
    report : mapping
        As :func:`read_report` gives it.
    margin : float or None

    Returns
    -------
    outcomes : list of OutcomeReading
        In the order in which the table names them.
    rows : list of dict
        All rows, with what the page shows of them.
    """
    naming = names(report)
    rows = [enrich(row, naming) for row in section(report, "outcomes", "table").rows]
    by_outcome: dict[str, list[Row]] = {}
    for row in rows:
        by_outcome.setdefault(str(row.get("outcome")), []).append(row)
    return [_one_outcome(name, own, naming, margin) for name, own in by_outcome.items()], rows


def _one_outcome(
    name: str, rows: Sequence[Row], naming: Names, margin: float | None
) -> OutcomeReading:
    described, first = naming.describe(name), rows[0]
    rest = [row for row in rows if against_rest(row)]
    groups = [row for row in rest if "*" not in str(row.get("attribute"))]
    crossed = loudest((row for row in rest if "*" in str(row.get("attribute"))), MOST_INTERSECTIONS)
    others = loudest((row for row in rows if not against_rest(row)), MOST_INTERSECTIONS)
    shown_groups = groups if len(groups) <= MOST_GROUPS else loudest(groups, MOST_GROUPS)
    shown = [*shown_groups, *crossed, *others]
    kind: Kind = "points" if first["shown_unit"] == "proportion" else "signed"
    adjusted = any(finite(row.get("gap_naive")) is not None for row in shown)
    axis = gap_axis(
        [
            spread
            for row in shown
            for spread in (
                interval(row, "gap", "gap_ci_low", "gap_ci_high"),
                interval(row, "gap_naive", "gap_naive_ci_low", "gap_naive_ci_high"),
            )
        ],
        margin,
        kind,
    )
    for row in shown:
        row["shown_svg"] = _drawing(row, axis, margin, adjusted)
    blocks: dict[str, list[Row]] = {}
    for row in shown_groups:
        blocks.setdefault(row["shown_attribute"], []).append(row)
    return OutcomeReading(
        name=name,
        title=naming.outcome(name),
        harm=str(described.get("harm") or ""),
        higher_is_better=first["shown_higher_is_better"],
        level=level_kind(first["shown_unit"]),
        gap=gap_kind(first["shown_unit"]),
        axis=axis,
        blocks=list(blocks.items()),
        intersections=crossed,
        others=others,
        left_out=len(rows) - len(shown),
        adjusted=adjusted,
    )


def _drawing(row: Row, axis: Axis, margin: float | None, adjusted: bool) -> str:
    second = (
        interval(row, "gap_naive", "gap_naive_ci_low", "gap_naive_ci_high") if adjusted else None
    )
    return row_svg(
        axis,
        interval(row, "gap", "gap_ci_low", "gap_ci_high"),
        second,
        band=None if margin is None else (-margin, margin),
        tone=row["shown_verdict"].name,
    )


def loudest(rows: Iterable[Row], most: int | None = None) -> list[Row]:
    """Put what matters most first, and cut off the rest; established gaps at four times as many."""
    rank = {"exceeds": 0, "inconclusive": 1, "within": 2}
    ordered = sorted(
        rows,
        key=lambda row: (
            not row.get("primary"),
            rank.get(str(row.get("verdict")), 3),
            -abs(finite(row.get("gap")) or 0.0),
        ),
    )
    found = sum(row.get("verdict") == "exceeds" for row in ordered)
    return ordered if most is None else ordered[: max(most, min(found, 4 * most))]
