"""The cases of a library that an audit compares: vectors, patients and groups, row by row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.columns import banded
from evaluation.labels import group_labels
from evaluation.library_audit.attributes import ATTRIBUTES, attribute_values
from evaluation.library_audit.protocol import Protocol
from evaluation.retrieval.load_cases import LoadedCases, load_cases
from evaluation.stats.report_fields import OTHER_GROUPS
from evaluation.stats.small_groups import merge_labels
from evaluation.stats.verdict import Minimum
from medembed.errors import FingerprintError, InputError, LibraryError

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.notes import Note

__all__ = ["AuditedCases", "TextSide", "gather_queries"]


@dataclass(frozen=True)
class TextSide:
    """How the audited model reads words; evaluation itself loads no model.

    Parameters
    ----------
    read : callable
        What of a report it reads.
    encode : callable
        From n texts to float vectors of shape (n, d).
    """

    read: Callable[[Note], str]
    encode: Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class AuditedCases:
    """Everything that is compared, a row for each case.

    Parameters
    ----------
    cases, by_image
        All cases.
    paired, rows_of_pairs
        Those with a note vector, if any, and where they stand among all.
    attributes : dict of str to str array of shape (n_cases,)
        Group of each case.
    """

    cases: tuple[Case, ...]
    by_image: LoadedCases
    paired: LoadedCases | None
    rows_of_pairs: NDArray[np.int64] | None
    attributes: dict[str, NDArray[np.str_]]

    def among(self, kept: Collection[str], noted: Collection[str]) -> AuditedCases:
        """Keep the cases of these ids, and of their notes these."""
        rows = np.array([i for i, name in enumerate(self.by_image.case_ids) if name in kept], int)
        place = {self.by_image.case_ids[row]: new for new, row in enumerate(rows.tolist())}
        paired, of_pairs = None, None
        if self.paired is not None:
            chosen = [
                i for i, name in enumerate(self.paired.case_ids) if name in place and name in noted
            ]
            if chosen:
                paired = self.paired.take(np.array(chosen, dtype=np.int64))
                of_pairs = np.array([place[name] for name in paired.case_ids], dtype=np.int64)
        return AuditedCases(
            tuple(self.cases[row] for row in rows.tolist()),
            self.by_image.take(rows),
            paired,
            of_pairs,
            {name: labels[rows] for name, labels in self.attributes.items()},
        )

    def with_small_merged(
        self, minimum: Minimum
    ) -> tuple[AuditedCases, dict[str, tuple[str, ...]]]:
        """Merge the small groups of each attribute; the dict says which, by attribute."""
        owners = self.by_image.owners
        found = {
            name: merge_labels(labels, owners, minimum)[1]
            for name, labels in self.attributes.items()
        }
        merged = {name: groups for name, groups in found.items() if groups}
        return self.renamed(merged), merged

    def renamed(self, merged: Mapping[str, tuple[str, ...]]) -> AuditedCases:
        """Merge these groups of each attribute, however large they are here."""
        attributes = dict(self.attributes)
        for name, groups in merged.items():
            small = np.isin(attributes[name], groups)
            attributes[name] = np.where(small, OTHER_GROUPS, attributes[name]).astype(np.str_)
        return replace(self, attributes=attributes)

    def patients(self) -> NDArray[np.str_]:
        """Name the resampled unit of each case the same in every split; for no output."""
        first: dict[int, str] = {}
        for owner, case in zip(self.by_image.owners.tolist(), self.cases, strict=True):
            first[owner] = min(first.get(owner, case.patient_id), case.patient_id)
        return np.array([first[owner] for owner in self.by_image.owners.tolist()], dtype=np.str_)


def gather_queries(
    library: CaseLibrary, protocol: Protocol, fingerprint: str, split: str | None = None
) -> AuditedCases:
    """Bring cases, vectors and groups together, of the protocol's split or another.

    Raises
    ------
    LibraryError, FingerprintError
        If the split is empty, has no vectors, or holds a single patient.
    InputError
        If the library has no such attribute.
    """
    split = split or protocol.split
    there = (*ATTRIBUTES, *library.attribute_names())
    for name in protocol.attributes:
        if name not in there:
            raise InputError(f"no case has the attribute {name!r}", hint=f"use {', '.join(there)}")
    by_image = load_cases(library, fingerprint, split=split, with_notes=False)
    if len(set(by_image.owners.tolist())) < 2:
        raise LibraryError(
            f"the split {split!r} holds vectors of one patient",
            hint="an audit needs at least two",
        )
    paired: LoadedCases | None = None
    rows = None
    try:
        paired = load_cases(library, fingerprint, split=split)
    except FingerprintError:
        paired = None  # cases without notes: only images are compared
    if paired is not None:
        place = {case_id: row for row, case_id in enumerate(by_image.case_ids)}
        rows = np.array([place[case_id] for case_id in paired.case_ids], dtype=np.int64)
    cases = tuple(library.select(list(by_image.case_ids)))
    attributes = {
        name: attribute_values(cases, name, protocol.age_bands) for name in protocol.attributes
    }
    import pandas as pd  # slow to import

    for name, edges in protocol.bands.items():
        cut = banded(pd.Series(attributes[name]), name, edges, by_image.owners)
        attributes[name] = group_labels(cut)
    return AuditedCases(cases, by_image, paired, rows, attributes)
