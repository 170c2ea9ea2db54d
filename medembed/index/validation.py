"""Validation of arguments to the index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import InputError, QueryError

__all__ = [
    "allowed_rows",
    "checked_names",
    "checked_queries",
    "checked_vectors",
    "whole_count",
]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def checked_vectors(
    vectors: npt.ArrayLike, case_ids: Sequence[str]
) -> tuple[tuple[str, ...], Floats]:
    """Return ids and matching unit rows; InputError if they do not match."""
    ids = tuple(checked_names(case_ids, InputError))
    try:
        array = np.asarray(vectors)
    except ValueError:
        raise InputError("vectors must have shape (n, d), all rows of one length") from None
    if array.shape == (0,):
        array = np.empty((0, 0), dtype=np.float32)
    unit = unit_rows(array)
    if len(ids) != len(unit):
        raise InputError(f"{len(ids)} case ids for {len(unit)} vectors")
    if len(set(ids)) != len(ids):
        raise InputError("duplicate case id")
    return ids, unit


def checked_queries(
    queries: npt.ArrayLike | Embeddings, fingerprint: str, dim: int, n_cases: int
) -> Floats:
    """Return unit rows of queries to an index of ``n_cases`` vectors of dimension ``dim``.

    Raises
    ------
    QueryError
        If a query is not finite, all zeros or of another dimension.
    FingerprintError
        If the queries are Embeddings of another model.
    """
    if isinstance(queries, Embeddings):
        if fingerprint:
            queries.require(fingerprint)
        unit = queries.vectors
    else:
        try:
            array = np.asarray(queries)
            unit = unit_rows(array[np.newaxis] if array.ndim == 1 else array)
        except InputError as error:
            raise QueryError(f"invalid query: {error.what}") from None
        except ValueError:
            raise QueryError("queries must have shape (q, d), all rows of one length") from None
    if unit.shape[1] != dim and (n_cases or dim):
        raise QueryError(f"queries have dimension {unit.shape[1]}, the index {dim}")
    return unit


def checked_names(case_ids: Collection[str], refuse: type[InputError]) -> list[str]:
    """Return case ids as a list of strings; raise ``refuse`` if they are not."""
    if isinstance(case_ids, str):
        raise refuse("case ids must be a list, not a single string")
    names = [str(name) if isinstance(name, str) else "" for name in case_ids]
    if not all(names):
        raise refuse("a case id is empty or not a string")
    return names


def allowed_rows(allowed: Mask | Collection[str], row_of: Mapping[str, int]) -> Mask:
    """Return a bool mask over the rows for a filter given as mask or as case ids."""
    if not isinstance(allowed, str):
        array = np.asarray(allowed if hasattr(allowed, "__array__") else list(allowed))
        if array.dtype == bool:
            if array.shape != (len(row_of),):
                raise QueryError(f"the mask has shape {array.shape}, the index {len(row_of)} cases")
            return array
    mask = np.zeros(len(row_of), dtype=bool)
    rows = [row_of[n] for n in checked_names(allowed, QueryError) if n in row_of]
    mask[rows] = True
    return mask


def whole_count(k: int) -> int:
    """Return the requested number of hits; QueryError unless it is an integer of at least 1."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise QueryError("the number of hits must be a whole number")
    if k < 1:
        raise QueryError("the number of hits must be at least 1")
    return int(k)
