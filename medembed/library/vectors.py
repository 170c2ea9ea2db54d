"""Vectors of a library's cases, by model fingerprint and kind of input."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from medembed.errors import FingerprintError, InternalError, LibraryError
from medembed.library.faults import damaged
from medembed.library.seals import vector_seal

__all__ = ["VectorKind", "VectorSpace", "VectorStore"]

VectorKind = Literal["image", "note"]

_SPACE = 2**40
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class VectorSpace:
    """What one model made of one kind of input.

    Parameters
    ----------
    fingerprint : str
        Of the model.
    kind : {"image", "note"}
    dimensions : int
    revision : int
        Grows with every change to the vectors of the space, those of removed cases included.
    n_vectors : int
    """

    fingerprint: str
    kind: str
    dimensions: int
    revision: int
    n_vectors: int


class VectorStore:
    """Reads and writes the tables ``spaces`` and ``vectors`` over a given connection.

    One row for each vector: 100,000 of 256 dimensions are read in a fraction of a second, since
    the rows of a space lie next to each other, and a single one is replaced without rewriting
    others.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def spaces(self) -> list[VectorSpace]:
        """All spaces, in the order they were made."""
        rows = self._db.execute(
            "SELECT s.fingerprint, s.kind, s.dimensions, s.revision, (SELECT count(*) "
            "FROM vectors v WHERE v.id BETWEEN (s.id << 40) AND (s.id << 40) + ?) "
            "FROM spaces s ORDER BY s.id",
            (_SPACE - 1,),
        )
        return [VectorSpace(*row) for row in rows]

    def _space(self, fingerprint: str, kind: str) -> tuple[int, int] | None:
        if kind not in get_args(VectorKind):
            raise InternalError(f"a vector's kind is image or note, not {kind!r}")
        row = self._db.execute(
            "SELECT id, dimensions FROM spaces WHERE fingerprint = ? AND kind = ?",
            (fingerprint, kind),
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else None

    def put(
        self, fingerprint: str, kind: str, case_ids: Sequence[str], vectors: npt.ArrayLike
    ) -> None:
        """Write one vector for each case, over an older one where there is one."""
        array = np.ascontiguousarray(vectors, dtype=_FLOAT)
        if array.ndim != 2 or len(array) != len(case_ids) or array.shape[1] == 0:
            raise InternalError(f"{len(case_ids)} cases do not go with vectors of {array.shape}")
        if not np.isfinite(array).all():
            raise InternalError("vectors that are not finite")
        if not fingerprint:
            raise FingerprintError("vectors without a model's fingerprint")
        known = self._space(fingerprint, kind)
        if known is None:
            row = self._db.execute(
                "INSERT INTO spaces (fingerprint, kind, dimensions) VALUES (?, ?, ?)",
                (fingerprint, kind, array.shape[1]),
            ).lastrowid
            known = (int(row or 0), array.shape[1])
        space, dimensions = known
        if dimensions != array.shape[1]:
            raise FingerprintError(
                f"vectors of {array.shape[1]} dimensions for a model that made {dimensions}"
            )
        rows = []
        for case_id, vector in zip(case_ids, array, strict=True):
            found = self._db.execute(
                "SELECT id FROM cases WHERE case_id = ?", (case_id,)
            ).fetchone()
            if found is None:
                raise LibraryError("a vector for a case that is not in the library")
            number, blob = space * _SPACE + found[0], vector.tobytes()
            rows.append((number, blob, vector_seal(number, blob)))
        self._db.executemany(
            "INSERT OR REPLACE INTO vectors (id, vector, seal) VALUES (?, ?, ?)", rows
        )
        self._db.execute("UPDATE spaces SET revision = revision + 1 WHERE id = ?", (space,))

    def get(self, fingerprint: str, kind: str) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Read all vectors of a space: case ids in the library's order, and ``(n, d)``."""
        known = self._space(fingerprint, kind)
        if known is None:
            return [], np.empty((0, 0), dtype=np.float32)
        space, dimensions = known
        bounds = (space * _SPACE, (space + 1) * _SPACE - 1)
        (count,) = self._db.execute(
            "SELECT count(*) FROM vectors WHERE id BETWEEN ? AND ?", bounds
        ).fetchone()
        ids: list[str] = []
        size = dimensions * _FLOAT.itemsize
        raw = bytearray(count * size)  # filled in place: joining blobs would hold all of it twice
        for number, case_id, blob, seal in self._db.execute(
            "SELECT v.id, c.case_id, v.vector, v.seal "
            "FROM vectors v JOIN cases c ON c.id = v.id - ? "
            "WHERE v.id BETWEEN ? AND ? ORDER BY v.id",
            (space * _SPACE, *bounds),
        ):
            if len(blob) != size or seal != vector_seal(number, blob):
                raise damaged(f"the {kind} vector of case {case_id!a}")
            start = len(ids) * size
            raw[start : start + size] = blob
            ids.append(case_id)
        array = np.frombuffer(memoryview(raw)[: len(ids) * size], dtype=_FLOAT)
        return ids, array.reshape(len(ids), dimensions).astype(np.float32, copy=False)

    def missing(self, fingerprint: str, kind: str) -> list[str]:
        """Cases that have no vector there yet; for ``"note"`` only cases that have a note."""
        known = self._space(fingerprint, kind)
        space = known[0] if known else 0
        noted = "AND EXISTS (SELECT 1 FROM notes n WHERE n.case_row = c.id)"
        rows = self._db.execute(
            "SELECT c.case_id FROM cases c WHERE NOT EXISTS "  # noqa: S608  own text only
            "(SELECT 1 FROM vectors v WHERE v.id = c.id + ?) "
            f"{noted if kind == 'note' else ''} ORDER BY c.id",
            (space * _SPACE,),
        )
        return [row[0] for row in rows]

    def forget_case(self, row: int) -> None:
        """Drop the vectors of a case whose content has changed."""
        self._db.execute(
            "UPDATE spaces SET revision = revision + 1 WHERE EXISTS "
            "(SELECT 1 FROM vectors WHERE vectors.id = (spaces.id << 40) + ?)",
            (row,),
        )
        self._db.execute(
            "DELETE FROM vectors WHERE id IN (SELECT (spaces.id << 40) + ? FROM spaces)", (row,)
        )

    def drop(self, fingerprint: str) -> None:
        """Drop all vectors of one model."""
        for kind in get_args(VectorKind):
            known = self._space(fingerprint, kind)
            if known:
                bounds = (known[0] * _SPACE, (known[0] + 1) * _SPACE - 1)
                self._db.execute("DELETE FROM vectors WHERE id BETWEEN ? AND ?", bounds)
                self._db.execute("DELETE FROM spaces WHERE id = ?", (known[0],))
