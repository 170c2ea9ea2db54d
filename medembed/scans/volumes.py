"""Assembly of volumes from slices of one orientation, size and spacing."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import ScanError
from medembed.scans.geometry import (
    SAME_PLACE_MM,
    along_normal,
    fits_line,
    is_tilted,
    rounding_mm,
)
from medembed.scans.header import ScanHeader

__all__ = ["Item", "Series", "volumes_of"]

Item = tuple[Path, ScanHeader]

_GAP = 1.5  # in steps: less is a displaced slice, more is a missing one
_RUN = 3  # least number of slices that define a distance
_STACKS = 4  # most interleaved stacks
_STRAYS = 0.15  # largest fraction of a series to refuse without refusing the rest


@dataclass(frozen=True)
class Series:
    """Files that form one :class:`~medembed.scans.Scan`, or that were refused together.

    Parameters
    ----------
    files : tuple of Path
        One file, or the slices of a volume from the feet to the head (front to back, right to
        left).
    headers : tuple of ScanHeader
        In the same order.
    note : str
        Why a series was split, or what was ignored; empty if neither.
    duplicates : tuple of Path
        Ignored copies: same ``SOPInstanceUID``, or same pixels at the same position.
    error : ScanError or None
        Why these files do not form a volume: reason ``irregular-spacing``, ``several-volumes``,
        ``incomplete-volume`` or ``bad-geometry``.
    """

    files: tuple[Path, ...]
    headers: tuple[ScanHeader, ...]
    note: str = ""
    duplicates: tuple[Path, ...] = ()
    error: ScanError | None = None

    @staticmethod
    def of(members: Sequence[Item], note: str = "", error: ScanError | None = None) -> Series:
        """Create a series of these files."""
        files, headers = zip(*members, strict=True)
        return Series(files, headers, note=note, error=error)

    def noted(self, note: str, duplicates: Sequence[Path] = ()) -> Series:
        """Return the series with another note in front."""
        notes = dict.fromkeys(part for part in (note, *self.note.split("; ")) if part)
        return replace(self, note="; ".join(notes), duplicates=(*self.duplicates, *duplicates))


# Values that separate the slices of several volumes, in the order of trial.
_BY: tuple[tuple[str, Callable[[ScanHeader], Hashable]], ...] = (
    ("acquisition", lambda header: header.acquisition_number),
    ("phase", lambda header: header.phase),
    ("image type", lambda header: header.image_type),
)


def volumes_of(members: Sequence[Item]) -> list[Series]:
    """Split slices into volumes; see :func:`medembed.scans.group_series`."""
    if len(members) == 1:
        return [Series.of(members)]
    first = members[0][1]
    assert first.orientation is not None  # slices are grouped only by orientation
    try:
        places = along_normal([h.position or () for _, h in members], first.orientation)
    except ScanError as error:
        return [Series.of(members, error=error)]
    ranks = np.argsort(places, kind="stable")
    members, places = [members[rank] for rank in ranks], places[ranks]
    stacks = _stacks(members, places)
    if len(stacks) < len(members):
        return _at_same_places(stacks)
    rounding = rounding_mm([h.position or () for _, h in members], first.orientation)
    if fits_line(places, rounding):
        tilted = is_tilted([h.position or () for _, h in members], first.orientation)
        note = "slices are sheared, as by a tilted gantry" if tilted else ""
        return [Series.of(members, note)]
    found = _by_distance(members, places, rounding)
    by_header = _by_header(members, _STACKS)
    broken = any(series.error is not None for series in found)
    return by_header if by_header and (broken or len(by_header) < len(found)) else found


def _stacks(members: Sequence[Item], places: npt.NDArray[np.float64]) -> list[list[Item]]:
    """Group slices by position, ordered by instance number."""
    bounds = [0, *(np.flatnonzero(np.diff(places) > SAME_PLACE_MM) + 1).tolist(), len(members)]
    return [
        sorted(members[start:stop], key=lambda item: item[1].instance_number or 0)
        for start, stop in itertools.pairwise(bounds)
    ]


def _at_same_places(stacks: list[list[Item]]) -> list[Series]:
    """Split a series with several slices at one position."""
    kept, copies = _without_copies(stacks)
    if copies:
        found = volumes_of([item for stack in kept for item in stack])
        # report each copy with its original
        return [
            series.noted("duplicate slices ignored", mine)
            if (mine := [path for header in series.headers for path in copies.pop(id(header), ())])
            else series
            for series in found
        ]
    members = [item for stack in stacks for item in stack]
    counts = Counter(len(stack) for stack in stacks)
    split = _by_header(members, 2 * max(counts))
    if split:
        return split
    if len(counts) == 1:
        (count,) = counts
        phases = [[stack[k] for stack in stacks] for k in range(count)]
        note = f"split into {count} phases with the same positions"
        return [series.noted(note) for phase in phases for series in volumes_of(phase)]
    usual = max(counts, key=lambda count: (counts[count], count))
    if usual > 1:
        return _complete_volumes(stacks)
    disputed = [item for stack in stacks if len(stack) > 1 for item in stack]
    rest = [item for stack in stacks if len(stack) == 1 for item in stack]
    error = ScanError(
        "several slices with different pixels have the same position", reason="several-volumes"
    )
    if 4 * len(disputed) > len(members):
        return [Series.of(members, error=error)]
    note = "ambiguous slices ignored"
    return [Series.of(disputed, error=error), *(s.noted(note) for s in volumes_of(rest))]


def _without_copies(
    stacks: list[list[Item]],
) -> tuple[list[list[Item]], dict[int, list[Path]]]:
    """Remove duplicate slices from stacks; return the copies by their original.

    Slices of different volumes can be identical (air), so in a series of several volumes copies are
    removed only if every position is then taken equally often.
    """
    kept: list[list[Item]] = []
    copies: dict[int, list[Path]] = {}
    for stack in stacks:
        originals: dict[tuple[str, ...], Item] = {}
        own: list[Item] = []
        for item in stack:
            original = originals.get(item[1].frame_digests) if item[1].frame_digests else None
            if original is None:
                originals[item[1].frame_digests] = item
                own.append(item)
            else:
                copies.setdefault(id(original[1]), []).append(item[0])
        kept.append(own)
    counts = Counter(len(stack) for stack in stacks)
    alone = counts[1] > len(stacks) / 2
    if alone or len({len(stack) for stack in kept}) == 1:
        return kept, copies
    return stacks, {}


def _complete_volumes(stacks: list[list[Item]]) -> list[Series]:
    """Split into consecutive volumes by instance number; refuse incomplete ones."""
    place_of = {id(item): place for place, stack in enumerate(stacks) for item in stack}
    members = [item for stack in stacks for item in stack]
    members.sort(key=lambda item: item[1].instance_number or 0)
    volumes: list[list[Item]] = [[]]
    taken: set[int] = set()
    for item in members:
        if place_of[id(item)] in taken:
            volumes.append([])
            taken = set()
        volumes[-1].append(item)
        taken.add(place_of[id(item)])
    complete = [volume for volume in volumes if len(volume) == len(stacks)]
    left = [item for volume in volumes if len(volume) < len(stacks) for item in volume]
    if not complete:
        error = ScanError(
            "some positions have several slices and others only one", reason="several-volumes"
        )
        return [Series.of(members, error=error)]
    error = ScanError(
        "a slice of this volume is missing; other volumes of the series are complete",
        reason="incomplete-volume",
    )
    note = f"split into {counted(len(complete), 'complete volume')}"
    found = [series.noted(note) for volume in complete for series in volumes_of(volume)]
    return [*found, Series.of(left, error=error)] if left else found


def _by_header(members: Sequence[Item], at_most: int) -> list[Series]:
    """Split by header values; empty if that does not give volumes.

    A scanner may count each gantry rotation as an acquisition, so more than ``at_most`` parts are
    not volumes.
    """
    for name, value_of in _BY:
        parts: dict[Hashable, list[Item]] = defaultdict(list)
        for item in members:
            parts[value_of(item[1])].append(item)
        if not 1 < len(parts) <= min(at_most, len(members) / 2):
            continue
        found = [volumes_of(part) for part in parts.values()]
        whole = [len(series) == 1 and series[0].error is None for series in found]
        if not any(whole):
            continue
        note = f"split by {name}"
        longest = max(len(s[0].files) for s, good in zip(found, whole, strict=True) if good)
        return [
            one
            for part, series, good in zip(parts.values(), found, whole, strict=True)
            for one in _part(part, series, good, longest, note)
        ]
    return []


def _part(
    part: list[Item], series: list[Series], good: bool, longest: int, note: str
) -> list[Series]:
    if good or len(part) > longest:
        return [one.noted(note) for one in series]
    if any(one.error is not None for one in series):
        return [one.noted(note) for one in series]
    error = ScanError(
        "a slice of this volume is missing; other volumes of the series are complete",
        reason="incomplete-volume",
    )
    return [Series.of(part, error=error)]


def _by_distance(
    members: Sequence[Item], places: npt.NDArray[np.float64], rounding: float
) -> list[Series]:
    """Split ordered slices at gaps and changes of distance."""
    runs = _runs(places, rounding)
    if min(stop - start for start, stop in runs) < _RUN:
        stray = _one_stray(places, rounding)
        if stray is not None:
            rest = [item for i, item in enumerate(members) if i != stray]
            error = _irregular("this slice is between the positions of the others")
            volume = Series.of(rest, "a displaced slice ignored")
            return [volume, Series.of([members[stray]], error=error)]
        holes = _holes(places, rounding)
        if holes is not None:
            note = "split at missing slices"
            return [Series.of(members[start:stop], note) for start, stop in holes]
    short = [run for run in runs if run[1] - run[0] < _RUN]
    if len(runs) - len(short) == 0 or sum(b - a for a, b in short) > _STRAYS * len(places):
        error = _irregular(
            "slice distances differ: a slice is missing, or several series are mixed"
        )
        return [Series.of(members, error=error)]
    steps = [(places[b - 1] - places[a]) / (b - a - 1) for a, b in runs if b - a >= _RUN]
    same = max(steps) < 1.05 * min(steps)
    what = "at missing slices" if same else "at a change of slice distance"
    found = []
    for start, stop in runs:
        between = _irregular("these slices are between two slice distances")
        refusal = between if stop - start < _RUN else None
        found.append(Series.of(members[start:stop], f"split {what}", refusal))
    return found


def _runs(places: npt.NDArray[np.float64], rounding: float) -> list[tuple[int, int]]:
    """Return the longest runs of equal distances, starting at the first slice."""
    runs, start = [], 0
    for stop in range(2, len(places) + 1):
        if not fits_line(places[start:stop], rounding):
            runs.append((start, stop - 1))
            start = stop - 1
    return [*runs, (start, len(places))]


def _one_stray(places: npt.NDArray[np.float64], rounding: float) -> int | None:
    """Return the slice without which the others are regular."""
    if len(places) < 2 * _RUN:
        return None
    return next(
        (i for i in range(1, len(places) - 1) if fits_line(np.delete(places, i), rounding)), None
    )


def _holes(places: npt.NDArray[np.float64], rounding: float) -> list[tuple[int, int]] | None:
    """Return runs between gaps if all slices are on one grid, else None."""
    steps = np.diff(places)
    usual = steps[steps < _GAP * np.median(steps)].mean()
    ranks = np.cumsum([0, *np.rint(steps / usual)])
    filled = np.interp(np.arange(ranks[-1] + 1), ranks, places)
    if steps.min() < 0.75 * usual or not fits_line(filled, rounding):
        return None
    bounds = [0, *(np.flatnonzero(np.diff(ranks) > 1) + 1).tolist(), len(places)]
    pieces = list(itertools.pairwise(bounds))
    lengths = [stop - start for start, stop in pieces]
    # one single slice beside a gap is acceptable; several are not volumes, nor are the many pairs
    # of two interleaved series
    short = sum(length < _RUN for length in lengths)
    return pieces if lengths.count(1) < 2 and short <= 2 else None


def _irregular(what: str) -> ScanError:
    return ScanError(what, reason="irregular-spacing")
