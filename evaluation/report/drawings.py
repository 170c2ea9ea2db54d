"""The sections beyond the outcomes: what is drawn of each row, and what its verdicts are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evaluation.report.figures import Kind, finite, gap_kind
from evaluation.report.forest import Axis, Interval, gap_axis, row_svg, span_axis
from evaluation.report.reading import Names, Row, Section, interval, names, section, verdict_of

__all__ = ["Part", "parts"]

MOST_ROWS = 40

_WORDS: dict[str, dict[str, str]] = {
    "exposure": {"exceeds": "Beyond chance", "within": "As expected"},
    "leakage": {"exceeds": "Can be read", "within": "Not readable"},
    "counterfactual": {"exceeds": "Words matter"},
    "modality_gap": {"exceeds": "Differs", "within": "Alike"},
    "label_quality": {"exceeds": "Differs", "within": "Alike"},
}

MEASURES: dict[str, tuple[str, str, bool, str]] = {
    "FNR": (
        "Findings missed (FNR)",
        "Of the patients who have the finding, the share whom the search takes for free of it: "
        "underdiagnosis.",
        False,
        "proportion",
    ),
    "FPR": (
        "False alarms (FPR)",
        "Of the patients without the finding, the share whom the search takes to have it.",
        False,
        "proportion",
    ),
    "EO": (
        "Equalized odds difference",
        "The larger of the differences in missed findings and in false alarms.",
        False,
        "proportion",
    ),
    "AUC": (
        "Ranking (AUC)",
        "How often a patient with the finding is ranked above one without it; chance gives a half.",
        True,
        "score",
    ),
    "calibration": (
        "Calibration error",
        "How far predicted probabilities lie from what is seen, without the part that small "
        "numbers alone produce.",
        False,
        "score",
    ),
}
"""Title, plain words, whether higher is better, unit."""


@dataclass(frozen=True)
class Part:
    """A section with one drawing a row.

    Parameters
    ----------
    body : Section
    axis : Axis or None
    found : int
        Rows in which something was established.
    left_out : int
        Rows that stand in the JSON only.
    blocks : list of (str, str, Axis, list of dict, bool)
        Title, plain words, axis, rows and whether higher is better, of several tables.
    tried, recommended : list of str
        What was tried against gaps, and what of it every row recommends.
    """

    body: Section
    axis: Axis | None = None
    found: int = 0
    left_out: int = 0
    blocks: list[tuple[str, str, Axis, list[Row], bool]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    recommended: list[str] = field(default_factory=list)


def parts(report: Mapping[str, Any], margin: float | None) -> dict[str, Part]:
    """Read every section beyond the outcomes.

    Parameters
    ----------
    report : mapping
    margin : float or None
        Drawn as a band where a section compares quality.

    Returns
    -------
    dict of Part
        By the report's key.
    """
    naming = names(report)
    found = {}
    for name in ("exposure", "leakage", "modality_gap", "label_quality"):
        found[name] = _part(report, name, naming)
    found["counterfactual"] = _swaps(section(report, "counterfactual"), naming)
    found["zero_shot"] = _zero_shot(section(report, "zero_shot"), naming, margin)
    found["mitigation"] = _changes(section(report, "mitigation"), "mitigation", naming, margin)
    compared = section(report, "comparison", "table")
    compared = compared if compared.done else section(report, "comparison")
    found["comparison"] = _changes(compared, "comparison", naming, margin)
    return found


def _named(rows: list[Row], name: str, naming: Names) -> list[Row]:
    shown = []
    for row in rows:
        verdict = verdict_of(row.get("verdict"))
        words = _WORDS.get(name, {}).get(verdict.name)
        shown.append(
            {
                **row,
                "shown_group": naming.group(row.get("attribute"), row.get("group")),
                "shown_attribute": naming.attribute(row.get("attribute")),
                "shown_verdict": replace(verdict, words=words) if words else verdict,
                "shown_suppressed": row.get("precision") == "suppressed",
            }
        )
    return shown


def _part(report: Mapping[str, Any], name: str, naming: Names) -> Part:
    body = section(report, name)
    if not body.done:
        return Part(body)
    rows = _ordered(_named(body.rows, name, naming), name)
    shown = rows[:MOST_ROWS]
    axis = _draw(shown, name)
    established = {"exceeds", "other"}
    found = sum(row["shown_verdict"].name in established for row in rows)
    return Part(replace(body, rows=shown), axis, found, len(rows) - len(shown))


def _ordered(rows: list[Row], name: str) -> list[Row]:
    if name == "label_quality":
        return sorted(rows, key=lambda row: (str(row.get("measure")), row["shown_attribute"]))
    return rows


def _draw(rows: list[Row], name: str) -> Axis:
    keys = {
        "exposure": ("shown_point", "ci_low", "ci_high"),
        "leakage": ("auc", "ci_low", "ci_high"),
        "modality_gap": ("difference", "difference_ci_low", "difference_ci_high"),
        "label_quality": ("estimate", "ci_low", "ci_high"),
    }[name]
    if name == "exposure":
        for row in rows:
            given, plain = finite(row.get("ratio_given_relevance")), finite(row.get("ratio"))
            row["shown_point"] = plain if given is None else given
            row["shown_other"] = None if given is None else plain
    spreads = [interval(row, *keys) for row in rows]
    if name == "modality_gap":
        axis, reference = gap_axis(spreads, None, "signed"), 0.0
    else:
        kinds: dict[str, tuple[Kind, float | None]] = {
            "exposure": ("ratio", 1.0),
            "leakage": ("ratio", 0.5),
            "label_quality": ("percent", None),
        }
        kind, chance = kinds[name]
        values = [value for item in spreads for value in (item.point, item.low, item.high)]
        values += [finite(row.get(key)) for row in rows for key in ("null_low", "null_high")]
        values += [finite(row.get("ratio")) for row in rows]
        axis = span_axis(values, kind, () if chance is None else (chance,))
        for row, spread in zip(rows, spreads, strict=True):
            row["shown_svg"] = _one(axis, spread, row, chance)
        return axis
    for row, spread in zip(rows, spreads, strict=True):
        row["shown_svg"] = _one(axis, spread, row, reference)
    return axis


def _one(axis: Axis, spread: Interval, row: Row, reference: float | None) -> str:
    low, high = finite(row.get("null_low")), finite(row.get("null_high"))
    other = finite(row.get("shown_other"))
    second = None if other is None else Interval(other, None, None)
    return row_svg(
        axis,
        spread,
        second,
        band=None if low is None or high is None else (low, high),
        reference=reference,
        tone=row["shown_verdict"].name,
    )


_SWAPPED = {
    "similarity": ("How alike a query and the cases are", "Change of the likeness to a group."),
    "exposure": ("Who appears among the results", "Change of a group’s share of the results."),
    "ranking": (
        "How much the order of the results changes",
        "Change of the order, beyond that which placebo words make.",
    ),
}


def _swaps(body: Section, naming: Names) -> Part:
    if not body.done:
        return Part(body)
    rows = _named(body.rows, "counterfactual", naming)
    blocks, left_out = [], 0
    for measure in dict.fromkeys(str(row.get("measure") or "") for row in rows):
        own = [row for row in rows if str(row.get("measure") or "") == measure]
        left_out += max(0, len(own) - MOST_ROWS)
        own = own[:MOST_ROWS]
        spreads = [interval(row, "effect", "ci_low", "ci_high") for row in own]
        axis = gap_axis(spreads, None, "signed")
        for row, spread in zip(own, spreads, strict=True):
            placebo = None if measure == "ranking" else finite(row.get("placebo"))
            band = None if placebo is None else (-abs(placebo), abs(placebo))
            row["shown_svg"] = row_svg(axis, spread, band=band, tone=row["shown_verdict"].name)
        title, words = _SWAPPED.get(measure, (measure, "Effect of swapped words."))
        blocks.append((title, words, axis, own, True))
    found = sum(row["shown_verdict"].name == "exceeds" for row in rows)
    return Part(body, None, found, left_out, blocks)


def _zero_shot(body: Section, naming: Names, margin: float | None) -> Part:
    if not body.done:
        return Part(body)
    rows = _named(body.rows, "zero_shot", naming)
    blocks, left_out = [], 0
    order = {name: place for place, name in enumerate(MEASURES)}
    measures = sorted({str(row.get("measure")) for row in rows}, key=lambda m: order.get(m, 9))
    for measure in measures:
        title, words, higher, unit = MEASURES.get(measure, (measure, "", True, "score"))
        own = [row for row in rows if str(row.get("measure")) == measure]
        own.sort(
            key=lambda row: (
                ("exceeds", "inconclusive", "within").index(row["shown_verdict"].name)
                if row["shown_verdict"].name in {"exceeds", "inconclusive", "within"}
                else 3,
                str(row.get("finding")),
            )
        )
        left_out += max(0, len(own) - MOST_ROWS)
        own = own[:MOST_ROWS]
        spreads = [interval(row, "gap", "gap_ci_low", "gap_ci_high") for row in own]
        axis = gap_axis(spreads, margin, gap_kind(unit))
        for row, spread in zip(own, spreads, strict=True):
            gap = finite(row.get("gap"))
            row["shown_unit"] = unit
            row["shown_worse"] = None if not gap else (gap < 0) == higher
            row["shown_svg"] = row_svg(
                axis,
                spread,
                band=None if margin is None else (-margin, margin),
                tone=row["shown_verdict"].name,
            )
        blocks.append((title, words, axis, own, higher))
    found = sum(row["shown_verdict"].name == "exceeds" for row in rows)
    return Part(body, None, found, left_out, blocks)


def _changes(body: Section, name: str, naming: Names, margin: float | None) -> Part:
    if not body.done:
        return Part(body)
    rows = _named(body.rows, name, naming)
    shown = rows[: 2 * MOST_ROWS]
    for row in shown:
        measure = row.get("measure") or row.get("outcome")
        described = naming.describe(measure)
        row["shown_measure"] = naming.outcome(measure)
        row["shown_unit"] = str(described.get("unit") or "score")
    proportions = all(row["shown_unit"] == "proportion" for row in shown)
    spreads = [interval(row, "change", "ci_low", "ci_high") for row in shown]
    axis = gap_axis(spreads, None, "points" if proportions else "signed")
    for row, spread in zip(shown, spreads, strict=True):
        row["shown_svg"] = row_svg(
            axis,
            spread,
            band=None if margin is None else (-margin, margin),
            tone=row["shown_verdict"].name if row.get("verdict") else "",
        )
    tried = (
        list(dict.fromkeys(str(row.get("name")) for row in rows)) if name == "mitigation" else []
    )
    recommended = [
        one
        for one in tried
        if all(row.get("recommended") is True for row in rows if str(row.get("name")) == one)
    ]
    left = len(rows) - len(shown)
    return Part(replace(body, rows=shown), axis, len(recommended), left, [], tried, recommended)
