"""Validation of arguments to the index."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings
from medembed.errors import InputError, QueryError
from medembed.unit_vectors import is_unit, unit_rows

__all__ = ["checked_cases", "checked_names", "checked_vectors", "whole_count"]

Floats = npt.NDArray[np.float32]


def checked_cases(
    vectors: npt.ArrayLike | Embeddings, case_ids: Sequence[str] | None, fingerprint: str
) -> tuple[Sequence[str], Floats, str]:
    """Return ids, unit rows and fingerprint of arrays or embeddings; InputError if unfit."""
    if not isinstance(vectors, Embeddings):
        if case_ids is None:
            raise InputError("arrays of vectors need case ids")
        return *checked_vectors(vectors, case_ids), fingerprint
    if fingerprint:
        vectors.require(fingerprint)
    if case_ids is not None and tuple(case_ids) != vectors.case_ids:
        raise InputError("the case ids differ from those of the embeddings")
    return vectors.case_ids, vectors.vectors, vectors.fingerprint


def checked_vectors(vectors: npt.ArrayLike, case_ids: Sequence[str]) -> tuple[list[str], Floats]:
    """Return ids and matching unit rows; InputError if they do not match.

    The rows are those given where nobody can write to them and they have length 1 already.
    """
    ids = checked_names(case_ids, InputError)
    try:
        array = np.asarray(vectors)
    except ValueError:
        raise InputError("vectors must have shape (n, d), all rows of one length") from None
    if array.shape == (0,):
        array = np.empty((0, 0), dtype=np.float32)
    unit = array if is_unit(array) else unit_rows(array)
    if len(ids) != len(unit):
        raise InputError(f"{len(ids)} case ids for {len(unit)} vectors")
    return ids, unit


def checked_names(case_ids: Collection[str], refuse: type[InputError]) -> list[str]:
    """Return case ids as a list of strings; raise ``refuse`` if they are not."""
    if isinstance(case_ids, str):
        raise refuse("case ids must be a list, not a single string")
    names = [str(name) if isinstance(name, str) else "" for name in case_ids]
    if not all(names):
        raise refuse("a case id is empty or not a string")
    return names


def whole_count(k: int) -> int:
    """Return the requested number of hits; QueryError unless it is an integer of at least 1."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise QueryError("the number of hits must be a whole number")
    if k < 1:
        raise QueryError("the number of hits must be at least 1")
    return int(k)
