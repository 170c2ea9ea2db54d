"""A part of a library as a new library, under new pseudonyms and shifted dates.

Whoever gets it cannot link it to the library it came from by ids, dates or paths; what remains is
described in docs/guides/keep-and-erase.md.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from medembed.cases import Case, ScanRef
from medembed.errors import LibraryError, ScanError
from medembed.library.faults import file_errors
from medembed.library.filters import Where
from medembed.library.library import CaseLibrary
from medembed.privacy import Pseudonymizer
from medembed.privacy.private_files import draft_folder, private_folder, replace_private
from medembed.progress import Progress, no_progress
from medembed.scans import Scan, ScanReader
from medembed.scans.pixel_digest import combine_pixel_digests, frame_digest
from medembed.scans.window import apply_window, default_window
from medembed.sources.cell_parsers import shift_date

__all__ = ["PARTS", "LibraryExport", "export_library"]

PARTS = ("CR", "DX", "MG", "PX", "IO", "CT", "MR", "PT", "NM")
"""Modalities whose images are exported; others often have the patient's name in their pixels."""

_SCANS = "scans"
_OLDEST = 90.0  # years: 45 CFR 164.514(b)(2)(i)(C) puts all ages over 89 together
_BATCH = 64


@dataclass(frozen=True)
class LibraryExport:
    """What was exported, and what was left out.

    Parameters
    ----------
    n_cases, n_patients, n_scans, n_notes : int
    scans_left_out : dict of str to int
        Scans by the reason for which they are not exported.
    cases_left_out : int
        Cases none of whose scans is exported.
    """

    n_cases: int
    n_patients: int
    n_scans: int
    n_notes: int
    scans_left_out: dict[str, int]
    cases_left_out: int

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def export_library(
    library: CaseLibrary,
    folder: Path | str,
    where: Where = None,
    *,
    with_notes: bool = False,
    keep_columns: Sequence[str] = (),
    progress: Progress = no_progress,
) -> LibraryExport:
    """Write the cases that meet ``where`` as a new library with a key of its own.

    Patients, cases, groups and sites get new pseudonyms; the dates of each patient shift by another
    secret number of days; ages over 89 become 90. Images of one slice become PNG files as they are
    displayed by default, without any header. Vectors, models, paths and records of files
    stay behind.

    Parameters
    ----------
    library : CaseLibrary
    folder : path
        Must not exist, or be empty.
    where : str or sequence of str, optional
        Conditions as in :meth:`CaseLibrary.cases`.
    with_notes : bool
        Also the reports, unchanged: they may name the patient.
    keep_columns : sequence of str
        Kept columns to export, unchanged; by default none.
    progress : callable
        Called with (cases done, cases in total).

    Raises
    ------
    LibraryError
        If the folder is not empty, a column does not exist, or there is nothing to export. Nothing
        is written then.
    """
    target = Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise LibraryError(
            "the folder exists and is not empty", where=target.name, hint="choose a new folder"
        )
    if unknown := set(keep_columns) - set(library.attribute_names()):
        raise LibraryError(f"no such kept column: {', '.join(sorted(unknown))}")
    wanted = library.find(where)
    if not wanted:
        raise LibraryError("no case meets the conditions", where=library.path.name)
    with file_errors(target.name), ScanReader() as reader:
        private_folder(target.parent)
        with draft_folder(target) as draft:
            inner = draft / "library"
            with CaseLibrary.create(inner) as new:
                new.set_meta("vocabulary", library.get_meta("vocabulary"))
                new.set_meta("dates", "shifted")
                writer = _Export(library, new, with_notes, tuple(keep_columns), reader)
                for at in range(0, len(wanted), _BATCH):
                    writer.take(library.select(wanted[at : at + _BATCH]))
                    progress(min(at + _BATCH, len(wanted)), len(wanted))
                done = writer.report()
            if not done.n_cases:
                raise LibraryError(
                    f"none of the scans can be exported: {_reasons(done)}",
                    where=library.path.name,
                    hint="see docs/guides/keep-and-erase.md for what is exported",
                )
            if target.exists():
                target.rmdir()
            inner.rename(target)
    return done


def _reasons(done: LibraryExport) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in done.scans_left_out.items())


