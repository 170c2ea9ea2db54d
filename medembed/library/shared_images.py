"""Images that more than one patient or split of a library has, by their pixels."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medembed.library.library import CaseLibrary

__all__ = ["images_in_several_splits", "images_of_several_patients"]


def images_of_several_patients(library: CaseLibrary) -> dict[str, int]:
    """Count by split the images whose pixels belong to more than one patient."""
    rows = library.database.read().execute(
        "SELECT min(c.split), s.pixel_sha256 FROM scan_contents s JOIN cases c "
        "ON c.id = s.case_row WHERE s.pixel_sha256 <> '' GROUP BY s.pixel_sha256 "
        "HAVING count(DISTINCT c.patient_id) > 1 AND count(DISTINCT c.split) = 1"
    )
    return dict(Counter(split for split, _ in rows))


def images_in_several_splits(library: CaseLibrary) -> int:
    """Count the images whose pixels occur in more than one split.

    Only a library of an earlier version has such images.
    """
    (count,) = (
        library.database.read()
        .execute(
            "SELECT count(*) FROM (SELECT 1 FROM scan_contents s JOIN cases c "
            "ON c.id = s.case_row WHERE s.pixel_sha256 <> '' "
            "GROUP BY s.pixel_sha256 HAVING count(DISTINCT c.split) > 1)"
        )
        .fetchone()
    )
    return int(count)
