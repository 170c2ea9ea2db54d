"""The degree of a finding, mild, moderate or severe, from the words beside its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from medembed.notes.note import Assertion

__all__ = ["Degree", "degree_of"]

Degree = Literal["", "mild", "moderate", "severe"]

_WORDS: Mapping[Degree, str] = MappingProxyType(
    {
        "mild": "small|tiny|trace|mild|mildly|minimal|minimally|minor|slight|slightly|subtle|faint|"
        "early|klein\\w*|gering\\w*|diskret\\w*|leicht\\w*|schmal\\w*|minimal\\w*",
        "moderate": "moderate|moderately|moderate-sized|mäßig\\w*|mittelgroß\\w*|moderat\\w*",
        "severe": "large|severe|severely|marked|markedly|massive|extensive|gross|huge|big|advanced|"
        "complete|tension|groß\\w*|gross\\w*|ausgeprägt\\w*|massiv\\w*|ausgedehnt\\w*|schwer\\w*",
    }
)
_BESIDE = re.compile(
    "|".join(rf"(?P<{name}>\b(?:{words})\b)" for name, words in _WORDS.items()), re.IGNORECASE
)
_CLAUSE = re.compile(
    r"[.;:\n]|,(?!\s*\w+(?:[.;,\n]|$))|\b(?:and|or|with|without|no|but|und|oder|mit|ohne|kein\w*|aber)\b",
    re.IGNORECASE,
)
_BEFORE, _AFTER = 48, 24


def degree_of(text: str, assertion: Assertion) -> Degree:
    """Return the degree that a text gives a finding; empty if it gives none.

    The nearest word before the finding in its clause decides, then the first one after it.

    Examples
    --------
    >>> text = "Small left effusion; cardiomegaly, marked."
    >>> degree_of(text, Assertion("effusion", "present", "left", 11, 19))
    'mild'
    >>> degree_of(text, Assertion("cardiomegaly", "present", "", 21, 33))
    'severe'
    """
    before = text[max(0, assertion.start - _BEFORE) : assertion.start]
    after = text[assertion.end : assertion.end + _AFTER]
    cuts = list(_CLAUSE.finditer(before))
    before = before[cuts[-1].end() :] if cuts else before
    cut = _CLAUSE.search(after)
    after = after[: cut.start()] if cut else after
    found = [*_BESIDE.finditer(text[assertion.start : assertion.end])]
    found = found or [*_BESIDE.finditer(before)][-1:] or [*_BESIDE.finditer(after)][:1]
    if not found:
        return ""
    named = found[-1].lastgroup
    return "mild" if named == "mild" else "moderate" if named == "moderate" else "severe"
