"""Exclude the query itself and its own patient from the hits.

A case *is* the query if it has the same scan (the bytes of its files, in any number and order),
the same pixels (in another file, header or format), or the same ``StudyInstanceUID``. The query's
own patients are the patients of those cases and the patient whose pseudonym the file's
``PatientID`` gives. A copy with changed pixels *and* removed identifiers is not recognized.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medembed.library.identities import patients_of_id
from medembed.privacy import is_placeholder
from medembed.scans.pixel_digest import pixel_digest
from medembed.scans.scan_hash import scan_sha256

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.scans import Scan, ScanHeader

__all__ = [
    "QueryOrigin",
    "cases_of_patients",
    "origin_of_case",
    "origin_of_files",
    "origin_of_scan",
    "patients_of_files",
]

_STUDY = "study_id"


@dataclass(frozen=True)
class QueryOrigin:
    """Where a query comes from: the cases and patients of the library that it belongs to.

    Parameters
    ----------
    cases : frozenset of str
        Ids of the cases that are the query.
    patients : frozenset of str
        Their patients, and those that the query's header identifies.
    """

    cases: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cases: Iterable[Case]) -> QueryOrigin:
        """Collect cases and their patients."""
        found = list(cases)
        return cls(
            frozenset(case.case_id for case in found), frozenset(case.patient_id for case in found)
        )

    def __or__(self, other: QueryOrigin) -> QueryOrigin:
        return QueryOrigin(self.cases | other.cases, self.patients | other.patients)


def origin_of_files(library: CaseLibrary, files: Sequence[Path], header: ScanHeader) -> QueryOrigin:
    """Find the origin of image files by their bytes and header.

    Parameters
    ----------
    library : CaseLibrary
    files : sequence of Path
        One file, the files of one series, or the folder of the series.
    header : ScanHeader
        Header of one of them.
    """
    own = _with_scans(library, _scan_hashes(files)) | _of_study(library, header.study_uid)
    if not is_placeholder(header.patient_id):
        names = library.pseudonymizer
        wanted = patients_of_id(library, header.patient_id) | {
            names.patient(header.patient_id, header.issuer),
            names.patient(header.patient_id),
        }
        named = frozenset(patient for _, patient in _ids_of(library, wanted))
        own |= QueryOrigin(patients=named)
    return own


def origin_of_scan(library: CaseLibrary, scan: Scan) -> QueryOrigin:
    """Find the origin of a decoded scan by its pixels and ``StudyInstanceUID``."""
    return _with_pixels(library, pixel_digest(scan.pixels)) | _of_study(library, scan.study_uid)


def origin_of_case(library: CaseLibrary, case: Case) -> QueryOrigin:
    """Cases that hold a scan of this case as well, itself left out; its patient."""
    own = QueryOrigin(patients=frozenset({case.patient_id}))
    own |= _with_scans(library, {scan.sha256 for scan in case.scans})
    for scan in case.scans:
        own |= _with_pixels(library, scan.pixel_sha256)
    return QueryOrigin(own.cases - {case.case_id}, own.patients)


def patients_of_files(library: CaseLibrary, files: Sequence[Path], header: ScanHeader) -> set[str]:
    """Return the patients of the library whom these files belong to, usually none or one."""
    return set(origin_of_files(library, files, header).patients)


def cases_of_patients(library: CaseLibrary, patients: Iterable[str]) -> set[str]:
    """Return the ids of all cases of these patients."""
    return {case_id for case_id, _ in _ids_of(library, patients)}


def _scan_hashes(files: Sequence[Path]) -> set[str]:
    """Return the hashes under which ingest may have recorded these files.

    Ingest drops a duplicate file, and may have stored one file of several as a separate scan.
    """
    found: list[str] = []
    for path in files:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in inside:
            if file.is_file():
                with file.open("rb") as stream:
                    found.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if not found:
        return set()
    once = list(dict.fromkeys(found))
    return {scan_sha256(found), scan_sha256(once), *once}


def _with_scans(library: CaseLibrary, hashes: set[str]) -> QueryOrigin:
    rows = library.database.read().execute(
        "SELECT DISTINCT c.case_id, c.patient_id FROM scans s JOIN cases c ON c.id = s.case_row "
        "WHERE s.sha256 IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(hashes)),),
    )
    found = [(str(case_id), str(patient)) for case_id, patient in rows]
    return QueryOrigin(frozenset(c for c, _ in found), frozenset(p for _, p in found))


def _with_pixels(library: CaseLibrary, digest: str) -> QueryOrigin:
    return QueryOrigin.of(library.select(library.cases_with_pixels(digest)))


def _of_study(library: CaseLibrary, study_uid: str) -> QueryOrigin:
    """Find the cases of the study with this ``StudyInstanceUID``."""
    if not study_uid.strip():
        return QueryOrigin()
    name = library.pseudonymizer.study(study_uid)
    rows = library.database.read().execute(  # cases of a table have other ids
        "SELECT case_id, patient_id FROM cases WHERE case_id = ? UNION SELECT c.case_id, "
        "c.patient_id FROM attributes a JOIN cases c ON c.id = a.case_row "
        "WHERE a.name = ? AND a.value = ?",
        (name, _STUDY, name),
    )
    found = [(str(case_id), str(patient)) for case_id, patient in rows]
    return QueryOrigin(frozenset(c for c, _ in found), frozenset(p for _, p in found))


def _ids_of(library: CaseLibrary, patients: Iterable[str]) -> list[tuple[str, str]]:
    """Return the id and the patient of all cases of these patients."""
    return (
        library.database.read()
        .execute(
            "SELECT case_id, patient_id FROM cases "
            "WHERE patient_id IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(patients)),),
        )
        .fetchall()
    )
