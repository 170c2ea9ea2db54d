"""What a report leaves on disk: the page, the JSON, the table as CSV, and a model card."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from evaluation.report.model import Report
from evaluation.report.page import context_of, environment, render
from evaluation.report.rows import OutcomeRow
from medembed.errors import InputError

__all__ = ["model_card", "outcomes_csv", "write_report"]

_FIRST = ("attribute", "group", "outcome", "comparison")
_COLUMNS = (
    *_FIRST,
    *(f.name for f in fields(OutcomeRow) if f.name not in {*_FIRST, "more", "keys", "nulls"}),
)
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet takes a cell for a formula."""


def write_report(report: Report | Mapping[str, Any], folder: str | Path) -> dict[str, Path]:
    """Write a report into a folder, creating it if needed.

    Parameters
    ----------
    report : Report or mapping
        A whole audit, or its JSON: docs/reference/audit-report.md.
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
    model = Report.from_json(report)
    try:
        plain = json.dumps(model.to_json(), indent=1, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError):
        raise InputError("a report has to be plain JSON values", where="report") from None
    texts = {
        "html": ("audit.html", render(model)),
        "json": ("audit.json", plain + "\n"),
        "csv": ("audit.csv", outcomes_csv(model)),
        "card": ("model-card.md", model_card(model)),
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


def outcomes_csv(report: Report | Mapping[str, Any]) -> str:
    """Write the rows of the outcomes' table as CSV.

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
    >>> row = {"attribute": "sex", "group": "F", "outcome": "hit", "n_patients": 40}
    >>> outcomes_csv({"outcomes": {"table": [row]}}).splitlines()[1][:17]
    'sex,F,hit,rest,40'
    """
    rows = Report.from_json(report).outcomes.table
    more = sorted({key for row in rows for key in row.more})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *more])
    for row in rows:
        cells = [None if name in row.nulls else getattr(row, name) for name in _COLUMNS] + [
            row.more.get(name) for name in more
        ]
        writer.writerow(map(_cell, cells))
    return text.getvalue()


def model_card(report: Report | Mapping[str, Any]) -> str:
    """Write what the audit found about the model as a Markdown card.

    Returns
    -------
    str
        Under the headings of Mitchell et al. 2019, as far as an audit can fill them; what it can't
        know, the card leaves to the hospital.

    Raises
    ------
    InputError
        Where it is no report, or jinja2 is missing.

    References
    ----------
    Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
    """
    context = context_of(Report.from_json(report))
    return environment().get_template("model-card.md.j2").render(context)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_ACTIVE) else str(value)
    return "" if value is None else value
