"""Cases from a csv or parquet table of image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from medembed.cases import UNITS_ATTRIBUTE, Case, ScanRef, normalize_sex
from medembed.counted import counted_line
from medembed.errors import InputError, ScanError, SourceError
from medembed.privacy import Claim, ResolvedPatient, merge_claims
from medembed.scans import ScanHeader, group_series
from medembed.scans.pixel_digest import combine_pixel_digests
from medembed.scans.remarks import Remark
from medembed.scans.scan_hash import scan_sha256
from medembed.sources.cell_parsers import (
    age_of,
    date_of,
    findings_of,
    kept_of,
    note_of,
    shift_date,
    split_of,
    text_of,
    units_of,
    view_of,
)
from medembed.sources.image_paths import images_of
from medembed.sources.refusal import CellError, Refusal
from medembed.sources.source import FileRecord, SourceContext
from medembed.sources.study import kind_of_header, pick_images
from medembed.sources.tabular import Row, Table
from medembed.sources.verify_files import check_files, known_header, message_of

__all__ = ["COLUMNS", "REQUIRED", "TableSource"]

REQUIRED = ("case_id", "patient_id", "image_path")
COLUMNS = (
    *REQUIRED,
    "study_id",
    "study_date",
    "modality",
    "view",
    "units",
    "sex",
    "age",
    "race",
    "site",
    "scanner",
    "findings",
    "note",
    "split",
    "group_id",
)

_IDS = ("case_id", "patient_id", "study_id", "group_id")
_CHUNK = 128


@dataclass(frozen=True)
class _Draft:
    """A row whose files have not been read yet."""

    row: Row
    where: str
    images: tuple[tuple[Path, ...], ...]


class TableSource:
    """A table with one case per row (docs/reference/table-source.md).

    ``patient_id``, ``study_id`` and ``group_id`` become pseudonyms; ``case_id`` is stored as given
    and must not identify a patient.

    Parameters
    ----------
    path : path-like
        csv, tsv or parquet.
    keep_columns : sequence of str
        Additional columns to keep as attributes.

    Raises
    ------
    SourceError
        If the table cannot be read or lacks a column.
    """

    format = "table"

    def __init__(self, path: str | Path, keep_columns: Sequence[str] = ()) -> None:
        self.path = Path(path).absolute()
        self._table = Table(
            self.path, REQUIRED, COLUMNS, ids=_IDS, keys=REQUIRED, keep=keep_columns
        )

    def read(self, context: SourceContext) -> Iterator[Case | Refusal]:
        """Yield a case or a refusal for each row, in order."""
        self._table.warn(context.warn)
        self._n_anonymous = 0
        self._ids: set[bytes] = set()
        self._noticed: Counter[str] = Counter()
        drafts = self._drafts()
        done = rows = 0
        owners: dict[str, str] = {}
        shared: set[str] = set()
        named: dict[str, set[str]] = {}
        while chunk := list(islice(drafts, _CHUNK)):
            rows += len(chunk)
            files = [
                file
                for draft in chunk
                if isinstance(draft, _Draft)
                for image in draft.images
                for file in image
            ]
            known = check_files(list(dict.fromkeys(files)), context)
            patients = self._patients(chunk, known, context)
            for draft in chunk:
                outcome = (
                    draft
                    if isinstance(draft, Refusal)
                    else self._take(draft, patients, known, context)
                )
                if isinstance(outcome, Case) and isinstance(draft, _Draft):
                    for person in _persons_of(draft, known):
                        named.setdefault(person, set()).add(outcome.patient_id)
                    for scan in outcome.scans:
                        content = scan.pixel_sha256 or scan.sha256
                        owner = owners.setdefault(content, outcome.patient_id)
                        if owner != outcome.patient_id:
                            shared.add(content)
                yield outcome
            done += len(chunk)
            context.progress(done, None)
        if rows == 0:
            raise SourceError("the table has no rows", where=self._table.name)
        self._table.warn_rows(context.warn)
        if shared:
            line = counted_line(len(shared), "[image appears|images appear] under several patients")
            context.warn(f"{self._table.name}: {line}")
        apart = sum(len(patients) > 1 for patients in named.values())
        if apart:
            line = counted_line(
                apart,
                "[PatientID in image headers has|PatientIDs in image headers have] several "
                "patient_ids in the table, which may put one person into two splits",
            )
            context.warn(f"{self._table.name}: {line}")
        for what, count in self._noticed.items():
            context.warn(f"{self._table.name}: {counted_line(count, what)}")
        if self._n_anonymous:
            line = counted_line(
                self._n_anonymous,
                "[row has|rows have] a placeholder patient_id (such as 0, UNKNOWN, ANONYMIZED); "
                "each study is treated as a separate patient",
            )
            context.warn(f"{self._table.name}: {line}")
        for remark in context.patients.remarks():
            context.warn(f"{self._table.name}: {remark}")

    def _drafts(self) -> Iterator[_Draft | Refusal]:
        seen: set[str] = set()
        for row in self._table.rows():
            where = f"{self._table.name} row {row.number}"
            if row.fault:
                yield Refusal(where, row.fault, "bad-row")
                continue
            empty = [name for name in REQUIRED if not row.cells[name].strip()]
            if empty:
                yield Refusal(where, f"missing {' and '.join(empty)}", "missing-value")
                continue
            case_id = row.cells["case_id"].strip()
            if text_of(row.cells, "case_id") == "unknown":
                yield Refusal(where, "case_id is unknown", "missing-value")
                continue
            if case_id in seen:
                yield Refusal(where, "duplicate case_id", "duplicate-case")
                continue
            seen.add(case_id)
            try:
                yield _Draft(row, where, images_of(row.cells["image_path"], self.path.parent))
            except CellError as error:
                yield Refusal(where, error.what, error.code)

    def _all_ids(self, context: SourceContext) -> set[bytes]:
        """Return the hashes of all ids of the table, which is read once more for it."""
        if not self._ids:
            cells = {row.cells.get("patient_id", "").strip() for row in self._table.rows()}
            rows = (Claim.of(context.names, cell, own="").row for cell in cells)
            self._ids = {row.bare for row in rows if row is not None}
        return self._ids

    def _patients(
        self,
        chunk: Sequence[_Draft | Refusal],
        known: Mapping[Path, FileRecord],
        context: SourceContext,
    ) -> dict[str, ResolvedPatient]:
        """Resolve the patient of each row with readable images, by its place in the table."""
        rows = [
            draft
            for draft in chunk
            if isinstance(draft, _Draft)
            and not any(known[file].code for image in draft.images for file in image)
        ]
        claims = []
        for draft in rows:
            cells = draft.row.cells
            case_id, study = cells["case_id"].strip(), cells.get("study_id", "").strip()
            sex = normalize_sex(cells.get("sex", ""))
            own = f"table {study or case_id}"
            claim = Claim.of(context.names, cells["patient_id"], sex=sex, own=own)
            if claim.neighbors:
                claim = claim.among(self._all_ids(context))
            claims.append((case_id, claim))
        self._n_anonymous += sum(claim.is_anonymous for _, claim in claims)
        settled = context.patients.resolve(claims, keep_together=True)
        return {draft.where: one for draft, one in zip(rows, settled, strict=True)}

    def _take(
        self,
        draft: _Draft,
        patients: Mapping[str, ResolvedPatient],
        known: Mapping[Path, FileRecord],
        context: SourceContext,
    ) -> Case | Refusal:
        files = [file for image in draft.images for file in image]
        for number, file in enumerate(files, 1):
            if known[file].code:
                which = f"image {number} of {len(files)}: " if len(files) > 1 else ""
                return Refusal(draft.where, which + known[file].reason, known[file].code)
        try:
            scans = self._scans(draft, known)
            return self._case(draft, patients[draft.where], scans, context)
        except CellError as error:
            return Refusal(draft.where, error.what, error.code)
        except ScanError as error:
            return Refusal(draft.where, message_of(error), error.reason)
        except InputError as error:
            return Refusal(draft.where, error.what, "bad-row")

    def _scans(self, draft: _Draft, known: Mapping[Path, FileRecord]) -> tuple[ScanRef, ...]:
        headers = {
            file: replace(kept.header, frame_digests=known[file].frame_digests)
            for image in draft.images
            for file in image
            if (kept := known_header(known[file])) is not None
        }
        _check_one_patient(draft, known)
        series = group_series(headers.items())
        for one in series:
            if one.error is not None:
                raise one.error
        kinds = [kind_of_header(one.headers[0]) for one in series]
        images, left_out = pick_images(series, kinds)
        for kind, ones in left_out.items():
            if images:
                self._noticed[f"[{kind}|{kind}s] skipped"] += len(ones)
            else:
                self._noticed[f"[row contains|rows contain] only {kind}s"] += 1
        self._noticed.update(
            f"[file|files]: {r}" for one in series for h in one.headers for r in h.remarks
        )
        taken = images or series
        modality, view = text_of(draft.row.cells, "modality"), view_of(draft.row.cells)
        units = self._units(draft.row, [header for one in taken for header in one.headers])
        refs = []
        for one in taken:
            records = [known[file] for file in one.files]
            refs.append(
                ScanRef(
                    tuple(str(file) for file in one.files),
                    scan_sha256([record.sha256 for record in records]),
                    _first(modality.upper() if modality != "unknown" else "", records[0].modality),
                    _first(view, records[0].view) if len(taken) == 1 else records[0].view,
                    kind=kind_of_header(one.headers[0]),
                    pixel_sha256=combine_pixel_digests(
                        digest for record in records for digest in record.frame_digests
                    ),
                    units=units,
                )
            )
        return tuple(refs)

    def _units(self, row: Row, headers: Sequence[ScanHeader]) -> Literal["", "HU", "stored"]:
        """Return the units to read the row's scans in; empty if their headers define them.

        NIfTI cannot declare a unit. The table decides, then its modality: only a CT has Hounsfield
        units, and it has them if its values say so.
        """
        declared = units_of(row.cells)
        nifti = [header for header in headers if header.format == "nifti"]
        if declared:
            self._noticed[f"[row|rows] read in units {declared}, as the table declares"] += 1
            return declared
        if not nifti:
            return ""
        modality = text_of(row.cells, "modality").upper()
        by_range = all(Remark.HOUNSFIELD in header.remarks for header in nifti)
        if by_range and modality in ("CT", "UNKNOWN"):
            return "HU"
        if modality == "CT":
            self._noticed[
                "[CT in NIfTI has|CTs in NIfTI have] values that may not be Hounsfield units and "
                "[is|are] read as stored; declare them in a column units (HU or stored)"
            ] += 1
        return "stored"

    def _case(
        self,
        draft: _Draft,
        patient: ResolvedPatient,
        scans: tuple[ScanRef, ...],
        context: SourceContext,
    ) -> Case:
        cells, names = draft.row.cells, context.names
        note = note_of(cells, context.vocabulary)
        shift = patient.shift_days if context.shift_dates else 0
        group, study = cells.get("group_id", "").strip(), cells.get("study_id", "").strip()
        attributes = kept_of(cells, self._table.keep)
        if scans[0].units:
            attributes[UNITS_ATTRIBUTE] = scans[0].units
        if study:
            attributes["study_id"] = names.study(study)
        return Case(
            case_id=cells["case_id"].strip(),
            patient_id=patient.patient_id,
            scans=scans,
            note=note,
            findings=findings_of(cells, note),
            study_date=shift_date(date_of(cells), shift),
            date_shift_days=shift,
            modality=scans[0].modality,
            kind=scans[0].kind,
            view=_first(view_of(cells), scans[0].view),
            sex=normalize_sex(cells.get("sex", "")),
            age_years=age_of(cells),
            race=text_of(cells, "race"),
            site=text_of(cells, "site"),
            scanner=text_of(cells, "scanner"),
            split=split_of(cells),
            group_id=names.group(group) if group else "",
            attributes=attributes,
        )


def _persons_of(draft: _Draft, known: Mapping[Path, FileRecord]) -> set[str]:
    """Return pseudonyms of the ids in a row's DICOM headers, without placeholders."""
    files = (file for image in draft.images for file in image)
    kept = (known_header(known[file]) for file in files)
    claims = (one.claim for one in kept if one is not None and not one.claim.is_anonymous)
    return {claim.row.person for claim in claims if claim.row is not None}


def _check_one_patient(draft: _Draft, known: Mapping[Path, FileRecord]) -> None:
    """Refuse a row whose DICOM files have two patients; placeholder ids are ignored."""
    files = (file for image in draft.images for file in image)
    kept = (known_header(known[file]) for file in files)
    claims = [one.claim for one in kept if one is not None and not one.claim.is_anonymous]
    if claims and merge_claims(claims) is None:
        raise CellError("its files have headers of several patients", "wrong-patient")


def _first(*values: str) -> str:
    return next((value for value in values if value not in ("", "unknown")), "unknown")
