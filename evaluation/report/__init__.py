"""The report of an audit: a page for a governance board, and the same as JSON, CSV and model card.

It is rendered from the report's JSON alone; no figure is computed here.
"""

from __future__ import annotations

from medembed.errors import InputError

try:
    import jinja2  # noqa: F401
except ImportError:
    raise InputError(
        "the report needs jinja2", where="report", hint="pip install 'medembed[audit]'"
    ) from None

from evaluation.report.page import render
from evaluation.report.write import model_card, outcomes_csv, write_report

__all__ = ["model_card", "outcomes_csv", "render", "write_report"]
