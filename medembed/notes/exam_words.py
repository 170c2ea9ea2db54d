"""What a report states about its own examination: modality and views."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medembed.notes.note import Note

__all__ = ["MODALITY_FAMILIES", "StatedExam", "stated_exam"]

MODALITY_FAMILIES: dict[str, frozenset[str]] = {
    "radiograph": frozenset({"CR", "DX", "RG", "RF", "XR"}),
    "CT": frozenset({"CT"}),
    "MR": frozenset({"MR"}),
    "ultrasound": frozenset({"US", "IVUS"}),
    "mammogram": frozenset({"MG"}),
    "nuclear medicine": frozenset({"NM", "PT"}),
}
"""DICOM ``Modality`` values that a report calls by the same word."""

_MODALITY_WORDS = {
    "radiograph": r"radiographs?|radiography|x-?rays?|plain films?|CXR|röntgen\w*|radiografía",
    "CT": r"CTA?|HRCT|computed tomograph\w+|computertomogra\w+|tomografía",
    "MR": r"MRI?|MRA|magnetic resonance|magnetresonanz\w*|kernspin\w*|resonancia",
    "ultrasound": r"ultrasound|ultrasonogra\w+|sonogra\w+|US|ecografía",
    "mammogram": r"mammogra\w+|mamografía|tomosynthesis",
    "nuclear medicine": r"PET|SPECT|scintigra\w+|szintigra\w+|gammagrafía",
}
_VIEW_WORDS = {
    "PA": r"PA|P\.A\.|p\.a\.|postero-?anterior",
    "AP": r"AP|A\.P\.|a\.p\.|antero-?posterior",
    "LATERAL": r"lateral|seitlich\w*",
}
_SHOUTED = frozenset({"CT", "CTA", "MR", "MRI", "MRA", "US", "PET", "SPECT", "PA", "AP"})
"""Words only in capitals: "us" and "pa" are words or parts of other languages."""
_BOTH = re.compile(r"\b(frontal|(two|2)[ -]views?|2 Ebenen|zwei Ebenen)\b", re.IGNORECASE)
_LONGEST_TITLE = 120
# Another examination of the same patient is no statement about this one.
_OTHER = re.compile(
    r"[^.;\n]*\b(compar\w*|prior|previous\w*|earlier|recommend\w*|follow-?up|vergl\w*|Vor\w*)\b"
    r"[^.;\n]*",
    re.IGNORECASE,
)


def _compiled(words: dict[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"(?<![\w-])(?:{p})(?!\w)", re.I) for name, p in words.items()}


_MODALITIES, _VIEWS = _compiled(_MODALITY_WORDS), _compiled(_VIEW_WORDS)


@dataclass(frozen=True)
class StatedExam:
    """What a report says it describes; empty sets if it does not say.

    Parameters
    ----------
    modalities : frozenset of str
        Keys of :data:`MODALITY_FAMILIES`.
    views : frozenset of str
        ``"PA"``, ``"AP"``, ``"LATERAL"``; empty too if it says only "frontal" or "two views".
    """

    modalities: frozenset[str] = frozenset()
    views: frozenset[str] = frozenset()


def stated_exam(note: Note) -> StatedExam:
    r"""Read modality and views from the title and the technique section of a report.

    Other sections name other examinations ("compared to CT", "ultrasound is recommended"), so they
    are not read.

    Examples
    --------
    >>> from medembed.notes import read_note
    >>> exam = stated_exam(read_note("TECHNIQUE: Portable AP chest radiograph.\nFINDINGS: Clear."))
    >>> sorted(exam.modalities), sorted(exam.views)
    (['radiograph'], ['AP'])
    """
    text = _OTHER.sub(" ", f"{_title(note)}\n{note.section('technique')}")
    views = frozenset() if _BOTH.search(text) else _named(_VIEWS, text)
    return StatedExam(_named(_MODALITIES, text), views)


def _title(note: Note) -> str:
    """Return the first line, if it is short and before every section but the body."""
    line = note.text.lstrip().partition("\n")[0]
    if len(line) > _LONGEST_TITLE or line.rstrip().endswith((".", ":")):
        return ""
    first = min((s.start for s in note.sections if s.name != "body"), default=len(note.text))
    return line if note.text.find(line) + len(line) <= first else ""


def _named(patterns: dict[str, re.Pattern[str]], text: str) -> frozenset[str]:
    return frozenset(
        name
        for name, pattern in patterns.items()
        if any(
            word.upper() not in _SHOUTED or word.isupper()
            for word in (found.group() for found in pattern.finditer(text))
        )
    )