class _LeftOutError(Exception):
    """A scan that is not exported; its text is the reason in one word."""


class _Export:
    """Writes cases of one library to another."""

    def __init__(
        self,
        source: CaseLibrary,
        target: CaseLibrary,
        with_notes: bool,
        columns: tuple[str, ...],
        reader: ScanReader,
    ) -> None:
        self._source, self._target = source, target
        self._with_notes, self._columns = with_notes, columns
        self._reader = reader
        self._left_out: Counter[str] = Counter()
        self._empty = 0
        self._folder = private_folder(target.path / _SCANS)

    def take(self, cases: Iterable[Case]) -> None:
        made: list[Case] = []
        for case in cases:
            names = self._target.pseudonymizer
            case_id = names.study(case.case_id)
            scans = self._scans(case, case_id)
            if not scans:
                self._empty += 1
                continue
            made.append(self._renamed(case, case_id, scans, names))
        added = self._target.add(made)
        for refusal in added.refusals:  # an image of two patients, in two splits
            self._left_out[refusal.code] += 1
            self._empty += 1

    def _renamed(
        self, case: Case, case_id: str, scans: tuple[ScanRef, ...], names: Pseudonymizer
    ) -> Case:
        # the shift of the library is added to: the date of the source cannot be told from both
        day = shift_date(case.study_date, names.shift_days(case.patient_id))
        kept = {name: case.attributes[name] for name in self._columns if name in case.attributes}
        return replace(
            case,
            case_id=case_id,
            patient_id=names.patient(case.patient_id),
            scans=scans,
            note=case.note if self._with_notes else None,
            study_date=day,
            date_shift_days=0,
            age_years=None if case.age_years is None else min(case.age_years, _OLDEST),
            site="unknown" if case.site == "unknown" else names.group(f"site {case.site}"),
            group_id=names.group(case.group_id) if case.group_id else "",
            attributes=kept,
        )

    def _scans(self, case: Case, case_id: str) -> tuple[ScanRef, ...]:
        found = []
        for at, (ref, files) in enumerate(
            zip(case.scans, self._source.scan_files(case), strict=True)
        ):
            try:
                image = self._image(ref, files)
            except ScanError as error:
                self._left_out[error.reason] += 1
                continue
            except _LeftOutError as error:
                self._left_out[str(error)] += 1
                continue
            path = self._folder / f"{case_id}-{at}.png"
            with replace_private(path) as file:
                file.write(image[0])
            found.append(
                ScanRef(
                    (str(path),),
                    hashlib.sha256(image[0]).hexdigest(),
                    ref.modality,
                    ref.view,
                    kind=ref.kind,
                    pixel_sha256=image[1],
                )
            )
        return tuple(found)

    def _image(self, ref: ScanRef, files: Sequence[Path]) -> tuple[bytes, str]:
        """Return a scan as PNG, and the digest of its pixels.

        Raises
        ------
        ScanError
            If it cannot be read, or has changed.
        _LeftOutError
            With the reason for which it is not exported.
        """
        if ref.modality not in PARTS or ref.kind not in ("image", "unknown"):
            raise _LeftOutError("perhaps-with-text")
        if len(files) > 1:
            raise _LeftOutError("volume")
        if self._source.has_changed_files(ref):
            raise ScanError("the file has changed since it was ingested", reason="changed")
        read = self._reader.read([str(file) for file in files], ref.frame)
        return _png(ref.declared(read))

    def report(self) -> LibraryExport:
        patients = set(self._target.patients().values())
        db = self._target.database.read()
        return LibraryExport(
            n_cases=len(self._target),
            n_patients=len(patients),
            n_scans=int(db.execute("SELECT count(*) FROM scans").fetchone()[0]),
            n_notes=self._target.n_notes(),
            scans_left_out=dict(self._left_out),
            cases_left_out=self._empty,
        )


def _png(scan: Scan) -> tuple[bytes, str]:
    if scan.pixels.ndim != 2:
        raise _LeftOutError("volume")
    shown = apply_window(scan.pixels, default_window(scan))
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "PNG")
    return buffer.getvalue(), combine_pixel_digests([frame_digest(shown)])
