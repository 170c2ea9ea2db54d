"""Are some groups labelled otherwise than others? What is not labelled cannot be found missing.

Where a group's studies lack reports, or its reports and its labels disagree more often, its other
figures stand on less. Nothing here says which of the two is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import UNKNOWN
from evaluation.sections.group_vs_rest import Contrast, contrast_groups
from evaluation.stats import Minimum
from medembed.errors import InputError

__all__ = ["assess_label_quality", "label_outcomes"]


def label_outcomes(
    labels: Sequence[Collection[str] | None], notes: Sequence[Collection[str] | None] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Give the outcomes of each case's labels.

    Parameters
    ----------
    labels, notes : sequence of n collections of findings, or None
        From the table, None where nobody labelled the case; and asserted by its report, None where
        there is none.

    Returns
    -------
    dict of str to float64 array of shape (n,)
        ``unlabelled``; ``without_finding`` among the labelled; with ``notes`` also
        ``without_note``, and among cases with both ``disagreement`` (not the same set),
        ``only_in_table`` and ``only_in_note`` (a finding that the other lacks). Else NaN. Findings
        that no label names are not compared: a table need not list all that a report may assert.

    Examples
    --------
    >>> found = label_outcomes([{"mass"}, set(), None], [{"mass"}, {"mass"}, None])
    >>> found["unlabelled"], found["disagreement"]
    (array([0., 0., 1.]), array([ 0.,  1., nan]))
    """
    out: dict[str, list[float]] = {
        "unlabelled": [case is None for case in labels],
        "without_finding": [np.nan if case is None else not case for case in labels],
    }
    if notes is not None:
        if len(notes) != len(labels):
            raise InputError(f"{len(notes)} reports for {len(labels)} cases")
        listed = {finding for label in labels for finding in label or ()}
        both = [
            (set(label), set(note) & listed)
            if listed and label is not None and note is not None
            else None
            for label, note in zip(labels, notes, strict=True)
        ]
        out["without_note"] = [note is None for note in notes]
        out["disagreement"] = [np.nan if two is None else two[0] != two[1] for two in both]
        out["only_in_table"] = [np.nan if two is None else bool(two[0] - two[1]) for two in both]
        out["only_in_note"] = [np.nan if two is None else bool(two[1] - two[0]) for two in both]
    return {name: np.array(column, dtype=np.float64) for name, column in out.items()}


def assess_label_quality(
    quality: Mapping[str, ArrayLike],
    patients: ArrayLike,
    groups: Mapping[str, ArrayLike],
    *,
    outcomes: Mapping[str, ArrayLike] | None = None,
    margin: float = 0.05,
    alpha: float = 0.05,
    minimum: Minimum | None = None,
    repetitions: int = 2000,
    seed: int = 0,
) -> tuple[Contrast, ...]:
    """Compare each group's labels with the rest's, and "unknown" with everybody who is known.

    Parameters
    ----------
    quality : mapping of str to float array of shape (n,)
        As :func:`label_outcomes` gives it.
    patients, groups, margin, alpha, minimum, repetitions, seed
        As in :func:`~evaluation.sections.contrast_groups`.
    outcomes : mapping of str to float array of shape (n,), optional
        Outcomes of the search for the same cases: of these only ``"unknown"`` is compared, since
        patients of whom less is known may be those who are served worse. A family of its own.
    """
    if set(outcomes or ()) & set(quality):
        raise InputError("an outcome of the search with the name of one of the labels")
    return tuple(
        row
        for family, only in ((quality, None), (outcomes or {}, UNKNOWN))
        for row in contrast_groups(
            family, patients, groups, only=only, margin=margin, alpha=alpha, minimum=minimum,
            repetitions=repetitions, seed=seed,
        )
    )  # fmt: skip
