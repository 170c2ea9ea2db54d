"""How a snapshot is searched: through its graph where that misses nothing, else exactly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import InputError, QueryError
from medembed.index.exact import CODED_QUERIES, best_rows, order_candidates
from medembed.index.first_pass import FirstPass
from medembed.index.hits import Hits, Plan
from medembed.index.hnsw import HnswGraph
from medembed.index.search_notes import notes_on_count
from medembed.index.snapshot import FEWEST_ROWS, MOST_SPARE_NODES, Snapshot

__all__ = ["search_snapshot", "unit_queries"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def unit_queries(
    queries: npt.ArrayLike | Embeddings, fingerprint: str, dim: int, n_rows: int
) -> Floats:
    """Return queries as unit rows of dimension ``dim``; QueryError if they are none."""
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
    if unit.shape[1] != dim and (n_rows or dim):
        raise QueryError(f"queries have dimension {unit.shape[1]}, the index {dim}")
    return unit


def search_snapshot(
    state: Snapshot,
    queries: Floats,
    k: int,
    allowed: Mask | Collection[str] | None,
    first_pass: Callable[[Snapshot], FirstPass | None],
    lock: threading.RLock,
) -> Hits:
    """Find the ``k`` nearest cases of each query.

    Parameters
    ----------
    state : Snapshot
    queries : float32 array, shape ``(q, d)``, unit rows
    k : int
    allowed
        As in :meth:`CaseIndex.search`.
    first_pass : callable
        Returns codes of a snapshot, and makes them if needed; None if none are to be kept.
    lock : RLock
        Held by whoever changes the graph.
    """
    mask = state.alive if allowed is None else state.mask(allowed)
    matching = len(state) if allowed is None or mask is None else int(mask.sum())
    take = min(k, matching)
    notes = notes_on_count(take, k)

    def best(asked: Floats) -> tuple[Rows, Floats]:
        coded = state.first_pass
        if coded is None and len(asked) <= CODED_QUERIES and state.n_rows >= FEWEST_ROWS:
            coded = first_pass(state)
        return best_rows(asked, state.rows, state.ids, take, mask, coded)

    graph = state.graph
    dropped = len(state) - matching + (graph.n_deleted if graph else 0)
    if take and graph is not None and dropped <= MOST_SPARE_NODES:
        rows, scores, compared, n_exact = _search_graph(
            state, graph, queries, take, dropped, mask, best, lock
        )
        if n_exact and n_exact == len(queries):
            plan = Plan("exact", matching, matching, notes)
        else:
            mean = -(-(compared + n_exact * matching) // max(len(queries), 1))
            plan = Plan("ann", mean, matching, notes, graph.recall)
    elif take:
        rows, scores = best(queries)
        plan = Plan("exact", matching, matching, notes)
    else:
        rows = np.empty((len(queries), 0), dtype=np.intp)
        scores = np.empty((len(queries), 0), dtype=np.float32)
        plan = Plan("exact", 0, 0, notes)
    return Hits(state.ids.names(rows), scores, plan, k)


def _search_graph(
    state: Snapshot,
    graph: HnswGraph,
    queries: Floats,
    take: int,
    dropped: int,
    mask: Mask | None,
    best: Callable[[Floats], tuple[Rows, Floats]],
    lock: threading.RLock,
) -> tuple[Rows, Floats, int, int]:
    """Return rows, scores, how many nodes were compared, and how many queries compared all."""
    rows = np.empty((len(queries), take), dtype=np.intp)
    scores = np.empty((len(queries), take), dtype=np.float32)
    n_exact = 0
    with lock:
        found, compared = graph.candidates(queries, take + dropped)
    for query, near in enumerate(found):
        kept = near[near < state.n_rows]
        near_size = kept.size
        kept = kept if mask is None else kept[mask[kept]]
        # An unconnected graph, or many excluded cases near the query: what lies behind them
        # may be missing, so compare all.
        if kept.size < take or near_size - kept.size > take:
            n_exact += 1
            one, its_scores = best(queries[query : query + 1])
            rows[query], scores[query] = one[0], its_scores[0]
        else:
            rows[query], scores[query] = order_candidates(
                queries[query], state.rows, state.ids, kept, take
            )
    return rows, scores, compared, n_exact
