"""The only place that gives FAISS a filter.

FAISS 1.15.1 ignores a selector in silence in five combinations, among them an HNSW graph with an
unbounded queue and refined or transformed indexes with an outer selector. In a hospital a filter is
access control, so a filter reaches FAISS only here, only for kinds of index that a test has tried
with the FAISS at hand (``tests/index/test_selection.py`` walks the list), and every id that comes
back is checked against it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InternalError

__all__ = ["TESTED", "search_selected"]

TESTED = frozenset({"IndexFlatIP", "IndexScalarQuantizer"})
"""Kinds of index whose selectors hold."""

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def search_selected(
    index: Any, queries: Floats, k: int, mask: Mask | None = None
) -> tuple[Floats, Rows]:
    """Search a FAISS index among the rows of a mask.

    Parameters
    ----------
    index : faiss.Index
        Of a kind in :data:`TESTED`.
    queries : float32 array, shape ``(q, d)``
    k : int
    mask : bool array, shape ``(n,)``, optional
        Eligible rows; None is all.

    Returns
    -------
    scores : float32 array, shape ``(q, k)``
    rows : int array, shape ``(q, k)``
        -1 where there are fewer.

    Raises
    ------
    InternalError
        If this kind of index has not been tested, or FAISS returns a row outside the mask.
    """
    import faiss

    library: Any = faiss  # its annotations do not know how Python calls it
    if type(index).__name__ not in TESTED:
        raise InternalError(f"selectors of {type(index).__name__} have not been tested")
    queries = np.ascontiguousarray(queries)
    if mask is None:
        scores, rows = index.search(queries, k)
        return scores, rows
    bits = np.packbits(mask, bitorder="little")
    # FAISS keeps a pointer only: `bits` must live until the search has ended
    selector = library.IDSelectorBitmap(bits)
    scores, rows = index.search(queries, k, params=library.SearchParameters(sel=selector))
    found = rows[rows >= 0]
    if found.size and (int(found.max()) >= mask.size or not mask[found].all()):
        raise InternalError("FAISS returned a case that the filter excludes")
    return scores, rows
