"""Whom the parts of a report count: sets of cases, by what was asked of them.

The sizes that a report shows are of groups within such sets, and a reader may subtract one set from
another: those with a report from all, those who have a finding from those who lack it. So the sets
themselves are at hand where it is decided what may be shown
(:mod:`evaluation.library_audit.withholding`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import codes
from evaluation.sections.group_vs_rest import text_groups

if TYPE_CHECKING:
    from evaluation.library_audit.cases import AuditedCases

__all__ = ["EVERYONE", "Facts", "Key", "facts_of"]

Key = tuple[str, ...]
Bools = NDArray[np.bool_]

EVERYONE: Key = ("all",)
"""All cases that are audited."""


@dataclass(frozen=True)
class Facts:
    """What a report's counts are counts of; in no output.

    Parameters
    ----------
    owner : int array of shape (n_cases,)
        Patient of each case, from 0.
    groups : dict of str to str array of shape (n_cases,)
        By attribute; ``"sex*view"`` crosses two.
    sets : dict of key to bool array of shape (n_cases,)
        :data:`EVERYONE`; ``("outcome", name)``, cases that it was measured on; ``("pairs",)`` with
        an image and a note vector; ``("noted",)``; ``("label", measure)`` and, where the measure
        counts patients' records, ``("label", measure, "events")``; ``("finding", name, "with")``
        and ``("finding", name, "without")``.
    """

    owner: NDArray[np.int64]
    groups: dict[str, NDArray[np.str_]]
    sets: dict[Key, Bools]

    @classmethod
    def of(
        cls,
        patients: ArrayLike,
        attributes: Mapping[str, ArrayLike],
        sets: Mapping[Key, ArrayLike],
        intersections: Iterable[tuple[str, ...]] = (),
    ) -> Facts:
        """Put arrays of one row per case together.

        Parameters
        ----------
        patients : array of shape (n_cases,)
        attributes : mapping of str to array of shape (n_cases,)
        sets : mapping of key to bool array of shape (n_cases,)
            Besides all.
        intersections : iterable of tuples of attributes
        """
        owner = codes(np.asarray(patients).astype(str))
        groups = {
            name: text_groups(values, name, len(owner)) for name, values in attributes.items()
        }
        for parts in intersections:
            rows = zip(*(groups[part].tolist() for part in parts), strict=True)
            groups["*".join(parts)] = np.array(["*".join(row) for row in rows], dtype=np.str_)
        held = {key: np.asarray(cases, dtype=np.bool_) for key, cases in sets.items()}
        return cls(owner, groups, {EVERYONE: np.ones(len(owner), dtype=np.bool_)} | held)


def facts_of(
    audited: AuditedCases,
    columns: Mapping[str, NDArray[np.float64]],
    intersections: Iterable[tuple[str, ...]] = (),
) -> Facts:
    """Find the sets that the sections of an audit of a library count.

    Parameters
    ----------
    audited : AuditedCases
    columns : mapping of str to float64 array of shape (n_cases,)
        Outcomes, NaN where not measured.
    intersections : iterable of tuples of attributes

    Returns
    -------
    Facts
    """
    found = [{finding.label for finding in case} for case in audited.by_image.findings]
    noted = np.array([bool(case.note) for case in audited.cases], dtype=np.bool_)
    sets: dict[Key, Any] = {("outcome", name): ~np.isnan(c) for name, c in columns.items()}
    sets["noted",] = noted
    if audited.rows_of_pairs is not None:
        pairs = np.zeros(len(audited.cases), dtype=np.bool_)
        pairs[audited.rows_of_pairs] = True
        sets["pairs",] = pairs
    with_finding = np.array([bool(labels) for labels in found], dtype=np.bool_)
    labelled = with_finding | noted  # a report without a finding says that there is none
    everyone = np.ones(len(noted), dtype=np.bool_)
    for measure, of, events in (
        ("unlabelled", everyone, ~labelled),
        ("without_finding", labelled, ~with_finding),
        ("without_note", everyone, ~noted),
    ):
        sets["label", measure] = of
        sets["label", measure, "events"] = events & of
    for measure in ("disagreement", "only_in_table", "only_in_note"):
        sets["label", measure] = labelled & noted
    for label in sorted(set().union(*found)):
        held = np.array([label in labels for labels in found], dtype=np.bool_)
        sets["finding", label, "with"] = held
        sets["finding", label, "without"] = ~held
    return Facts.of(audited.by_image.owners, audited.attributes, sets, intersections)
