"""The noun :class:`GpuRows`: rows of an index in the memory of a GPU, where FAISS compares them.

FAISS knows no filter there: its flat index for GPUs takes a selector and ignores it, without a
word (FAISS 1.15; only its build with cuVS honors one). So none is passed; whoever asks leaves out
what a filter excludes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.index.row_buffer import RowBuffer

__all__ = ["MOST_NAMED", "GpuRows", "require_gpu", "why_no_gpu"]

MOST_NAMED = 2048
"""Most rows that FAISS names for one query on a GPU."""

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


def why_no_gpu() -> str:
    """Return what to do so that FAISS can use a GPU; empty if it can."""
    import faiss

    if not hasattr(faiss, "GpuIndexFlatIP"):
        return (
            "install the FAISS for GPUs over the one for processors: pip install "
            "'medembed[gpu]', then pip install --force-reinstall --no-deps faiss-gpu"
        )
    if not faiss.get_num_gpus():
        return "look at what nvidia-smi and the environment variable CUDA_VISIBLE_DEVICES say"
    return ""


def require_gpu() -> None:
    """Refuse what needs a GPU where FAISS cannot use one.

    Raises
    ------
    InputError
        With what to do.
    """
    hint = why_no_gpu()
    if hint:
        raise InputError("FAISS sees no GPU here", hint=hint)


def _flat_on_gpu(dim: int) -> Any:
    """Return an empty flat index on the first GPU that CUDA shows: inner products of float32."""
    import faiss

    library: Any = faiss  # its annotations are those of the build for processors
    return library.GpuIndexFlatIP(library.StandardGpuResources(), dim)


class GpuRows:
    """Rows of float32 on a GPU, copied there when they are first searched.

    Rows that were added behind the last one since are added there, too. Safe to use from several
    threads, one at a time.

    Parameters
    ----------
    empty : callable, optional
        Returns an empty FAISS index of inner products for a dimension. Default: one on a GPU.
    """

    def __init__(self, empty: Callable[[int], Any] = _flat_on_gpu) -> None:
        self._empty = empty
        self._lock = threading.Lock()
        self._index: Any = None
        self._held: RowBuffer | None = None
        self._has_failed = False

    @property
    def has_failed(self) -> bool:
        """Whether FAISS gave up, mostly for lack of memory; then it is not asked again."""
        return self._has_failed

    def nearest(
        self, rows: RowBuffer, queries: Floats, count: int
    ) -> tuple[Floats, Rows, Floats] | None:
        """Name the rows with the best inner products, of all that are held.

        Parameters
        ----------
        rows : RowBuffer
            At least one. What is held may have more behind them.
        queries : float32 array, shape ``(q, d)``
        count : int
            1 to :data:`MOST_NAMED`.

        Returns
        -------
        fast : float32 array, shape ``(q, m)``
            Descending; ``m`` is ``count``, or the number of rows.
        labels : int array, shape ``(q, m)``
        bound : float32 array, shape ``(q,)``
            What no other row's score exceeds: -inf if all are named, inf if that is not known.
        None
            If FAISS failed.
        """
        with self._lock:
            if self._has_failed:
                return None
            try:
                self._hold(rows)
                count = min(count, self._index.ntotal)
                fast, labels = self._index.search(np.ascontiguousarray(queries), count)
            except (RuntimeError, MemoryError):
                self._index = self._held = None
                self._has_failed = True
                return None
            is_all = count == self._index.ntotal
        bound = np.full(len(queries), -np.inf, np.float32) if is_all else fast[:, -1].copy()
        # fewer named than there are, or no number as a score: nothing is known
        bound[((labels < 0) | ~np.isfinite(fast)).any(axis=1)] = np.inf
        return fast, labels, bound

    def _hold(self, rows: RowBuffer) -> None:
        held = self._held
        if held is not None and self._index.ntotal == len(held):  # else it was interrupted
            if rows.is_part_of(held):
                return
            if held.is_part_of(rows):
                self._index.add(rows.view[len(held) :])
                self._held = rows
                return
        self._index = self._held = None  # its memory is free before more is taken
        self._index = self._empty(rows.view.shape[1])
        self._index.add(rows.view)
        self._held = rows
