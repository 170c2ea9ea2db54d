"""An immutable snapshot of an index, read by searches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt

from medembed.index.first_pass import FirstPass
from medembed.index.hnsw import HnswGraph
from medembed.index.validation import checked_vectors

__all__ = ["Snapshot", "read_snapshot", "snapshot_files", "snapshot_of"]

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


def snapshot_files(state: Snapshot) -> dict[str, bytes]:
    """Return the files that :func:`read_snapshot` reads, without pickle."""
    vectors = BytesIO()
    np.save(vectors, state.vectors, allow_pickle=False)
    files = {"ids": json.dumps(state.ids).encode(), "vectors": vectors.getvalue()}
    if state.graph is not None:
        files["graph"] = state.graph.to_bytes()
    if state.first_pass is not None:
        files["codes"] = state.first_pass.to_bytes()
    return files


def read_snapshot(files: Mapping[str, bytes]) -> Snapshot:
    """Read a snapshot from files.

    Raises
    ------
    KeyError, ValueError, TypeError, InputError
        If a file is missing, or they do not match each other.
    """
    vectors = np.load(BytesIO(files["vectors"]), allow_pickle=False)
    ids, unit = checked_vectors(vectors, json.loads(files["ids"]))
    graph = HnswGraph.from_bytes(files["graph"], *unit.shape) if "graph" in files else None
    coded = FirstPass.from_bytes(files["codes"], *unit.shape) if "codes" in files else None
    return snapshot_of(ids, unit, graph, coded)
