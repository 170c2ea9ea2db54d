"""An immutable snapshot of an index, read by searches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import numpy.typing as npt

from medembed.embeddings import UNIT_TOLERANCE
from medembed.errors import InputError
from medembed.index.first_pass import FEWEST_ROWS, FirstPass
from medembed.index.hnsw import HnswGraph
from medembed.index.sealed_files import Buffer, Content
from medembed.index.validation import checked_names

__all__ = [
    "MOST_SPARE_NODES",
    "Snapshot",
    "prepared",
    "read_snapshot",
    "snapshot_files",
    "snapshot_of",
    "without_removed",
]

MOST_SPARE_NODES = 512
"""Most spare nodes to request from the graph to replace filtered or deleted ones."""

_HEAD_BYTES = 1 << 12
_BLOCK_ROWS = 1 << 14
_MOST_TAIL = 0.1
"""Share of rows without a code, or of codes without a row, from which codes are made again."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Data that a search reads; each change replaces it as a whole."""

    ids: tuple[str, ...]
    names: npt.NDArray[np.object_]
    vectors: Floats
    rank: npt.NDArray[np.intp]
    row_of: dict[str, int]
    graph: HnswGraph | None
    first_pass: FirstPass | None = None


def snapshot_of(
    ids: tuple[str, ...],
    vectors: Floats,
    graph: HnswGraph | None,
    first_pass: FirstPass | None = None,
) -> Snapshot:
    """Derive names, ranks and row numbers from ids and vectors."""
    names = np.empty(len(ids), dtype=object)
    names[:] = ids
    rank = np.empty(len(ids), dtype=np.intp)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    row_of = {name: row for row, name in enumerate(ids)}
    vectors.setflags(write=False)
    return Snapshot(ids, names, vectors, rank, row_of, graph, first_pass)


def prepared(state: Snapshot, graphed: bool) -> Snapshot:
    """Make, keep, make again or drop the graph and the codes, as kind and size require."""
    graph, coded, n = state.graph, state.first_pass, len(state.ids)
    if not graphed or not n:
        graph = None
    elif graph is None or graph.n_deleted > MOST_SPARE_NODES // 2:
        graph = HnswGraph.build(state.vectors)
    if n < FEWEST_ROWS:
        coded = None
    elif coded is None or max(coded.n_removed, n - coded.n_rows) > _MOST_TAIL * n:
        coded = FirstPass.build(state.vectors)
    return replace(state, graph=graph, first_pass=coded)


def without_removed(state: Snapshot) -> Snapshot:
    """Make graph and codes again that hold removed cases, whose vectors must not reach a file."""
    graph, coded = state.graph, state.first_pass
    if graph is not None and graph.n_deleted:
        graph = HnswGraph.build(state.vectors)
    if coded is not None and coded.n_removed:
        coded = FirstPass.build(state.vectors)
    return replace(state, graph=graph, first_pass=coded)


def snapshot_files(state: Snapshot) -> dict[str, Content]:
    """Return the files that :func:`read_snapshot` reads, without pickle and without a copy."""
    head = BytesIO()
    vectors = np.ascontiguousarray(state.vectors, dtype="<f4")
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(vectors))
    files: dict[str, Content] = {
        "ids": json.dumps(state.ids).encode(),
        "vectors": [head.getvalue(), vectors.reshape(-1).data.cast("B")],
    }
    if state.graph is not None:
        files["graph"] = state.graph.to_bytes()
    if state.first_pass is not None:
        files["codes"] = state.first_pass.to_buffers()
    return files


def read_snapshot(files: Mapping[str, Buffer]) -> Snapshot:
    """Read a snapshot from files.

    Raises
    ------
    KeyError, ValueError, TypeError, InputError
        If a file is missing, or they do not match each other.
    """
    unit = _read_vectors(files["vectors"])
    ids = tuple(checked_names(json.loads(bytes(files["ids"])), InputError))
    if len(ids) != len(unit) or len(set(ids)) != len(ids):
        raise ValueError("ids and vectors do not match")
    graph = HnswGraph.from_bytes(bytes(files["graph"]), *unit.shape) if "graph" in files else None
    coded = FirstPass.from_bytes(bytes(files["codes"]), *unit.shape) if "codes" in files else None
    return snapshot_of(ids, unit, graph, coded)


def _read_vectors(data: Buffer) -> Floats:
    """Read unit rows where they are mapped; ValueError if they are anything else."""
    head = BytesIO(bytes(data[:_HEAD_BYTES]))
    if np.lib.format.read_magic(head) != (1, 0):
        raise ValueError("another format of arrays")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(head)
    if dtype != np.dtype("<f4") or len(shape) != 2 or (by_column and min(shape) > 1):
        raise ValueError("not rows of float32")
    rows: Floats = np.frombuffer(data, dtype=dtype, offset=head.tell()).reshape(shape)
    for at in range(0, len(rows), _BLOCK_ROWS):
        block = rows[at : at + _BLOCK_ROWS]
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64))
        if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():  # also where one is not a number
            raise ValueError("rows that are not of length 1")
    return rows.astype(np.float32, copy=False)
