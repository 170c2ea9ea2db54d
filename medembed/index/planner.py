"""Choose how an index searches: by its size, by what may be missed, and by what was measured.

Chosen once, when an index is made or written anew. A search measures no time and decides nothing by
it, so that the same query has the same answer.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from medembed.index import choice
from medembed.index.choice import Budget, Choice, Reason
from medembed.index.first_pass import FirstPass
from medembed.index.graph_recall import K, measured_recalls, own_queries
from medembed.index.hnsw import EF_SEARCH, graph_bytes
from medembed.index.searching import search_snapshot
from medembed.index.snapshot import FEWEST_ROWS, IndexKind, Snapshot, with_graph

__all__ = ["NoteVectors", "planned"]

Floats = npt.NDArray[np.float32]

NoteVectors = Callable[[int], Floats]
"""Given a number, returns the vectors of up to so many notes, shape ``(q, d)``."""

_TIMED = 7
_MIB = 1 << 20


def planned(
    state: Snapshot, kind: IndexKind, budget: Budget, notes: NoteVectors | None = None
) -> tuple[Snapshot, Choice]:
    """Return a snapshot that is searched within a budget, as far as can be, and why so.

    Parameters
    ----------
    state : Snapshot
        Its graph is made anew, or dropped.
    kind : {"auto", "exact", "hnsw"}
    budget : Budget
    notes : callable, optional
        As :data:`NoteVectors`: recall is measured on these, too.
    """
    n, dim = len(state), state.rows.shape[1]
    vectors, extra = 4 * n * dim / _MIB, n * dim / _MIB if n >= FEWEST_ROWS else 0.0
    codes = budget.allows(vectors + extra)
    plain = Choice("exact", Reason.ASKED, budget, codes, vectors + extra * codes)
    state = replace(state, graph=None, first_pass=state.first_pass if codes else None)

    if kind == "exact":
        return state, plain
    if kind == "auto":
        state, plain = _compared_with_budget(state, plain)
    elif budget.min_recall == 1:
        plain = replace(plain, reason=Reason.EXACT_ASKED)
    if plain.reason not in (Reason.ASKED, Reason.TOO_SLOW):
        return state, plain

    links = graph_bytes(n, dim) / _MIB
    if not budget.allows(vectors + links):
        return state, replace(plain, reason=Reason.NO_MEMORY, graph_mib=vectors + links)
    if not budget.allows(vectors + extra + links):
        codes, extra = False, 0.0
    chosen = replace(plain, kind="hnsw", codes=codes, mib=vectors + extra + links)
    graphed, chosen = _measured(
        with_graph(state if codes else replace(state, first_pass=None), graphed=True), chosen, notes
    )
    if not chosen.finds_enough:
        refused = replace(plain, reason=Reason.RECALL_TOO_LOW, recalls=chosen.recalls)
        return state, replace(refused, ef_search=chosen.ef_search)
    return graphed, chosen


def _compared_with_budget(state: Snapshot, plain: Choice) -> tuple[Snapshot, Choice]:
    """Return why all cases are compared, or TOO_SLOW; the codes that this took are kept."""
    budget, n = plain.budget, len(state)
    if n <= choice.LARGE:
        return state, replace(plain, reason=Reason.FEW_CASES)
    if budget.min_recall in (None, 1):
        return state, replace(plain, reason=Reason.EXACT_ASKED)
    if budget.max_latency_ms is None:
        return state, replace(plain, reason=Reason.NO_TIME_LIMIT)
    if plain.codes and state.first_pass is None and n >= FEWEST_ROWS:
        state = replace(state, first_pass=FirstPass.build(state.rows))
    took = exact_ms(state)
    reason = Reason.FAST_ENOUGH if took <= budget.max_latency_ms else Reason.TOO_SLOW
    return state, replace(plain, reason=reason, exact_ms=took)


def _measured(
    state: Snapshot, chosen: Choice, notes: NoteVectors | None
) -> tuple[Snapshot, Choice]:
    """Measure the graph in one way after the other, until one finds as much as asked for."""
    graph = state.graph
    if graph is None:  # no case yet
        return state, chosen
    scans = own_queries(state)
    texts = np.empty((0, 0), dtype=np.float32) if notes is None else notes(len(scans))
    for ef_search in EF_SEARCH:
        state = replace(state, graph=graph.measured(ef_search, None))
        recalls = measured_recalls(state, scans, "scans", _codes)
        if texts.size and texts.shape[1] == state.rows.shape[1]:
            recalls += measured_recalls(state, texts, "notes", _codes)
        chosen = replace(chosen, ef_search=ef_search, recalls=recalls)
        if chosen.finds_enough:
            break
    return replace(state, graph=graph.measured(ef_search, chosen.recall)), chosen


def _codes(state: Snapshot) -> FirstPass | None:
    return state.first_pass


def exact_ms(state: Snapshot) -> float:
    """Return the median time of an exact search for one query, in milliseconds."""
    lock, spent = threading.RLock(), []
    for query in own_queries(state, _TIMED):
        before = time.perf_counter()
        search_snapshot(state, query[np.newaxis], K, None, _codes, lock)
        spent.append(1000 * (time.perf_counter() - before))
    return statistics.median(spent)
