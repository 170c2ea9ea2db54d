"""Diagnoses that readers ask for and reports do not name: the findings that show them.

The vocabulary has no diagnoses (decision 12), and neither terms nor scores use this list. It only
tells the novelty check that "heart failure" is nothing foreign where reports state edema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["shown_diagnoses"]

_SHOWN_BY: dict[str, tuple[str, ...]] = {
    r"(?:congestive )?(?:heart|cardiac|left ventricular) (?:failure|decompensation)": (
        "edema",
        "cardiomegaly",
    ),
    r"chf|(?:fluid|volume) overload|decompensated heart": ("edema", "cardiomegaly"),
    r"(?:aspiration |lobar |covid(?:-19)? )?(?:broncho)?pneumonias?": ("consolidation",),
    r"covid(?:-19)?": ("consolidation", "ground-glass opacity"),
    r"copd|chronic obstructive (?:pulmonary|lung|airway) disease": ("emphysema", "hyperinflation"),
    r"interstitial lung disease|ild": ("fibrosis", "reticular opacity"),
    r"(?:lung|bronchial|pulmonary) (?:cancer|carcinoma)s?": ("mass", "lung cancer"),
}
_PATTERNS = tuple(
    (re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE), labels)
    for words, labels in _SHOWN_BY.items()
)


def shown_diagnoses(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield start and end of each diagnosis in an English text, and the findings that show it.

    Examples
    --------
    >>> list(shown_diagnoses("signs of heart failure"))
    [(9, 22, ('edema', 'cardiomegaly'))]
    """
    for pattern, labels in _PATTERNS:
        for found in pattern.finditer(text):
            yield found.start(), found.end(), labels
