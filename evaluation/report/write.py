"""What a report leaves on disk: the page, the JSON, the table as CSV, and a model card."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from evaluation.report.page import context_of, environment, render
from evaluation.report.view_model import read_report, section
from medembed.errors import InputError

__all__ = ["model_card", "outcomes_csv", "write_report"]

_FIRST = (
    "attribute", "group", "outcome", "comparison", "n_patients", "n_queries", "n_events",
    "n_unmeasured", "estimate", "ci_low", "ci_high", "rest_estimate", "gap", "gap_ci_low",
    "gap_ci_high", "p_adjusted", "verdict", "reason", "gap_naive", "gap_naive_ci_low",
    "gap_naive_ci_high", "p_naive", "verdict_naive", "family", "primary", "precision",
)  # fmt: skip
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet takes a cell for a formula."""


def write_report(report: Mapping[str, Any], folder: str | Path) -> dict[str, Path]:
    """Write a report into a folder, which is made if it is not there.

    Parameters
    ----------
    report : mapping
        The JSON of a whole audit: docs/reference/audit-report.md.
    folder : str or Path

    Returns
    -------
    dict of str to Path
        ``html`` (audit.html), ``json`` (audit.json), ``csv`` (audit.csv), ``card``
        (model-card.md). The same report gives the same bytes.

    Raises
    ------
    InputError
        Where it is no report or the folder can't be written.
    """
    shown = read_report(report)
    try:
        made = json.dumps(_plain(shown), indent=1, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError):
        raise InputError("a report has to be plain JSON values", where="report") from None
    texts = {
        "html": ("audit.html", render(report)),
        "json": ("audit.json", made + "\n"),
        "csv": ("audit.csv", outcomes_csv(report)),
        "card": ("model-card.md", model_card(report)),
    }
    room = Path(folder)
    written = {}
    try:
        room.mkdir(parents=True, exist_ok=True)
        for key, (name, text) in texts.items():
            written[key] = room / name
            written[key].write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(
            f"can't be written ({error.strerror})", where=str(room), hint="choose another --out"
        ) from None
    return written


def outcomes_csv(report: Mapping[str, Any]) -> str:
    """Write the rows of the outcomes' table as CSV.

    Parameters
    ----------
    report : mapping

    Returns
    -------
    str
        With a header; empty cells where there is no number. A text that a spreadsheet would take
        for a formula has an apostrophe before it.

    Raises
    ------
    InputError
        Where it is no report.

    Examples
    --------
    >>> row = {"attribute": "sex", "group": "F", "outcome": "hit", "estimate": 0.5}
    >>> outcomes_csv({"outcomes": {"table": [row]}}).splitlines()
    ['attribute,group,outcome,estimate', 'sex,F,hit,0.5']
    """
    rows = section(read_report(report), "outcomes", "table").rows
    there = {key for row in rows for key in row}
    columns = [name for name in _FIRST if name in there] + sorted(there - set(_FIRST))
    if not rows:
        columns = list(_FIRST)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return text.getvalue()


def model_card(report: Mapping[str, Any]) -> str:
    """Write what the audit says of the model as a Markdown card.

    Parameters
    ----------
    report : mapping

    Returns
    -------
    str
        After the headings of Mitchell et al. 2019, as far as an audit can fill them; what it can't
        know, the card leaves to the hospital and says so.

    Raises
    ------
    InputError
        Where it is no report, or jinja2 is missing.

    References
    ----------
    Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
    """
    shown = read_report(report)
    return environment().get_template("model-card.md.j2").render(context_of(shown))


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_ACTIVE) else value
    if isinstance(value, float) and not isfinite(value):
        return ""
    return "" if value is None else value


def _plain(value: Any) -> Any:
    """Turn what is no finite number into null, as JSON has no other word for it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
