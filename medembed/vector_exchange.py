"""Vectors made elsewhere, and vectors for elsewhere: ``import-vectors`` and ``export-vectors``.

A file is a ``.npy`` array ``(n, d)`` with the case ids beside it (``.csv`` with a column
``case_id``, or ``.txt`` with one id on each line), or a ``.parquet`` table with a column
``case_id`` and either one column of lists or one numeric column for each dimension.

Imported vectors belong to the fingerprint ``external:NAME``. A fingerprint identifies the model
that made the vectors; of a model that runs elsewhere only its user knows that, so the user names
it. The prefix keeps it apart from the fingerprints of models that MedEmbed can run, which are 64
hex digits.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import FingerprintError, InputError
from medembed.library import CaseLibrary
from medembed.library.vectors import VectorKind, VectorStore
from medembed.privacy.private_files import private_folder, replace_private
from medembed.vector_files import ID_COLUMN, read_vectors, vector_suffix

__all__ = [
    "EXTERNAL",
    "ExportReport",
    "ImportReport",
    "export_vectors",
    "external_fingerprint",
    "import_vectors",
    "short_fingerprint",
]

EXTERNAL = "external:"
"""Prefix of the fingerprint of imported vectors."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImportReport:
    """Outcome of :func:`import_vectors`.

    Parameters
    ----------
    fingerprint : str
    kind : {"image", "note"}
    dimensions : int
    added, replaced, unchanged : int
        Vectors; replaced ones had other values before.
    skipped : int
        Rows whose case is not in the library (or has no report, for ``kind="note"``).
    n_vectors, n_cases : int
        Cases that now have a vector of this kind, and cases that could have one.
    """

    fingerprint: str
    kind: str
    dimensions: int
    added: int
    replaced: int
    unchanged: int
    skipped: int
    n_vectors: int
    n_cases: int

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class ExportReport:
    """Outcome of :func:`export_vectors`.

    Parameters
    ----------
    fingerprint : str
    kind : {"image", "note"}
    n_vectors, dimensions : int
    files : tuple of str
        Names of the files written.
    """

    fingerprint: str
    kind: str
    n_vectors: int
    dimensions: int
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {**asdict(self), "files": list(self.files)}


def external_fingerprint(name: str) -> str:
    """Return the fingerprint of vectors that a model called ``name`` made elsewhere.

    Raises
    ------
    InputError
        If the name has other characters than letters, digits, ``.``, ``_``, ``+`` and ``-``.

    Examples
    --------
    >>> external_fingerprint("medsiglip-448")
    'external:medsiglip-448'
    """
    name = name.removeprefix(EXTERNAL)
    if not _NAME.fullmatch(name):
        raise InputError(
            "the name may have up to 64 letters, digits, and . _ + -",
            where="--name",
            hint="name the model and its version, such as medsiglip-448",
        )
    return EXTERNAL + name


def short_fingerprint(fingerprint: str) -> str:
    """Return a fingerprint as messages show it: 12 hex digits, or the name of imported vectors."""
    return fingerprint if fingerprint.startswith(EXTERNAL) else fingerprint[:12]


# importing


