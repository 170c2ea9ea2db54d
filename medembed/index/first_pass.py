"""A first pass over one byte per dimension, with a proven bound of its error.

Vectors are centered, rotated at random and rounded to 255 equal steps. Rotation spreads what a few
dimensions hold over all, and centering removes what all vectors share, so that the steps are small.
With ``e`` the largest distance of a vector from its rounded copy, no cosine differs by more than
``e`` from its estimate (Cauchy-Schwarz; the query has length 1). So a row whose estimate lies more
than ``e`` below the k-th best exact cosine cannot be among the best k. The caller rescores the
others exactly; where this does not settle the answer, it scans all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.index.cores import side_by_side
from medembed.index.faiss_bytes import index_at, index_to_bytes
from medembed.index.sealed_files import Buffer

__all__ = ["BLOCK", "FEWEST_ROWS", "FirstPass", "block_of", "code_buffers"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

FEWEST_ROWS = 50_000
"""Below this many rows a plain scan is as fast."""

BLOCK = 1 << 16
"""Most rows of a block; the blocks of one query are searched side by side."""

_NAMED = 512
"""Estimates of each block that are looked at; a few or these take the same time."""

_STEP = 1 << 14
_SAMPLE = 1 << 16
_SEED = 20_260


@dataclass(frozen=True)
class _Block:
    """Codes of consecutive rows: a FAISS scalar quantizer, its first row, the largest error.

    ``memory`` is where FAISS reads the codes, if they are not its own.
    """

    index: Any
    first: int
    error: float
    memory: Buffer = b""

    def __len__(self) -> int:
        return int(self.index.ntotal)


@dataclass(frozen=True, eq=False)
class _Coder:
    """How vectors become codes: centered, rotated, cut at two limits."""

    mean: Floats
    rotation: Floats
    limits: Floats

    @classmethod
    def of(cls, vectors: Floats, kept: Rows | None = None) -> _Coder:
        """Choose mean and limits on a sample of unit rows."""
        n, dim = len(vectors) if kept is None else len(kept), vectors.shape[1]
        rng = np.random.default_rng(_SEED)
        chosen = np.sort(rng.choice(n, min(n, _SAMPLE), replace=False))
        rows = chosen if kept is None else kept[chosen]
        parts = [rows[at : at + _STEP] for at in range(0, len(rows), _STEP)]
        total = sum(vectors[part].sum(axis=0, dtype=np.float64) for part in parts)
        mean = (total / len(rows)).astype(np.float32)
        rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        limits = np.array([np.inf, -np.inf], dtype=np.float32)
        for part in parts:
            reach = (vectors[part] - mean) @ rotation
            limits = np.array([min(limits[0], reach.min()), max(limits[1], reach.max())])
        limits = limits.astype(np.float32)
        return cls(mean, rotation, limits)

    def block(self, vectors: Floats, first: int) -> _Block:
        """Code consecutive rows, of which the first has the number ``first``."""
        import faiss

        dim = vectors.shape[1]
        index = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
        )
        # FAISS learns the range from the two rows; rows beyond it are cut, and their error counts
        index.train(np.repeat(self.limits[:, np.newaxis], dim, axis=1))
        error = 0.0
        for at in range(0, len(vectors), _STEP):
            turned = self.turned(vectors[at : at + _STEP])
            index.add(turned)
            rounded = index.reconstruct_n(at, len(turned))
            error = max(error, float(np.linalg.norm(turned - rounded, axis=1).max()))
        return _Block(index, first, error)

    def turned(self, vectors: Floats) -> Floats:
        """Return centered and rotated rows."""
        turned: Floats = ((vectors - self.mean) @ self.rotation).astype(np.float32, copy=False)
        return turned


class FirstPass:
    """Codes of the first rows of an index; later rows, the *tail*, have none yet.

    Parameters
    ----------
    coder : _Coder
    blocks : sequence of _Block
        Of consecutive rows from row 0 on.
    """

    def __init__(self, coder: _Coder, blocks: Sequence[_Block]) -> None:
        self._coder = coder
        self._blocks = tuple(blocks)

    @classmethod
    def build(cls, vectors: Floats) -> FirstPass:
        """Code ``vectors``, shape ``(n, d)``, unit rows."""
        return cls(_Coder.of(vectors), ()).extended(vectors)

    def extended(self, vectors: Floats) -> FirstPass:
        """Code the rows behind the last one with a code, of all ``vectors``, too."""
        starts = range(len(self), len(vectors), BLOCK)
        more = [self._coder.block(vectors[at : at + BLOCK], at) for at in starts]
        return FirstPass(self._coder, (*self._blocks, *more))

    def __len__(self) -> int:
        """Return the number of rows that have a code."""
        return sum(map(len, self._blocks))

    @property
    def error(self) -> float:
        """Largest distance of a row from its code."""
        return max(block.error for block in self._blocks)

    def best(self, query: Floats, k: int, mask: Mask | None = None) -> tuple[Rows, float]:
        """Return the rows that may be the best ``k``, and what no other coded row can exceed.

        All rows are compared, since reading codes in order is faster than skipping some; then
        those that are not eligible are left out.

        Parameters
        ----------
        query : float32 array, shape ``(d,)``, of length 1
        k : int
        mask : bool array, shape ``(n,)``, optional
            Eligible rows.

        Returns
        -------
        rows : int array
            In no order; fewer than ``k`` if the best estimates are those of other rows.
        limit : float
            Upper bound of the exact cosine of the eligible rows with a code that were not
            returned; -inf if there are none.
        """
        coder = self._coder
        turned = (query @ coder.rotation)[np.newaxis]
        shared = float(query.astype(np.float64) @ coder.mean.astype(np.float64))
        count = max(_NAMED, 4 * k)

        def one(block: _Block) -> tuple[Floats, Rows, float]:
            scores, codes = block.index.search(turned, min(count, len(block)))
            left_out = float(scores[0, -1]) if len(block) > count else -np.inf
            return scores[0], codes[0].astype(np.intp) + block.first, left_out

        found = side_by_side(one, self._blocks)
        estimates = np.concatenate([scores for scores, _, _ in found])
        rows = np.concatenate([codes for _, codes, _ in found])
        limit = max(left_out for _, _, left_out in found)
        if mask is not None:
            own = mask[rows]
            estimates, rows = estimates[own], rows[own]
        # sums of d float32 products, in the estimate and in the rotation
        error = self.error + 8 * coder.mean.size * 2.0**-24
        if k < rows.size:
            kth = float(np.partition(estimates, -k)[-k])
            near = estimates >= kth - 2 * error
            if not near.all():
                limit = max(limit, float(estimates[~near].max()))
            rows = rows[near]
        return rows, shared + limit + error

    @classmethod
    def from_buffer(cls, data: Buffer, n: int, dim: int) -> FirstPass:
        """Use what :func:`code_buffers` wrote where it lies, once its digest was checked.

        Raises
        ------
        InputError
            If it does not hold codes of dimension ``dim`` of ``n`` rows.
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

        own_n, own_dim = map(int, take("<i8", 2))
        if (own_n, own_dim) != (n, dim):
            raise wrong
        limits = take("<f4", 2).astype(np.float32)
        mean = take("<f4", dim).astype(np.float32)
        rotation = take("<f4", dim * dim).astype(np.float32).reshape(dim, dim)
        blocks: list[_Block] = []
        while (first := sum(map(len, blocks))) < n:
            (error,), (size,) = take("<f8", 1), take("<i8", 1)
            own = take("|u1", int(size)).data
            index = index_at(own)
            if type(index).__name__ != "IndexScalarQuantizer" or index.d != dim or not index.ntotal:
                raise wrong
            blocks.append(_Block(index, first, float(error), own))
        if at != len(data) or first != n:
            raise wrong
        return cls(_Coder(mean, rotation, limits), blocks)


def code_buffers(vectors: Floats, kept: Rows | None = None) -> Iterator[Buffer]:
    """Code unit rows block by block, and yield what to write.

    Parameters
    ----------
    vectors : float32 array, shape ``(n, d)``
    kept : int array, optional
        Rows to code; None is all.
    """
    coder = _Coder.of(vectors, kept)
    n = len(vectors) if kept is None else len(kept)
    yield np.array([n, vectors.shape[1]], dtype="<i8").tobytes()
    for array in (coder.limits, coder.mean, coder.rotation):
        yield array.astype("<f4").tobytes()
    for at in range(0, n, BLOCK):
        block = coder.block(block_of(vectors, kept, at, BLOCK), at)
        data = index_to_bytes(block.index)
        yield np.array(block.error, dtype="<f8").tobytes()
        yield np.array(len(data), dtype="<i8").tobytes()
        yield data


def block_of(vectors: Floats, kept: Rows | None, at: int, size: int) -> Floats:
    """Return up to ``size`` rows, of those that are kept, from the one numbered ``at`` on."""
    return vectors[at : at + size] if kept is None else vectors[kept[at : at + size]]
