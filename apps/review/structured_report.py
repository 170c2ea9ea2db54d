"""Readings as DICOM Structured Reports, one for each case and reader.

A Comprehensive SR titled (18748-4, LN, "Diagnostic Imaging Report"): observer context (TID 1002),
references to the instances of the study, and one container each for the first impression, written
blind, and for the final one, with text, coded findings and the time it took. It is unverified: an
exercise or a research reading, not a report.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from apps.review.dicom_ids import long_string, person_name, pseudonymous_uid, study_of
from apps.review.finding_codes import finding_code, side_code
from apps.review.texts import plain_lines
from medembed.cases import NO_FINDING
from medembed.errors import InputError
from medembed.reviews import Impression, Reading

if TYPE_CHECKING:
    from apps.review.document import CaseEntry, ReviewDocument
    from medembed.library import CaseLibrary

__all__ = ["bytes_of", "dated", "needs_highdicom", "observer", "structured_report"]

MANUFACTURER = "MedEmbed"
_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
_IMPRESSION = Code("121073", "DCM", "Impression")
_FINDING = Code("121071", "DCM", "Finding")
_SIDE = Code("272741003", "SCT", "Laterality")
_SOURCE = Code("260753009", "SCT", "Source")
_SECOND = Code("s", "UCUM", "second")
_OWN = "99MEDEMBED"
_FIRST = Code("FIRST", _OWN, "First impression, before the reveal")
_FINAL = Code("FINAL", _OWN, "Final impression, after the reveal")
_TIME = Code("OPENTIME", _OWN, "Time the case was open until then")
_REVISED = Code("REVISED", _OWN, "Revised after the reveal")
_YES, _NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")
_NONE = Code("NONE", _OWN, "No finding")


def needs_highdicom() -> None:
    """Say in one line if highdicom is not installed.

    Raises
    ------
    InputError
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise InputError(
            "DICOM objects need highdicom", hint="pip install 'medembed[app]'"
        ) from None


def structured_report(
    library: CaseLibrary,
    document: ReviewDocument,
    entry: CaseEntry,
    reading: Reading,
    instances: Sequence[Dataset],
) -> Dataset:
    """Make the report of one reading.

    Parameters
    ----------
    library : CaseLibrary
    document : ReviewDocument
    entry : CaseEntry
    reading : Reading
        Revealed or finished.
    instances : sequence of Dataset
        Of the case (:func:`apps.review.dicom_ids.known_instances`); may be empty.
    """
    from highdicom.sr import ComprehensiveSR

    names = library.pseudonymizer
    link = document.session.link
    content = json.dumps([reading.to_json(), len(instances)], sort_keys=True)
    evidence = list(instances) or [_placeholder(library, entry)]
    report = ComprehensiveSR(
        evidence=evidence,
        content=_tree(reading, instances),
        series_instance_uid=pseudonymous_uid(
            names, "review series", link, entry.case.case_id, reading.reader
        ),
        series_number=1,
        # equal content has an equal UID, and other content another one
        sop_instance_uid=pseudonymous_uid(names, "review", link, entry.case.case_id, content),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=reading.is_finished,
        is_final=False,
        is_verified=False,
        series_description="Review session",
    )
    if not instances:  # highdicom takes the study from evidence; this one is no instance
        del report.CurrentRequestedProcedureEvidenceSequence
    return dated(report, reading.finished_at or reading.revealed_at)


def _placeholder(library: CaseLibrary, entry: CaseEntry) -> Dataset:
    study = study_of(library, entry.case)
    study.SeriesInstanceUID = study.SOPInstanceUID = study.StudyInstanceUID
    study.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    return study


def dated(report: Dataset, at: str) -> Dataset:
    """Give an object the times of the reading, in UTC, and none of the export."""
    time = datetime.fromisoformat(at)
    report.TimezoneOffsetFromUTC = "+0000"
    for name in ("InstanceCreation", "Content", "Series"):
        if f"{name}Date" in report or name == "Content":
            setattr(report, f"{name}Date", time.strftime("%Y%m%d"))
            setattr(report, f"{name}Time", time.strftime("%H%M%S"))
    return report


def observer(reader: str) -> Any:
    """Return the observer context (TID 1002) of a reader."""
    from highdicom.sr import ObserverContext, PersonObserverIdentifyingAttributes
    from pydicom.sr.codedict import codes

    return ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(
            name=person_name(reader)
        ),
    )


def _tree(reading: Reading, instances: Sequence[Dataset]) -> Any:
    from highdicom.sr import ContainerContentItem, ContentSequence, RelationshipTypeValues

    root = ContainerContentItem(name=_REPORT)
    children = ContentSequence()
    children.extend(observer(reading.reader))
    for one in instances:
        children.append(_reference(one))
    for name, impression, seconds in (
        (_FIRST, reading.impression, reading.impression_seconds),
        (_FINAL, reading.revision, reading.end_seconds),
    ):
        if impression is None or (name == _FINAL and not reading.is_finished):
            continue
        part = ContainerContentItem(name=name, relationship_type=RelationshipTypeValues.CONTAINS)
        part.ContentSequence = ContentSequence(_impression(impression, seconds))
        children.append(part)
    if reading.is_finished:
        children.append(_coded(_REVISED, _YES if reading.is_revised else _NO))
    root.ContentSequence = children
    return ContentSequence([root], is_root=True)


def _reference(instance: Dataset) -> Any:
    from highdicom.sr import CompositeContentItem, ImageContentItem, RelationshipTypeValues

    kind = ImageContentItem if "Rows" in instance else CompositeContentItem
    return kind(
        name=_SOURCE,
        referenced_sop_class_uid=instance.SOPClassUID,
        referenced_sop_instance_uid=instance.SOPInstanceUID,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )


def _impression(impression: Impression, seconds: float | None) -> list[Any]:
    from highdicom.sr import NumContentItem, RelationshipTypeValues, TextContentItem

    contains = RelationshipTypeValues.CONTAINS
    items: list[Any] = []
    if impression.text:
        text = "\r\n".join(plain_lines(impression.text))
        items.append(TextContentItem(name=_IMPRESSION, value=text, relationship_type=contains))
    items += [_finding(name) for name in impression.findings]
    if seconds is not None:
        items.append(
            NumContentItem(
                name=_TIME, value=round(seconds, 1), unit=_SECOND, relationship_type=contains
            )
        )
    return items


def _finding(name: str) -> Any:
    from highdicom.sr import (
        CodeContentItem,
        ContentSequence,
        RelationshipTypeValues,
        TextContentItem,
    )

    label, _, side = name.partition(":")
    code = _NONE if label in NO_FINDING else finding_code(label)
    if code is None:
        words = f"{label} ({side})" if side else label
        return TextContentItem(
            name=_FINDING,
            value=long_string(words, 1000) or "unknown",
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
    item = _coded(_FINDING, code)
    laterality = side_code(side)
    if laterality is not None:
        item.ContentSequence = ContentSequence(
            [
                CodeContentItem(
                    name=_SIDE,
                    value=laterality,
                    relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
                )
            ]
        )
    return item


def _coded(name: Code, value: Code) -> Any:
    from highdicom.sr import CodeContentItem, RelationshipTypeValues

    return CodeContentItem(
        name=name, value=value, relationship_type=RelationshipTypeValues.CONTAINS
    )


def bytes_of(dataset: Dataset) -> bytes:
    """Encode as a DICOM file with an empty preamble."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
