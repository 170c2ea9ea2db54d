"""The noun :class:`Embeddings`: one unit vector for each case, and the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from medembed.errors import FingerprintError, InputError

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["UNIT_TOLERANCE", "Embeddings", "VectorKind", "unit_rows"]

VectorKind = Literal["image", "note"]

UNIT_TOLERANCE = 1e-3
"""Largest deviation of a row's length from 1 that counts as rounding."""

_AS_GOOD_AS_ONE = 1e-6


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors of cases under one model.

    Parameters
    ----------
    case_ids : sequence of str
        One for each row, unique.
    vectors : array, shape ``(n, d)``, any real dtype
        Stored as read-only float32. Each row must have length 1 within :data:`UNIT_TOLERANCE` and
        is normalized to float32 precision: rounding by bfloat16 or a table is repaired, vectors
        that were never normalized are refused.
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
        unit = unit_rows(array, tolerance=UNIT_TOLERANCE)
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
        return cls(case_ids, vectors, fingerprint)

    def __len__(self) -> int:
        return len(self.case_ids)

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


def unit_rows(vectors: npt.ArrayLike, *, tolerance: float | None = None) -> npt.NDArray[np.float32]:
    """Normalize each row to length 1; a row of length 1 keeps its bits.

    Parameters
    ----------
    vectors : array, shape ``(n, d)``, any real dtype
    tolerance : float, optional
        Refuse rows whose length differs from 1 by more. None accepts any nonzero length.

    Returns
    -------
    float32 array, shape ``(n, d)``, C-contiguous, always a copy

    Raises
    ------
    InputError
        If a value is not finite, or a row is all zeros or has a wrong length.
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise InputError(f"vectors must have shape (n, d), not {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"vectors must be real numbers, not {array.dtype}")
    if not array.size:
        if array.shape[0]:
            raise InputError("vectors have dimension 0")
        return np.empty(array.shape, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError("a vector has a value that is not finite")
    wide = array if array.dtype == np.float32 else array.astype(np.float64)
    with np.errstate(over="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", wide, wide, dtype=np.float64))
    good = np.abs(norms - 1) <= _AS_GOOD_AS_ONE
    unit = np.empty(array.shape, dtype=np.float32)
    unit[good] = wide[good]
    if not good.all():
        # Scale the largest component to 1 first, so that no square overflows or underflows.
        rows = wide[~good].astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        if not largest.all():
            raise InputError("a vector is all zeros")
        scaled = rows / largest
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        if tolerance is not None and (np.abs(norms[~good] - 1) > tolerance).any():
            raise InputError(f"a vector's length differs from 1 by more than {tolerance:g}")
        unit[~good] = scaled / lengths
    return unit
