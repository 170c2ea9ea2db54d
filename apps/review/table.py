"""The readings of a session as CSV for spreadsheets, in which no cell is a formula."""

from __future__ import annotations

import csv
import io

from apps.review.document import CaseEntry, ReviewDocument
from apps.review.texts import plain_lines, query_text, report_text
from medembed.reviews import Impression, Mark, Reading

__all__ = ["COLUMNS", "safe_cell", "write_table"]

COLUMNS = (
    "session", "position", "case_id", "patient_id", "modality", "view", "sex", "age_years",
    "recorded_findings", "query", "reader", "state", "first_impression", "first_findings",
    "seconds_to_impression", "seconds_to_reveal", "final_impression", "final_findings", "revised",
    "seconds_to_end", "opened", "impression_at", "revealed_at", "finished_at", "shortlisted",
    "teaching",
)  # fmt: skip

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before it.

    References
    ----------
    OWASP, *CSV Injection*. The signs of full width count as well.

    Examples
    --------
    >>> safe_cell("=1+1"), safe_cell("-"), safe_cell("1 - 1")
    ("'=1+1", "'-", '1 - 1')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_table(document: ReviewDocument) -> bytes:
    """Write a row for each case and reader; a case nobody has read has one row.

    The file is UTF-8 with a byte order mark, without which spreadsheets misread umlauts.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    columns = (*COLUMNS, "report") if document.with_reports else COLUMNS
    writer.writerow(columns)
    for entry in document.entries:
        for reading in entry.readings or (None,):
            row = _row(document, entry, reading)
            if document.with_reports:
                row["report"] = _plain(report_text(entry.case))
            writer.writerow([safe_cell(row[column]) for column in columns])
    return stream.getvalue().encode("utf-8-sig")


def _row(document: ReviewDocument, entry: CaseEntry, reading: Reading | None) -> dict[str, str]:
    case = entry.case
    row = dict.fromkeys(COLUMNS, "")
    row |= {
        "session": _plain(document.session.name),
        "position": str(entry.place.position),
        "case_id": _plain(case.case_id),
        "patient_id": _plain(case.patient_id),
        "modality": _plain(case.modality),
        "view": _plain(case.view),
        "sex": case.sex,
        "age_years": "" if case.age_years is None else f"{case.age_years:g}",
        "recorded_findings": _plain("; ".join(map(str, case.findings))),
        "query": query_text(entry.place.query),
    }
    if reading is None:
        return row
    return row | {
        "reader": _plain(reading.reader),
        "state": reading.state.value,
        "first_impression": _text(reading.impression),
        "first_findings": _findings(reading.impression),
        "seconds_to_impression": _seconds(reading.impression_seconds),
        "seconds_to_reveal": _seconds(reading.reveal_seconds),
        "final_impression": _text(reading.revision),
        "final_findings": _findings(reading.revision),
        "revised": ("yes" if reading.is_revised else "no") if reading.is_finished else "",
        "seconds_to_end": _seconds(reading.end_seconds),
        "opened": reading.opened,
        "impression_at": reading.impression_at,
        "revealed_at": reading.revealed_at,
        "finished_at": reading.finished_at,
        "shortlisted": "yes" if Mark.SHORTLIST in reading.marks else "no",
        "teaching": "yes" if Mark.TEACHING in reading.marks else "no",
    }


def _plain(text: str) -> str:
    return "\n".join(plain_lines(text))


def _text(impression: Impression | None) -> str:
    return "" if impression is None else _plain(impression.text)


def _findings(impression: Impression | None) -> str:
    return "" if impression is None else _plain("; ".join(impression.findings))


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
