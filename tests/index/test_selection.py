"""Selectors hold for every kind of index that may be given one, with the FAISS at hand."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from medembed.errors import InternalError
from medembed.index import selection
from medembed.index.selection import TESTED, search_selected

N, DIM, K = 3000, 32, 10


def vectors(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def made(kind: str) -> faiss.Index:
    if kind == "IndexFlatIP":
        index = faiss.IndexFlatIP(DIM)
    elif kind == "IndexScalarQuantizer":
        index = faiss.IndexScalarQuantizer(
            DIM, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
        )
        index.train(vectors(N, 1))
    else:
        pytest.fail(f"{kind} is listed and not tried here")
    index.add(vectors(N, 1))
    return index


@pytest.mark.parametrize("kind", sorted(TESTED))
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("where", ["random", "near", "far"])
def test_a_mask_is_obeyed_and_misses_nothing(kind: str, share: float, where: str) -> None:
    index, gallery, queries = made(kind), vectors(N, 1), vectors(50, 2)
    held = np.array([index.reconstruct(i) for i in range(N)])
    rng = np.random.default_rng(3)
    for query in queries:
        scores = held.astype(np.float64) @ query
        order = {"random": rng.permutation(N), "near": np.argsort(-scores)}.get(
            where, np.argsort(scores)
        )
        mask = np.zeros(N, dtype=bool)
        mask[order[: max(1, int(share * N))]] = True
        found, rows = search_selected(index, query[np.newaxis], K, mask)
        own = rows[0][rows[0] >= 0]
        take = min(K, int(mask.sum()))
        assert own.size == take
        assert mask[own].all()
        best = np.sort(scores[mask])[::-1][:take]
        assert np.allclose(found[0][:take], best, atol=1e-5)
    assert gallery.shape == (N, DIM)


def test_a_kind_that_was_not_tried_gets_no_filter() -> None:
    index = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors(100, 1))
    with pytest.raises(InternalError, match="IndexHNSWFlat"):
        search_selected(index, vectors(1, 2), 3, np.ones(100, dtype=bool))


def test_an_answer_outside_the_filter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """HNSW with an unbounded queue ignores its selector (faiss issue 5504)."""

    class Deaf:
        def search(self, queries, k, params=None):
            return np.zeros((1, k), np.float32), np.arange(k)[np.newaxis]

    monkeypatch.setattr(selection, "TESTED", frozenset({"Deaf"}))
    mask = np.zeros(100, dtype=bool)
    mask[50:] = True
    with pytest.raises(InternalError, match="excludes"):
        search_selected(Deaf(), vectors(1, 2), 3, mask)
