"""One open library with its model and scan reader, shared by all visitors.

The model loads in a background thread, so the page appears before torch is imported. Each
visitor's script runs in its own thread: what they share is locked and bounded in size.
"""

from __future__ import annotations

import copy
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from apps.access import LOCAL_PERSON, Person, VisibleLibrary, conditions, visible_result
from apps.case_lookup.dropped import DroppedImage, Upload, decoding_folder, write_uploads
from apps.case_lookup.dropped_series import FoundSeries, pick_series
from apps.case_lookup.faults import error_line
from apps.case_lookup.rendering import DisplaySettings, n_slices, presets, render
from apps.case_lookup.search_request import SearchRequest
from apps.case_lookup.texts import TEXTS
from medembed.cases import SIDED_FINDINGS, Case, ScanRef
from medembed.errors import ConditionError, LibraryError, MedEmbedError, ScanError
from medembed.library import CaseLibrary, Condition
from medembed.notes import read_note
from medembed.scans import Scan, ScanHeader, ScanReader

if TYPE_CHECKING:
    from medembed.lookup import ActiveLookup, Result
    from medembed.lookup.patient_exclusion import QueryOrigin

__all__ = ["LibrarySession", "SearchRequest"]

_CACHE_BYTES = 512 * 2**20
_RECOUNT_SECONDS = 30.0
_THUMBNAILS, _THUMBNAIL_PX, _PART = "thumbnails", 360, ".part"
_MOST_PEOPLE = 200
_ABANDONED_SECONDS = 600.0  # writing a thumbnail takes less than a second

_Key = tuple[str, int, ScanRef]

_caching = threading.Lock()
_decoding = tuple(threading.Lock() for _ in range(32))  # one decoding at a time for each scan


