"""Groups that a case belongs to, and the mix of cases that a comparison is adjusted to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.gathering import NO_FINDING

if TYPE_CHECKING:
    from medembed.cases import Case

__all__ = ["ATTRIBUTES", "STRATA", "TITLES", "UNKNOWN", "attribute_values", "stratum_values"]

UNKNOWN = "unknown"

_FIELDS: Mapping[str, Callable[[Case], str]] = {
    "sex": lambda case: case.sex,
    "race": lambda case: case.race,
    "view": lambda case: case.view,
    "modality": lambda case: case.modality,
    "site": lambda case: case.site,
    "scanner": lambda case: case.scanner,
}

ATTRIBUTES = ("sex", "age_band", "race", "view", "modality", "site", "scanner")
"""Attributes that every library has; columns that were kept are further ones."""

STRATA = ("finding", "n_findings", "view", "modality", "age_band", "sex", "site")
"""What gaps can be adjusted for."""

TITLES = {
    "sex": "Sex",
    "age_band": "Age",
    "race": "Race",
    "view": "View",
    "modality": "Modality",
    "site": "Site",
    "scanner": "Scanner",
}


def attribute_values(
    cases: Sequence[Case], attribute: str, age_bands: Sequence[int]
) -> NDArray[np.str_]:
    """Group of each case.

    Parameters
    ----------
    cases : sequence of Case
    attribute : str
        One of :data:`ATTRIBUTES` or a column that was kept at ingest.
    age_bands : sequence of int
        ``(40, 60)`` gives ``"under 40"``, ``"40-59"`` and ``"60 and over"``.

    Returns
    -------
    str array of shape (n_cases,)
        ``"unknown"`` where the source does not say.
    """
    if attribute == "age_band":
        return np.array([_band(case.age_years, age_bands) for case in cases], dtype=np.str_)
    of = _FIELDS.get(attribute) or (lambda case: case.attributes.get(attribute, ""))
    return np.array([of(case).strip() or UNKNOWN for case in cases], dtype=np.str_)


def _band(age: float | None, ends: Sequence[int]) -> str:
    if age is None:
        return UNKNOWN
    if not ends:
        return "all ages"
    below = [end for end in ends if end <= age]
    if not below:
        return f"under {ends[0]}"
    if len(below) == len(ends):
        return f"{ends[-1]} and over"
    return f"{below[-1]}-{ends[len(below)] - 1}"


def stratum_values(cases: Sequence[Case], name: str, age_bands: Sequence[int]) -> NDArray[np.str_]:
    """Stratum of each case.

    ``finding`` is the case's commonest finding in this archive ("none" without one), so that
    strata stay few; ``n_findings`` is 0, 1, 2 or "3+"; the others are as in
    :func:`attribute_values`.
    """
    if name == "finding":
        named = [[f.label for f in case.findings if f.label not in NO_FINDING] for case in cases]
        common = Counter(label for labels in named for label in set(labels))
        return np.array(
            [min(labels, key=lambda x: (-common[x], x)) if labels else "none" for labels in named],
            dtype=np.str_,
        )
    if name == "n_findings":
        counts = [len({f.label for f in case.findings} - NO_FINDING) for case in cases]
        return np.array([str(n) if n < 3 else "3+" for n in counts], dtype=np.str_)
    return attribute_values(cases, name, age_bands)
