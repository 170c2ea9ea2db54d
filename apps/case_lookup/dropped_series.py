"""Sort the files of a dropped study into series, of which one is the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medembed.errors import ScanError
from medembed.scans import ScanHeader, ScanReader
from medembed.scans.series import group_series

__all__ = ["FoundSeries", "pick_series"]


@dataclass(frozen=True)
class FoundSeries:
    """One of the series that the dropped files form.

    Parameters
    ----------
    modality, view : str
        ``"unknown"`` if the header does not say.
    n_images : int
    """

    modality: str
    view: str
    n_images: int


def pick_series(
    reader: ScanReader, files: Sequence[Path], chosen: int
) -> tuple[list[Path], tuple[FoundSeries, ...]]:
    """Choose one series of several files; the series of most images are first.

    Files that are no image (a DICOMDIR, a text) are left out, as is common in a study's folder.

    Parameters
    ----------
    reader : ScanReader
    files : sequence of Path
    chosen : int
        From 0; a number that is too large means the first.

    Returns
    -------
    files : list of Path
        As they were given if they form one series, so that the reader says what is wrong with it.
    series : tuple of FoundSeries
        All that can be read; empty if there is only one.
    """
    headers = list(reader.map("header", files))
    images: list[tuple[str | Path, ScanHeader]] = [
        (file, header)
        for file, header in zip(files, headers, strict=True)
        if isinstance(header, ScanHeader) and header.has_pixels
    ]
    if not images:
        first = next((h for h in headers if isinstance(h, ScanError)), None)
        raise first or ScanError("none of these files is an image", reason="not-a-scan")
    known = [file for file, _ in images]
    found = [one for one in group_series(images) if one.error is None]
    if len(found) < 2:
        return [Path(file) for file in known], ()
    found.sort(key=lambda one: -len(one.files))
    series = tuple(
        FoundSeries(one.headers[0].modality, one.headers[0].view, len(one.files)) for one in found
    )
    return list(found[chosen if chosen < len(found) else 0].files), series
