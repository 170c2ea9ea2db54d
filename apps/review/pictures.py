"""The picture of a case in an export: its first scan as it opens in the reading room."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from apps.case_lookup.rendering import DisplaySettings, n_slices, presets, render
from medembed.errors import ScanError

if TYPE_CHECKING:
    from PIL import Image

    from apps.review.document import PictureOf
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.scans import Scan, ScanReader

__all__ = ["picture_bytes", "pictures_of", "rendered"]

_LONGEST = 1000


def rendered(scan: Scan) -> Image.Image:
    """Render the middle slice in the scan's first window."""
    window = next(iter(presets(scan).values()))
    return render(scan, DisplaySettings(window, n_slices(scan) // 2), _LONGEST)


def pictures_of(library: CaseLibrary, reader: ScanReader) -> PictureOf:
    """Give the pictures of a library's cases, read by confined workers."""

    def picture(case: Case) -> Image.Image | None:
        scan, files = case.scans[0], library.scan_files(case)[0]
        if library.has_changed_files(scan):
            return None
        try:
            read = reader.read([str(file) for file in files], scan.frame)
        except ScanError:
            return None
        return rendered(scan.declared(read))

    return picture


def picture_bytes(image: Image.Image) -> bytes:
    """Encode as PNG, without any header of the file it came from."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
