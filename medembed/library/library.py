"""The noun :class:`CaseLibrary`: a folder of cases, with ``library.sqlite`` as the record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.cases import Case, ScanRef
from medembed.counted import counted
from medembed.errors import ConditionError, LibraryError
from medembed.library.case_rows import attribute_names, fetch_cases
from medembed.library.database import DATABASE_NAME, Database
from medembed.library.faults import file_errors
from medembed.library.filters import Where, compile_conditions, parse_where
from medembed.library.integrity import CHECK_RECORD_NAME
from medembed.library.meta import MetaStore
from medembed.library.own_journal import library_names
from medembed.library.upsert import AddReport, add_cases
from medembed.library.vectors import EmbeddingSet, VectorStore
from medembed.privacy.private_files import private_folder
from medembed.progress import Progress
from medembed.sources.refusal import Refusal

if TYPE_CHECKING:
    from medembed.journal import Journal
    from medembed.library.erasure import ErasureReceipt

__all__ = ["CaseLibrary"]

# entries that a folder may contain before it becomes a library
_DERIVED = ("models", "index", "cache", "thumbnails", "ingest-refusals.csv", "cohort")
_OWN_FILES = (f".{DATABASE_NAME}.", CHECK_RECORD_NAME)
_BATCH = 256
_COUNTED = ("split", "sex", "modality", "view", "kind", "race", "site", "scanner")


class CaseLibrary:
    """Cases of one hospital or study, in one folder.

    ``library.sqlite`` is the store of record and ``models`` holds trained models; ``index`` and
    ``thumbnails`` are derived and can be deleted at any time. A library object is safe to use from
    several threads, and several processes can open the same library.

    Use :meth:`create` or :meth:`open`.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self._database = database
        self.pseudonymizer = library_names(self._db)

    @classmethod
    def create(cls, path: Path | str) -> CaseLibrary:
        """Create an empty library.

        Raises
        ------
        LibraryError
            If the folder already holds a library or other files.
        """
        folder = Path(path).absolute()
        with file_errors(folder.name):
            if folder.exists() and not folder.is_dir():
                raise LibraryError("this is a file, not a folder", where=folder.name)
            if (folder / DATABASE_NAME).exists():
                raise LibraryError("a case library exists here already", where=folder.name)
            if folder.is_dir() and any(
                entry.name not in _DERIVED and not entry.name.startswith(_OWN_FILES)
                for entry in folder.iterdir()
            ):
                raise LibraryError(
                    "the folder is not empty and not a case library",
                    where=folder.name,
                    hint="choose an empty or new folder",
                )
            private_folder(folder)
        return cls(folder.resolve(), Database.create(folder.resolve() / DATABASE_NAME))

    @classmethod
    def open(cls, path: Path | str, create: bool = False) -> CaseLibrary:
        """Open a library.

        Parameters
        ----------
        path : path-like
            Folder of the library.
        create : bool
            Create the library if it does not exist.

        Raises
        ------
        LibraryError
            If there is no library, or the file is foreign or of another version.
        """
        folder = Path(path).absolute()
        if create and not (folder / DATABASE_NAME).exists():
            return cls.create(folder)
        folder = folder.resolve()
        return cls(folder, Database(folder / DATABASE_NAME))

    def close(self) -> None:
        """Close all connections; the object cannot be used afterwards."""
        self._database.close()

    def __enter__(self) -> CaseLibrary:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"CaseLibrary({self.path.name!r}, {counted(len(self), 'case')})"

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.read()

    @property
    def key(self) -> bytes:
        """The library's secret key, 32 bytes."""
        return self.pseudonymizer.key

    @property
    def database(self) -> Database:
        """Connections to ``library.sqlite``, for the modules of this package."""
        return self._database

    @property
    def journal(self) -> Journal:
        """Journal of who searched, saw and exported what; started when it is first asked for."""
        return self._database.journal()

    # adding

    def add(
        self,
        cases: Iterable[Case],
        *,
        replace: bool = False,
        progress: Progress | None = None,
        batch: int = _BATCH,
    ) -> AddReport:
        """Add cases in batches; cases reported to ``progress`` survive a crash.

        An existing case with the same content is unchanged, except that paths of missing files are
        updated. If its content changed, it is refused or, with ``replace``, overwritten and its
        vectors are dropped. A case id that belongs to another patient is always refused.

        Parameters
        ----------
        cases : iterable of Case
        replace : bool
            Overwrite cases whose content changed.
        progress : callable, optional
            Called with (cases done, None) once a batch is on disk.
        batch : int
            Number of cases per transaction.
        """
        counts = {"added": 0, "unchanged": 0, "replaced": 0}
        refusals: list[Refusal] = []
        stream, done = iter(cases), 0
        while chunk := list(islice(stream, batch)):
            with self._database.write() as db:
                outcomes = add_cases(db, chunk, replace, self.pseudonymizer, self.path)
            for outcome in outcomes:
                if isinstance(outcome, Refusal):
                    refusals.append(outcome)
                else:
                    counts[outcome] += 1
            done += len(chunk)
            if progress:
                progress(done, None)
        return AddReport(**counts, refusals=tuple(refusals))

    def erase(self, patient_id: str) -> ErasureReceipt:
        """Erase a patient, given by pseudonym, everywhere: see :func:`erase_patients`."""
        from medembed.library.erasure import erase_patients

        return erase_patients(self, [patient_id])

    # reading

    def n_notes(self) -> int:
        """Count the cases that have a note, without reading any."""
        return int(self._db.execute("SELECT count(*) FROM note_words_docsize").fetchone()[0])

    def cases_with_note(self) -> list[str]:
        """Return the ids of the cases that have a note, in the order they were added."""
        sql = "SELECT c.case_id FROM notes n JOIN cases c ON c.id = n.case_row ORDER BY c.id"
        return [case_id for (case_id,) in self._db.execute(sql)]

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM cases").fetchone()[0])

    def __contains__(self, case_id: object) -> bool:
        found = self._db.execute("SELECT 1 FROM cases WHERE case_id = ?", (case_id,)).fetchone()
        return found is not None

    def case(self, case_id: str) -> Case:
        """Return one case.

        Raises
        ------
        LibraryError
            If no case has this id.
        """
        for case in self.select([case_id]):
            return case
        raise LibraryError(
            "no case has this id in this library", hint="list the cases with medembed show LIBRARY"
        )

    def select(self, case_ids: Sequence[str]) -> Iterator[Case]:
        """Yield the cases with these ids, in this order; unknown ids are skipped."""
        rows: list[int] = []
        for case_id in case_ids:
            found = self._db.execute("SELECT id FROM cases WHERE case_id = ?", (case_id,))
            rows.extend(row[0] for row in found)
        return fetch_cases(self._db, rows)

    def cases(self, where: Where = None) -> Iterator[Case]:
        """Yield the cases that meet ``where``, in the order they were added."""
        return fetch_cases(self._db, [row for row, _ in self._matching(where)])

    def find(self, where: Where = None) -> list[str]:
        """Return the ids of the cases that meet ``where``, in the order they were added."""
        return [case_id for _, case_id in self._matching(where)]

    def mask(self, where: Where = None) -> npt.NDArray[np.bool_]:
        """Return for each case, in the order of ``find()``, whether it meets ``where``."""
        everything = [row for row, _ in self._matching(None)]
        wanted = [row for row, _ in self._matching(where)]
        return np.isin(np.asarray(everything, np.int64), np.asarray(wanted, np.int64))

    def _matching(self, where: Where) -> list[tuple[int, str]]:
        conditions = parse_where(where)
        attributes = self.attribute_names() if conditions else ()
        sql, params = compile_conditions(conditions, attributes)
        return self._db.execute(
            f"SELECT c.id, c.case_id FROM cases c WHERE {sql} ORDER BY c.id",  # noqa: S608  bound
            params,
        ).fetchall()

    def patients(self) -> dict[str, str]:
        """Return the patient of each case by case id, in the order they were added."""
        return dict(self._db.execute("SELECT case_id, patient_id FROM cases ORDER BY id"))

    def split(self, name: str) -> list[str]:
        """Return the ids of the cases in one split: train, val or test."""
        if name not in ("train", "val", "test"):
            raise LibraryError("a split must be train, val or test")
        return self.find(f"split={name}")

    def attribute_names(self) -> list[str]:
        """Return the names of the kept attributes."""
        return attribute_names(self._db)

    def value_counts(self, field: str) -> dict[str, int]:
        """Count the cases by the value of a field, most frequent first.

        Parameters
        ----------
        field : str
            ``split, sex, modality, view, kind, race, site, scanner``, ``finding`` (labels), or a
            kept attribute (cases without it are not counted).
        """
        if field in _COUNTED:
            rows = self._db.execute(
                f"SELECT {field}, count(*) AS n FROM cases "  # noqa: S608  one of the names above
                f"GROUP BY {field} ORDER BY n DESC, {field}"
            )
        elif field == "finding":
            rows = self._db.execute(
                "SELECT label, count(DISTINCT case_row) AS n FROM findings "
                "GROUP BY label ORDER BY n DESC, label"
            )
        elif field in self.attribute_names():
            rows = self._db.execute(
                "SELECT value, count(*) AS n FROM attributes WHERE name = ? "
                "GROUP BY value ORDER BY n DESC, value",
                (field,),
            )
        else:
            raise ConditionError(
                "unknown field", hint=f"use one of: {', '.join((*_COUNTED, 'finding'))}"
            )
        return dict(rows)

    def cases_with_scan(self, sha256: str) -> list[str]:
        """Return the ids of the cases with a scan of this hash, in the order they were added."""
        return self._ids(
            "SELECT DISTINCT c.id, c.case_id FROM scans s JOIN cases c ON c.id = s.case_row "
            "WHERE s.sha256 = ? ORDER BY c.id",
            sha256,
        )

    def cases_with_pixels(self, digest: str) -> list[str]:
        """Return the ids of the cases with a scan of these pixels, in any file or format.

        Parameters
        ----------
        digest : str
            Digest of decoded pixels; the empty digest matches no case.
        """
        return self._ids(
            "SELECT DISTINCT c.id, c.case_id FROM scan_contents s "
            "JOIN cases c ON c.id = s.case_row "
            "WHERE s.pixel_sha256 = ? AND s.pixel_sha256 <> '' ORDER BY c.id",
            digest,
        )

    def _ids(self, sql: str, value: str) -> list[str]:
        return [case_id for _, case_id in self._db.execute(sql, (value,))]

    def scan_files(self, case: Case) -> list[tuple[Path, ...]]:
        """Return the files of each scan of ``case`` as absolute paths."""
        return [tuple(self.path / file for file in scan.files) for scan in case.scans]

    def has_changed_files(self, scan: ScanRef) -> bool:
        """Return whether a scan's files exist but have changed since they were ingested."""
        from medembed.library.file_cache import LibraryFileCache  # starts without the sources

        cache = LibraryFileCache(self._database, self.pseudonymizer)
        try:
            return not cache.is_unchanged([self.path / file for file in scan.files], scan.sha256)
        except OSError:  # missing or unreadable: decoding reports it
            return False

    # vectors

    def put_vectors(
        self, fingerprint: str, kind: str, case_ids: Sequence[str], vectors: npt.ArrayLike
    ) -> None:
        """Write vectors ``(n, d)`` of cases; they are on disk when this returns.

        Each row is scaled to length 1; only its direction counts in a search. A row that already
        has length 1 keeps its bits.

        Raises
        ------
        InputError
            If a value is not finite, a row is all zeros, a case id is repeated, or there are not
            as many rows as case ids.
        FingerprintError
            If the stored vectors of this model have another dimension.
        LibraryError
            If a case is not in the library; nothing is written then.
        """
        with self._database.write() as db:
            VectorStore(db).put(fingerprint, kind, case_ids, vectors)

    def vectors(self, fingerprint: str, kind: str) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Return ids and vectors ``(n, d)`` of one model and kind, in the library's order."""
        return VectorStore(self._db).get(fingerprint, kind)

    def missing_vectors(self, fingerprint: str, kind: str) -> list[str]:
        """Return the ids of cases without a vector; for ``"note"``, only cases with a note."""
        return VectorStore(self._db).missing(fingerprint, kind)

    def embedded_by(self, kind: str) -> list[str]:
        """Return the fingerprints of the models that have vectors of a kind, oldest first."""
        return VectorStore(self._db).embedded_by(kind)

    def embedding_sets(self) -> list[EmbeddingSet]:
        """List the stored vectors by model and kind."""
        return VectorStore(self._db).embedding_sets()

    def drop_vectors(self, fingerprint: str) -> None:
        """Drop all vectors of one model."""
        with self._database.write() as db:
            VectorStore(db).drop(fingerprint)

    # settings

    @property
    def library_id(self) -> str:
        """Random unique id of this library."""
        return self.get_meta("library_id") or ""

    @property
    def active_model(self) -> str | None:
        """Name of the model used by searches, under ``path/"models"``."""
        return self.get_meta("active_model")

    @active_model.setter
    def active_model(self, name: str | None) -> None:
        self.set_meta("active_model", name)

    def get_meta(self, name: str) -> str | None:
        """Return a setting, None if it is not set; the key is not accessible here."""
        value = None if name == "key" else MetaStore(self._db).get(name)
        return None if value is None else str(value)

    def set_meta(self, name: str, value: str | None) -> None:
        """Store a setting; None deletes it."""
        if name in ("key", "library_id", "journal"):
            raise LibraryError("a library's key, id and journal cannot be changed")
        with self._database.write() as db:
            MetaStore(db).set(name, value)
