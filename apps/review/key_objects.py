"""Marked cases as DICOM Key Object Selection documents (TID 2010), one for each case.

The document's title says what it is for: (113005, DCM, "For Conference") for the shortlist of the
tumor board, (113004, DCM, "For Teaching") for the teaching file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from apps.review.dicom_ids import pseudonymous_uid
from apps.review.structured_report import MANUFACTURER, dated, observer
from apps.review.texts import plain_lines
from medembed.reviews import Mark

if TYPE_CHECKING:
    from apps.review.document import CaseEntry, ReviewDocument
    from medembed.library import CaseLibrary

__all__ = ["key_objects"]

_TITLES = {
    Mark.SHORTLIST: Code("113005", "DCM", "For Conference"),
    Mark.TEACHING: Code("113004", "DCM", "For Teaching"),
}


def key_objects(
    library: CaseLibrary,
    document: ReviewDocument,
    entry: CaseEntry,
    mark: Mark,
    instances: Sequence[Dataset],
) -> Dataset:
    """Make the document of one marked case.

    Parameters
    ----------
    library : CaseLibrary
    document : ReviewDocument
    entry : CaseEntry
        With the mark.
    mark : Mark
    instances : sequence of Dataset
        Of the case; at least one.
    """
    from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument

    names, case_id = library.pseudonymizer, entry.case.case_id
    reading = next(r for r in entry.readings if mark in r.marks)
    link, uids = document.session.link, [str(one.SOPInstanceUID) for one in instances]
    description = " ".join(plain_lines(document.session.name))
    selection = KeyObjectSelectionDocument(
        evidence=list(instances),
        content=KeyObjectSelection(
            document_title=_TITLES[mark],
            referenced_objects=list(instances),
            observer_person_context=observer(reading.reader),
            description=description,
        ),
        series_instance_uid=pseudonymous_uid(names, "key object series", link, case_id, mark.value),
        series_number=1,
        sop_instance_uid=pseudonymous_uid(
            names, "key objects", link, case_id, mark.value, reading.reader, description, *uids
        ),
        instance_number=1,
        manufacturer=MANUFACTURER,
        series_description="Review session",
    )
    selection.PatientIdentityRemoved = instances[0].PatientIdentityRemoved
    selection.DeidentificationMethod = instances[0].DeidentificationMethod
    return dated(selection, reading.finished_at or reading.revealed_at)
