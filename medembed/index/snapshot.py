"""An immutable snapshot of an index, read by searches, and its files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from medembed.counted import counted
from medembed.embeddings import UNIT_TOLERANCE
from medembed.errors import QueryError
from medembed.index.case_ids import CaseIds
from medembed.index.first_pass import BLOCK, FEWEST_ROWS, FirstPass, block_of, code_buffers
from medembed.index.hnsw import HnswGraph
from medembed.index.row_buffer import RowBuffer, roomy
from medembed.index.sealed_files import Buffer, Content, Spacious
from medembed.index.validation import checked_names

__all__ = [
    "FEWEST_ROWS",
    "MOST_SPARE_NODES",
    "IndexKind",
    "Snapshot",
    "bool_filter",
    "changed",
    "read_snapshot",
    "snapshot_files",
    "snapshot_of",
    "with_graph",
]

IndexKind = Literal["auto", "exact", "hnsw"]

MOST_SPARE_NODES = 512
"""Most spare nodes to request from the graph to replace filtered or deleted ones."""

_BLOCK_ROWS = 1 << 14

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Data that a search reads; each change replaces it as a whole.

    A removed case keeps its row until all rows are written anew, so that rows have a fixed number.

    Parameters
    ----------
    ids : CaseIds
        One for each row, those of removed cases included.
    buffer : RowBuffer
        Their vectors.
    removed : frozenset of int
        Rows of removed cases.
    graph : HnswGraph or None
    first_pass : FirstPass or None
    """

    ids: CaseIds
    buffer: RowBuffer
    removed: frozenset[int] = frozenset()
    graph: HnswGraph | None = None
    first_pass: FirstPass | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows, those of removed cases included."""
        return len(self.ids)

    def __len__(self) -> int:
        return len(self.ids) - len(self.removed)

    @property
    def rows(self) -> Floats:
        """Vectors of all rows."""
        return self.buffer.view

    @cached_property
    def alive(self) -> Mask | None:
        """Which rows have a case; None if all have."""
        if not self.removed:
            return None
        alive = np.ones(self.n_rows, dtype=bool)
        alive[list(self.removed)] = False
        return alive

    @cached_property
    def kept(self) -> Rows | None:
        """Rows that have a case; None if all have."""
        return None if self.alive is None else np.flatnonzero(self.alive)

    @cached_property
    def vectors(self) -> Floats:
        """Vectors of the cases: a copy if some were removed."""
        if self.kept is None:
            return self.rows
        vectors = self.rows[self.kept]
        vectors.setflags(write=False)
        return vectors

    @cached_property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases."""
        names = self.ids.all_names()
        return names if self.kept is None else tuple(names[row] for row in self.kept.tolist())

    def rows_of(self, names: list[str]) -> Rows:
        """Return the row of each case; -1 where there is none."""
        found = self.ids.rows_of(names)
        if self.alive is not None:
            found = np.where((found >= 0) & self.alive[found], found, -1)
        return found

    def mask(self, allowed: Mask | Collection[str]) -> Mask:
        """Return which rows are eligible for a filter given as mask or as case ids.

        A mask is over the cases, or over the rows.
        """
        array = bool_filter(allowed)
        if array is not None:
            if array.shape == (self.n_rows,):
                return array if self.alive is None else array & self.alive
            if array.shape != (len(self),):
                raise QueryError(
                    f"the mask has shape {array.shape}, the index {counted(len(self), 'case')}"
                )
            mask = np.zeros(self.n_rows, dtype=bool)
            mask[self.kept if self.kept is not None else slice(None)] = array
            return mask
        names = checked_names(cast("Collection[str]", allowed), QueryError)
        rows = self.rows_of(names)
        mask = np.zeros(self.n_rows, dtype=bool)
        mask[rows[rows >= 0]] = True
        return mask


def bool_filter(allowed: Mask | Collection[str]) -> Mask | None:
    """Return a filter as bool array; None if it is one of case ids."""
    if isinstance(allowed, str):
        return None
    if not hasattr(allowed, "__array__") and not isinstance(
        next(iter(allowed), None), bool | np.bool_
    ):
        return None
    array = np.asarray(allowed if hasattr(allowed, "__array__") else list(allowed))
    return array if array.dtype == bool else None


