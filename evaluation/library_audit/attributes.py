"""Groups that a case belongs to, and the mix of cases that a comparison is adjusted to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.retrieval.load_cases import NO_FINDING
from medembed.cases import ATTRIBUTES, UNKNOWN, Case, group_of

__all__ = ["ATTRIBUTES", "STRATA", "TITLES", "UNKNOWN", "attribute_values", "stratum_values"]

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
    """Group of each case, shape (n_cases,); ``"unknown"`` where the source does not say.

    ``age_bands`` of ``(40, 60)`` give ``"under 40"``, ``"40-59"`` and ``"60 and over"``.
    """
    return np.array([group_of(case, attribute, age_bands) for case in cases], dtype=np.str_)


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
