"""Cases from a folder of DICOM files, one for each study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medembed.cases import Case, ScanRef, normalize_sex
from medembed.counted import counted_line
from medembed.errors import InputError, SourceError
from medembed.privacy import Claim, PathMask, ResolvedPatient, merge_claims
from medembed.scans.pixel_digest import combine_pixel_digests
from medembed.scans.scan_hash import scan_sha256
from medembed.scans.series import Series
from medembed.sources.cell_parsers import shift_date
from medembed.sources.file_header import FileHeader
from medembed.sources.file_walk import walk_files
from medembed.sources.notes_table import NotesTable, StudyNote
from medembed.sources.refusal import CellError, Refusal
from medembed.sources.source import FileRecord, SourceContext
from medembed.sources.study import DicomStudy, choose_scans, kind_of_header
from medembed.sources.verify_files import (
    HEADER_FAULTS,
    check_files,
    is_transient,
    known_header,
    message_of,
    read_files,
)

__all__ = ["DicomFolderSource"]

_CHUNK_FILES = 128
_READ_AT_ONCE = 512
_ALONE = "alone"
_SAME_AGE_YEARS = 1.0  # some files of a study state whole years, others days


@dataclass
class _ReadState:
    """State of one read."""

    context: SourceContext
    mask: PathMask
    names: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    tuples: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)  # each stored once
    noticed: Counter[str] = field(default_factory=Counter)
    ids: set[bytes] = field(default_factory=set)
    owners: dict[str, str] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    transient: dict[Path, FileRecord] = field(default_factory=dict)
    steps: int = 0
    total: int = 0

    def step(self, count: int) -> None:
        self.steps += count
        self.context.progress(self.steps, self.total)


@dataclass(frozen=True)
class _PendingCase:
    """A study with chosen scans, before its patient is resolved."""

    study: DicomStudy
    case_id: str
    claim: Claim
    scans: tuple[ScanRef, ...]
    stated: StudyNote | None


@dataclass
class _FolderStudies:
    """The studies of a folder, and the files that belong to none."""

    studies: dict[str, DicomStudy] = field(default_factory=dict)
    accessions: dict[str, set[str]] = field(default_factory=dict)
    refused: list[tuple[Path, str, str]] = field(default_factory=list)

    def add(self, path: Path, key: str, accession: str) -> None:
        """Add a file to its study."""
        self.studies.setdefault(key, DicomStudy(key)).files.append(path)
        if accession:
            self.accessions.setdefault(accession, set()).add(key)


class DicomFolderSource:
    """A folder of DICOM files, searched recursively, or one file.

    The files of a study form one case; its id is a keyed hash of ``StudyInstanceUID``. Files are
    recognized by content, not by name. Plain images in a folder are refused, since they have no
    patient ID; a single one given as the source becomes a case with its own patient.

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
        If the path does not exist or the table cannot be read.
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
            raise SourceError("file or folder not found", where=self.path.name)
        self._is_folder = self.path.is_dir()
        self._notes_path = Path(notes).absolute() if notes is not None else None
        self._keep = tuple(keep_columns)
        if self._notes_path is not None:
            NotesTable(self._notes_path, self._keep)
        elif self._keep:
            raise SourceError("--keep-columns needs a table", hint="give a table with --notes")

    def read(self, context: SourceContext) -> Iterator[Case | Refusal]:
        """Yield a case for each study, and a refusal for each file that is not used.

        All files are read first, each once, so that a study is complete wherever its files are.
        Then the studies are yielded in chunks. The results are in the file cache by then: after an
        interruption no file that was read is opened again.
        """
        state = _ReadState(context, PathMask(context.names))
        files = [f for f in self._files() if self._notes_path is None or f != self._notes_path]
        state.total = 2 * len(files)
        found = self._find_studies(files, state)
        for path, reason, code in found.refused:
            yield Refusal(self._show([path], state), reason, code)
        notes = None
        if self._notes_path:
            notes = NotesTable(
                self._notes_path, self._keep, names=context.names, vocabulary=context.vocabulary
            )
            # an earlier source may have a study with the same number; the cache has both
            for number, studies in context.file_cache.accessions().items():
                if number in found.accessions:
                    found.accessions[number] |= studies
            notes.drop_ambiguous_accessions(found.accessions)
        without = 0
        for chunk in _chunks(found.studies.values()):
            paths = [path for study in chunk for path in study.files]
            known = check_files(paths, context, state.transient)
            ready = []
            for study in chunk:
                for outcome in self._choose(study, known, notes, state):
                    if isinstance(outcome, Refusal):
                        yield outcome
                    else:
                        ready.append(outcome)
            without += sum(one.stated is None for one in ready)
            patients = context.patients.resolve([(one.case_id, one.claim) for one in ready])
            for one, patient in zip(ready, patients, strict=True):
                yield self._case(one, patient, state)
            state.step(sum(len(study.files) for study in chunk))
            for study in chunk:
                study.headers.clear()
        if notes:
            yield from notes.faults()
            notes.warn(context.warn, without)
        self._report(state)

    def _report(self, state: _ReadState) -> None:
        warn = state.context.warn
        for what, count in state.noticed.items():
            warn(counted_line(count, what))
        if state.shared:
            shared = "[scan has|scans have] identical pixels under different patients"
            warn(counted_line(len(state.shared), shared))
        for remark in state.context.patients.remarks():
            warn(remark)

    def _files(self) -> Iterator[Path]:
        return walk_files(self.path) if self._is_folder else iter([self.path])

    def _find_studies(self, files: Sequence[Path], state: _ReadState) -> _FolderStudies:
        found = _FolderStudies()
        for start in range(0, len(files), _READ_AT_ONCE):
            chunk = files[start : start + _READ_AT_ONCE]
            records = read_files(chunk, state.context)
            state.transient |= {p: r for p, r in records.items() if is_transient(r)}
            for path in chunk:
                record, kept = records[path], known_header(records[path])
                if kept is not None:
                    state.mask.add(kept.names)
                    state.names[path] = state.tuples.setdefault(kept.names, kept.names)
                if kept is None or record.code in HEADER_FAULTS:
                    found.refused.append((path, record.reason, record.code))
                elif kept.header.format != "dicom" and self._is_folder:
                    reason = "not a DICOM file, so it has no patient ID; list it in a table"
                    found.refused.append((path, reason, "not-dicom"))
                else:
                    header = kept.header
                    if kept.claim.row is not None:
                        state.ids.add(kept.claim.row.bare)
                    found.add(path, header.study_uid or _ALONE, header.accession)
            state.step(len(chunk))
        state.step(len(found.refused))
        return found

    def _choose(
        self,
        study: DicomStudy,
        known: Mapping[Path, FileRecord],
        notes: NotesTable | None,
        state: _ReadState,
    ) -> Iterator[_PendingCase | Refusal]:
        """Choose the scans of a study; refusals come first."""
        files, study.files = study.files, []
        for path in files:
            record, kept = known[path], known_header(known[path])
            if kept is not None and (kept.header.study_uid or _ALONE) == study.key:
                study.add(path, kept)
            else:  # the file changed between the two passes
                reason = record.reason or "the file changed while it was read; ingest it again"
                yield Refusal(self._show([path], state), reason, record.code or "changing")
        if not study.files:
            return
        try:
            stated = notes.join(study.key, study.accessions) if notes else None
        except CellError as error:
            yield Refusal(self._show(study.files, state), error.what, error.code)
            return
        claim = merge_claims([one.claim for one in study.headers])
        if claim is None:
            for path in study.files:
                yield Refusal(self._show([path], state), _several(study.headers), "wrong-patient")
            return
        for path in study.files:
            if known[path].code:
                yield Refusal(self._show([path], state), known[path].reason, known[path].code)
        choice = choose_scans(study, known)
        state.noticed.update(choice.noticed)
        for refused, fault in choice.refused:
            yield Refusal(self._show(refused, state), message_of(fault), fault.reason)
        if choice.series:
            scans = tuple(_scan(series, known) for series in choice.series)
            self._notice(choice.series, state)
            yield self._pending_case(study, claim, scans, stated, state)

    def _notice(self, taken: Sequence[Series], state: _ReadState) -> None:
        for series in taken:
            for header in series.headers:
                state.noticed.update(f"[file|files]: {remark}" for remark in header.remarks)
        files = [path for series in taken for path in series.files]
        telling = sum(state.mask.hides(self._relative(path)) for path in files)
        if telling:
            what = (
                "[file path contains|file paths contain] patient names and "
                "[is|are] stored in the library"
            )
            state.noticed[what] += telling

    def _pending_case(
        self,
        study: DicomStudy,
        claim: Claim,
        scans: tuple[ScanRef, ...],
        stated: StudyNote | None,
        state: _ReadState,
    ) -> _PendingCase:
        names, key = state.context.names, study.key
        if study.headers[0].header.format != "dicom":
            own = f"file {scans[0].sha256}"
            key, claim = names.study(own), Claim.of(names, "", own=own)
        claim = claim.among(state.ids)
        if claim.row is None:
            state.noticed[
                "[study has|studies have] no PatientID; each is treated as a separate patient"
            ] += 1
        elif claim.is_anonymous:
            state.noticed[
                "[study has|studies have] a placeholder PatientID "
                "(such as ANONYMIZED, UNKNOWN, 0000); each is treated as a separate patient"
            ] += 1
        return _PendingCase(study, key, claim, scans, stated)

    def _case(
        self, one: _PendingCase, patient: ResolvedPatient, state: _ReadState
    ) -> Case | Refusal:
        names, stated, scans = state.context.names, one.stated, one.scans
        headers = [kept.header for kept in one.study.headers]
        for scan in scans:
            if scan.pixel_sha256:
                owner = state.owners.setdefault(scan.pixel_sha256, patient.patient_id)
                if owner != patient.patient_id:
                    state.shared.add(scan.pixel_sha256)
        shift = patient.shift_days if state.context.shift_dates else 0
        days = [header.study_date for header in headers if header.study_date]
        ages = [header.age_years for header in headers if header.age_years is not None]
        agree = bool(ages) and max(ages) - min(ages) <= _SAME_AGE_YEARS
        if ages and not agree:
            state.noticed[
                "[study has|studies have] files with different patient ages; age set to unknown"
            ] += 1
        sexes = {header.sex for header in headers} - {"unknown"}
        try:
            return Case(
                case_id=one.case_id,
                patient_id=patient.patient_id,
                scans=scans,
                note=stated.note if stated else None,
                findings=stated.findings if stated else (),
                study_date=shift_date(min(days), shift) if days else None,
                date_shift_days=shift,
                modality=scans[0].modality,
                view=scans[0].view,
                kind=scans[0].kind,
                sex=normalize_sex(sexes.pop() if len(sexes) == 1 else ""),
                age_years=ages[0] if agree else None,
                race=stated.race if stated else "unknown",
                site=_stated(stated.site if stated else "", headers[0].institution),
                scanner=_stated(stated.scanner if stated else "", headers[0].manufacturer_model),
                split=stated.split if stated else "",
                group_id=names.group(stated.group_id) if stated and stated.group_id else "",
                attributes=stated.attributes if stated else {},
            )
        except InputError as error:
            return Refusal(self._show(one.study.files, state), error.what, "bad-study")

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix() if self._is_folder else path.name

    def _show(self, files: Sequence[Path], state: _ReadState) -> str:
        first = state.mask(self._relative(files[0]), state.names.get(files[0], ()))
        return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _scan(series: Series, known: Mapping[Path, FileRecord]) -> ScanRef:
    records = [known[path] for path in series.files]
    return ScanRef(
        tuple(str(path) for path in series.files),
        scan_sha256([record.sha256 for record in records]),
        series.headers[0].modality,
        series.headers[0].view,
        kind=kind_of_header(series.headers[0]),
        pixel_sha256=combine_pixel_digests(d for record in records for d in record.frame_digests),
    )


def _several(headers: Sequence[FileHeader]) -> str:
    rows = [one.claim.row for one in headers if one.claim.row is not None]
    if len({row.bare for row in rows}) > 1 or len({row.issuer for row in rows} - {b""}) > 1:
        return "files of several patients share its StudyInstanceUID"
    return "files with different sex or birth date share its StudyInstanceUID"


def _stated(*values: str) -> str:
    return next((value for value in values if value not in ("", "unknown")), "unknown")


def _chunks(studies: Iterable[DicomStudy]) -> Iterator[list[DicomStudy]]:
    """Group studies into chunks of about a hundred files."""
    chunk: list[DicomStudy] = []
    count = 0
    for study in studies:
        chunk.append(study)
        count += len(study.files)
        if count >= _CHUNK_FILES:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk
