"""Lists of hits are those of a slow search, and their likeness is what the definitions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.retrieval.relevance import Matrix
from evaluation.shadow import neighbors
from evaluation.shadow.neighbors import first_kept, nearest, overlap, rank_biased_overlap
from medembed.embeddings import unit_rows


@pytest.mark.parametrize("k", [1, 4, 9, 30])
@pytest.mark.parametrize("cells", [1, 8_000_000])
def test_the_nearest_are_those_of_a_slow_search(
    k: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbors, "_CELLS", cells)
    rng = np.random.default_rng(k)
    # few distinct directions, so that many scores tie
    gallery = unit_rows(rng.integers(-1, 2, (23, 3)).astype(np.float32) + 0.01)
    queries = unit_rows(rng.normal(size=(7, 3)).astype(np.float32))
    left_out = rng.random((7, 23)) < 0.3
    left_out[2] = True
    left_out[3, 4:] = True
    found = nearest(queries, gallery, Matrix(left_out), k)
    scores = (queries.astype(float) @ gallery.astype(float).T).round(5)
    for row in range(7):
        allowed = [i for i in range(23) if not left_out[row, i]]
        slow = sorted(allowed, key=lambda i: (-scores[row, i], i))[:k]
        assert found[row].tolist() == slow + [-1] * (k - len(slow))


@given(st.permutations(range(12)), st.permutations(range(12)), st.integers(1, 12))
def test_likeness_is_what_the_definitions_say(one: list[int], other: list[int], k: int) -> None:
    a, b = np.array([one[:k]]), np.array([other[:k]])
    assert overlap(a, b)[0] == pytest.approx(len(set(one[:k]) & set(other[:k])) / k)
    assert first_kept(a, b)[0] == (one[0] == other[0])
    p = 0.9
    shares = [len(set(one[:i]) & set(other[:i])) / i for i in range(1, k + 1)]
    expected = shares[-1] * p**k + (1 - p) / p * sum(
        share * p**i for i, share in enumerate(shares, 1)
    )
    assert rank_biased_overlap(a, b)[0] == pytest.approx(expected)
    assert rank_biased_overlap(a, a)[0] == pytest.approx(1)


def test_lists_without_an_item_have_no_likeness() -> None:
    none = np.full((1, 3), -1)
    assert np.isnan([overlap(none, none)[0], first_kept(none, none)[0]]).all()
