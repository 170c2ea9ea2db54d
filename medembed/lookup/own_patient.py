"""Whose image is it? The query's own patient must not answer for itself.

An image belongs to a patient of the library where its bytes are those of an ingested scan, or
where its ``PatientID`` or ``StudyInstanceUID`` has the pseudonym of a patient or case there. A
copy that was re-encoded *and* stripped of its identifiers is not recognised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medembed.library import Condition

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.scans import ScanHeader

__all__ = ["cases_of_patients", "content_sha256", "patients_of_files", "patients_of_study"]

_STUDY = "study_id"


def content_sha256(files: Sequence[Path]) -> str:
    """Hex digest over the files' contents in their order, as :class:`medembed.ScanRef` has it."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def patients_of_files(library: CaseLibrary, files: Sequence[Path], header: ScanHeader) -> set[str]:
    """Patients of the library whom these files belong to; mostly none or one.

    Parameters
    ----------
    library : CaseLibrary
    files : sequence of Path
    header : ScanHeader
        Of the first file.
    """
    found = patients_of_study(library, header.study_uid)
    if all(path.is_file() for path in files):
        found |= _patients_of_content(library, content_sha256(files))
    if header.patient_id.strip():
        names = library.pseudonymiser
        wanted = {
            names.patient(header.patient_id, header.issuer),
            names.patient(header.patient_id),
        }
        found |= {case.patient_id for case in _cases_of(library, wanted)}
    return found


def patients_of_study(library: CaseLibrary, study_uid: str) -> set[str]:
    """Patient of the study with this ``StudyInstanceUID``; none where it is not in the library."""
    if not study_uid.strip():
        return set()
    name = library.pseudonymiser.study(study_uid)
    found = {case.patient_id for case in library.select([name])}
    if _STUDY in library.attribute_names():  # a table's cases have names of their own
        found |= {case.patient_id for case in library.cases(Condition(_STUDY, "=", (name,)))}
    return found


def cases_of_patients(library: CaseLibrary, patients: Iterable[str]) -> set[str]:
    """Ids of all cases of these patients."""
    return {case.case_id for case in _cases_of(library, set(patients))}


def _cases_of(library: CaseLibrary, patients: set[str]) -> list[Case]:
    if not patients:
        return []
    condition = Condition("patient", "in", tuple(sorted(patients)))
    # Conditions compare without regard to case; patients do not.
    return [case for case in library.cases(condition) if case.patient_id in patients]


def _patients_of_content(library: CaseLibrary, sha256: str) -> set[str]:
    rows = library.database.read().execute(
        "SELECT DISTINCT c.patient_id FROM scans s JOIN cases c ON c.id = s.case_row "
        "WHERE s.sha256 = ?",
        (sha256,),
    )
    return {str(row[0]) for row in rows}
