"""Plain text as queries: does "right pleural effusion" rank the right side above the left?

For each query two areas under the ROC curve, the share of pairs of cases that it ranks the right
way round (ties count half), with an interval over patients (:mod:`evaluation.stats.auc`):

- ``auc_side``: cases with the finding on the named side only, above those with it on the other
  side only. Bilateral and unsided ones are left out.
- ``auc_presence``: cases with the finding on the named side (or both), above those without the
  finding on any side. Those with it elsewhere or without a side are left out.

Text becomes vectors elsewhere: nothing here needs a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.stats.auc import patient_area
from medembed.cases import FINDINGS, SIDED_FINDINGS, Finding
from medembed.errors import InputError

__all__ = ["MINIMUM_PATIENTS", "plain_queries", "zero_shot_means", "zero_shot_table"]

MINIMUM_PATIENTS = 5
"""Patients that a group of cases needs; with fewer the row is not assessable."""

_PHRASES = {
    "effusion": "pleural effusion",
    "consolidation": "consolidation",
    "pneumothorax": "pneumothorax",
    "nodule": "lung nodule",
    "mass": "lung mass",
    "atelectasis": "atelectasis",
    "fracture": "rib fracture",
    "cardiomegaly": "cardiomegaly",
    "edema": "pulmonary edema",
    "emphysema": "emphysema",
    "fibrosis": "pulmonary fibrosis",
    "support device": "support device",
}


def plain_queries(labels: Sequence[str] = FINDINGS) -> list[tuple[str, str, str]]:
    """Give a plain phrase for each finding, and for each side of those that have one.

    Parameters
    ----------
    labels : sequence of str
        Findings; a label that is not in the vocabulary is its own phrase, without a side.

    Returns
    -------
    list of (label, side, text)

    Examples
    --------
    >>> plain_queries(["effusion", "edema"])  # doctest: +NORMALIZE_WHITESPACE
    [('effusion', 'left', 'left pleural effusion'),
     ('effusion', 'right', 'right pleural effusion'),
     ('edema', '', 'pulmonary edema')]
    """
    return [
        (label, side, f"{side} {_PHRASES.get(label, label)}".strip())
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
    query_vectors : float array of shape (n_queries, d)
        The text of each query, encoded; unit vectors.
    queries : sequence of (label, side, text)
        As :func:`plain_queries` gives them; side is ``""``, ``"left"`` or ``"right"``.
    image_vectors : float array of shape (n_cases, d)
        Unit vectors.
    findings : per case, its findings
    patients : array of shape (n_cases,)
    minimum : int
        Patients that each of the two groups of a row needs.

    Returns
    -------
    list of dict
        One per query: ``label``, ``side``, ``text``; for each of ``side`` and ``presence``
        ``auc_…`` (float or None), ``auc_…_ci`` ((low, high) or None), ``n_…`` (positive and
        negative cases) and ``…_note``: empty, or ``"not assessable: …"`` and the reason.
    """
    texts = np.asarray(query_vectors, dtype=np.float64)
    images = np.asarray(image_vectors, dtype=np.float64)
    owners = np.asarray(patients)
    if texts.ndim != 2 or images.ndim != 2 or texts.shape[1] != images.shape[1]:
        raise InputError(f"queries of shape {texts.shape} and images of shape {images.shape}")
    if len(texts) != len(queries):
        raise InputError(f"{len(texts)} vectors for {len(queries)} queries")
    if not len(images) == len(findings) == len(owners):
        raise InputError("vectors, findings and patients of different numbers of cases")
    scores = texts @ images.T
    table: list[dict[str, Any]] = []
    for (label, side, text), row in zip(queries, scores, strict=True):
        sides = [{f.side for f in case if f.label == label} for case in findings]
        left = np.array([bool(s & {"left", "bilateral"}) for s in sides], dtype=np.bool_)
        right = np.array([bool(s & {"right", "bilateral"}) for s in sides], dtype=np.bool_)
        named = np.array([bool(s) for s in sides], dtype=np.bool_)
        if side in ("left", "right"):
            own, other = (left, right) if side == "left" else (right, left)
            groups = {"side": (own & ~other, other & ~own), "presence": (own, ~named)}
        elif side == "":
            nobody = np.zeros(len(images), dtype=np.bool_)
            groups = {"side": (nobody, nobody), "presence": (named, ~named)}
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
    held = {f"n_{name}": (int(yes.sum()), int(no.sum()))}
    n_patients = min(len(np.unique(patients[yes])), len(np.unique(patients[no])))
    if n_patients < minimum:
        why = f"not assessable: fewer than {minimum} patients in one of the two groups"
        return {f"auc_{name}": None, f"auc_{name}_ci": None, f"{name}_note": why, **held}
    both = yes | no
    area = patient_area(scores[both], yes[both], patients[both])
    interval = None if area.low is None or area.high is None else (area.low, area.high)
    return {f"auc_{name}": area.auc, f"auc_{name}_ci": interval, f"{name}_note": "", **held}


def zero_shot_means(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean AUC over the assessable rows, and their number.

    Rows with a side and rows without are averaged separately: ``auc_presence`` is over queries that
    name a side, ``auc_presence_unsided`` over the others; None without such rows.
    """

    def mean(column: str, rows: Sequence[Mapping[str, Any]]) -> tuple[float | None, int]:
        values = [row[column] for row in rows if row[column] is not None]
        return (float(np.mean(values)) if values else None), len(values)

    sided = [row for row in table if row["side"]]
    plain = [row for row in table if not row["side"]]
    side, n_side = mean("auc_side", sided)
    presence, n_presence = mean("auc_presence", sided)
    unsided, n_unsided = mean("auc_presence", plain)
    return {
        "auc_side": side,
        "n_side": n_side,
        "auc_presence": presence,
        "n_presence": n_presence,
        "auc_presence_unsided": unsided,
        "n_presence_unsided": n_unsided,
    }
