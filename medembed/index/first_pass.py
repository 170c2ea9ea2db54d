"""A first pass over one byte per dimension, with a proven bound of its error.

Vectors are centered, rotated at random and rounded to 255 equal steps. Rotation spreads what a few
dimensions hold over all, and centering removes what all vectors share, so that the steps are small.
With ``e`` the largest distance of a vector from its rounded copy, no cosine differs by more than
``e`` from its estimate (Cauchy-Schwarz; the query has length 1). So a row whose estimate lies more
than ``e`` below the k-th best exact cosine cannot be among the best k. The caller rescores the
others exactly; where this does not settle the answer, it scans all rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.index.faiss_bytes import index_from_bytes, index_to_bytes
from medembed.index.sealed_files import Buffer
from medembed.index.selection import search_selected

__all__ = ["FEWEST_ROWS", "FirstPass"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

FEWEST_ROWS = 50_000
"""Below this many rows a plain scan is as fast."""

_BLOCK = 1 << 16
"""Most rows of a block; the blocks of one query are searched side by side."""

_STEP = 1 << 14
_SAMPLE = 1 << 16
_SEED = 20_260


@dataclass(frozen=True)
class _Block:
    """Codes of consecutive rows: a FAISS scalar quantizer, its first row, the largest error."""

    index: Any
    first: int
    error: float

    def __len__(self) -> int:
        return int(self.index.ntotal)


class FirstPass:
    """Codes of the first rows of an index; later rows, the *tail*, have none yet.

    Parameters
    ----------
    mean : float32 array, shape ``(d,)``
    rotation : float32 array, shape ``(d, d)``
    blocks : sequence of _Block
    rows : int array, optional
        Row of each code, -1 if it was removed; None if code and row have the same number.
    """

    def __init__(
        self, mean: Floats, rotation: Floats, blocks: Sequence[_Block], rows: Rows | None = None
    ) -> None:
        self._mean = mean
        self._rotation = rotation
        self._blocks = tuple(blocks)
        self._rows = rows

    @classmethod
    def build(cls, vectors: Floats) -> FirstPass:
        """Code ``vectors``, shape ``(n, d)``, unit rows."""
        n, dim = vectors.shape
        rng = np.random.default_rng(_SEED)
        sample = vectors[np.sort(rng.choice(n, min(n, _SAMPLE), replace=False))]
        mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        reach = (sample - mean) @ rotation
        limits = np.array([reach.min(), reach.max()], dtype=np.float32)
        made = cls(mean, rotation, ())
        made._blocks = tuple(
            made._coded(vectors[at : at + _BLOCK], at, limits) for at in range(0, n, _BLOCK)
        )
        return made

    def _coded(self, vectors: Floats, first: int, limits: Floats) -> _Block:
        import faiss

        dim = vectors.shape[1]
        index = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
        )
        # FAISS learns the range from the two rows; rows beyond it are cut, and their error counts
        index.train(np.repeat(limits[:, np.newaxis], dim, axis=1))
        error = 0.0
        for at in range(0, len(vectors), _STEP):
            turned = self._turned(vectors[at : at + _STEP])
            index.add(turned)
            rounded = index.reconstruct_n(at, len(turned))
            error = max(error, float(np.linalg.norm(turned - rounded, axis=1).max()))
        return _Block(index, first, error)

    def _turned(self, vectors: Floats) -> Floats:
        turned: Floats = ((vectors - self._mean) @ self._rotation).astype(np.float32, copy=False)
        return turned

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    @property
    def n_rows(self) -> int:
        """Number of rows that have a code: the first ones."""
        return len(self) if self._rows is None else int(np.count_nonzero(self._rows >= 0))

    @property
    def n_removed(self) -> int:
        """Number of codes whose row was removed."""
        return len(self) - self.n_rows

    @property
    def error(self) -> float:
        """Largest distance of a row from its code."""
        return max(block.error for block in self._blocks)

    def renumbered(self, new_row: Rows) -> FirstPass:
        """Apply a renumbering of rows: ``new_row[old]`` is the new row, or -1 if removed."""
        old = np.arange(len(self), dtype=np.intp) if self._rows is None else self._rows
        rows = np.where(old >= 0, new_row[old], -1).astype(np.intp)
        return FirstPass(self._mean, self._rotation, self._blocks, rows)

    def best(self, query: Floats, count: int, mask: Mask | None = None) -> tuple[Rows, float]:
        """Return the rows with the best estimates, and what no other coded row can exceed.

        Parameters
        ----------
        query : float32 array, shape ``(d,)``, of length 1
        count : int
            Rows of each block at most.
        mask : bool array, shape ``(n,)``, optional
            Eligible rows.

        Returns
        -------
        rows : int array
            In no order.
        limit : float
            Upper bound of the exact cosine of the eligible rows with a code that were not
            returned; -inf if there are none.
        """
        turned = (query @ self._rotation)[np.newaxis]
        shared = float(query.astype(np.float64) @ self._mean.astype(np.float64))
        eligible = self._of_codes(mask)

        def one(block: _Block) -> tuple[Rows, float]:
            here = slice(block.first, block.first + len(block))
            own = None if eligible is None else eligible[here]
            scores, codes = search_selected(block.index, turned, min(count, len(block)), own)
            kept = codes[0][codes[0] >= 0].astype(np.intp) + block.first
            if kept.size < count:  # all that are eligible
                return kept, -np.inf
            # sums of d float32 products, in the estimate and in the rotation
            rounding = 8 * self._mean.size * 2.0**-24
            return kept, float(scores[0, -1]) + block.error + rounding

        found = _side_by_side(one, self._blocks)
        codes = np.concatenate([codes for codes, _ in found])
        rows = codes if self._rows is None else self._rows[codes]
        return rows, shared + max(limit for _, limit in found)

    def _of_codes(self, mask: Mask | None) -> Mask | None:
        """Return which codes are eligible."""
        if self._rows is None:
            return None if mask is None else mask[: len(self)]
        alive: Mask = self._rows >= 0
        return alive if mask is None else alive & mask[self._rows]

    def to_buffers(self) -> list[Buffer]:
        """Serialize; refuses codes of removed rows, which must not live on in a file."""
        if self.n_removed:
            raise InputError("codes of removed cases must be made again before saving")

        head = np.array([len(self._blocks), self._mean.size, len(self)], dtype="<i8")
        errors = np.array([block.error for block in self._blocks], dtype="<f8")
        parts = [index_to_bytes(block.index) for block in self._blocks]
        sizes = np.array([len(part) for part in parts], dtype="<i8")
        arrays = (head, errors, sizes, self._mean.astype("<f4"), self._rotation.astype("<f4"))
        return [*(array.tobytes() for array in arrays), *parts]

    @classmethod
    def from_bytes(cls, data: bytes, n: int, dim: int) -> FirstPass:
        """Read what :meth:`to_buffers` wrote. Check a digest of ``data`` first: FAISS does not.

        Raises
        ------
        InputError
            If it does not hold codes of dimension ``dim`` of at most ``n`` rows.
        """
        wrong = InputError("an index file with codes of another kind or size")
        at = 0

        def take(dtype: str, count: int) -> npt.NDArray[Any]:
            nonlocal at
            size = np.dtype(dtype).itemsize * count
            if count < 0 or at + size > len(data):
                raise wrong
            found = np.frombuffer(data, dtype=dtype, count=count, offset=at)
            at += size
            return found

        count, own_dim, rows_coded = map(int, take("<i8", 3))
        if own_dim != dim or rows_coded > n or count != -(-rows_coded // _BLOCK):
            raise wrong
        errors, sizes = take("<f8", count), take("<i8", count)
        mean = take("<f4", dim).astype(np.float32)
        rotation = take("<f4", dim * dim).astype(np.float32).reshape(dim, dim)
        blocks = []
        for number, (error, size) in enumerate(zip(errors, sizes, strict=True)):
            index = index_from_bytes(take("|u1", int(size)).data)
            first = number * _BLOCK
            held = min(_BLOCK, rows_coded - first), dim
            if type(index).__name__ != "IndexScalarQuantizer" or (index.ntotal, index.d) != held:
                raise wrong
            blocks.append(_Block(index, first, float(error)))
        return cls(mean, rotation, blocks)


def _side_by_side(
    one: Callable[[_Block], tuple[Rows, float]], blocks: Sequence[_Block]
) -> list[tuple[Rows, float]]:
    """Search blocks in threads: FAISS runs one query on one core, and releases Python's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if len(blocks) == 1 or cores == 1:
        return [one(block) for block in blocks]
    with ThreadPoolExecutor(min(cores or 1, len(blocks)), "medembed-search") as threads:
        return list(threads.map(one, blocks))