def import_vectors(
    library: CaseLibrary,
    file: str | Path,
    name: str,
    kind: VectorKind = "image",
    *,
    ids: str | Path | None = None,
    skip_unknown: bool = False,
) -> ImportReport:
    """Store the vectors of a file under the fingerprint ``external:NAME``: all of them or none.

    Running it again changes nothing. Vectors of cases that the file lacks stay as they are.

    Parameters
    ----------
    library : CaseLibrary
    file : path
        ``.npy`` or ``.parquet``, as above.
    name : str
        Name of the model that made the vectors. Vectors of another model or version need another
        name: those of one name are compared with each other.
    kind : {"image", "note"}
        What the vectors are of.
    ids : path, optional
        The case ids of a ``.npy`` file; by default the ``.csv`` or ``.txt`` of the same name.
    skip_unknown : bool
        Leave out rows of cases that are not in the library.

    Raises
    ------
    InputError
        If the file cannot be read, a case id is repeated or not in the library, a value is not
        finite, or a row is all zeros. Nothing is written then.
    FingerprintError
        If the vectors stored under this name have another dimension.
    """
    fingerprint = external_fingerprint(name)
    path = Path(file)
    if (library.path / "models" / fingerprint.removeprefix(EXTERNAL)).exists():
        raise InputError(
            "a model of this library has this name", where="--name", hint="choose another name"
        )
    case_ids, rows = read_vectors(path, ids)
    eligible = _eligible(library, kind)
    known = [at for at, case_id in enumerate(case_ids) if case_id in eligible]
    skipped = len(case_ids) - len(known)
    if skipped and not skip_unknown:
        lacks = "in the library" if kind == "image" else "in the library with a report"
        raise InputError(
            f"{skipped} of its {counted(len(case_ids), 'case')} are not {lacks}",
            where=path.name,
            hint="give --skip-unknown to leave them out" if known else "check the case ids",
        )
    if not known:
        raise InputError("none of its cases is in the library", where=path.name)
    case_ids, rows = [case_ids[at] for at in known], rows[known]
    with library.database.write() as db:
        store = VectorStore(db)
        for space in store.embedding_sets():
            if space.fingerprint == fingerprint and space.dimensions != rows.shape[1]:
                raise FingerprintError(
                    f"its vectors have dimension {rows.shape[1]}; those already imported as "
                    f"{fingerprint.removeprefix(EXTERNAL)!r} have {space.dimensions}",
                    where=path.name,
                    hint="vectors of another model need another --name",
                )
        stored_ids, stored = store.get(fingerprint, kind)
        row_of = {case_id: row for row, case_id in enumerate(stored_ids)}
        fresh = [at for at, case_id in enumerate(case_ids) if case_id not in row_of]
        changed = [
            at
            for at, case_id in enumerate(case_ids)
            if case_id in row_of and not np.array_equal(stored[row_of[case_id]], rows[at])
        ]
        if write := sorted(fresh + changed):
            store.put(fingerprint, kind, [case_ids[at] for at in write], rows[write])
    return ImportReport(
        fingerprint=fingerprint,
        kind=kind,
        dimensions=int(rows.shape[1]),
        added=len(fresh),
        replaced=len(changed),
        unchanged=len(case_ids) - len(fresh) - len(changed),
        skipped=skipped,
        n_vectors=len(stored_ids) + len(fresh),
        n_cases=len(eligible),
    )


def _eligible(library: CaseLibrary, kind: VectorKind) -> set[str]:
    """Cases that can have a vector: for notes, those with a report."""
    if kind not in get_args(VectorKind):
        raise InputError("must be image or note", where="--kind")
    return set(library.find() if kind == "image" else library.cases_with_note())


# exporting


def export_vectors(
    library: CaseLibrary,
    file: str | Path,
    fingerprint: str,
    kind: VectorKind = "image",
    *,
    overwrite: bool = False,
) -> ExportReport:
    """Write the vectors of one model and kind to a ``.npy`` file with its ids, or to parquet.

    Holds the library's case ids and vectors, no patient and no report. The files are readable by
    their owner only.

    Raises
    ------
    InputError
        If the file exists (without ``overwrite``) or has another ending.
    FingerprintError
        If the library has no such vectors.
    """
    path = Path(file)
    suffix = vector_suffix(path)
    if kind not in get_args(VectorKind):
        raise InputError("must be image or note", where="--kind")
    targets = [path] if suffix == ".parquet" else [path.with_suffix(".csv"), path]
    if not overwrite and (there := [p.name for p in targets if p.exists()]):
        raise InputError("exists already", where=there[0], hint="give --overwrite to replace it")
    case_ids, rows = library.vectors(fingerprint, kind)
    if not case_ids:
        raise FingerprintError(f"the library has no {kind} vectors of this model")
    if not path.parent.is_dir():
        private_folder(path.parent)
    if suffix == ".parquet":
        _write_parquet(path, case_ids, rows, {"fingerprint": fingerprint, "kind": kind})
    else:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerows([[ID_COLUMN], *([case_id] for case_id in case_ids)])
        with replace_private(targets[0]) as stream:
            stream.write(lines.getvalue().encode())
        with replace_private(path) as stream:
            np.save(stream, rows, allow_pickle=False)
    return ExportReport(
        fingerprint, kind, len(case_ids), int(rows.shape[1]), tuple(p.name for p in targets)
    )


def _write_parquet(path: Path, case_ids: Sequence[str], rows: Rows, about: dict[str, str]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    table = pa.table({ID_COLUMN: pa.array(case_ids, pa.string()), "vector": vectors})
    table = table.replace_schema_metadata({f"medembed.{k}": v for k, v in about.items()})
    with replace_private(path) as stream:
        parquet.write_table(table, stream)
