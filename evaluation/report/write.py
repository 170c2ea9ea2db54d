"""What a report leaves on disk: the page, the JSON, the table as CSV, and a model card."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.report.model import Report
from evaluation.report.page import context_of, environment, render
from medembed.errors import InputError

__all__ = ["model_card", "outcomes_csv", "write_report"]

_COLUMNS = (
    "attribute", "group", "outcome", "comparison", "n_patients", "precision", "verdict", "reason",
    "family", "primary", "n_queries", "n_events", "n_unmeasured", "estimate", "ci_low", "ci_high",
    "rest_estimate", "gap", "gap_ci_low", "gap_ci_high", "inner_low", "inner_high", "p_value",
    "p_adjusted", "p_max_t", "gap_naive", "gap_naive_ci_low", "gap_naive_ci_high", "p_naive",
    "verdict_naive", "overlap", "design_effect", "icc", "step", "step_rest", "flags", "ratio",
    "ratio_ci_low", "ratio_ci_high", "ratio_of", "p_heterogeneity", "gap_missing_low",
    "gap_missing_high",
)  # fmt: skip
"""Of the CSV, with or without a value; other fields of the rows follow."""
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
    plain = json.dumps(model.to_json(), indent=1, ensure_ascii=False)
    texts = {
        "html": ("audit.html", render(model)),
        "json": ("audit.json", plain + "\n"),
        "csv": ("audit.csv", outcomes_csv(model)),
        "card": ("model-card.md", model_card(model)),
    }
    room = Path(folder)
    try:
        room.mkdir(parents=True, exist_ok=True)
        for name, text in texts.values():
            (room / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(
            f"can't be written ({error.strerror})", where=str(room), hint="choose another --out"
        ) from None
    return {key: room / name for key, (name, _) in texts.items()}


def outcomes_csv(report: Report | Mapping[str, Any]) -> str:
    """Write the rows of the outcomes' table as CSV, with a header.

    Cells are empty where there is no number. A text that a spreadsheet would take for a formula has
    an apostrophe before it.

    Raises
    ------
    InputError
        Where it is no report.

    Examples
    --------
    >>> row = {"attribute": "sex", "group": "F", "outcome": "hit", "n_patients": 40}
    >>> outcomes_csv({"outcomes": {"table": [row]}}).splitlines()[1][:13]
    'sex,F,hit,,40'
    """
    held = Report.from_json(report).to_json().get("outcomes")
    rows = held.get("table") or [] if isinstance(held, dict) else []
    more = sorted({key for row in rows for key in row} - set(_COLUMNS))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *more])
    for row in rows:
        writer.writerow(_cell(row.get(name)) for name in (*_COLUMNS, *more))
    return text.getvalue()


def model_card(report: Report | Mapping[str, Any]) -> str:
    """Write what the audit found about the model as a Markdown card.

    Its headings are those of Mitchell et al. 2019, as far as an audit can fill them; what it can't
    know, the card leaves to the hospital.

    Raises
    ------
    InputError
        Where it is no report.

    References
    ----------
    Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
    """
    context = context_of(Report.from_json(report))
    return environment().get_template("model-card.md.j2").render(context)


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_ACTIVE) else value