def snapshot_of(ids: CaseIds, rows: Floats) -> Snapshot:
    """Return a snapshot of given rows, without a graph."""
    return Snapshot(ids, RowBuffer.of(rows))


def with_graph(state: Snapshot, graphed: bool) -> Snapshot:
    """Make, keep, make again or drop the graph, as kind and size require."""
    graph = old = state.graph
    if not graphed or not len(state):
        graph = None
    elif old is None or old.n_deleted > MOST_SPARE_NODES // 2:
        graph = HnswGraph.build(state.vectors)
        if state.kept is not None:
            graph = graph.renumbered(state.kept)
        if old is not None:  # nearly the same cases
            graph = graph.measured(old.ef_search, old.recall)
    return replace(state, graph=graph)


def changed(old: Snapshot, gone: list[int], names: list[str], unit: Floats) -> Snapshot:
    """Add rows behind the last one, then remove others. It costs what the change costs.

    A tail that has the size of a block gets codes, so that a search scans no more than one.
    """
    ids, buffer, graph, coded = old.ids, old.buffer, old.graph, old.first_pass
    if names:
        if graph is not None:
            graph.add(unit, old.n_rows)
        ids = ids.appended(names)
        buffer = buffer.appended(unit)
        if coded is not None and len(ids) - len(coded) >= BLOCK:
            coded = coded.extended(buffer.view)
    if gone and graph is not None:
        new_row = np.arange(len(ids), dtype=np.intp)
        new_row[gone] = -1
        graph = graph.renumbered(new_row)
    return Snapshot(ids, buffer, old.removed.union(gone), graph, coded)


def snapshot_files(state: Snapshot, *, codes: bool = True) -> dict[str, Content]:
    """Return the files that :func:`read_snapshot` reads, without the rows of removed cases.

    They are made while they are written, block by block. Without ``codes``, those of the first
    pass are left out.
    """
    rows, kept = state.rows, state.kept
    n, dim = len(state), rows.shape[1]
    ids = state.ids
    if kept is not None or ids.n_tail:
        ids = CaseIds.of_bytes(ids.bytes_of(slice(None) if kept is None else kept))
    taken = (block_of(rows, kept, at, _BLOCK_ROWS) for at in range(0, n, _BLOCK_ROWS))
    blocks = (np.ascontiguousarray(block, "<f4").reshape(-1).view("u1").data for block in taken)
    files: dict[str, Content] = {
        "ids": ids.to_buffers(),
        "vectors": Spacious(blocks, 4 * dim * roomy(n)),
    }
    if state.graph is not None:
        clean = HnswGraph.build(state.vectors) if state.removed else state.graph
        files["graph"] = clean.to_bytes()
    if codes and n >= FEWEST_ROWS:
        files["codes"] = code_buffers(rows, kept)
    return files


def read_snapshot(
    files: Mapping[str, Buffer], n: int, dim: int, hashed: Collection[str]
) -> Snapshot:
    """Use files where they are mapped.

    Parameters
    ----------
    files : mapping of str to bytes-like
        ``"vectors"`` is writable in memory.
    n, dim : int
        Cases and dimension.
    hashed : collection of str
        Files whose content is checked, too; that of the others was checked before.

    Raises
    ------
    KeyError, ValueError, TypeError, InputError
        If a file is missing, or they do not match each other.
    """
    ids = CaseIds.from_buffer(files["ids"])
    if "ids" in hashed:
        ids.check_order()
    if len(ids) != n or len(files["vectors"]) != 4 * dim * roomy(n):
        raise ValueError("ids and vectors do not match")
    buffer = RowBuffer.mapped(files["vectors"], n, dim)
    if "vectors" in hashed:
        _check_lengths(buffer.view)
    graph = HnswGraph.from_bytes(bytes(files["graph"]), n, dim) if "graph" in files else None
    coded = FirstPass.from_buffer(files["codes"], n, dim) if "codes" in files else None
    return Snapshot(ids, buffer, frozenset(), graph, coded)


def _check_lengths(rows: Floats) -> None:
    for at in range(0, len(rows), _BLOCK_ROWS):
        block = rows[at : at + _BLOCK_ROWS]
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64))
        if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():  # also where one is not a number
            raise ValueError("rows that are not of length 1")
