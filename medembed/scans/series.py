"""Files of one study into series: volumes by geometry, single images on their own."""

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

    Files make a volume where ``SeriesInstanceUID``, frame of reference, size, orientation (to 0.3
    degrees) and pixel spacing (to half a per cent) agree and each has a place of its own. So a
    localizer, or a second orientation in the same series, becomes a series apart. Slices are
    ordered by their place along the normal, never by ``InstanceNumber``.

    A line is fitted to their places: what rounding explains is no irregularity. A hole in the row
    of slices splits it, and so does a change of distance. Slices of the same pixels at the same
    place are one slice (headers from ``inspect`` know their pixels). Where every place is taken
    equally often (phases, echoes), each phase is a series; where a volume of several lacks a
    slice, the complete ones are given. What then does not fit is refused, by itself where it is a
    small part, else with its whole series. Multi-frame files, plain images and files without a
    place stand alone.

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
            note = "apart from others of its series by size, orientation or spacing"
            found.extend(s.noted(note if apart else "") for s in volumes_of(members))
    found = [_with_copies(series, copies) for series in found]
    return sorted(found, key=lambda series: min(order[file] for file in series.files))


def _frames_of_reference(headers: Iterable[ScanHeader]) -> dict[str, str]:
    """The frame of reference of each series that names only one: slices without one share it."""
    named: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        if header.frame_uid:
            named[header.series_uid].add(header.frame_uid)
    return {series: next(iter(uids)) for series, uids in named.items() if len(uids) == 1}


def _key(path: Path, header: ScanHeader, frames: Mapping[str, str]) -> object:
    """What the slices of one volume have in common; the path itself for what stands alone."""
    if _stands_alone(header) or header.position is None or header.orientation is None:
        return path
    return _kin(header, frames)


def _stands_alone(header: ScanHeader) -> bool:
    return header.format != "dicom" or header.n_frames != 1 or not header.series_uid


def _kin(header: ScanHeader, frames: Mapping[str, str]) -> tuple[object, ...]:
    frame = header.frame_uid or frames.get(header.series_uid, "")
    is_localizer = "LOCALIZER" in header.image_type
    return header.series_uid, frame, header.rows, header.columns, is_localizer


def _place_in(alike: list[list[Item]], item: Item) -> None:
    """Put a file beside those of its orientation and spacing.

    Compared with a tolerance and not as rounded keys, which would tear apart what lies on both
    sides of a rounding edge.
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
    """A file that stands alone; refused where it is a slice of a volume that lost its place."""
    header = item[1]
    volumes = () if _stands_alone(header) else groups.get(_kin(header, frames), ())
    if any(len(members) > 1 for members in volumes):
        error = ScanError(
            "a slice without position or orientation in a series of slices that have one",
            reason="bad-geometry",
        )
        return Series.of([item], error=error)
    return Series.of([item])


def _with_copies(series: Series, copies: dict[str, list[Path]]) -> Series:
    extra: Sequence[Path] = [
        p for h in series.headers if h.instance_uid for p in copies[h.instance_uid]
    ]
    return series.noted("copies left out", extra) if extra else series
