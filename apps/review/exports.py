"""All exports by their kind: each as named files."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from medembed.reviews import Mark

if TYPE_CHECKING:
    from apps.review.document import PictureOf, ReviewDocument
    from medembed.library import CaseLibrary
    from medembed.scans import ScanReader

__all__ = ["ExportKind", "Exported", "export", "packed"]


class ExportKind(StrEnum):
    """What a session is exported as."""

    PDF = "pdf"
    CSV = "csv"
    SR = "sr"
    KO = "ko"
    TEACHING = "teaching"


@dataclass(frozen=True)
class Exported:
    """The files of one export.

    Parameters
    ----------
    kind : ExportKind
    files : dict of str to bytes
        By name; no name comes from a text of a case or a person.
    left_out : tuple of str
        Marked cases without a DICOM image, which a key object selection cannot name.
    """

    kind: ExportKind
    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = field(default=())


def export(
    library: CaseLibrary,
    document: ReviewDocument,
    kind: ExportKind,
    picture: PictureOf,
    reader: ScanReader,
) -> Exported:
    """Export a session.

    Parameters
    ----------
    library : CaseLibrary
    document : ReviewDocument
    kind : ExportKind
    picture : callable
        Gives the picture of a case.
    reader : ScanReader
        Reads headers for the references of DICOM objects.

    Raises
    ------
    InputError
        If a library that the kind needs is not installed.
    """
    if kind is ExportKind.PDF:
        from apps.review.pdf import write_pdf

        return Exported(kind, {"review.pdf": write_pdf(document, picture)})
    if kind is ExportKind.CSV:
        from apps.review.table import write_table

        return Exported(kind, {"review.csv": write_table(document)})
    if kind is ExportKind.TEACHING:
        from apps.review.teaching import write_teaching_file

        return Exported(kind, {"teaching-file.html": write_teaching_file(document, picture)})
    return _dicom(library, document, kind, reader)


def _dicom(
    library: CaseLibrary, document: ReviewDocument, kind: ExportKind, reader: ScanReader
) -> Exported:
    from apps.review.dicom_ids import known_instances
    from apps.review.key_objects import key_objects
    from apps.review.structured_report import bytes_of, needs_highdicom, structured_report

    needs_highdicom()
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    for entry in document.entries:
        marks = [mark for mark in Mark if entry.has(mark)]
        if not (entry.readings if kind is ExportKind.SR else marks):
            continue
        instances = known_instances(library, reader, entry.case)
        place = f"{entry.place.position:03d}"
        if kind is ExportKind.SR:
            for reading in entry.readings:
                made = structured_report(library, document, entry, reading, instances)
                files[f"sr-{place}-{_short(reading.reader)}.dcm"] = bytes_of(made)
        elif instances:
            for mark in marks:
                made = key_objects(library, document, entry, mark, instances)
                files[f"ko-{place}-{mark.value}.dcm"] = bytes_of(made)
        else:
            left_out.append(entry.case.case_id)
    return Exported(kind, files, tuple(left_out))


def _short(reader: str) -> str:
    """Name a reader in a file's name: letters and digits, and a digest that tells names apart."""
    plain = re.sub(r"[^a-z0-9]+", "-", reader.lower()).strip("-")[:20]
    digest = hashlib.sha256(reader.encode("utf-8")).hexdigest()[:6]
    return f"{plain}-{digest}" if plain else digest


def packed(exported: Exported) -> tuple[str, bytes]:
    """Return one file to download: the only one, or a zip archive of all."""
    if len(exported.files) == 1 and exported.kind not in (ExportKind.SR, ExportKind.KO):
        return next(iter(exported.files.items()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(exported.files.items()):
            # without the time of the export, so that equal sessions are equal files
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return f"review-{exported.kind.value}.zip", buffer.getvalue()
