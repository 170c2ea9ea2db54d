"""A report into sections, by its headings."""

from __future__ import annotations

import re

from medembed.notes.note import Section

__all__ = ["find_sections"]

_NAMES = {
    "findings": ("findings", "finding", "report", "description", "observations", "result"),
    "impression": ("impression", "impressions", "conclusion", "conclusions", "opinion",
                   "assessment", "summary", "interpretation"),
    "indication": ("indication", "indications", "clinical indication", "reason for exam",
                   "reason for examination", "reason for study", "clinical information",
                   "clinical details", "clinical question", "reason"),
    "history": ("history", "clinical history", "medical history", "past medical history",
                "patient history"),
    "technique": ("technique", "procedure", "protocol", "examination", "exam", "study",
                  "view", "views", "projection"),
    "comparison": ("comparison", "comparisons", "prior studies", "prior study",
                   "previous studies", "compared with"),
}  # fmt: skip
_SECTION_OF = {word: name for name, words in _NAMES.items() for word in words}
_WORDS = "|".join(
    re.escape(word).replace(r"\ ", r"[ \t]+")
    for word in sorted(_SECTION_OF, key=lambda word: -len(word))
)
# "Findings:" at the start of a line; "FINDINGS:" or "FINDINGS -" anywhere after a sentence;
# "Findings" alone on its line
_HEADING = re.compile(
    rf"""(?:^[ \t>*#_]*(?P<line>{_WORDS})[ \t*_]*(?::|(?=\r?\n|\Z)))
      | (?:(?<=[.;:!?\n])[ \t]*(?P<inline>{_WORDS})[ \t]*:)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def find_sections(text: str) -> tuple[Section, ...]:
    """Split a report at its headings.

    Text before the first heading is ``"body"``. A heading that names none of the sections
    (``"Lungs:"``) belongs to the section that it stands in.

    Returns
    -------
    tuple of Section
        In order, without overlap, blank ones left out.
    """
    sections: list[Section] = []
    name, start = "body", 0
    for match in _HEADING.finditer(text):
        _close(sections, name, start, match.start(), text)
        word = match["line"] or match["inline"]
        name, start = _SECTION_OF[" ".join(word.lower().split())], match.end()
    _close(sections, name, start, len(text), text)
    return tuple(sections)


def _close(sections: list[Section], name: str, start: int, end: int, text: str) -> None:
    if text[start:end].strip():
        sections.append(Section(name, start, end))
