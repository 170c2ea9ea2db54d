"""Files of one study into series: volumes by geometry, single images on their own."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medembed.errors import ScanError
from medembed.scans.geometry import along_normal, slice_distance
from medembed.scans.header import ScanHeader

__all__ = ["Series", "group_series"]

_Item = tuple[Path, ScanHeader]

# A step of more than 1.5 median steps is a hole; less is read as an irregular series.
_GAP = 1.5
_SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class Series:
    """Files that make one :class:`~medembed.scans.Scan`, or that were refused together.

    Parameters
    ----------
    files : tuple of Path
        One file, or the slices of a volume from the feet to the head (front to back, right to
        left).
    headers : tuple of ScanHeader
        In the same order.
    note : str
        Why a series of the header was split, or what was left out; empty where nothing was.
    duplicates : tuple of Path
        Further copies (same ``SOPInstanceUID``) that were left out.
    error : ScanError or None
        Why these files are no volume: reason ``irregular-spacing``, ``several-volumes`` or
        ``bad-geometry``.
    """

    files: tuple[Path, ...]
    headers: tuple[ScanHeader, ...]
    note: str = ""
    duplicates: tuple[Path, ...] = ()
    error: ScanError | None = None


def group_series(items: Iterable[tuple[str | Path, ScanHeader]]) -> list[Series]:
    """Group files into volumes and single images.

    Files make a volume where ``SeriesInstanceUID``, frame of reference, size, orientation and
    pixel spacing agree and each has a place of its own. So a localizer, or a second orientation in
    the same series, becomes a series apart. Slices are ordered by their place along the normal,
    never by ``InstanceNumber``. A hole in the row of slices splits it. Where every place is taken
    equally often (phases, echoes), each phase is a series. Anything else that is irregular is
    refused as a whole. Multi-frame files, plain images and files without a place stand alone.

    Parameters
    ----------
    items : iterable of (path, ScanHeader)

    Returns
    -------
    list of Series
        In the order in which their first file came.

    References
    ----------
    DICOM PS3.3 C.7.6.2.1.1.
    """
    copies: dict[str, list[Path]] = defaultdict(list)
    groups: dict[object, list[_Item]] = defaultdict(list)
    order: dict[Path, int] = {}
    for name, header in items:
        path = Path(name)
        uid = header.instance_uid
        order.setdefault(path, len(order))
        if uid and uid in copies:
            copies[uid].append(path)
            continue
        if uid:
            copies[uid] = []
        groups[_key(path, header)].append((path, header))
    found = [series for members in groups.values() for series in _volumes(members)]
    found = [_with_copies(series, copies) for series in found]
    return sorted(found, key=lambda series: min(order[file] for file in series.files))


def _key(path: Path, header: ScanHeader) -> object:
    """What the slices of one volume have in common; the path itself for what stands alone."""
    stands_alone = header.format != "dicom" or header.n_frames != 1 or not header.series_uid
    if stands_alone or header.position is None or header.orientation is None:
        return path
    return (
        header.series_uid,
        header.frame_uid,
        header.rows,
        header.columns,
        tuple(round(x, 2) + 0.0 for x in header.orientation),
        tuple(round(x, 3) for x in header.pixel_spacing_mm or ()),
        "LOCALIZER" in header.image_type,
    )


def _volumes(members: Sequence[_Item]) -> list[Series]:
    if len(members) == 1:
        return [_series(members)]
    orientation = members[0][1].orientation
    assert orientation is not None  # _key groups only what has one
    try:
        places = along_normal([h.position or () for _, h in members], orientation)
    except ScanError as error:
        return [_series(members, error=error)]
    ranks = np.argsort(places, kind="stable")
    members = [members[rank] for rank in ranks]
    places = places[ranks]
    # Numbers each place from 0, where neighbours closer than 0.01 mm are one place.
    place_ids = np.concatenate([[0], np.cumsum(np.diff(places) > _SAME_PLACE_MM)])
    counts = np.bincount(place_ids)
    if counts.max() > 1:
        return _phases(members, place_ids.tolist(), counts.tolist())
    return _runs(members, places.tolist())


def _phases(members: Sequence[_Item], place_ids: list[int], counts: list[int]) -> list[Series]:
    """Split what has several slices at each place: by acquisition, else by instance number."""
    acquisitions: dict[int | None, list[_Item]] = defaultdict(list)
    for member in members:
        acquisitions[member[1].acquisition_number].append(member)
    if len(acquisitions) > 1:
        parts = [_volumes(part) for part in acquisitions.values()]
        return [_noted(s, "split by acquisition") for part in parts for s in part]
    if len(set(counts)) > 1:
        error = ScanError(
            "some slices lie at the same place and others do not", reason="several-volumes"
        )
        return [_series(members, error=error)]
    at_place: dict[int, list[_Item]] = defaultdict(list)
    for place, member in zip(place_ids, members, strict=True):
        at_place[place].append(member)
    for stack in at_place.values():
        stack.sort(key=lambda member: (member[1].instance_number or 0, str(member[0])))
    phases = [[stack[k] for stack in at_place.values()] for k in range(counts[0])]
    note = f"split into {counts[0]} phases that share their places"
    return [_noted(series, note) for phase in phases for series in _volumes(phase)]


def _runs(members: Sequence[_Item], places: list[float]) -> list[Series]:
    """Split ordered slices at holes."""
    steps = np.diff(places)
    holes = np.flatnonzero(steps > _GAP * np.median(steps)) + 1
    bounds = [0, *holes.tolist(), len(members)]
    found = []
    for start, stop in itertools.pairwise(bounds):
        error = None
        if stop - start > 1:
            try:
                slice_distance(np.asarray(places[start:stop]))
            except ScanError as refusal:
                error = refusal
        found.append(_series(members[start:stop], error=error))
    if len(found) > 1:
        found = [_noted(series, "split where slices are missing") for series in found]
    return found


def _series(members: Sequence[_Item], *, error: ScanError | None = None) -> Series:
    return Series(tuple(path for path, _ in members), tuple(h for _, h in members), error=error)


def _noted(series: Series, note: str) -> Series:
    note = "; ".join(part for part in (note, series.note) if part)
    return Series(series.files, series.headers, note, series.duplicates, series.error)


def _with_copies(series: Series, copies: dict[str, list[Path]]) -> Series:
    extra = tuple(p for h in series.headers if h.instance_uid for p in copies[h.instance_uid])
    if not extra:
        return series
    noted = _noted(series, "copies left out")
    return Series(series.files, series.headers, noted.note, extra, series.error)
