"""The sections beyond the outcomes: what is drawn of each row, and what its verdicts are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evaluation.report.collapse import LOUD, Counts, Fold, counted, fold_rows
from evaluation.report.forest_svg import Axis, Interval, gap_axis, row_svg, span_axis
from evaluation.report.number_format import Kind, finite, gap_kind
from evaluation.report.verdicts import verdict_of
from evaluation.report.view_model import Names, Row, Section, interval, names, section

__all__ = ["Block", "Part", "parts"]

MOST_ROWS = 40

_WORDS: dict[str, dict[str, str]] = {
    "exposure": {"exceeds": "Beyond chance", "differs": "Beyond chance", "within": "As expected"},
    "leakage": {"exceeds": "Can be read", "differs": "Can be read", "within": "Not readable"},
    "counterfactual": {"exceeds": "Words matter", "differs": "Words matter"},
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
class Block:
    """A table of a section.

    Parameters
    ----------
    title, words : str
        Words for the reader without statistics.
    axis : Axis
    fold : Fold
    higher : bool
        Whether higher is better.
    """

    title: str
    words: str
    axis: Axis
    fold: Fold
    higher: bool = True


@dataclass(frozen=True)
class Part:
    """A section with one drawing a row.

    Parameters
    ----------
    body : Section
    found : int
        Rows in which something was established.
    counts : list of (Verdict, int)
        All rows by verdict.
    blocks : list of Block
        Its tables.
    """

    body: Section
    found: int = 0
    counts: Counts = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """Rows that stand in the JSON only."""
        return sum(block.fold.left_out for block in self.blocks)


def _whole(body: Section, rows: list[Row], blocks: list[Block]) -> Part:
    found = sum(row["shown_verdict"].name in LOUD for row in rows)
    return Part(body, found, counted(rows), blocks)


def parts(report: Mapping[str, Any], margin: float | None) -> dict[str, Part]:
    """Read every section beyond the outcomes that compares groups.

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
    fold = fold_rows(rows, MOST_ROWS)
    return _whole(body, rows, [Block("", "", _draw(fold.rows, name), fold)])


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
    blocks = []
    for measure in dict.fromkeys(str(row.get("measure") or "") for row in rows):
        fold = fold_rows([r for r in rows if str(r.get("measure") or "") == measure], MOST_ROWS)
        own = fold.rows
        spreads = [interval(row, "effect", "ci_low", "ci_high") for row in own]
        axis = gap_axis(spreads, None, "signed")
        for row, spread in zip(own, spreads, strict=True):
            placebo = None if measure == "ranking" else finite(row.get("placebo"))
            band = None if placebo is None else (-abs(placebo), abs(placebo))
            row["shown_svg"] = row_svg(axis, spread, band=band, tone=row["shown_verdict"].name)
        title, words = _SWAPPED.get(measure, (measure, "Effect of swapped words."))
        blocks.append(Block(title, words, axis, fold))
    return _whole(body, rows, blocks)


def _zero_shot(body: Section, naming: Names, margin: float | None) -> Part:
    if not body.done:
        return Part(body)
    rows = _named(body.rows, "zero_shot", naming)
    blocks = []
    order = {name: place for place, name in enumerate(MEASURES)}
    measures = sorted({str(row.get("measure")) for row in rows}, key=lambda m: order.get(m, 9))
    for measure in measures:
        title, words, higher, unit = MEASURES.get(measure, (measure, "", True, "score"))
        own = [row for row in rows if str(row.get("measure")) == measure]
        own.sort(
            key=lambda row: (
                ("exceeds", "differs", "inconclusive", "within").index(row["shown_verdict"].name)
                if row["shown_verdict"].name in {"exceeds", "differs", "inconclusive", "within"}
                else 3,
                str(row.get("finding")),
            )
        )
        fold = fold_rows(own, MOST_ROWS)
        own = fold.rows
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
        blocks.append(Block(title, words, axis, fold, higher))
    return _whole(body, rows, blocks)
