"""Cases out of a folder of DICOM files, one for each study."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medembed.cases import Case, ScanRef, normalise_sex
from medembed.errors import InputError, ScanError, SourceError
from medembed.privacy import PathMask, name_tokens
from medembed.scans import ScanHeader
from medembed.sources.checking import (
    NO_FILE,
    check_files,
    file_headers,
    file_state,
    hash_files,
    refused,
    remember,
    short,
)
from medembed.sources.columns import moved
from medembed.sources.notes_table import NotesTable, StudyNote, studies_by_accession
from medembed.sources.refusal import CellError, Refusal
from medembed.sources.source import FileRecord, Reading
from medembed.sources.study import Study, choose_scans, one_patient
from medembed.sources.walk import walk_files

__all__ = ["DicomFolderSource"]

_CHUNK_FILES = 128
_HEADER_CHUNK = 512
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass
class _State:
    """What one reading gathers."""

    reading: Reading
    mask: PathMask = field(default_factory=PathMask)
    names: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    noticed: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    total: int = 0

    def step(self, count: int) -> None:
        self.steps += count
        self.reading.progress(self.steps, self.total)


class DicomFolderSource:
    """A folder that is walked for DICOM files, or one file.

    The files of a study make one case; its id is a keyed hash of ``StudyInstanceUID``. What a file
    is says its content, not its name. Plain images in a folder are refused, since they say of no
    patient; a single one given as the source is a case and a patient of its own.

    Parameters
    ----------
    path : path-like
        Folder or file.
    notes : path-like, optional
        Table of reports (:class:`medembed.sources.NotesTable`).
    keep_columns : sequence of str
        Columns of that table to keep as attributes.

    Raises
    ------
    SourceError
        Where there is no such folder or file, or the table cannot be read.
    """

    format = "dicom"

    def __init__(
        self,
        path: str | Path,
        notes: str | Path | None = None,
        keep_columns: Sequence[str] = (),
    ) -> None:
        self.path = Path(path).absolute()
        if not self.path.exists():
            raise SourceError("no such file or folder", where=self.path.name)
        self._is_folder = self.path.is_dir()
        self._notes_path = Path(notes).absolute() if notes is not None else None
        self._keep = tuple(keep_columns)
        if self._notes_path is not None:
            NotesTable(self._notes_path, self._keep)
        elif self._keep:
            raise SourceError(
                "columns can be kept from a table only", hint="give one with --notes, or none"
            )

    def read(self, reading: Reading) -> Iterator[Case | Refusal]:
        """Give a case for each study, and a refusal for each file that is not taken."""
        state = _State(reading)
        files = [f for f in self._files() if self._notes_path is None or f != self._notes_path]
        state.total = 2 * len(files)
        headers, records = self._headers(files, state)
        for path in files:
            if path in records:
                yield Refusal(records[path].shown, records[path].reason, records[path].code)
        studies: dict[str, Study] = {}
        for path, header in headers.items():
            fault = self._fault(header)
            if fault:
                yield Refusal(self._show(path, state), *fault)
            else:
                uid = header.study_uid or "alone"
                studies.setdefault(uid, Study(uid)).add(path, header)
        state.step(len(files) - sum(len(study.files) for study in studies.values()))
        notes = (
            NotesTable(self._notes_path, self._keep, reading.vocabulary)
            if self._notes_path
            else None
        )
        if notes:
            pairs = ((h.accession, s.uid) for s in studies.values() for h in s.headers)
            notes.settle_accessions(studies_by_accession(pairs))
        without = 0
        for chunk in _chunks(studies.values()):
            paths = [path for study in chunk for path in study.files]
            known = check_files(paths, reading, lambda path: self._show(path, state))
            for study in chunk:
                try:
                    stated = notes.join(study.uid, study.accessions) if notes else None
                except CellError as error:
                    yield Refusal(self._show_all(study.files, state), error.what, error.code)
                    continue
                without += stated is None
                yield from self._take(study, known, stated, state)
            state.step(len(paths))
        if notes:
            yield from notes.faults()
            notes.say(reading.say, without)
        for what, count in state.noticed.items():
            reading.say(f"{count} {what}")

    def _files(self) -> Iterator[Path]:
        return walk_files(self.path) if self._is_folder else iter([self.path])

    def _headers(
        self, files: Sequence[Path], state: _State
    ) -> tuple[dict[Path, ScanHeader], dict[Path, FileRecord]]:
        """Headers of all files that have one, and what became of the others."""
        headers: dict[Path, ScanHeader] = {}
        refusals: dict[Path, FileRecord] = {}
        faults: dict[Path, ScanError] = {}
        for start in range(0, len(files), _HEADER_CHUNK):
            fresh = []
            for path in files[start : start + _HEADER_CHUNK]:
                now = file_state(path)
                record = state.reading.journal.known(path, now) if now else None
                if record is not None and record.code:
                    refusals[path] = record
                    state.step(1)
                else:
                    fresh.append(path)
            for path, outcome in file_headers(fresh, state.reading):
                if isinstance(outcome, ScanError):
                    faults[path] = outcome
                else:
                    headers[path] = outcome
                    state.names[path] = outcome.names
                    state.mask.add(name_tokens(*outcome.names))
                state.step(1)
        # only now are all names known that a path may show
        unread = {
            path: refused(path, file_state(path) or NO_FILE, fault, lambda p: self._show(p, state))
            for path, fault in faults.items()
        }
        remember(unread, state.reading)
        return headers, refusals | unread

    def _fault(self, header: ScanHeader) -> tuple[str, str] | None:
        """Give the reason and the code where a file can be no part of a study."""
        if not header.has_pixels:
            return "a DICOM object without pixels", "no-pixels"
        if header.format != "dicom":
            if not self._is_folder:
                return None
            return "no DICOM: it says of no patient; name it in a table", "not-dicom"
        if not header.study_uid:
            return "no StudyInstanceUID (0020,000D)", "no-study"
        uids = (header.study_uid, header.series_uid, header.instance_uid)
        if not all(_UID.fullmatch(uid) for uid in uids if uid):
            return "a UID that is none (DICOM PS3.5 9.1)", "bad-uid"
        return None

    def _take(
        self,
        study: Study,
        known: dict[Path, FileRecord],
        stated: StudyNote | None,
        state: _State,
    ) -> Iterator[Case | Refusal]:
        patient = one_patient(study.headers)
        if patient is None:
            for path in study.files:
                yield Refusal(
                    self._show(path, state),
                    "files of several patients carry its StudyInstanceUID",
                    "wrong-patient",
                )
            return
        for path in study.files:
            if known[path].code:
                yield Refusal(self._show(path, state), known[path].reason, known[path].code)
        choice = choose_scans(study, known)
        state.noticed.update(choice.noticed)
        for files, error in choice.refused:
            yield Refusal(self._show_all(files, state), short(error), error.reason)
        if not choice.series:
            return
        scans = tuple(
            ScanRef(
                tuple(str(path) for path in series.files),
                hash_files([known[path] for path in series.files]),
                series.headers[0].modality,
                series.headers[0].view,
            )
            for series in choice.series
        )
        telling = sum(
            state.mask.hides(self._relative(path)) for s in choice.series for path in s.files
        )
        if telling:
            state.noticed[
                "files lie under names that name a patient, and the library keeps their paths"
            ] += telling
        try:
            yield self._case(study, patient, scans, stated, state)
        except InputError as error:
            yield Refusal(self._show_all(study.files, state), error.what, "bad-study")

    def _case(
        self,
        study: Study,
        patient: tuple[str, str],
        scans: tuple[ScanRef, ...],
        stated: StudyNote | None,
        state: _State,
    ) -> Case:
        names = state.reading.names
        headers = study.headers
        raw_id, issuer = patient
        own = study.uid if headers[0].format == "dicom" else f"file {scans[0].sha256}"
        if not raw_id:
            raw_id, issuer = f"study {own}", "no PatientID"
            state.noticed["studies have no PatientID and count as a patient each"] += 1
        shift = names.shift_days(raw_id, issuer) if state.reading.shift_dates else 0
        days = [header.study_date for header in headers if header.study_date]
        ages = [header.age_years for header in headers if header.age_years is not None]
        sexes = {header.sex for header in headers} - {"unknown"}
        return Case(
            case_id=names.study(own),
            patient_id=names.patient(raw_id, issuer),
            scans=scans,
            note=stated.note if stated else None,
            findings=stated.findings if stated else (),
            study_date=moved(min(days), shift) if days else None,
            date_shift_days=shift,
            modality=scans[0].modality,
            view=scans[0].view,
            sex=normalise_sex(sexes.pop() if len(sexes) == 1 else ""),
            age_years=ages[0] if ages else None,
            race=stated.race if stated else "unknown",
            site=_stated(stated.site if stated else "", headers[0].institution),
            scanner=_stated(stated.scanner if stated else "", headers[0].manufacturer_model),
            split=stated.split if stated else "",
            group_id=names.group(stated.group_id) if stated and stated.group_id else "",
            attributes=stated.attributes if stated else {},
        )

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix() if self._is_folder else path.name

    def _show(self, path: Path, state: _State) -> str:
        return state.mask(self._relative(path), name_tokens(*state.names.get(path, ())))

    def _show_all(self, files: Sequence[Path], state: _State) -> str:
        first = self._show(files[0], state)
        return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _stated(*values: str) -> str:
    return next((value for value in values if value not in ("", "unknown")), "unknown")


def _chunks(studies: Iterable[Study]) -> Iterator[list[Study]]:
    """Give studies together until they have a hundred files or so."""
    chunk: list[Study] = []
    count = 0
    for study in studies:
        chunk.append(study)
        count += len(study.files)
        if count >= _CHUNK_FILES:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk
