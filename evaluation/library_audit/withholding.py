"""The last step of an audit: what its parts tell together, and no part tells alone.

Each section hides the small cells that it would show, and what betrays them within it. A reader has
all sections: patients of a group in one less those in another, positives and negatives, a group's
share of unknown. Here the counts of the whole report are put into one system, and what would give a
small cell away is taken out (:mod:`evaluation.library_audit.choosing`), in patients first and then
in cases.

Of a row whose size is taken out the other figures would tell it: a rate of .0303 has 33 cases below
it. So shares go, means are given in steps that tell no small cell over all parts together
(:mod:`evaluation.library_audit.coarsening`), and figures that are no means are rounded to
thousandths, intervals outwards. Where a rate is that of a record that few patients have or lack (a
report, a label, a finding), it tells their number, and all figures go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from math import ceil, floor, isfinite, isnan, nan
from typing import Any

from evaluation.library_audit.choosing import Withheld, find_withheld
from evaluation.library_audit.coarsening import Levels, find_levels, rest_of, step_of_row
from evaluation.library_audit.counting import Sizes
from evaluation.library_audit.populations import EVERYONE, Facts
from evaluation.library_audit.rows import Reading, Row, readings
from evaluation.report.last_check import blanked, minimum_of
from evaluation.stats import Minimum
from evaluation.stats.rounding import BLANK, EXACT, coarsen, set_gap

__all__ = ["withhold"]

_SHARES = ("share", "share_archive", "exposure", "top_k", "design_effect", "icc")
_UNIT, _TENTH = 1000, 0.1
_COUNTS = ("n_patients", "n_queries", "n_items", "n_events", "n_unmeasured", "n_unpaired")
_SAYS = "counts are withheld, since others could be told from them"
_NOTE = (
    "Counts are withheld, and figures beside them rounded, where together with other parts of this "
    "report they would tell of fewer than {} patients."
)


def withhold(report: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Copy a report without the counts that would tell of small groups, over all its parts.

    Parameters
    ----------
    report : mapping
        As the sections made it; see docs/reference/audit-report.md.
    facts : Facts
        Whose cases the sections counted.

    Returns
    -------
    dict
    """
    copy: dict[str, Any] = deepcopy(dict(report))
    minimum = minimum_of(copy)
    sizes = Sizes(facts)
    rows = list(readings(copy, sizes, minimum))
    gone, known = find_withheld(rows, sizes, minimum)
    before = [dict(reading.row) for reading in rows]
    for reading in rows:
        _take_out(reading, gone, minimum.reported)
    kinds = copy["outcomes"].get("settings", {}).get("kinds", {})
    levels = find_levels(rows, gone, known, sizes, minimum, kinds)
    touched = set()
    for reading, was in zip(rows, before, strict=True):
        _coarsen(reading, levels, minimum)
        if reading.row != was:
            touched.add(reading.section)
            _say(reading.row)
    _few_said(copy, minimum.reported)
    _blank_detectable(copy, sizes, gone)
    if (sizes.place[EVERYONE], "") in gone:
        _blank_totals(copy)
    for section in touched:
        notes = copy[section].get("notes")
        if isinstance(notes, list):
            notes.append(_NOTE.format(minimum.reported))
    return copy


def _take_out(reading: Reading, gone: Withheld, reported: int) -> None:
    """Take counts out of a row, and what would tell them whatever it is rounded to."""
    row = reading.row
    size = reading.sizes.get("n_patients") or reading.sizes.get("n_queries")
    if row.get("precision") == "suppressed":
        return
    if size is not None and size in gone.small and "group" in row:
        row.update(blanked(row))
        row["verdict"] = "not_assessable"
        row["reason"] = f"fewer than {reported} patients"
        return
    for field, cell in reading.sizes.items():
        if cell in gone:
            row[field] = None
    if size is not None and size in gone:
        _clear(row, _COUNTS)
        _clear(row, _SHARES)
    total = None if size is None or size[0] in ("read", "own") else (size[0], "")
    events = reading.events
    told = size in gone and row.get("estimate") not in (0.0, 1.0)
    if events is not None and (told or events in gone or (events[0], "") in gone):
        _clear(row, [name for name, value in row.items() if isinstance(value, float)])
        row["verdict"] = "not_assessable"
        row["reason"] = f"its figures would tell of fewer than {reported} patients"
    elif reading.averages and any(cell in gone for cell in reading.beside):
        _clear(row, [name for name in row if name.startswith(("rest_", "gap", "p_"))])
        row["verdict"] = "not_assessable"
        row["reason"] = f"its figures would tell of fewer than {reported} patients"
    elif not reading.averages and any(cell in gone for cell in (size, total, *reading.beside)):
        _clear(row, ("rest_estimate",))
        _round(row)


