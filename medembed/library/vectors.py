"""Vectors of a library's cases, by model fingerprint and kind of input."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import FingerprintError, InputError, InternalError, LibraryError
from medembed.library.faults import damaged
from medembed.library.seals import vector_seal
from medembed.unit_vectors import unit_rows

__all__ = ["EmbeddingSet", "VectorChanges", "VectorKind", "VectorStore"]

VectorKind = Literal["image", "note"]

_SPACE = 2**40
_KEPT_CHANGES = 200_000
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class EmbeddingSet:
    """The vectors of one model for one kind of input.

    Parameters
    ----------
    fingerprint : str
        Fingerprint of the model.
    kind : {"image", "note"}
    dimensions : int
    revision : int
        Increases with every change to these vectors, including deletions.
    n_vectors : int
    """

    fingerprint: str
    kind: str
    dimensions: int
    revision: int
    n_vectors: int


@dataclass(frozen=True, eq=False)
class VectorChanges:
    """What has changed in a set of vectors.

    Parameters
    ----------
    space : int
        Number of the set.
    gone : list of str
        Cases that have no vector any more.
    case_ids : list of str
        Cases with a new vector.
    vectors : float32 array, shape ``(n, d)``
        Of these.
    """

    space: int
    gone: list[str]
    case_ids: list[str]
    vectors: npt.NDArray[np.float32]


class VectorStore:
    """Reads and writes the tables ``spaces`` and ``vectors`` over a given connection.

    Each vector is one row. The rows of a set are adjacent on disk, so that 100,000 vectors of
    dimension 256 load in a fraction of a second and one can be replaced without rewriting others.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def embedding_sets(self) -> list[EmbeddingSet]:
        """Return all sets, in the order they were created."""
        rows = self._db.execute(
            "SELECT s.fingerprint, s.kind, s.dimensions, s.revision, (SELECT count(*) "
            "FROM vectors v WHERE v.id BETWEEN (s.id << 40) AND (s.id << 40) + ?) "
            "FROM spaces s ORDER BY s.id",
            (_SPACE - 1,),
        )
        return [EmbeddingSet(*row) for row in rows]

    def embedded_by(self, kind: str) -> list[str]:
        """Return the models that have vectors of a kind, read without counting them."""
        rows = self._db.execute(
            "SELECT s.fingerprint FROM spaces s WHERE s.kind = ? AND EXISTS (SELECT 1 "
            "FROM vectors v WHERE v.id BETWEEN (s.id << 40) AND (s.id << 40) + ?) ORDER BY s.id",
            (kind, _SPACE - 1),
        )
        return [fingerprint for (fingerprint,) in rows]

    def revision(self, fingerprint: str) -> str:
        """Return the revision of a model's vectors, read without counting them.

        Every change gives a new one: a number for each set, and sets are never numbered twice.
        """
        rows = self._db.execute(
            "SELECT id, kind, dimensions, revision FROM spaces WHERE fingerprint = ? ORDER BY id",
            (fingerprint,),
        )
        return "/".join(":".join(map(str, row)) for row in rows)

    def _space(self, fingerprint: str, kind: str) -> tuple[int, int] | None:
        if kind not in get_args(VectorKind):
            raise InternalError(f"the kind of a vector must be image or note, not {kind!r}")
        row = self._db.execute(
            "SELECT id, dimensions FROM spaces WHERE fingerprint = ? AND kind = ?",
            (fingerprint, kind),
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else None

    def put(
        self, fingerprint: str, kind: str, case_ids: Sequence[str], vectors: npt.ArrayLike
    ) -> None:
        """Write one vector for each case, scaled to length 1, replacing an existing one."""
        given = np.asarray(vectors)
        if given.ndim != 2 or len(given) != len(case_ids) or given.shape[1] == 0:
            raise InputError(
                f"{counted(len(case_ids), 'case id')} for vectors of shape {given.shape}"
            )
        if len(set(case_ids)) != len(case_ids):
            raise InputError("a case id occurs more than once among the vectors")
        # Every reader relies on length 1, so a wrong row is refused here, where its writer sees it.
        array = np.ascontiguousarray(unit_rows(given), dtype=_FLOAT)
        if not fingerprint:
            raise FingerprintError("vectors need the fingerprint of their model")
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
                f"vectors have dimension {array.shape[1]}, those stored for this model {dimensions}"
            )
        rows = []
        for case_id, vector in zip(case_ids, array, strict=True):
            found = self._db.execute(
                "SELECT id FROM cases WHERE case_id = ?", (case_id,)
            ).fetchone()
            if found is None:
                raise LibraryError("cannot store a vector: its case is not in the library")
            number, blob = space * _SPACE + found[0], vector.tobytes()
            rows.append((number, blob, vector_seal(number, blob)))
        self._db.executemany(
            "INSERT OR REPLACE INTO vectors (id, vector, seal) VALUES (?, ?, ?)", rows
        )
        self._db.execute("UPDATE spaces SET revision = revision + 1 WHERE id = ?", (space,))
        self._db.execute(
            "DELETE FROM vector_changes WHERE number <= "
            "(SELECT max(number) FROM vector_changes) - ?",
            (_KEPT_CHANGES,),
        )

    def last_change(self) -> tuple[int, int]:
        """Return number and mark of the last change to any vector; 0 and 0 before the first."""
        row = self._db.execute(
            "SELECT number, mark FROM vector_changes ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def changes(self, fingerprint: str, kind: str, since: tuple[int, int]) -> VectorChanges | None:
        """Read what has changed since a change, at the cost of what has changed.

        Parameters
        ----------
        fingerprint, kind
            Of the set.
        since : tuple of int
            What :meth:`last_change` returned.

        Returns
        -------
        VectorChanges or None
            None if it is not known: the change is too long ago or was not in this file, the set
            is gone, or a case was deleted with its vector.
        """
        known = self._space(fingerprint, kind)
        number, mark = since
        there = self._db.execute(
            "SELECT mark FROM vector_changes WHERE number = ?", (number or 1,)
        ).fetchone()
        if since == (0, 0):  # all must be there, the first one included
            is_known = there is not None or self.last_change() == since
        else:
            is_known = there == (mark,)
        if known is None or not is_known:
            return None
        space, dimensions = known
        rows = self._db.execute(
            "SELECT DISTINCT n.vector, c.case_id, v.vector, v.seal FROM vector_changes n "
            "LEFT JOIN vectors v ON v.id = n.vector LEFT JOIN cases c ON c.id = n.vector - ? "
            "WHERE n.number > ? AND n.vector BETWEEN ? AND ? ORDER BY n.vector",
            (space * _SPACE, number, space * _SPACE, (space + 1) * _SPACE - 1),
        )
        gone: list[str] = []
        ids: list[str] = []
        blobs: list[bytes] = []
        for row, case_id, blob, seal in rows:
            if case_id is None:
                return None
            if blob is None:
                gone.append(case_id)
                continue
            if len(blob) != dimensions * _FLOAT.itemsize or seal != vector_seal(row, blob):
                raise damaged(f"the {kind} vector of case {case_id!a}")
            ids.append(case_id)
            blobs.append(blob)
        found = np.frombuffer(b"".join(blobs), dtype=_FLOAT).reshape(len(ids), dimensions)
        return VectorChanges(space, gone, ids, found.astype(np.float32, copy=False))

    def space(self, fingerprint: str, kind: str) -> int:
        """Return the number of a set, which no other set ever gets; 0 if there is none."""
        known = self._space(fingerprint, kind)
        return known[0] if known else 0

    def get(self, fingerprint: str, kind: str) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Read all vectors of a set: case ids in the order of the library, and ``(n, d)``."""
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
        raw = bytearray(count * size)  # filled in place: joining blobs would need twice the memory
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

    def sample(self, fingerprint: str, kind: str, count: int) -> npt.NDArray[np.float32]:
        """Read up to ``count`` vectors of a set, evenly spaced in it: ``(n, d)``."""
        known = self._space(fingerprint, kind)
        if known is None:
            return np.empty((0, 0), dtype=np.float32)
        space, dimensions = known
        bounds = (space * _SPACE, (space + 1) * _SPACE - 1)
        numbers = [
            number
            for (number,) in self._db.execute(
                "SELECT id FROM vectors WHERE id BETWEEN ? AND ? ORDER BY id", bounds
            )
        ]
        found = []
        for number in numbers[:: max(1, -(-len(numbers) // count))]:
            row = self._db.execute(
                "SELECT vector, seal FROM vectors WHERE id = ?", (number,)
            ).fetchone()
            if row is None:  # erased meanwhile
                continue
            if len(row[0]) != dimensions * _FLOAT.itemsize or row[1] != vector_seal(number, row[0]):
                raise damaged(f"a {kind} vector")
            found.append(np.frombuffer(row[0], dtype=_FLOAT))
        return np.array(found, dtype=np.float32).reshape(len(found), dimensions)

    def missing(self, fingerprint: str, kind: str) -> list[str]:
        """Return the ids of cases without a vector; for ``"note"``, only cases with a note."""
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

    def only_first(self, fingerprint: str, other: str, kind: str) -> list[str]:
        """Return the ids of cases with a vector of the first model and none of the other."""
        first, second = self._space(fingerprint, kind), self._space(other, kind)
        if first is None:
            return []
        rows = self._db.execute(
            "SELECT c.case_id FROM cases c "
            "WHERE EXISTS (SELECT 1 FROM vectors v WHERE v.id = c.id + ?) "
            "AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.id = c.id + ?) ORDER BY c.id",
            (first[0] * _SPACE, second[0] * _SPACE if second else 0),
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

    def forget(self, fingerprint: str, kind: str, row: int) -> None:
        """Drop one model's vector of a case, if there is one."""
        known = self._space(fingerprint, kind)
        if known is None:
            return
        found = self._db.execute("DELETE FROM vectors WHERE id = ?", (known[0] * _SPACE + row,))
        if found.rowcount:
            self._db.execute("UPDATE spaces SET revision = revision + 1 WHERE id = ?", known[:1])

    def drop(self, fingerprint: str) -> None:
        """Drop all vectors of one model."""
        for kind in get_args(VectorKind):
            known = self._space(fingerprint, kind)
            if known:
                bounds = (known[0] * _SPACE, (known[0] + 1) * _SPACE - 1)
                self._db.execute("DELETE FROM vectors WHERE id BETWEEN ? AND ?", bounds)
                self._db.execute("DELETE FROM spaces WHERE id = ?", (known[0],))
