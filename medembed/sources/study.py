"""The files of one study: whose it is, and which of them are its scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from medembed.errors import ScanError
from medembed.scans import ScanHeader, Series, group_series
from medembed.scans.sop_classes import kind_of
from medembed.sources.file_header import FileHeader
from medembed.sources.source import FileRecord

__all__ = ["NO_PICTURES", "ScanChoice", "Study", "choose_scans", "kind_of_header", "pick_pictures"]

T = TypeVar("T")

_FRONTAL = ("PA", "AP")
_OF_FUNCTION = ("PT", "NM")  # shown upon the pictures of another modality
# what a study shows, best first: those of a later row are left out beside an earlier one
_PICTURES = (("image", "unknown"), ("secondary capture",), ("localizer",))

NO_PICTURES = "no-picture"
"""Code of a scan that is a mask, a dose or the like, without a picture beside it."""


def kind_of_header(header: ScanHeader) -> str:
    """Say what kind of thing a file is (:func:`medembed.scans.sop_classes.kind_of`)."""
    return kind_of(header.sop_class, header.image_type, header.modality)


@dataclass
class Study:
    """Files that carry one ``StudyInstanceUID``.

    Parameters
    ----------
    key : str
        Keyed hash of that UID, and the id of the case.
    files : list of Path
    headers : list of FileHeader
        In the same order; empty until they are needed.
    """

    key: str
    files: list[Path] = field(default_factory=list, repr=False)
    headers: list[FileHeader] = field(default_factory=list, repr=False)

    def add(self, path: Path, header: FileHeader) -> None:
        """Take one more file with its header."""
        self.files.append(path)
        self.headers.append(header)

    @property
    def accessions(self) -> set[str]:
        """Keyed hashes of the accession numbers of the study."""
        return {one.header.accession for one in self.headers if one.header.accession}


@dataclass(frozen=True)
class ScanChoice:
    """What of a study becomes scans.

    Parameters
    ----------
    series : tuple of Series
        Volumes first, then frontal views, then the rest, each in the order of the files.
    refused : tuple of (files, ScanError)
        Files that cannot be told apart, are no volume, or hold no picture.
    noticed : counter of str
        What was left out without being refused.
    """

    series: tuple[Series, ...]
    refused: tuple[tuple[tuple[Path, ...], ScanError], ...]
    noticed: Counter[str]


def choose_scans(study: Study, known: Mapping[Path, FileRecord]) -> ScanChoice:
    """Choose the scans of a study among its files that decode.

    The same instance with the same content counts once; with another content it is refused.
    Masks, doses, presentation states and the like are left out beside pictures, and refused alone;
    screen captures and localizers are taken only where there is nothing better.
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
            noticed["files are exact copies and were taken once"] += 1
            continue
        uid = header.instance_uid
        if uid and uid in uids:
            error = ScanError(
                "another file has its SOPInstanceUID but other content", reason="duplicate-instance"
            )
            refused.append(((path,), error))
            continue
        contents.add(record.sha256)
        uids.add(uid)
        # slices that were sent twice are known by their pixels
        taken.append((path, replace(header, frame_digests=record.frame_digests)))
    series = []
    for one in group_series(taken):
        if one.error is not None:
            refused.append((one.files, one.error))
        else:
            series.append(one)
            if one.note:
                noticed[f"scans: {one.note}"] += 1
    series, left_out = pick_pictures(series, [kind_of_header(s.headers[0]) for s in series])
    for kind, ones in left_out.items():
        if series:
            noticed[f"{kind}s were left out"] += len(ones)
            continue
        error = ScanError(f"a {kind}, and its study holds no picture", reason=NO_PICTURES)
        refused.extend((one.files, error) for one in ones)
    if series and kind_of_header(series[0].headers[0]) not in _PICTURES[0]:
        noticed[f"studies hold nothing but {kind_of_header(series[0].headers[0])}s"] += 1
    series.sort(key=_rank)
    return ScanChoice(tuple(series), tuple(refused), noticed)


def pick_pictures(scans: Sequence[T], kinds: Sequence[str]) -> tuple[list[T], dict[str, list[T]]]:
    """Part the scans that show the patient from those that are left out beside them.

    Parameters
    ----------
    scans : sequence
    kinds : sequence of str
        Of each scan.

    Returns
    -------
    pictures : list
        In their order; empty where there are none.
    left_out : dict of str to list
        By kind.
    """
    best = next((tier for tier in _PICTURES if any(kind in tier for kind in kinds)), ())
    pictures: list[T] = []
    left_out: dict[str, list[T]] = {}
    for scan, kind in zip(scans, kinds, strict=True):
        if kind in best:
            pictures.append(scan)
        else:
            left_out.setdefault(kind, []).append(scan)
    return pictures, left_out


def _rank(series: Series) -> tuple[bool, bool, bool, bool]:
    header = series.headers[0]
    is_volume = len(series.files) > 1 or header.n_frames > 1
    return (
        kind_of_header(header) == "unknown",
        not is_volume,
        header.modality in _OF_FUNCTION,
        header.view not in _FRONTAL,
    )
