"""Grouping of a study's files into series: volumes by geometry, and single images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medembed.errors import ScanError
from medembed.scans.geometry import same_direction, same_spacing
from medembed.scans.header import ScanHeader
from medembed.scans.volumes import Item, Series, volumes_of

__all__ = ["Series", "group_series"]


def group_series(items: Iterable[tuple[str | Path, ScanHeader]]) -> list[Series]:
    """Group files into volumes and single images.

    Files form a volume if ``SeriesInstanceUID``, frame of reference, size, orientation (within 0.3
    degrees) and pixel spacing (within half a percent) agree and all positions differ. A localizer
    or a second orientation in the same series becomes a separate series. Slices are ordered by
    position along the normal, never by ``InstanceNumber``.

    A line is fitted to the positions; deviations by rounding are tolerated. A gap splits the
    slices, and so does a change of distance. Slices with the same pixels at the same position are
    one slice (headers from ``inspect`` have pixel digests). If every position is taken equally
    often (phases, echoes), each phase is a series; if one of several volumes lacks a slice, only
    the complete ones are returned. Slices that still do not fit are refused, separately if they
    are a small part, else with the whole series. Multi-frame files, plain images and files without
    a position are series of their own.

    Parameters
    ----------
    items : iterable of (path, ScanHeader)

    Returns
    -------
    list of Series
        In the order of their first files.

    References
    ----------
    DICOM PS3.3 C.7.6.2.1.1.
    """
    copies: dict[str, list[Path]] = defaultdict(list)
    groups: dict[object, list[list[Item]]] = defaultdict(list)
    order: dict[Path, int] = {}
    given: list[Item] = []
    for name, header in items:
        path = Path(name)
        uid = header.instance_uid
        order.setdefault(path, len(order))
        if uid and uid in copies:
            copies[uid].append(path)
            continue
        if uid:
            copies[uid] = []
        given.append((path, header))
    frames = _frames_of_reference(header for _, header in given)
    for path, header in given:
        _place_in(groups[_key(path, header, frames)], (path, header))
    parts: Counter[str] = Counter()
    for key, alike in groups.items():
        if not isinstance(key, Path):
            parts[alike[0][0][1].series_uid] += len(alike)
    found: list[Series] = []
    for key, alike in groups.items():
        if isinstance(key, Path):
            found.extend(_without_place(members[0], groups, frames) for members in alike)
            continue
        apart = parts[alike[0][0][1].series_uid] > 1
        for members in alike:
            note = "separated from its series by size, orientation or spacing"
            found.extend(s.noted(note if apart else "") for s in volumes_of(members))
    found = [_with_copies(series, copies) for series in found]
    return sorted(found, key=lambda series: min(order[file] for file in series.files))


def _frames_of_reference(headers: Iterable[ScanHeader]) -> dict[str, str]:
    """Return the frame of reference of series that have exactly one, for slices without one."""
    named: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        if header.frame_uid:
            named[header.series_uid].add(header.frame_uid)
    return {series: next(iter(uids)) for series, uids in named.items() if len(uids) == 1}


def _key(path: Path, header: ScanHeader, frames: Mapping[str, str]) -> object:
    """Return the key shared by the slices of a volume; the path itself for single files."""
    if _is_single(header) or header.position is None or header.orientation is None:
        return path
    return _kin(header, frames)


def _is_single(header: ScanHeader) -> bool:
    return header.format != "dicom" or header.n_frames != 1 or not header.series_uid


def _kin(header: ScanHeader, frames: Mapping[str, str]) -> tuple[object, ...]:
    frame = header.frame_uid or frames.get(header.series_uid, "")
    is_localizer = "LOCALIZER" in header.image_type
    return header.series_uid, frame, header.rows, header.columns, is_localizer


def _place_in(alike: list[list[Item]], item: Item) -> None:
    """Add a file to the group with its orientation and spacing.

    Compares with a tolerance instead of rounded keys, which would separate values on both sides of
    a rounding boundary.
    """
    header = item[1]
    for members in alike:
        first = members[0][1]
        if (
            first.orientation is not None
            and header.orientation is not None
            and same_direction(first.orientation, header.orientation)
            and same_spacing(first.pixel_spacing_mm, header.pixel_spacing_mm)
        ):
            members.append(item)
            return
    alike.append([item])


def _without_place(
    item: Item, groups: dict[object, list[list[Item]]], frames: Mapping[str, str]
) -> Series:
    """Return a single-file series; refused if it is a slice of a volume without a position."""
    header = item[1]
    volumes = () if _is_single(header) else groups.get(_kin(header, frames), ())
    if any(len(members) > 1 for members in volumes):
        error = ScanError(
            "this slice lacks position or orientation, unlike the other slices of its series",
            reason="bad-geometry",
        )
        return Series.of([item], error=error)
    return Series.of([item])


def _with_copies(series: Series, copies: dict[str, list[Path]]) -> Series:
    extra: Sequence[Path] = [
        p for h in series.headers if h.instance_uid for p in copies[h.instance_uid]
    ]
    return series.noted("copies ignored", extra) if extra else series
