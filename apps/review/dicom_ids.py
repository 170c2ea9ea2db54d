"""Identifiers of exported DICOM objects: pseudonyms, from the library's key.

A UID of a hospital's file identifies the study, so none is exported. Each becomes ``2.25.`` and a
number by HMAC: the same file has the same pseudonym in every export of a library, and nobody
without the key finds the file by it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import UID

from medembed.errors import ScanError

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.privacy import Pseudonymizer
    from medembed.scans import ScanReader

__all__ = ["known_instances", "long_string", "person_name", "pseudonymous_uid", "study_of"]

_MOST_INSTANCES = 2000
_PURPOSE = "dicom uid"


def pseudonymous_uid(names: Pseudonymizer, *parts: str) -> UID:
    """Return a UID for these parts.

    References
    ----------
    DICOM PS3.5 B.2: a UID from a 128-bit number.

    Examples
    --------
    >>> from medembed.privacy import Pseudonymizer
    >>> uid = pseudonymous_uid(Pseudonymizer(bytes(32)), "1.2.3")
    >>> uid.is_valid, uid.startswith("2.25.")
    (True, True)
    """
    return UID(f"2.25.{int.from_bytes(names.digest(_PURPOSE, *parts)[:16], 'big')}")


def long_string(text: str, longest: int = 64) -> str:
    """Return a text as the value of LO or SH: one line, no backslash, not too long."""
    plain = "".join(c if c.isprintable() and c != "\\" else " " for c in text)
    return " ".join(plain.split())[:longest].strip()


def person_name(text: str) -> str:
    """Return a name as the value of PN: as family name, which the caret says (PS3.5 6.2)."""
    plain = long_string(re.sub(r"[\^=\\]", " ", text), 63)
    return f"{plain or 'unknown'}^"


def study_of(library: CaseLibrary, case: Case) -> Dataset:
    """Return the patient and study that an exported object belongs to, under pseudonyms only."""
    study = Dataset()
    study.SpecificCharacterSet = "ISO_IR 192"
    study.PatientID = long_string(case.patient_id)
    study.PatientName = person_name(case.patient_id)
    study.PatientBirthDate = ""
    study.PatientSex = {"F": "F", "M": "M", "O": "O"}.get(case.sex, "")
    study.PatientIdentityRemoved = "YES"
    study.DeidentificationMethod = "MedEmbed: keyed pseudonyms, no dates"
    study.StudyInstanceUID = pseudonymous_uid(library.pseudonymizer, "study", case.case_id)
    study.StudyID = ""
    study.StudyDate = ""
    study.StudyTime = ""
    study.AccessionNumber = ""
    study.ReferringPhysicianName = ""
    return study


def known_instances(library: CaseLibrary, reader: ScanReader, case: Case) -> list[Dataset]:
    """Return the DICOM instances of a case, under pseudonymous UIDs.

    Empty if its images are no DICOM files, or were moved or replaced since the ingest. Instances
    of another study than the first one's are left out.
    """
    found: list[Dataset] = []
    study_uid = ""
    for scan, files in zip(case.scans, library.scan_files(case), strict=True):
        if library.has_changed_files(scan):
            continue
        for file in files[: _MOST_INSTANCES - len(found)]:
            try:
                header = reader.header(file)
            except ScanError:
                continue
            sop_class = UID(header.sop_class)
            if not (header.instance_uid and header.series_uid and sop_class.is_valid):
                continue
            study_uid = study_uid or header.study_uid
            if header.study_uid != study_uid:
                continue
            one = study_of(library, case)
            names = library.pseudonymizer
            one.StudyInstanceUID = pseudonymous_uid(names, study_uid or f"study {case.case_id}")
            one.SeriesInstanceUID = pseudonymous_uid(names, header.series_uid)
            one.SOPInstanceUID = pseudonymous_uid(names, header.instance_uid)
            one.SOPClassUID = sop_class
            one.Modality = long_string(header.modality, 16)
            if header.has_pixels:
                one.Rows, one.Columns = header.rows, header.columns
            found.append(one)
    unique = {one.SOPInstanceUID: one for one in found}  # frames of one file are one instance
    return list(unique.values())
