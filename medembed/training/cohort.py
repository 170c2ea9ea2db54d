"""The cases that a model is trained on: reports, pixels and groups."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from medembed.cases import ATTRIBUTES, Case, Finding, ScanRef, group_of
from medembed.counted import counted_line
from medembed.encoders.header_codes import header_codes
from medembed.encoders.study_images import StudyImages
from medembed.encoders.study_pooling import StudySettings
from medembed.errors import ConfigError, LibraryError
from medembed.library import CaseLibrary
from medembed.library.priors import earlier_studies
from medembed.model.pixel_cache import PixelCache
from medembed.model.report_text import header_phrase, header_words
from medembed.model.study_vectors import source_of
from medembed.notes import FINDINGS, Note, read_note
from medembed.pairing import joined, note_key, owner_keys
from medembed.preprocess import Preprocess
from medembed.progress import Progress
from medembed.training.settings import BalanceSettings, HeaderSettings
from medembed.training.text_views import Label, ReportTexts, note_of_findings
from medembed.training.validation import PoolLabels

__all__ = ["TrainingCohort", "load_cohorts"]

SMALLEST = 8
"""Minimum number of training cases."""


@dataclass(frozen=True)
class TrainingCohort:
    """Cases of one split that have a readable scan, and a note or findings of the source's table.

    Parameters
    ----------
    case_ids, patients, groups : tuple of str
    rows : tuple of int64 array
        Rows of each case's images in ``pixels``.
    reports : tuple of ReportTexts
    pixels : PixelCache
    scans : tuple of tuple of str
        Names of each case's scans; equal for equal pixels, if known.
    files : tuple of tuple of (str, int)
        Key of each scan's files, and its number of images.
    cache : Path
        Folder of the library's caches.
    balanced_by : tuple of str
        Group of each case for balanced batches; empty if batches are not balanced.
    studies : tuple of StudyImages
        The images of each case that are pooled, with those of earlier studies; ``rows`` are rows in
        ``pixels``. Empty if images are not pooled.
    reads_header : bool
        Whether what is said of their headers is read (``study.header``).
    """

    case_ids: tuple[str, ...]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    rows: tuple[npt.NDArray[np.int64], ...]
    reports: tuple[ReportTexts, ...]
    pixels: PixelCache
    scans: tuple[tuple[str, ...], ...] = ()
    files: tuple[tuple[tuple[str, int], ...], ...] = ()
    cache: Path = Path()
    balanced_by: tuple[str, ...] = ()
    studies: tuple[StudyImages, ...] = ()
    reads_header: bool = False

    def __len__(self) -> int:
        return len(self.case_ids)

    @property
    def digest(self) -> str:
        """Digest of cases, notes, scans and groups, which identifies a checkpoint.

        It does not depend on the layout of the pixel cache, which can be deleted and refilled.
        """
        about: list[object] = [
            [case_id, report.full.text, sorted(report.present), scans, len(rows)]
            for case_id, report, scans, rows in zip(
                self.case_ids, self.reports, self.scans, self.rows, strict=True
            )
        ]
        if self.balanced_by:
            about.append(self.balanced_by)
        if self.studies:
            about.append([[s.view.tolist(), s.gap_days.tolist()] for s in self.studies])
        if self.reads_header:
            about.append([s.header.tolist() for s in self.studies])
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    @cached_property
    def pool_labels(self) -> PoolLabels:
        """What the evaluation's rule says of these cases (:mod:`medembed.pairing`)."""
        owners = [owner_keys(p, g) for p, g in zip(self.patients, self.groups, strict=True)]
        files = [[name for name, _ in of_case] for of_case in self.files]
        notes = [[note_key(report.note.text)] for report in self.reports]
        return PoolLabels(joined(notes), joined(owners), joined(files))

    def labels(self, at_least: int) -> list[Label]:
        """Return findings and sides that at least this many reports assert, sorted."""
        counts = Counter(label for report in self.reports for label in report.present)
        return sorted(label for label, n in counts.items() if n >= at_least)

    def finding_targets(self, labels: Sequence[Label]) -> npt.NDArray[np.float32]:
        """Return the training targets ``(n, labels)``: 1 asserted, 0 not, NaN uncertain."""
        out = np.zeros((len(self), len(labels)), dtype=np.float32)
        for row, report in zip(out, self.reports, strict=True):
            for at, label in enumerate(labels):
                if label in report.present:
                    row[at] = 1
                elif label in report.uncertain:
                    row[at] = np.nan
        return out


