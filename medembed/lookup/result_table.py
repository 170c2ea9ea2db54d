"""A search's result as a table: for pandas, and as HTML for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from medembed.cases import Case
    from medembed.lookup.result import LookupHit, Result

__all__ = ["impression", "percentile_text", "result_frame", "result_html", "score_lines"]

_TYPES = {
    "rank": "int64",
    "case_id": "object",
    "score": "float64",
    "percentile": "float64",
    "worth": "float64",
    "worth_low": "float64",
    "worth_high": "float64",
    "modality": "object",
    "view": "object",
    "sex": "object",
    "age_years": "float64",
    "study_date": "datetime64[s]",
    "findings": "object",
    "impression": "object",
    "why": "object",
}
_SHOWN = {
    "rank": "#",
    "case_id": "Case",
    "score": "Score",
    "view": "View",
    "findings": "Findings",
    "why": "In common",
}


def result_frame(result: Result) -> pd.DataFrame:
    """Return the hits as a table: :meth:`medembed.Result.to_frame`."""
    import pandas as pd

    rows = [_row(hit) for hit in result.hits]
    columns = {name: pd.Series([row[name] for row in rows], dtype=t) for name, t in _TYPES.items()}
    return pd.DataFrame(columns)


def result_html(result: Result) -> str:
    """Return the hits as an HTML table with a caption and header cells; all text is escaped.

    A notebook keeps what it shows and is passed on, so neither reports nor pictures are in it.
    """
    lines = [str(result.score_basis), result.novelty_line, *map(str, result.plan.notes)]
    caption = "; ".join([str(result.plan), *lines])
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in _SHOWN.values())
    body = "".join(_html_row(hit) for hit in result.hits)
    if not body:
        body = f'<tr><td colspan="{len(_SHOWN)}">No cases match.</td></tr>'
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _html_row(hit: LookupHit) -> str:
    cells, row = [], _row(hit)
    for name in _SHOWN:
        value = row[name]
        text = " ".join(score_lines(hit)) if name == "score" else str(value)
        kind = "th" if name == "case_id" else "td"
        scope = ' scope="row"' if name == "case_id" else ""
        cells.append(f"<{kind}{scope}>{escape(text)}</{kind}>")
    return f"<tr>{''.join(cells)}</tr>"


def _row(hit: LookupHit) -> dict[str, Any]:
    case = hit.case
    return {
        "rank": hit.rank,
        "case_id": case.case_id,
        "score": hit.score,
        "percentile": hit.percentile,
        "worth": hit.worth.share,
        "worth_low": hit.worth.low,
        "worth_high": hit.worth.high,
        "modality": case.modality,
        "view": case.view,
        "sex": case.sex,
        "age_years": case.age_years,
        "study_date": case.study_date,
        "findings": ", ".join(map(str, case.findings)),
        "impression": impression(case),
        "why": str(hit.evidence),
    }


def percentile_text(percentile: float) -> str:
    """Write a percentile, which is rounded down: 72%, 99.3%, 99.98%."""
    digits = 0 if percentile < 99 else 1 if percentile < 99.9 else 2
    return f"{percentile:.{digits}f}%"


def score_lines(hit: LookupHit) -> list[str]:
    """Give a score, its percentile, and its worth of 100 with the interval, as far as known."""
    lines = [f"{hit.score:.3f}"]
    if hit.percentile is not None:
        lines.append(percentile_text(hit.percentile))
    worth = hit.worth
    if worth.share is not None and worth.low is not None and worth.high is not None:
        share, low, high = (100 * value for value in (worth.share, worth.low, worth.high))
        lines += [f"{share:.0f} of 100", f"({low:.0f}–{high:.0f})"]
    return lines


def impression(case: Case, most: int = 120) -> str:
    """Return the first line of a case's impression, findings or note, or a dash."""
    if case.note is None:
        return "–"
    text = case.note.section("impression") or case.note.section("findings") or case.note.text
    line = next((line.strip() for line in text.splitlines() if line.strip()), "–")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
