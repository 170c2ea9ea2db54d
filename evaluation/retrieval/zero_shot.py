r"""Plain words as queries: does "right pleural effusion" rank the right side above the left?

For each query two areas under the ROC curve, the share of pairs of cases that it ranks the right
way round (ties count half; Hanley and McNeil 1982):

- ``auc_side``: cases with the finding on the named side only, above those with it on the other
  side only. Bilateral and unsided ones are left out.
- ``auc_presence``: cases with the finding on the named side (or both), above those without the
  finding on any side. Those with it elsewhere or without a side are left out.

Words become vectors elsewhere: nothing here needs a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.stats.bootstrap import Interval, PatientResampler
from medembed.cases import FINDINGS, SIDED_FINDINGS, Finding
from medembed.errors import InputError

__all__ = [
    "MINIMUM_PATIENTS",
    "plain_queries",
    "ranking_auc",
    "zero_shot_markdown",
    "zero_shot_means",
    "zero_shot_table",
]

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
    "oedema": "pulmonary oedema",
    "emphysema": "emphysema",
    "fibrosis": "pulmonary fibrosis",
    "support device": "support device",
}


def plain_queries(labels: Sequence[str] = FINDINGS) -> list[tuple[str, str, str]]:
    """Give a plain phrase for each finding, and for each side of those that have one.

    Parameters
    ----------
    labels : sequence of str
        Findings; a label that is not in the vocabulary is asked by its own name, unsided.

    Returns
    -------
    list of (label, side, text)

    Examples
    --------
    >>> plain_queries(["effusion", "oedema"])  # doctest: +NORMALIZE_WHITESPACE
    [('effusion', 'left', 'left pleural effusion'),
     ('effusion', 'right', 'right pleural effusion'),
     ('oedema', '', 'pulmonary oedema')]
    """
    return [
        (label, side, f"{side} {_PHRASES.get(label, label)}".strip())
        for label in labels
        for side in (("left", "right") if label in SIDED_FINDINGS else ("",))
    ]


def ranking_auc(
    scores: ArrayLike,
    positive: ArrayLike,
    patients: ArrayLike,
    *,
    repetitions: int = 2000,
    seed: int = 0,
) -> tuple[float, Interval | None]:
    """Area under the ROC curve, with an interval over patients.

    Parameters
    ----------
    scores : float array of shape (n,)
        Higher should mean positive.
    positive : bool array of shape (n,)
        Both kinds have to be there.
    patients : array of shape (n,)
    repetitions, seed : int

    Returns
    -------
    auc : float
    interval : (low, high) or None
        95%, patients drawn with replacement (a draw without one of the two kinds is drawn out).
        Where every pair is ranked right, the lower end is the exact binomial one for as many
        pairs of different patients as there are without using one twice; likewise for none right.

    Raises
    ------
    InputError
        With scores that are not finite, or of one kind only.

    Examples
    --------
    >>> ranking_auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True], ["a", "b", "c", "d"])[0]
    0.75
    """
    values = np.asarray(scores, dtype=np.float64)
    kind = np.asarray(positive, dtype=np.bool_)
    owners = np.asarray(patients)
    if values.ndim != 1 or values.shape != kind.shape or owners.shape != kind.shape:
        raise InputError("scores, kinds and patients of different length")
    if not np.isfinite(values).all():
        raise InputError("scores that are not finite numbers")
    if kind.all() or not kind.any():
        raise InputError("an area under the curve needs cases of both kinds")
    order = np.argsort(values, kind="stable")
    ranked, kind, owners = values[order], kind[order], owners[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    auc = float(_weighted_auc(np.ones((1, len(kind))), kind, starts)[0])
    resampler = PatientResampler(owners, repetitions=repetitions, seed=seed)
    if auc in (0.0, 1.0):
        pairs = min(len(np.unique(owners[kind])), len(np.unique(owners[~kind])))
        reach = 1 - 0.025 ** (1 / pairs)
        return auc, (0.0, reach) if auc == 0 else (1 - reach, 1.0)
    numbered = np.unique(owners, return_inverse=True)[1].ravel()
    draws = [
        _weighted_auc(part[:, numbered], kind, starts)
        for block in resampler.weights()
        for part in np.array_split(block, max(1, block.shape[0] * len(kind) // 2_000_000))
    ]
    drawn = np.concatenate(draws)
    drawn = drawn[np.isfinite(drawn)]
    return auc, resampler.interval(drawn) if len(drawn) >= repetitions / 2 else None


def _weighted_auc(
    weights: NDArray[np.float64], positive: NDArray[np.bool_], starts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """AUC of cases in rising order under weights (draws, n); ties begin at ``starts``."""
    up = np.add.reduceat(weights * positive, starts, axis=1)  # (draws, distinct scores)
    down = np.add.reduceat(weights * ~positive, starts, axis=1)
    below = np.cumsum(down, axis=1) - down
    pairs = up.sum(axis=1) * down.sum(axis=1)
    won = (up * (below + down / 2)).sum(axis=1)
    auc = np.full(len(won), np.nan)
    np.divide(won, pairs, out=auc, where=pairs > 0)
    return auc


def zero_shot_table(
    query_vectors: ArrayLike,
    queries: Sequence[tuple[str, str, str]],
    image_vectors: ArrayLike,
    findings: Sequence[Sequence[Finding]],
    patients: ArrayLike,
    *,
    repetitions: int = 2000,
    seed: int = 0,
    minimum: int = MINIMUM_PATIENTS,
) -> list[dict[str, Any]]:
    """Rank the images by each query and say how well.

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
    repetitions, seed : int
        Of the bootstrap over patients.
    minimum : int
        Patients that each of the two groups of a row needs.

    Returns
    -------
    list of dict
        One per query: ``label``, ``side``, ``text``; for each of ``side`` and ``presence``
        ``auc_…`` (float or None), ``auc_…_ci`` ((low, high) or None), ``n_…`` (positive and
        negative cases) and ``…_note``: empty, or ``"not assessable: …"`` and why.
    """
    asked = np.asarray(query_vectors, dtype=np.float64)
    images = np.asarray(image_vectors, dtype=np.float64)
    owners = np.asarray(patients)
    if asked.ndim != 2 or images.ndim != 2 or asked.shape[1] != images.shape[1]:
        raise InputError(f"queries of shape {asked.shape} and images of shape {images.shape}")
    if len(asked) != len(queries):
        raise InputError(f"{len(asked)} vectors for {len(queries)} queries")
    if not len(images) == len(findings) == len(owners):
        raise InputError("vectors, findings and patients of different numbers of cases")
    scores = asked @ images.T
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
            entry |= _row(name, row, yes, no, owners, minimum, repetitions, seed)
        if not side:
            entry["side_note"] = "not assessable: asked without a side"
        table.append(entry)
    return table


def _row(
    name: str,
    scores: NDArray[np.float64],
    yes: NDArray[np.bool_],
    no: NDArray[np.bool_],
    patients: NDArray[Any],
    minimum: int,
    repetitions: int,
    seed: int,
) -> dict[str, Any]:
    held = {f"n_{name}": (int(yes.sum()), int(no.sum()))}
    n_patients = min(len(np.unique(patients[yes])), len(np.unique(patients[no])))
    if n_patients < minimum:
        why = f"not assessable: fewer than {minimum} patients on one side of the comparison"
        return {f"auc_{name}": None, f"auc_{name}_ci": None, f"{name}_note": why, **held}
    both = yes | no
    auc, interval = ranking_auc(
        scores[both], yes[both], patients[both], repetitions=repetitions, seed=seed
    )
    return {f"auc_{name}": auc, f"auc_{name}_ci": interval, f"{name}_note": "", **held}


def zero_shot_means(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean AUC over the assessable rows, and how many they are.

    Rows with a side and rows without are averaged apart: ``auc_presence`` is over queries that
    name a side, ``auc_presence_unsided`` over the others; None where there is no row.
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


def zero_shot_markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Write the table and its means in Markdown, weak and not assessable rows included."""
    lines = [
        "| query | side vs other side [95%] | cases | presence vs absence [95%] | cases |",
        "|---|---|---|---|---|",
    ]
    for row in table:
        cells = [row["text"]]
        for name in ("side", "presence"):
            cells += [_cell(row, name), "{} / {}".format(*row[f"n_{name}"])]
        lines.append("| " + " | ".join(cells) + " |")
    means = zero_shot_means(table)
    for name, n, what in (
        ("auc_side", "n_side", "side against other side"),
        ("auc_presence", "n_presence", "presence against absence, with a side"),
        ("auc_presence_unsided", "n_presence_unsided", "presence against absence, no side"),
    ):
        if means[name] is not None:
            lines.append(f"\nMean of {means[n]} queries, {what}: {means[name]:.3f}")
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any], name: str) -> str:
    if row[f"auc_{name}"] is None:
        return str(row[f"{name}_note"])
    pair = row[f"auc_{name}_ci"]
    ends = f" [{pair[0]:.2f}, {pair[1]:.2f}]" if pair else ""
    return f"{row[f'auc_{name}']:.3f}{ends}"