def load_cohorts(
    library: CaseLibrary,
    preprocess: Preprocess,
    *,
    balance: BalanceSettings | None = None,
    study: StudySettings | None = None,
    findings: Literal["core", "all"] = "core",
    header: HeaderSettings | None = None,
    workers: int = 0,
    progress: Progress | None = None,
    check: Callable[[TrainingCohort], None] | None = None,
) -> tuple[TrainingCohort, TrainingCohort, dict[str, int]]:
    """Decode scans missing from the cache and assemble the training and validation cases.

    Parameters
    ----------
    library : CaseLibrary
    preprocess : Preprocess
    balance : BalanceSettings, optional
        How training cases are grouped for balanced batches.
    study : StudySettings, optional
        How the images of a case are pooled.
    findings : {"core", "all"}
        Which asserted findings to learn from.
    header : HeaderSettings, optional
        What is read of the header; nothing by default.
    workers : int
    progress : callable, optional
    check : callable, optional
        Called with the training cases, first without and then with pixels; raises if nothing can
        be learned from them.

    Returns
    -------
    train, val : TrainingCohort
    refused : dict of str to int
        Number of unreadable scans by reason.

    Raises
    ------
    LibraryError
        If there are too few cases with a scan, and a note or findings.
    ConfigError
        If the library cannot be grouped by the attribute to balance, or nothing is known of the
        headers that are to be read.
    """
    groups = {} if balance is None else _groups(library, balance)
    cache = PixelCache(library.path / "cache", preprocess)
    splits = {
        name: [case for case in library.select(library.split(name)) if case.note or case.findings]
        for name in ("train", "val")
    }
    if len(splits["train"]) < SMALLEST:
        n_noted = len(splits["train"])
        with_note = counted_line(n_noted, "training [case has|cases have] a note or findings")
        raise LibraryError(
            f"only {with_note}; alignment needs at least {SMALLEST}",
            where=library.path.name,
            hint="ingest reports or findings with the scans, see medembed ingest --help",
        )
    if study and study.header:
        _require_headers(splits["train"])
    reports = {
        case.case_id: _texts(
            case, None if findings == "all" else FINDINGS, header or HeaderSettings()
        )
        for cases in splits.values()
        for case in cases
    }
    train = _balanced(
        _lay_out(splits["train"], cache, reports, None, decoded=False), balance, groups
    )
    if check:
        check(train)
    everything = [case for cases in splits.values() for case in cases]
    refused = cache.fill(library, everything, workers=workers, progress=progress)
    train, val = (_lay_out(splits[name], cache, reports, study) for name in ("train", "val"))
    if len(train) < SMALLEST:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(refused.items()))
        raise LibraryError(
            f"only {counted_line(len(train), 'training [case has|cases have]')} a readable scan "
            f"({reasons or 'none'})",
            where=library.path.name,
        )
    train = _balanced(train, balance, groups)
    if check:
        check(train)
    return train, val, refused


def _require_headers(cases: Sequence[Case]) -> None:
    sources = (source_of(case, ref) for case in cases for ref in case.scans)
    if not any(any(header_codes(s.view, s.modality, s.body_part)) for s in sources):
        raise ConfigError(
            "no training case has a known view, modality or body part",
            where="study.header",
            hint="leave it out, or ingest a table with the columns modality and view",
        )