class LibrarySession:
    """One open library with its lookup, a scan reader, and small caches in memory.

    Parameters
    ----------
    path : Path
        Folder of the library.

    Raises
    ------
    LibraryError
        If there is none, or it was not made by MedEmbed.
    """

    # whether a scan's files were replaced since ingest; __init__ sets the library's method
    _is_replaced: Callable[[ScanRef], bool] = staticmethod(lambda _: False)

    _person = LOCAL_PERSON

    def __init__(self, path: Path) -> None:
        self.path = path
        self._of_people: OrderedDict[tuple[Condition, ...], LibrarySession] = OrderedDict()
        self.library = CaseLibrary.open(path)
        self._is_replaced = self.library.has_changed_files
        self.not_ready = ""
        self._lookup: ActiveLookup | None = None
        self._lookup_lock = threading.Lock()
        self._loaded = threading.Event()
        self._reader = ScanReader(workers=2)
        self._counts: dict[str, tuple[float, Mapping[str, int]]] = {}
        self._count_lock = threading.Lock()
        self._scans: OrderedDict[_Key, Scan] = OrderedDict()
        _remove_partial(self.library.path / _THUMBNAILS)
        threading.Thread(target=self._load_model, name="model", daemon=True).start()

    def for_person(self, person: Person) -> LibrarySession:
        """Give this session as one person may see it: all that is drawn comes from it.

        Cases that are hidden from the person are neither found, nor counted, nor opened.
        """
        if not person.where:
            return self
        with self._count_lock:
            seen = self._of_people.pop(person.where, None)
            if seen is None:
                seen = copy.copy(self)
                seen.library, seen._person = VisibleLibrary(self.library, person), person
                seen._counts, seen._count_lock = {}, threading.Lock()
                seen._get_lookup = self._get_lookup  # type: ignore[method-assign]
            self._of_people[person.where] = seen
            if len(self._of_people) > _MOST_PEOPLE:
                self._of_people.popitem(last=False)
            return seen

    def _load_model(self) -> None:
        """Load model and index, and encode once, while the visitor reads the page."""
        try:
            lookup = self._get_lookup().current
            _ = lookup.index
            lookup.model.encode_notes(["chest"])
            read_note("no rib")  # loads what tells languages apart
            lookup.model.warm_up()
        except MedEmbedError as error:
            self.not_ready = str(error)  # the next search tries again and raises it
        finally:
            self._loaded.set()

    def _get_lookup(self) -> ActiveLookup:
        with self._lookup_lock:
            if self._lookup is None:
                from medembed.lookup import ActiveLookup

                self._lookup = ActiveLookup(self.library)
            return self._lookup

    @property
    def is_ready(self) -> bool:
        """Whether loading the model has finished or failed."""
        return self._loaded.is_set()

    def wait(self) -> None:
        """Wait until loading the model has finished or failed."""
        self._loaded.wait()

    def close(self) -> None:
        """Stop the workers and close the library."""
        self.wait()
        self._reader.close()
        if self._lookup is not None:
            self._lookup.close()
        self.library.close()

    def search(self, request: SearchRequest) -> Result:
        """Search; waits for the model if it is still loading.

        Raises
        ------
        MedEmbedError
            If the model cannot be loaded or the query is invalid.
        """
        weights = None
        if request.is_mixed:
            share = request.image_weight
            other = "image" if request.scan is not None else "case"
            weights = {"text": 1 - share, other: share}
        if request.case_id and request.case_id not in self.library:
            raise LibraryError(TEXTS.case.not_found, hint=TEXTS.case.not_found_hint)
        where = (*request.where, *conditions(self._person))
        if request.own_patients:
            where = (*where, Condition("patient", "not in", request.own_patients))
        self.wait()
        result = self._get_lookup().search(
            text=request.text or None,
            image=request.scan,
            case=request.case_id or None,
            weights=weights,
            where=where,
            k=request.k,
            ignore=request.ignore,
            like=request.like,
            unlike=request.unlike,
            per_patient=request.one_per_patient,
            encoded=request.encoded,
            region=request.region or None,
        )
        self.not_ready = ""
        return visible_result(self.library, self._person, result)

    def still_has(self, result: Result) -> bool:
        """Whether the library still has every case of a result."""
        shown = {hit.case_id for hit in result.hits}
        return len(list(self.library.select(sorted(shown)))) == len(shown)

    def value_counts(self, field: str) -> Mapping[str, int]:
        """Count the known values of a field, most frequent first.

        The counts are cached for half a minute: cases may be added while the page is open.
        """
        with self._count_lock:
            counted, counts = self._counts.get(field, (float("-inf"), {}))
            if time.monotonic() - counted >= _RECOUNT_SECONDS:
                all_counts: Mapping[str, int] = {}
                with suppress(ConditionError):  # an attribute that no case has
                    all_counts = self.library.value_counts(field)
                counts = {v: n for v, n in all_counts.items() if v and v != "unknown"}
                self._counts[field] = (time.monotonic(), counts)
            return counts

    def findings(self) -> list[str]:
        """List findings to filter by, most frequent first; sided ones also as ``"label:side"``."""
        names: list[str] = []
        for label in self.value_counts("finding"):
            sides = ("right", "left") if label in SIDED_FINDINGS else ()
            names += [label, *(f"{label}:{side}" for side in sides)]
        return names

    def counts_without_each(self, where: Sequence[Condition]) -> list[tuple[Condition, int]]:
        """Count, for each condition, the cases that match if it alone is removed."""
        return [
            (removed, len(self.library.find([c for c in where if c is not removed])))
            for removed in where
        ]

    def other_studies(self, case: Case) -> list[Case]:
        """List the patient's other studies, oldest first."""
        others = [c for c in self.studies_of([case.patient_id]) if c.case_id != case.case_id]
        return others[::-1]

    def studies_of(self, patients: Sequence[str]) -> list[Case]:
        """List the studies of these patients, the latest first."""
        from medembed.lookup.patient_exclusion import cases_of_patients

        studies = self.select(sorted(cases_of_patients(self.library, patients))).values()
        return sorted(studies, key=lambda c: (c.study_date or date.min, c.case_id), reverse=True)

    def select(self, case_ids: Sequence[str]) -> dict[str, Case]:
        """Look up several cases by id; those that are not in the library are left out."""
        return {case.case_id: case for case in self.library.select(list(case_ids))}

    def _read(self, files: Sequence[Path], frame: int | None = None) -> Scan:
        return self._reader.read(files[0] if len(files) == 1 else files, frame)

    def scan(self, case: Case, position: int = 0) -> Scan:
        """Read one scan of a case; recent scans are cached in memory.

        Raises
        ------
        ScanError
            If the file was moved, replaced or cannot be read.
        """
        # the reference holds the file's digest, so changed content has another key
        key = (case.case_id, position, case.scans[position])
        cached = self._cached(key)
        if cached is not None:
            return cached
        with _decoding[hash(key) % len(_decoding)]:  # a second visitor waits for the first
            cached = self._cached(key)
            return self._decoded(case, key) if cached is None else cached

    def _cached(self, key: _Key) -> Scan | None:
        with _caching:
            if key not in self._scans:
                return None
            self._scans.move_to_end(key)
            return self._scans[key]

    def _decoded(self, case: Case, key: _Key) -> Scan:
        _, position, reference = key
        files = [Path(file) for file in self.library.scan_files(case)[position]]
        if not all(file.exists() for file in files):
            raise ScanError(TEXTS.case.image_moved, reason="not-found")
        if self._is_replaced(reference):  # perhaps by another patient's
            raise ScanError(TEXTS.case.image_replaced, reason="changed")
        scan = reference.declared(self._read(files, reference.frame))
        with _caching:
            self._scans[key] = scan
            size = sum(scan.pixels.nbytes for scan in self._scans.values())
            while size > _CACHE_BYTES and len(self._scans) > 1:
                size -= self._scans.popitem(last=False)[1].pixels.nbytes
        return scan

    def thumbnail(self, case: Case, position: int = 0) -> Image.Image:
        """Give a thumbnail of one scan, stored in the library's ``thumbnails`` (derived)."""
        folder = self.library.path / _THUMBNAILS
        file = folder / f"{_name(case.scans[position])}.png"
        try:
            with Image.open(file) as stored:
                return stored.copy()
        except (OSError, SyntaxError):  # missing or damaged: Pillow raises either
            pass
        scan = self.scan(case, position)
        window = next(iter(presets(scan).values()))
        image = render(scan, DisplaySettings(window, n_slices(scan) // 2), _THUMBNAIL_PX)
        with suppress(OSError):  # a read-only library can be browsed, too
            _store(image, file)
        return image

    def read_dropped(self, uploads: Sequence[Upload], chosen: int | None = None) -> DroppedImage:
        """Decode dropped files: one image, or one of the series that they form.

        The bytes are in files of mode 0600, without their names, and only during decoding.

        Parameters
        ----------
        uploads : sequence of Upload
            The files of an image or a series; or those of a study, or its folder.
        chosen : int, optional
            Which of several series, from 0; default: the first, the one of most images.
        """
        key = tuple(upload.file_id for upload in uploads)
        series: tuple[FoundSeries, ...] = ()
        with decoding_folder() as folder:
            files = write_uploads(uploads, folder)
            try:
                try:
                    scan = self._read(files)
                except ScanError:
                    if len(files) < 2:
                        raise
                    files, series = pick_series(self._reader, files, chosen or 0)
                    scan = self._read(files)
                header = self._reader.header(files[0])
                own = self._own(files, header)
            except ScanError as error:
                return DroppedImage(key, refusal=error_line(error), series=series)
        seen = [case.case_id for case in self.library.select(sorted(own.cases))]
        return DroppedImage(
            key,
            scan,
            cases=tuple(seen),
            patients=tuple(sorted(own.patients)),
            sex=header.sex,
            age_years=header.age_years,
            series=series,
            chosen=chosen or 0,
        )

    def _own(self, files: list[Path], header: ScanHeader) -> QueryOrigin:
        from medembed.lookup.patient_exclusion import origin_of_files

        return origin_of_files(self.library, files, header)


def _name(reference: ScanRef) -> str:
    frame = "" if reference.frame is None else f"-{reference.frame}"
    return f"{reference.sha256}{frame}"


def _store(image: Image.Image, file: Path) -> None:
    """Write a thumbnail atomically; of two writers, either is right."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=_PART)
    try:
        with os.fdopen(handle, "wb") as stream:
            image.save(stream, "PNG")
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _remove_partial(folder: Path) -> None:
    """Remove partly written thumbnails that a killed process left."""
    for part in folder.glob(f"*{_PART}"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
