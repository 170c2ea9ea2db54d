"""The files of one study, and the choice of its scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from medembed.errors import ScanError, ScanReason
from medembed.scans import ScanHeader, Series, group_series
from medembed.scans.sop_classes import kind_of
from medembed.sources.file_header import FileHeader
from medembed.sources.source import FileRecord

__all__ = ["NO_IMAGES", "DicomStudy", "ScanChoice", "choose_scans", "kind_of_header", "pick_images"]

T = TypeVar("T")

_FRONTAL = ("PA", "AP")
_OF_FUNCTION = ("PT", "NM")  # functional images, overlaid on another modality
# best first: a later row is used only if no earlier one is present
_IMAGE_KINDS = (("image", "unknown"), ("secondary capture",), ("localizer",))

NO_IMAGES: ScanReason = "no-picture"
"""Code of a mask, dose or similar object in a study without an image."""


def kind_of_header(header: ScanHeader) -> str:
    """Return the kind of object a file is (:func:`medembed.scans.sop_classes.kind_of`)."""
    return kind_of(header.sop_class, header.image_type, header.modality)


@dataclass
class DicomStudy:
    """Files with the same ``StudyInstanceUID``.

    Parameters
    ----------
    key : str
        Keyed hash of the UID; also the case id.
    files : list of Path
    headers : list of FileHeader
        In the same order; empty until needed.
    """

    key: str
    files: list[Path] = field(default_factory=list, repr=False)
    headers: list[FileHeader] = field(default_factory=list, repr=False)

    def add(self, path: Path, header: FileHeader) -> None:
        """Add a file with its header."""
        self.files.append(path)
        self.headers.append(header)

    @property
    def accessions(self) -> set[str]:
        """Keyed hashes of the accession numbers of the study."""
        return {one.header.accession for one in self.headers if one.header.accession}


@dataclass(frozen=True)
class ScanChoice:
    """The scans of a study.

    Parameters
    ----------
    series : tuple of Series
        Volumes first, then frontal views, then the rest, each in the order of the files.
    refused : tuple of (files, ScanError)
        Files that are ambiguous, do not form a volume, or hold no image.
    noticed : counter of str
        Observations on files that were skipped without a refusal.
    """

    series: tuple[Series, ...]
    refused: tuple[tuple[tuple[Path, ...], ScanError], ...]
    noticed: Counter[str]


def choose_scans(study: DicomStudy, known: Mapping[Path, FileRecord]) -> ScanChoice:
    """Choose the scans of a study among its decodable files.

    An exact copy of an instance counts once; the same instance with different content is refused.
    Masks, doses, presentation states and similar objects are skipped if the study has images, else
    refused. Screen captures and localizers are used only if there are no other images.
    """
    refused: list[tuple[tuple[Path, ...], ScanError]] = []
    noticed: Counter[str] = Counter()
    uids: set[str] = set()
    contents: set[str] = set()
    taken: list[tuple[str | Path, ScanHeader]] = []
    for path, kept in zip(study.files, study.headers, strict=True):
        record, header = known[path], kept.header
        if record.code:
            continue
        if record.sha256 in contents:
            noticed["duplicate [file|files] skipped"] += 1
            continue
        uid = header.instance_uid
        if uid and uid in uids:
            error = ScanError(
                "another file has the same SOPInstanceUID but different content",
                reason="duplicate-instance",
            )
            refused.append(((path,), error))
            continue
        contents.add(record.sha256)
        uids.add(uid)
        # the pixels identify slices that were sent twice
        taken.append((path, replace(header, frame_digests=record.frame_digests)))
    series = []
    for one in group_series(taken):
        if one.error is not None:
            refused.append((one.files, one.error))
        else:
            series.append(one)
            if one.note:
                noticed[f"[scan|scans]: {one.note}"] += 1
    series, left_out = pick_images(series, [kind_of_header(s.headers[0]) for s in series])
    for kind, ones in left_out.items():
        if series:
            noticed[f"[{kind}|{kind}s] skipped"] += len(ones)
            continue
        error = ScanError(f"{kind} in a study without images", reason=NO_IMAGES)
        refused.extend((one.files, error) for one in ones)
    if series and kind_of_header(series[0].headers[0]) not in _IMAGE_KINDS[0]:
        kind = kind_of_header(series[0].headers[0])
        noticed[f"[study contains|studies contain] only {kind}s"] += 1
    series.sort(key=_rank)
    return ScanChoice(tuple(series), tuple(refused), noticed)


def pick_images(scans: Sequence[T], kinds: Sequence[str]) -> tuple[list[T], dict[str, list[T]]]:
    """Separate the scans that show the patient from the others.

    Parameters
    ----------
    scans : sequence
    kinds : sequence of str
        Kind of each scan.

    Returns
    -------
    images : list
        In the given order; may be empty.
    left_out : dict of str to list
        The others by kind.
    """
    best = next((tier for tier in _IMAGE_KINDS if any(kind in tier for kind in kinds)), ())
    images: list[T] = []
    left_out: dict[str, list[T]] = {}
    for scan, kind in zip(scans, kinds, strict=True):
        if kind in best:
            images.append(scan)
        else:
            left_out.setdefault(kind, []).append(scan)
    return images, left_out


def _rank(series: Series) -> tuple[bool, bool, bool, bool]:
    header = series.headers[0]
    is_volume = len(series.files) > 1 or header.n_frames > 1
    return (
        kind_of_header(header) == "unknown",
        not is_volume,
        header.modality in _OF_FUNCTION,
        header.view not in _FRONTAL,
    )