def _balanced(
    train: TrainingCohort, balance: BalanceSettings | None, groups: dict[str, str]
) -> TrainingCohort:
    if balance is None:
        return train
    train = replace(train, balanced_by=tuple(groups[case_id] for case_id in train.case_ids))
    if len(set(train.balanced_by)) < 2:
        raise ConfigError(
            f"all training cases belong to one group of {balance.attribute!r}",
            where="balance.attribute",
            hint="remove balance",
        )
    return train


def _groups(library: CaseLibrary, balance: BalanceSettings) -> dict[str, str]:
    """Return the group of every training case."""
    known = [*ATTRIBUTES, *library.attribute_names()]
    if balance.attribute not in known:
        raise ConfigError(
            f"unknown attribute {balance.attribute!r}",
            where="balance.attribute",
            hint=f"use one of: {', '.join(known)}",
        )
    return {
        case.case_id: group_of(case, balance.attribute, balance.age_bands)
        for case in library.select(library.split("train"))
    }


def _lay_out(
    cases: Iterable[Case],
    cache: PixelCache,
    reports: Mapping[str, ReportTexts],
    study: StudySettings | None,
    decoded: bool = True,
) -> TrainingCohort:
    """Assemble the cases with a readable scan; all cases, without rows, before decoding."""
    kept: list[tuple[Case, list[ScanRef]]] = []
    for case in cases:
        refs = [ref for ref in case.scans if not decoded or ref in cache]
        if refs:
            kept.append((case, refs))
    spans = [[cache.span(ref) for ref in refs] for _, refs in kept if decoded]
    return TrainingCohort(
        case_ids=tuple(case.case_id for case, _ in kept),
        patients=tuple(case.patient_id for case, _ in kept),
        groups=tuple(case.group_id for case, _ in kept),
        rows=tuple(
            np.concatenate([np.arange(first, first + count) for first, count in of_case])
            for of_case in spans
        ),
        reports=tuple(reports[case.case_id] for case, _ in kept),
        pixels=cache,
        scans=tuple(
            tuple(ref.pixel_sha256 or cache.key_of(ref) for ref in refs) for _, refs in kept
        ),
        files=tuple(
            tuple((cache.key_of(ref), cache.span(ref)[1]) for ref in refs)
            for _, refs in kept
            if decoded
        ),
        cache=cache.folder,
        studies=_studies(kept, spans, study.priors) if study and decoded else (),
        reads_header=bool(study and decoded and study.header),
    )


def _studies(
    kept: Sequence[tuple[Case, Sequence[ScanRef]]],
    spans: Sequence[Sequence[tuple[int, int]]],
    priors: int,
) -> tuple[StudyImages, ...]:
    """Return each case's images, and those of its patient's earlier studies among the cases."""
    own = {
        case.case_id: StudyImages.joined(
            [
                StudyImages.of_scan(first, count, source_of(case, ref))
                for ref, (first, count) in zip(refs, of_case, strict=True)
            ]
        )
        for (case, refs), of_case in zip(kept, spans, strict=True)
    }
    earlier = earlier_studies([case for case, _ in kept], priors)
    return tuple(
        StudyImages.joined([images, *(own[prior].before(days) for prior, days in earlier[name])])
        for name, images in own.items()
    )


def _texts(case: Case, only: Collection[str] | None, header: HeaderSettings) -> ReportTexts:
    words = header_words(case) if header.labels else ()
    given = (*case.findings, *(Finding(word.lower()) for word in words))
    if case.note:
        said = header_phrase(case) if header.text else ""
        return ReportTexts(_read(case.note), only, given, header=said)
    return ReportTexts(note_of_findings(case.findings), (), given, labels_only=True)


def _read(note: Note) -> Note:
    """Parse sections and assertions if the source gave only text."""
    return note if note.sections or note.assertions else read_note(note.text)
