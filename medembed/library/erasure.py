"""Erase patients from a library and prove it; see decision 28."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medembed.errors import InputError, LibraryError
from medembed.library.byte_search import search_apart
from medembed.library.erasing import (
    delete_patients,
    erasing,
    erasures,
    finish_steps,
    note_erasure,
)
from medembed.library.identities import patients_of_id
from medembed.library.locks import is_locked
from medembed.library.traces import still_stored, traces_of

if TYPE_CHECKING:
    import sqlite3

    from medembed.library.library import CaseLibrary

__all__ = [
    "ErasedModel",
    "ErasureReceipt",
    "ModelUse",
    "Proof",
    "erase_patients",
    "find_patients",
    "library_state",
    "refuse_if_erased_since",
]

_WAIT_SECONDS = 10.0
_SOURCES = (".csv", ".tsv", ".parquet", ".dcm", ".png", ".jpg", ".jpeg", ".nii", ".gz")


class ModelUse(Enum):
    """What a model has to do with an erased patient."""

    TRAINED = "trained on the training split while this patient was in it"
    SELECTED = "selected with the validation split while this patient was in it"
    IN_TRAINING = "in training now, perhaps with this patient"
    UNKNOWN = "made elsewhere or by an earlier version: whether with this patient is not known"


@dataclass(frozen=True)
class ErasedModel:
    """A model of the library, and what it has to do with an erased patient.

    Parameters
    ----------
    name, fingerprint : str
        The fingerprint is empty while the model is in training.
    use : ModelUse
    """

    name: str
    fingerprint: str
    use: ModelUse

    def to_json(self) -> dict[str, str]:
        """Return the fields as plain data."""
        return {**asdict(self), "use": self.use.name.lower()}


@dataclass(frozen=True)
class Proof:
    """Search for the patient's bytes in every file of the library.

    Parameters
    ----------
    n_traces : int
        Byte strings searched for: ids, pseudonyms, parts of notes and vectors, digests, paths.
    n_shared : int
        Of those found, how many another patient's data have, too.
    n_files, n_bytes : int
        What was searched.
    found : dict of str to int
        Traces in the library's own files, by file; empty if nothing is left.
    in_sources : dict of str to int
        Traces in files of other origin inside the library's folder: tables, scans.
    """

    n_traces: int
    n_shared: int
    n_files: int
    n_bytes: int
    found: dict[str, int]
    in_sources: dict[str, int]


@dataclass(frozen=True)
class ErasureReceipt:
    """What was erased, without any identity.

    Parameters
    ----------
    date : str
        UTC, ISO 8601.
    n_patients : int
    counts : dict of str to int
        Deleted entries by place: rows of the library, files, entries of derived files.
    originals_left : int
        Files of the patient's scans outside the library's folder, which are never touched.
    models : tuple of ErasedModel
    digest : str
        SHA-256 of the receipt as the library keeps it.
    waiting : tuple of str
        What is left to do and why; empty if the erasure is finished.
    proof : Proof or None
        None while something is left to do.
    """

    date: str
    n_patients: int
    counts: dict[str, int]
    originals_left: int
    models: tuple[ErasedModel, ...]
    digest: str
    waiting: tuple[str, ...] = ()
    proof: Proof | None = field(default=None)

    @property
    def is_finished(self) -> bool:
        """Whether no byte of the patient is left in the library's own files."""
        return self.proof is not None and not self.proof.found and not self.waiting

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain data."""
        return {
            **asdict(self),
            "models": [model.to_json() for model in self.models],
            "waiting": list(self.waiting),
            "finished": self.is_finished,
        }


# whom


def find_patients(library: CaseLibrary, raw_id: str) -> list[str]:
    """Return the pseudonyms of the patients who may have this ``PatientID``.

    Parameters
    ----------
    library : CaseLibrary
    raw_id : str
        ``PatientID`` as in the source, in any spelling and of any issuer, or a pseudonym.
    """
    raw_id = raw_id.strip()
    if not raw_id:
        return []
    known = {raw_id, *patients_of_id(library, raw_id)}
    with suppress(InputError):
        known.add(library.pseudonymizer.patient(raw_id))  # of an earlier version
    wanted = json.dumps(sorted(known))
    return [
        patient
        for (patient,) in library.database.read().execute(
            "SELECT patient_id FROM patients WHERE patient_id IN "
            "(SELECT value FROM json_each(?)) ORDER BY patient_id",
            (wanted,),
        )
    ]


# what was trained on them


def library_state(library: CaseLibrary) -> dict[str, Any]:
    """Return which cases a library has and had: for the record of a training.

    Returns
    -------
    dict
        ``library_id``; ``last_case``, the number of the case added last, which is never given
        again; ``erasures``, how often a patient was erased.
    """
    db = library.database.read()
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM cases").fetchone()
    return {
        "library_id": library.library_id,
        "last_case": int(last),
        "erasures": len(erasures(db)),
    }


def refuse_if_erased_since(library: CaseLibrary, state: Mapping[str, Any]) -> None:
    """Refuse to train on cases that were read before a patient was erased.

    Raises
    ------
    LibraryError
        If a patient was erased since :func:`library_state` returned ``state``.
    """
    if library_state(library)["erasures"] != state["erasures"]:
        raise LibraryError(
            "a patient was erased while the cases were read",
            where=library.path.name,
            hint="run the same command again",
        )


def _models_of(library: CaseLibrary, patients: Sequence[str]) -> list[ErasedModel]:
    """Return the models that were, or may have been, trained or selected with the patients."""
    first = dict(
        library.database.read().execute(
            "SELECT split, min(id) FROM cases WHERE patient_id IN "
            "(SELECT value FROM json_each(?)) GROUP BY split",
            (json.dumps(list(patients)),),
        )
    )
    found = []
    folder = library.path / "models"
    for path in sorted(folder.glob("[!.]*/model.json")):
        use = _use(path.with_name("training.json"), library.library_id, first)
        if use is not None:
            found.append(ErasedModel(path.parent.name, _fingerprint(path), use))
    for lock in sorted(folder.glob(".*.lock")):
        if is_locked(lock):
            name = lock.name.removeprefix(".").removesuffix(".lock")
            found.append(ErasedModel(name, "", ModelUse.IN_TRAINING))
    return found


def _use(training: Path, library_id: str, first: dict[str, int]) -> ModelUse | None:
    try:
        kept = json.loads(training.read_bytes())["library"]
        last, same = int(kept["last_case"]), kept["library_id"] == library_id
    except (OSError, ValueError, KeyError, TypeError):
        return ModelUse.UNKNOWN
    if same and "train" in first and first["train"] <= last:
        return ModelUse.TRAINED
    if same and "val" in first and first["val"] <= last:
        return ModelUse.SELECTED
    return None


def _fingerprint(model: Path) -> str:
    try:
        return str(json.loads(model.read_bytes()).get("fingerprint", ""))
    except (OSError, ValueError, AttributeError):
        return ""


# erasing


def erase_patients(
    library: CaseLibrary, patients: Sequence[str], wait_seconds: float = _WAIT_SECONDS
) -> ErasureReceipt:
    """Erase patients from a library: rows, words, vectors, index, caches, free pages and log.

    Their cases are gone when the first transaction is committed. What then remains is finished by
    whoever opens the library next, if this process is killed or another one is in the way.

    Parameters
    ----------
    library : CaseLibrary
    patients : sequence of str
        Pseudonyms.
    wait_seconds : float
        Longest wait for readers of an older state, and for the writers of derived files.

    Raises
    ------
    LibraryError
        If one of them is not in the library; nothing is erased then.
    LibraryBusyError
        If another process is erasing a patient; nothing is erased then.
    """
    database, home = library.database, library.path
    names, patients = library.pseudonymizer, sorted(set(patients))
    models = _models_of(library, patients)
    with erasing(database, wait_seconds):
        with database.write() as db:
            _require(db, patients)
            traces = traces_of(db, patients, names, home)
            inside, outside = _scan_files(db, patients, home)
            for path in inside:  # first: a kill leaves the patient, and the erasure is begun again
                path.unlink(missing_ok=True)
            counts = delete_patients(db, patients, names, home)
            counts["scan files in the library's folder"] = len(inside)
            kept = note_erasure(
                db,
                {
                    "n_patients": len(patients),
                    "counts": counts,
                    "originals_left": len(outside),
                    "models": [model.to_json() for model in models],
                },
            )
        done = finish_steps(database, wait_seconds)
    proof = None if done.left else _prove(library, traces)
    return ErasureReceipt(
        date=kept["date"],
        n_patients=len(patients),
        counts={**counts, **done.removed},
        originals_left=len(outside),
        models=tuple(models),
        digest=kept["digest"],
        waiting=done.waiting,
        proof=proof,
    )


def _require(db: sqlite3.Connection, patients: Sequence[str]) -> None:
    for patient in patients:
        if not db.execute("SELECT 1 FROM patients WHERE patient_id = ?", (patient,)).fetchone():
            raise LibraryError(
                "this patient is not in the library", hint="an erased patient is not, either"
            )
    if not patients:
        raise LibraryError("no patient to erase")


def _scan_files(
    db: sqlite3.Connection, patients: Sequence[str], home: Path
) -> tuple[list[Path], list[Path]]:
    """Return the existing files of the patients' scans: inside the library's folder, and outside.

    A file of another patient's scan, too, is in neither.
    """
    wanted = set(patients)
    own: set[str] = set()
    others: set[str] = set()
    for patient, files in db.execute(
        "SELECT c.patient_id, s.files FROM scans s JOIN cases c ON c.id = s.case_row"
    ):
        (own if patient in wanted else others).update(json.loads(files))
    inside: list[Path] = []
    outside: list[Path] = []
    for file in sorted(own - others):
        path = home / file
        if path.is_file():
            # a link to elsewhere is outside
            (inside if path.resolve().is_relative_to(home.resolve()) else outside).append(path)
    return inside, outside


def _prove(library: CaseLibrary, traces: dict[bytes, str]) -> Proof:
    """Search every file for the traces; those that others share prove nothing."""
    hits, n_files, n_bytes = search_apart(library.path, list(traces))
    met = {trace: traces[trace] for found in hits.values() for trace in found}
    shared = (
        still_stored(library.database.read(), met, library.pseudonymizer, library.path)
        if met
        else set()
    )
    own: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for path, found in hits.items():
        if n_left := len(found - shared):
            where = path.relative_to(library.path)
            is_source = len(where.parts) > 1 and where.suffix.lower() in _SOURCES
            if is_source and where.parts[0] not in ("models", "index", "cache", "thumbnails"):
                sources[where.parts[0]] += n_left
            else:
                own[_own_name(where)] += n_left
    return Proof(len(traces), len(shared), n_files, n_bytes, dict(own), dict(sources))


def _own_name(where: Path) -> str:
    """Name a file without what may identify somebody: only the part that MedEmbed chose."""
    own = ("library.sqlite", "journal.", "ingest-", ".")
    if len(where.parts) == 1 and not where.name.startswith(own):
        return "a file of other origin"
    return where.name if len(where.parts) == 1 else where.parts[0]
