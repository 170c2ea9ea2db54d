"""The noun :class:`Embeddings`: one unit vector for each case, and the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.errors import FingerprintError, InputError
from medembed.unit_vectors import is_unit, unit_rows

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["UNIT_TOLERANCE", "Embeddings", "VectorKind", "unit_rows"]

VectorKind = Literal["image", "note"]

UNIT_TOLERANCE = 1e-3
"""Largest deviation of a row's length from 1 that counts as rounding."""


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """Vectors of cases under one model.

    Parameters
    ----------
    case_ids : sequence of str
        One for each row, unique.
    vectors : array, shape ``(n, d)``, any real dtype
        Stored as read-only float32, without a copy if they are that already. Each row must have
        length 1 within :data:`UNIT_TOLERANCE` and is normalized to float32 precision: rounding by
        bfloat16 or a table is repaired, vectors that were never normalized are refused.
    fingerprint : str
        Fingerprint of the model; not empty.

    Raises
    ------
    InputError
        If a condition above is not met, or a value is not finite.

    Examples
    --------
    >>> e = Embeddings(["a", "b"], np.eye(2), "toy")
    >>> len(e), e.dim, e.row("b")
    (2, 2, array([0., 1.], dtype=float32))
    """

    case_ids: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    fingerprint: str

    def __init__(self, case_ids: Sequence[str], vectors: npt.ArrayLike, fingerprint: str) -> None:
        ids = tuple(case_ids)
        array = np.asarray(vectors)
        if not fingerprint:
            raise InputError("embeddings need the fingerprint of their model")
        if array.ndim != 2 or array.shape[1] == 0:
            raise InputError(f"embeddings must have shape (n, d) with d > 0, not {array.shape}")
        if len(ids) != array.shape[0]:
            raise InputError(f"{len(ids)} case ids for {array.shape[0]} vectors")
        if len(set(ids)) != len(ids):
            raise InputError("duplicate case id in the embeddings")
        if not all(isinstance(name, str) and name for name in ids):
            raise InputError("a case id is empty or not a string")
        unit = array if is_unit(array) else unit_rows(array, tolerance=UNIT_TOLERANCE)
        unit.setflags(write=False)
        object.__setattr__(self, "case_ids", ids)
        object.__setattr__(self, "vectors", unit)
        object.__setattr__(self, "fingerprint", fingerprint)

    @classmethod
    def from_library(
        cls, library: CaseLibrary, fingerprint: str, kind: VectorKind = "image"
    ) -> Embeddings:
        """Read the vectors of ``kind`` that ``library`` stores for ``fingerprint``.

        Raises
        ------
        FingerprintError
            If the library has none of this kind for this fingerprint.
        """
        case_ids, vectors = library.vectors(fingerprint, kind)
        if not case_ids:
            raise FingerprintError(
                f"the library has no {kind} vectors of this model",
                hint="run medembed embed LIBRARY",
            )
        for array in (vectors, vectors.base):  # nobody else has it: no copy is needed
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        return cls(case_ids, vectors, fingerprint)

    def __len__(self) -> int:
        return len(self.case_ids)

    def __repr__(self) -> str:
        size = f"{counted(len(self), 'case')}, {counted(self.dim, 'dimension')}"
        return f"Embeddings({size}, model {self.fingerprint[:24]})"

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.vectors.shape[1])

    def row(self, case_id: str) -> npt.NDArray[np.float32]:
        """Return the vector of ``case_id``, shape ``(d,)``; InputError if it has none."""
        try:
            row: npt.NDArray[np.float32] = self.vectors[self.case_ids.index(case_id)]
        except ValueError:
            raise InputError("no vector for this case id") from None
        return row

    def require(self, fingerprint: str) -> None:
        """Raise FingerprintError unless these vectors come from the model ``fingerprint``."""
        if fingerprint != self.fingerprint:
            raise FingerprintError(
                f"vectors of model {self.fingerprint[:12]}; in use is {fingerprint[:12]}",
                hint="run medembed embed LIBRARY for the model in use",
            )
