"""The teaching file: one HTML page with each marked case as an unknown, its answer folded away."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from apps.case_lookup.html import Markup, escaped, join, tag
from apps.review.pictures import picture_bytes
from apps.review.texts import case_facts, findings_text, report_text
from medembed.reviews import Impression, Mark

if TYPE_CHECKING:
    from apps.review.document import CaseEntry, PictureOf, ReviewDocument

__all__ = ["write_teaching_file"]

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #16191b; background: #fff; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; max-height: 70vh; background: #000; display: block; }
section { margin: 0 0 3rem; break-after: page; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: 0.3rem 0; }
summary { cursor: pointer; padding: 0.5rem 0; font-weight: 600; }
h1, h2 { overflow-wrap: anywhere; }
"""
# nothing in the file may run or be fetched, whatever a text says
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_teaching_file(document: ReviewDocument, picture: PictureOf) -> bytes:
    """Write the cases marked for teaching as one HTML page that needs nothing else.

    It names no patient, no case and no reader: what the readers wrote stands there without them.
    """
    marked = document.marked(Mark.TEACHING)
    sections = [
        _section(document, entry, number, picture) for number, entry in enumerate(marked.entries, 1)
    ]
    head = join(
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", document.session.name),
        Markup(f"<style>{_STYLE}</style>"),
    )
    empty = None if sections else tag("p", "No case is marked for the teaching file yet.")
    body = join(tag("h1", document.session.name), empty, *sections)
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'
    return page.encode("utf-8")


def _section(document: ReviewDocument, entry: CaseEntry, number: int, picture: PictureOf) -> Markup:
    image = picture(entry.case)
    shown = tag("p", "The image cannot be shown.")
    if image is not None:
        data = base64.b64encode(picture_bytes(image)).decode("ascii")
        # the data is ours: escaping would look at each of its characters
        alt = escaped(case_facts(entry.case), "html")
        shown = Markup(f'<img src="data:image/png;base64,{data}" alt="{alt}">')
    answer = [tag("p", f"Findings: {findings_text(list(map(str, entry.case.findings))) or 'none'}")]
    if document.with_reports and report_text(entry.case):
        answer += [tag("h3", "Report"), tag("pre", report_text(entry.case))]
    for at, reading in enumerate(entry.readings, 1):
        answer.append(tag("h3", f"Reader {at}"))
        answer.append(_impression("First impression", reading.impression))
        if reading.is_revised:
            answer.append(_impression("After the report", reading.revision))
    return tag(
        "section",
        tag("h2", f"Case {number}"),
        tag("p", case_facts(entry.case)),
        shown,
        tag("details", tag("summary", "Answer"), *answer),
    )


def _impression(title: str, impression: Impression | None) -> Markup:
    if impression is None:
        return Markup("")
    findings = findings_text(impression.findings)
    return join(
        tag("p", f"{title}: {findings}" if findings else title),
        tag("pre", impression.text) if impression.text else None,
    )
