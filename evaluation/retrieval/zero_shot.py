"""Plain text as queries: does "right pleural effusion" rank the right side above the left?

For each query two areas under the ROC curve, the share of pairs of cases that it ranks the right
way round (ties count half), with an interval over patients (:mod:`evaluation.stats.auc`):

- ``auc_side``: cases with the finding on the named side only, above those with it on the other
  side only. Bilateral and unsided ones are left out.
- ``auc_presence``: cases with the finding on the named side (or both), above those without the
  finding on any side. Those with it elsewhere or without a side are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.stats.auc import patient_area
from medembed.cases import FINDINGS, SIDED_FINDINGS, Finding
from medembed.errors import InputError

__all__ = [
    "MINIMUM_PATIENTS",
    "finding_phrase",
    "plain_queries",
    "zero_shot_means",
    "zero_shot_table",
]

MINIMUM_PATIENTS = 5
"""Patients that a group of cases needs; with fewer the row is not assessable."""

_SIDES = frozenset(("", "left", "right", "bilateral"))
# Findings whose label is not the phrase.
_PHRASES = {
    "effusion": "pleural effusion",
    "nodule": "lung nodule",
    "mass": "lung mass",
    "fracture": "rib fracture",
    "edema": "pulmonary edema",
    "fibrosis": "pulmonary fibrosis",
}


def finding_phrase(label: str, side: str = "") -> str:
    """Say a finding as a reader would.

    Examples
    --------
    >>> finding_phrase("effusion", "left"), finding_phrase("cardiomegaly")
    ('left pleural effusion', 'cardiomegaly')
    """
    return f"{side} {_PHRASES.get(label, label)}".strip()


def plain_queries(labels: Sequence[str] = FINDINGS) -> list[tuple[str, str, str]]:
    """Give (label, side, phrase) for each finding, and for each side of those that have one.

    A label that is not in the vocabulary is its own phrase, without a side.

    Examples
    --------
    >>> plain_queries(["effusion", "edema"])  # doctest: +NORMALIZE_WHITESPACE
    [('effusion', 'left', 'left pleural effusion'),
     ('effusion', 'right', 'right pleural effusion'),
     ('edema', '', 'pulmonary edema')]
    """
    return [
        (label, side, finding_phrase(label, side))
        for label in labels
        for side in (("left", "right") if label in SIDED_FINDINGS else ("",))
    ]


def zero_shot_table(
    query_vectors: ArrayLike,
    queries: Sequence[tuple[str, str, str]],
    image_vectors: ArrayLike,
    findings: Sequence[Sequence[Finding]],
    patients: ArrayLike,
    *,
    minimum: int = MINIMUM_PATIENTS,
) -> list[dict[str, Any]]:
    """Rank the images by each query and measure how well.

    Parameters
    ----------
    query_vectors, image_vectors : float arrays of shape (n_queries, d) and (n_cases, d)
        Unit vectors: the encoded text of each query, and the images.
    queries : sequence of (label, side, text)
        As :func:`plain_queries` gives them; side is ``""``, ``"left"`` or ``"right"``.
    findings, patients : per case, its findings and its patient
    minimum : int
        Patients that each of the two groups of a row needs.

    Returns
    -------
    list of dict
        One per query: ``label``, ``side``, ``text``; for each of ``side`` and ``presence``
        ``auc_…`` (float or None), ``auc_…_ci`` ((low, high) or None), ``n_…`` (positive and
        negative cases) and ``…_note``: empty, or ``"not assessable: …"`` and the reason.
    """
    texts, images = (np.asarray(v, dtype=np.float64) for v in (query_vectors, image_vectors))
    owners = np.asarray(patients)
    if texts.ndim != 2 or images.ndim != 2 or texts.shape[1] != images.shape[1]:
        raise InputError(f"queries of shape {texts.shape} and images of shape {images.shape}")
    if len(texts) != len(queries):
        raise InputError(f"{len(texts)} vectors for {len(queries)} queries")
    if not len(images) == len(findings) == len(owners):
        raise InputError("vectors, findings and patients of different numbers of cases")
    table: list[dict[str, Any]] = []
    for (label, side, text), row in zip(queries, texts @ images.T, strict=True):
        sides = [{f.side for f in case if f.label == label} for case in findings]
        named, left, right = (
            np.array([bool(case & wanted) for case in sides], dtype=np.bool_)
            for wanted in (_SIDES, _SIDES - {"", "right"}, _SIDES - {"", "left"})
        )
        if side == "":
            groups = {"side": (named & ~named, named & ~named), "presence": (named, ~named)}
        elif side in ("left", "right"):
            own, other = (left, right) if side == "left" else (right, left)
            groups = {"side": (own & ~other, other & ~own), "presence": (own, ~named)}
        else:
            raise InputError("a query's side is left, right or nothing")
        entry: dict[str, Any] = {"label": label, "side": side, "text": text}
        for name, (yes, no) in groups.items():
            entry |= _row(name, row, yes, no, owners, minimum)
        if not side:
            entry["side_note"] = "not assessable: query without a side"
        table.append(entry)
    return table


def _row(
    name: str,
    scores: NDArray[np.float64],
    yes: NDArray[np.bool_],
    no: NDArray[np.bool_],
    patients: NDArray[Any],
    minimum: int,
) -> dict[str, Any]:
    auc, interval, why = None, None, ""
    if min(len(np.unique(patients[yes])), len(np.unique(patients[no]))) < minimum:
        why = f"not assessable: fewer than {minimum} patients in one of the two groups"
    else:
        both = yes | no
        area = patient_area(scores[both], yes[both], patients[both])
        auc = area.auc
        interval = None if area.low is None or area.high is None else (area.low, area.high)
    return {
        f"auc_{name}": auc,
        f"auc_{name}_ci": interval,
        f"{name}_note": why,
        f"n_{name}": (int(yes.sum()), int(no.sum())),
    }


def zero_shot_means(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean AUC over the assessable rows, and their number.

    ``auc_side`` and ``auc_presence`` are over the queries that name a side,
    ``auc_presence_unsided`` over the others; None without such rows.
    """
    means: dict[str, Any] = {}
    for name, column, sided in (
        ("side", "auc_side", True),
        ("presence", "auc_presence", True),
        ("presence_unsided", "auc_presence", False),
    ):
        values = [
            row[column] for row in table if bool(row["side"]) == sided and row[column] is not None
        ]
        means[f"auc_{name}"] = float(np.mean(values)) if values else None
        means[f"n_{name}"] = len(values)
    return means
