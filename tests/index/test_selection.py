"""Selectors hold in every call that may be given one, with the FAISS at hand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from medembed.errors import InternalError
from medembed.index import selection
from medembed.index.selection import TESTED, nearest_selected

N, DIM, K = 3000, 32, 10


def vectors(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("call", sorted(TESTED))
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("where", ["random", "near", "far"])
@pytest.mark.parametrize("n_queries", [1, 4])
def test_a_mask_is_obeyed_and_misses_nothing(
    call: str, share: float, where: str, n_queries: int
) -> None:
    gallery, rng = vectors(N, 1), np.random.default_rng(3)
    for queries in vectors(48, 2).reshape(-1, n_queries, DIM):
        scores = gallery.astype(np.float64) @ queries.T
        order = np.argsort(-scores[:, 0])
        order = {"random": rng.permutation(N), "near": order}.get(where, order[::-1])
        mask = np.zeros(N, dtype=bool)
        mask[order[: max(1, int(share * N))]] = True
        take = min(K, int(mask.sum()))
        found, rows = nearest_selected(queries, gallery, take, mask, call)
        assert rows.shape == (n_queries, take)
        assert mask[rows].all()
        best = np.sort(scores[mask], axis=0)[::-1][:take].T
        assert np.allclose(found, best, atol=1e-5)
        assert np.allclose(np.take_along_axis(scores.T, rows, axis=1), best, atol=1e-5)


def test_a_call_that_was_not_tried_gets_no_filter() -> None:
    with pytest.raises(InternalError, match="hnsw"):
        nearest_selected(vectors(1, 2), vectors(100, 1), 3, np.ones(100, dtype=bool), "hnsw")


@pytest.mark.parametrize("rows", [[0, 1, 2], [-1, 60, 70], [60, 70, 100]])
def test_an_answer_outside_the_filter_is_refused(
    rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HNSW with an unbounded queue ignores its selector (faiss issue 5504)."""

    def deaf(faiss, queries, gallery, scores, found, selector):
        found[:] = rows

    monkeypatch.setitem(selection.TESTED, "deaf", deaf)
    mask = np.zeros(100, dtype=bool)
    mask[50:] = True
    with pytest.raises(InternalError, match="excludes"):
        nearest_selected(vectors(1, 2), vectors(100, 1), 3, mask, "deaf")


def test_a_filter_reaches_faiss_beside_other_swig_modules() -> None:
    """SimpleITK's SWIG types are those of the whole process (see ``faiss_bytes``)."""
    code = (
        "import SimpleITK, numpy as np\n"
        "from medembed.index.selection import nearest_selected\n"
        "rows = np.eye(8, dtype=np.float32)\n"
        "mask = np.arange(8) % 2 == 0\n"
        "print(nearest_selected(rows[4:5], rows, 1, mask)[1])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "[[4]]", ran.stderr