def _say(row: Row) -> None:
    """Say in a row's reason that something was withheld, where it does not yet."""
    reason = row.get("reason")
    if isinstance(reason, str) and not reason.endswith("patients") and _SAYS not in reason:
        row["reason"] = "; ".join(filter(None, [reason, _SAYS]))


def _clear(row: Row, names: Collection[str]) -> None:
    for name in names:
        if name in row:
            row[name] = None


def _coarsen(reading: Reading, levels: Levels, minimum: Minimum) -> None:
    """Round a row's means, and what is made of them, as far as they would tell counts."""
    row, own = reading.row, levels.own(reading)
    rest = max(own, levels.rest(reading))
    if rest == EXACT:
        return
    unit = levels.units.get(reading.averages[0].name, 1.0)
    own_step, step = (step_of_row(reading, level, minimum) for level in (own, rest))
    others = {
        average: rest_of(reading, average) for average in reading.averages if average.gap in row
    }
    unadjusted = "gap_naive" in row and row["gap"] == row["gap_naive"]
    fields = {average.field for average in reading.averages} | {"ci_low", "ci_high"}
    figures = {name for name, value in row.items() if isinstance(value, float)}
    figures -= {"overlap", "p", *(name for name in row if name.startswith(("p_", "step")))}
    coarsen(row, fields & figures, own_step, unit)
    coarsen(row, figures - fields, step, unit)
    coarsen(row, {"overlap"} & row.keys(), _TENTH)
    for average, mean in others.items():
        if mean is not None and own != BLANK != rest:
            held = {"mean": mean}
            coarsen(held, held, step, unit)
            set_gap(row, average.gap, row[average.field] - held["mean"])
            if unadjusted:
                set_gap(row, "gap", row[average.gap])
    if isinstance(row.get("change"), float) and own != BLANK:
        row["change"] = round(row["after"] - row["before"], 9)
    for name, given in (("step", own_step if "step_rest" in row else step), ("step_rest", step)):
        if name in row:
            row[name] = nan if isnan(given) else max(row[name] or 0.0, given * unit)
    for name, value in row.items():
        if isinstance(value, float) and (name == "p" or name.startswith("p_")):
            row[name] = float(f"{value:.2g}")
    if own != EXACT:
        _clear(row, ("n_events", "design_effect", "icc"))
    if rest == BLANK:
        gone = [n for n, v in row.items() if isinstance(v, float) and (isnan(v) or n[0] == "p")]
        _clear(row, gone)
        row["verdict"] = "not_assessable"
        _, sign, sizes = str(row["reason"]).partition("; sizes are")
        told = f"its figures would tell of fewer than {minimum.reported} patients"
        row["reason"] = told + sign + sizes


def _round(row: Row) -> None:
    """Round figures that are no means: areas, ratios, distances."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            row[name] = {key: _rounded(name, one) for key, one in value.items()}
        else:
            row[name] = _rounded(name, value)


def _rounded(name: str, value: Any) -> Any:
    if not isinstance(value, float) or not isfinite(value):
        return value
    if name == "p" or name.startswith("p_"):
        return float(f"{value:.2g}")
    way = floor if name.endswith("low") else ceil if name.endswith("high") else round
    return way(round(value * _UNIT, 6)) / _UNIT


def _few_said(report: dict[str, Any], reported: int) -> None:
    """How many reports say an attribute is a count of reports like any other."""
    section = report.get("counterfactual")
    for row in section["rows"] if isinstance(section, dict) else []:
        said, asked = row.get("n_said"), row.get("n_queries")
        if said is not None and (
            asked is None or 0 < said < reported or 0 < asked - said < reported
        ):
            row["n_said"] = None


def _blank_detectable(report: dict[str, Any], sizes: Sizes, gone: Withheld) -> None:
    """The smallest gap to be found goes with the root of a group's size."""
    instrument = report.get("instrument")
    for row in instrument["detectable"] if isinstance(instrument, dict) else []:
        number = sizes.index(("outcome", row["outcome"]))
        cells = {(n, row["attribute"], row["group"]) for n in (0, number) if n is not None}
        if cells & gone.small:
            row.update({"smallest_gap": None, "error": None, "precision": "suppressed"})
        elif cells & gone.partners and row["smallest_gap"] is not None:
            row.update({"smallest_gap": float(f"{row['smallest_gap']:.1g}"), "error": None})


def _blank_totals(report: dict[str, Any]) -> None:
    for place, names in (
        (report.get("stamp"), ("n_cases", "n_patients")),
        (report["outcomes"]["settings"], ("n_patients", "n_queries")),
        (report.get("exposure"), ("n_queries", "n_query_patients")),
    ):
        if isinstance(place, dict):
            _clear(place, names)
