"""What the page works at: one library, its model, and the reader of scans, shared by all visitors.

The model is loaded by a thread of its own, so that the page stands before torch is imported. Every
visitor's script runs in a thread of its own: what they share is behind a lock, and of bounded size.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from apps.case_lookup.dropped import Dropped, Upload, decoding_folder, written
from apps.case_lookup.faults import line_of
from apps.case_lookup.rendering import Look, n_slices, presets, render
from medembed.cases import SIDED_FINDINGS, Case, ScanRef
from medembed.errors import MedEmbedError, ScanError
from medembed.library import CaseLibrary, Condition
from medembed.scans import Scan, ScanReader

if TYPE_CHECKING:
    from medembed.lookup import CaseLookup, Result
    from medembed.lookup.patient_exclusion import QueryOrigin

__all__ = ["Desk", "Question"]

_CACHE_BYTES = 512 * 2**20
_RECOUNT_SECONDS = 30.0
_THUMBNAILS, _THUMBNAIL_PX, _PART = "thumbnails", 360, ".part"
_ABANDONED_SECONDS = 600.0  # a picture is written in less than one

_Key = tuple[str, int, ScanRef]

_caching = threading.Lock()
_decoding = tuple(threading.Lock() for _ in range(32))  # by the scan's hash: one decode at a time


@dataclass(frozen=True)
class Question:
    """What is asked of the library.

    Parameters
    ----------
    words : str
        Empty where none.
    scan : Scan or None
    dropped : tuple of str
        Ids of the uploads that the scan was read from.
    case_id : str
        A case of the library to start from; empty where none.
    image_weight : float
        0 to 1, share of the image where words and an image (or case) are given.
    where : tuple of Condition
        All hold.
    own_cases, own_patients : tuple of str
        Cases that the dropped files are, and pseudonyms of whom they show: they do not answer for
        themselves.
    k : int
    """

    words: str = ""
    scan: Scan | None = None
    dropped: tuple[str, ...] = ()
    case_id: str = ""
    image_weight: float = 0.5
    where: tuple[Condition, ...] = ()
    own_cases: tuple[str, ...] = ()
    own_patients: tuple[str, ...] = ()
    k: int = 10

    @property
    def mark(self) -> str:
        """A short name that is the same where the same is asked, to the last filter."""
        share = self.image_weight if self.is_mixed else None
        asked = (self.words, self.dropped, self.case_id, share, self.where, self.k)
        return hashlib.sha256(repr(asked).encode("utf-8", "backslashreplace")).hexdigest()[:16]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return not (self.words or self.scan is not None or self.case_id)

    @property
    def is_mixed(self) -> bool:
        """Whether words stand beside an image or a case."""
        return bool(self.words) and (self.scan is not None or bool(self.case_id))


class Desk:
    """One open library with its lookup, a reader of scans, and small caches in memory.

    Parameters
    ----------
    path : Path
        Folder of the library.

    Raises
    ------
    LibraryError
        Where there is none, or it is foreign.
    """

    # whether a scan's files are others than at ingest: asked of the library, once there is one
    _is_replaced: Callable[[ScanRef], bool] = staticmethod(lambda _: False)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = CaseLibrary.open(path)
        self._is_replaced = self.library.has_changed_files
        self.trouble = ""
        self._lookup: CaseLookup | None = None
        self._looking = threading.Lock()
        self._warm = threading.Event()
        self._reader = ScanReader(workers=2)
        self._counts: dict[str, tuple[float, Mapping[str, int]]] = {}
        self._counting = threading.Lock()
        self._scans: OrderedDict[_Key, Scan] = OrderedDict()
        _sweep_parts(self.library.path / _THUMBNAILS)
        threading.Thread(target=self._warm_up, name="model", daemon=True).start()

    def _warm_up(self) -> None:
        """Import torch, load model and index, and encode once, while the visitor reads."""
        try:
            lookup = self._opened()
            _ = lookup.index
            lookup.model.encode_notes(["chest"])
        except MedEmbedError as error:
            self.trouble = str(error)  # a search tries again and raises it
        finally:
            self._warm.set()

    def _opened(self) -> CaseLookup:
        with self._looking:
            if self._lookup is None:
                from medembed.lookup import CaseLookup

                self._lookup = CaseLookup(self.library)
            return self._lookup

    @property
    def is_ready(self) -> bool:
        """Whether the model has been loaded, or has failed to."""
        return self._warm.is_set()

    def close(self) -> None:
        """End the workers and the library's connections."""
        self._warm.wait()
        self._reader.close()
        if self._lookup is not None:
            self._lookup.close()
        self.library.close()

    def search(self, question: Question) -> Result:
        """Look the question up; waits for the model where it is still loading.

        Raises
        ------
        MedEmbedError
            Where the model cannot be loaded or the question cannot be asked.
        """
        weights = None
        if question.is_mixed:
            share = question.image_weight
            other = "image" if question.scan is not None else "case"
            weights = {"text": 1 - share, other: share}
        where = question.where
        if question.own_patients:
            where = (*where, Condition("patient", "not in", question.own_patients))
        self._warm.wait()
        result = self._opened().search(
            text=question.words or None,
            image=question.scan,
            case=question.case_id or None,
            weights=weights,
            where=where,
            k=question.k,
        )
        self.trouble = ""
        return result

    def holds(self, result: Result) -> bool:
        """Whether the library still has every case of an answer."""
        shown = {hit.case_id for hit in result.hits}
        return len(list(self.library.select(sorted(shown)))) == len(shown)

    def vocabulary(self, field: str) -> Mapping[str, int]:
        """Values of a field with their counts, most frequent first, unknown left out.

        Counted anew every half minute at most, for cases may come in while the room is open.
        """
        with self._counting:
            counted, counts = self._counts.get(field, (float("-inf"), {}))
            if time.monotonic() - counted >= _RECOUNT_SECONDS:
                everything = self.library.value_counts(field)
                counts = {v: n for v, n in everything.items() if v and v != "unknown"}
                self._counts[field] = (time.monotonic(), counts)
            return counts

    def findings(self) -> list[str]:
        """Findings to filter by, most frequent first; sided ones also as ``"label:side"``."""
        names: list[str] = []
        for label in self.vocabulary("finding"):
            sides = ("right", "left") if label in SIDED_FINDINGS else ()
            names += [label, *(f"{label}:{side}" for side in sides)]
        return names

    def relaxations(self, where: Sequence[Condition]) -> list[tuple[Condition, int]]:
        """Each condition with the number of cases that match once it alone is dropped."""
        return [
            (dropped, len(self.library.find([c for c in where if c is not dropped])))
            for dropped in where
        ]

    def other_studies(self, case: Case) -> list[Case]:
        """Further studies of the case's patient, oldest first."""
        of_patient = Condition("patient", "=", (case.patient_id,))
        others = [c for c in self.library.cases([of_patient]) if c.case_id != case.case_id]
        return sorted(others, key=lambda c: (c.study_date or date.min, c.case_id))

    def _read(self, files: Sequence[Path], frame: int | None = None) -> Scan:
        return self._reader.read(files[0] if len(files) == 1 else files, frame)

    def scan(self, case: Case, position: int = 0) -> Scan:
        """Give one scan of a case, kept in memory while there is room.

        Raises
        ------
        ScanError
            Where the file has gone or can no longer be read.
        """
        # the reference holds the file's digest: a case whose content changed has another key
        key = (case.case_id, position, case.scans[position])
        kept = self._kept(key)
        if kept is not None:
            return kept
        with _decoding[hash(key) % len(_decoding)]:  # a second visitor waits for the first's
            kept = self._kept(key)
            return self._decoded(case, key) if kept is None else kept

    def _kept(self, key: _Key) -> Scan | None:
        with _caching:
            if key not in self._scans:
                return None
            self._scans.move_to_end(key)
            return self._scans[key]

    def _decoded(self, case: Case, key: _Key) -> Scan:
        _, position, reference = key
        files = [Path(file) for file in self.library.scan_files(case)[position]]
        if not all(file.exists() for file in files):
            raise ScanError("the image file is no longer where it was when the case was added")
        if self._is_replaced(reference):  # by that of another patient, perhaps
            raise ScanError("the image file was replaced after the case was added")
        scan = self._read(files, reference.frame)
        with _caching:
            self._scans[key] = scan
            held = sum(scan.pixels.nbytes for scan in self._scans.values())
            while held > _CACHE_BYTES and len(self._scans) > 1:
                held -= self._scans.popitem(last=False)[1].pixels.nbytes
        return scan

    def thumbnail(self, case: Case, position: int = 0) -> Image.Image:
        """Give a small picture of one scan, kept in the library's ``thumbnails`` (derived)."""
        folder = self.library.path / _THUMBNAILS
        file = folder / f"{_name(case.scans[position])}.png"
        try:
            with Image.open(file) as kept:
                return kept.copy()
        except (OSError, SyntaxError):  # not there yet, or damaged: Pillow raises either
            pass
        scan = self.scan(case, position)
        window = next(iter(presets(scan).values()))
        image = render(scan, Look(window, n_slices(scan) // 2), _THUMBNAIL_PX)
        with suppress(OSError):  # a library that cannot be written to is shown all the same
            _keep(image, file)
        return image

    def read_dropped(self, uploads: Sequence[Upload]) -> Dropped:
        """Decode what was dropped: one file, or the files of one series.

        The bytes lie in files of mode 0600 without their names, only while they are decoded.
        """
        key = tuple(upload.file_id for upload in uploads)
        with decoding_folder() as folder:
            files = written(uploads, folder)
            try:
                scan = self._read(files)
                own = self._own(files)
                return Dropped(
                    key, scan, cases=tuple(sorted(own.cases)), patients=tuple(sorted(own.patients))
                )
            except ScanError as error:
                return Dropped(key, refusal=line_of(error))

    def _own(self, files: list[Path]) -> QueryOrigin:
        from medembed.lookup.patient_exclusion import origin_of_files

        return origin_of_files(self.library, files, self._reader.header(files[0]))


def _name(reference: ScanRef) -> str:
    frame = "" if reference.frame is None else f"-{reference.frame}"
    return f"{reference.sha256}{frame}"


def _keep(image: Image.Image, file: Path) -> None:
    """Write a picture whole or not at all; of two that write it, either is right."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=_PART)
    try:
        with os.fdopen(handle, "wb") as stream:
            image.save(stream, "PNG")
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sweep_parts(folder: Path) -> None:
    """Remove parts of pictures that a killed room has left behind."""
    for part in folder.glob(f"*{_PART}"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
