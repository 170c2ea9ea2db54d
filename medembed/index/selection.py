"""The only place that gives FAISS a filter.

FAISS 1.15.1 ignores a selector in silence in five combinations, among them an HNSW graph with an
unbounded queue and refined or transformed indexes with an outer selector. In a hospital a filter is
access control, so a filter reaches FAISS only here, through calls that a test has tried with the
FAISS at hand (``tests/index/test_selection.py`` walks the list), and every row that comes back is
checked against it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InternalError

__all__ = ["TESTED", "nearest_selected"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def _products(
    faiss: Any, queries: Floats, rows: Floats, scores: Floats, found: Rows, selector: Any
) -> None:
    """Compare with rows where they lie, in memory or in a mapped file."""
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(rows),
        rows.shape[1],
        len(queries),
        len(rows),
        scores.shape[1],
        faiss.swig_ptr(scores),
        faiss.swig_ptr(found),
        selector,
    )


TESTED = {"knn_inner_product": _products}
"""Calls of FAISS whose selectors hold."""


def nearest_selected(
    queries: Floats, rows: Floats, k: int, mask: Mask, call: str = "knn_inner_product"
) -> tuple[Floats, Rows]:
    """Find the rows of a mask that have the largest inner products.

    Parameters
    ----------
    queries : float32 array, shape ``(q, d)``
    rows : float32 array, shape ``(n, d)``
    k : int
        At most the number of eligible rows.
    mask : bool array, shape ``(n,)``
        Eligible rows.
    call : str
        One of :data:`TESTED`.

    Returns
    -------
    scores : float32 array, shape ``(q, k)``, descending
    found : int array, shape ``(q, k)``

    Raises
    ------
    InternalError
        If this call has not been tested, or FAISS returns a row outside the mask.
    """
    import faiss

    library: Any = faiss  # its annotations do not know how Python calls it
    if call not in TESTED:
        raise InternalError(f"selectors of {call} have not been tested")
    queries, rows = np.ascontiguousarray(queries), np.ascontiguousarray(rows)
    scores = np.empty((len(queries), k), dtype=np.float32)
    found = np.empty((len(queries), k), dtype=np.int64)
    bits = np.packbits(mask, bitorder="little")
    # FAISS keeps a pointer only: `bits` must live until the search has ended
    TESTED[call](library, queries, rows, scores, found, library.IDSelectorBitmap(bits))
    if found.size and (found.min() < 0 or found.max() >= mask.size or not mask[found].all()):
        raise InternalError("FAISS returned a case that the filter excludes")
    return scores, found.astype(np.intp, copy=False)
