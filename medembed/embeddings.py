"""The noun :class:`Embeddings`: one unit vector for each case, and the model they come from."""

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
"""How far a row's length may lie from 1 and still count as rounding."""

_AS_GOOD_AS_ONE = 1e-6


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors of cases under one model.

    Parameters
    ----------
    case_ids : sequence of str
        One for each row; no id twice.
    vectors : array, shape ``(n, d)``, any real dtype
        Kept as read-only float32. Each row has length 1 within :data:`UNIT_TOLERANCE` and is
        brought to length 1 exactly (to float32): what bfloat16 or a table rounded is mended, what
        was never normalised is refused.
    fingerprint : str
        Fingerprint of the model; not empty.

    Raises
    ------
    InputError
        Where one of the above does not hold, or a value is not finite.

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
            raise InputError("embeddings need the fingerprint of the model they come from")
        if array.ndim != 2 or array.shape[1] == 0:
            raise InputError(f"embeddings have shape (n, d) with d above 0, not {array.shape}")
        if len(ids) != array.shape[0]:
            raise InputError(f"{len(ids)} case ids for {array.shape[0]} vectors")
        if len(set(ids)) != len(ids):
            raise InputError("a case id that stands twice among the embeddings")
        if not all(isinstance(name, str) and name for name in ids):
            raise InputError("a case id that is not a text or is empty")
        unit = unit_rows(array, tolerance=UNIT_TOLERANCE)
        unit.setflags(write=False)
        object.__setattr__(self, "case_ids", ids)
        object.__setattr__(self, "vectors", unit)
        object.__setattr__(self, "fingerprint", fingerprint)

    @classmethod
    def from_library(
        cls, library: CaseLibrary, fingerprint: str, kind: VectorKind = "image"
    ) -> Embeddings:
        """Read the vectors of ``kind`` that ``library`` keeps under ``fingerprint``.

        Raises
        ------
        FingerprintError
            Where the library keeps none of this kind under this fingerprint.
        """
        case_ids, vectors = library.vectors(fingerprint, kind)
        if not case_ids:
            raise FingerprintError(
                f"the library has no {kind} vectors of this model",
                hint="medembed embed LIBRARY makes them",
            )
        return cls(case_ids, vectors, fingerprint)

    def __len__(self) -> int:
        return len(self.case_ids)

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return int(self.vectors.shape[1])

    def row(self, case_id: str) -> npt.NDArray[np.float32]:
        """Vector of ``case_id``, shape ``(d,)``; InputError where it has none."""
        try:
            row: npt.NDArray[np.float32] = self.vectors[self.case_ids.index(case_id)]
        except ValueError:
            raise InputError("no vector for this case id") from None
        return row

    def require(self, fingerprint: str) -> None:
        """Raise FingerprintError unless these vectors come from the model ``fingerprint``."""
        if fingerprint != self.fingerprint:
            raise FingerprintError(
                f"vectors of model {self.fingerprint[:12]} where {fingerprint[:12]} is in use",
                hint="medembed embed LIBRARY makes those of the model in use",
            )


def unit_rows(vectors: npt.ArrayLike, *, tolerance: float | None = None) -> npt.NDArray[np.float32]:
    """Bring each row to length 1; a row that has it already keeps its bits.

    Parameters
    ----------
    vectors : array, shape ``(n, d)``, any real dtype
    tolerance : float, optional
        Refuse rows whose length lies further than this from 1. None takes any length above 0.

    Returns
    -------
    float32 array, shape ``(n, d)``, C-contiguous, always a new one

    Raises
    ------
    InputError
        Where a value is not a finite number, or a row has no direction or a wrong length.
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise InputError(f"vectors have shape (n, d), not {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"vectors are real numbers, not {array.dtype}")
    if not array.size:
        if array.shape[0]:
            raise InputError("vectors without components")
        return np.empty(array.shape, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError("a vector with a value that is not finite")
    wide = array if array.dtype == np.float32 else array.astype(np.float64)
    with np.errstate(over="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", wide, wide, dtype=np.float64))
    good = np.abs(norms - 1) <= _AS_GOOD_AS_ONE
    unit = np.empty(array.shape, dtype=np.float32)
    unit[good] = wide[good]
    if not good.all():
        # The largest component is brought to 1 first, so that no square over- or underflows.
        rows = wide[~good].astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        if not largest.all():
            raise InputError("a vector of zeros has no direction")
        scaled = rows / largest
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        if tolerance is not None and (np.abs(norms[~good] - 1) > tolerance).any():
            raise InputError(f"a vector whose length is not 1 within {tolerance:g}")
        unit[~good] = scaled / lengths
    return unit
