"""Exposure of groups: sums against plain loops, fair rankings left alone, planted harm found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.audit_gates_exposure import flags

from evaluation.sections import assess_exposure
from evaluation.sections.exposure import _dues, _hand_around, _sight
from evaluation.stats import Minimum
from medembed.errors import InputError


def small_archive(seed: int, n_patients: int = 9, n_queries: int = 12, k: int = 4):
    rng = np.random.default_rng(seed)
    holding = np.repeat(np.arange(n_patients), 1 + rng.integers(0, 3, n_patients))
    asking = rng.integers(0, n_patients, n_queries)
    hits = np.full((n_queries, k), -1)
    for q in range(n_queries):
        others = np.flatnonzero(holding != asking[q])
        depth = rng.integers(0, k + 1) if q else k
        depth = min(depth, len(others))
        hits[q, :depth] = rng.permutation(others)[:depth]
    relevant = rng.random((n_queries, len(holding))) < 0.4
    group = rng.integers(0, 3, len(holding))
    return hits, asking, holding, group, relevant


@pytest.mark.parametrize("seed", range(6))
def test_sums_equal_plain_loops(seed: int) -> None:
    hits, asking, holding, group, relevant = small_archive(seed)
    member = np.eye(3)[group]
    n_items = len(holding)
    given, archive, by_relevance = np.zeros((3, n_items))
    for q in range(len(asking)):
        pool = [i for i in range(n_items) if holding[i] != asking[q]]
        good = [i for i in pool if relevant[q, i]]
        other = [i for i in pool if not relevant[q, i]]
        for rank, hit in enumerate(hits[q]):
            if hit < 0:
                continue
            weight = 1 / np.log2(rank + 2)
            given[hit] += weight
            archive[pool] += weight / len(pool)
            alike = good if relevant[q, hit] else other
            by_relevance[alike] += weight / len(alike)
    weight = _sight(hits).sum(axis=1)
    declared = _dues(hits, member, asking, holding, relevant, None)
    for found in (declared, _dues(hits, member, asking, holding, None, None)):
        np.testing.assert_allclose(found.given, given, atol=1e-12)
        np.testing.assert_allclose(found.archive, archive, atol=1e-12)
        np.testing.assert_allclose(found.query_given.sum(axis=0), given @ member, atol=1e-12)
        np.testing.assert_allclose(weight @ found.pool_share, archive @ member, atol=1e-12)
    np.testing.assert_allclose(declared.relevance, by_relevance, atol=1e-12)
    total = declared.query_relevance.sum(axis=0)
    np.testing.assert_allclose(total, by_relevance @ member, atol=1e-12)


def ratios(seed: int = 0, **more):
    hits, asking, holding, group, _ = small_archive(seed, 60, 90, 5)
    return assess_exposure(
        hits, asking, holding, {"made": [f"g{g}" for g in group]}, permutations=199,
        repetitions=200, **more,
    )  # fmt: skip


def test_ratio_is_share_shown_over_share_of_the_archive() -> None:
    found = ratios()
    for row in found.rows:
        assert row.ratio == pytest.approx(row.exposure / row.share_archive, rel=1e-12)
        assert row.ci_low < row.ratio < row.ci_high
        assert row.null_low < 1.3
    assert sum(row.exposure for row in found.rows) == pytest.approx(1.0)
    assert sum(row.top_k for row in found.rows) == pytest.approx(1.0)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_rerun_is_the_same_to_the_bit_and_patients_names_do_not_matter() -> None:
    hits, asking, holding, group, _ = small_archive(3, 60, 90, 5)
    rename = np.random.default_rng(0).permutation(60)
    groups = {"made": group}

    def run(a, b):
        return assess_exposure(hits, a, b, groups, permutations=199, repetitions=200)

    assert run(asking, holding) == run(asking, holding)
    for one, two in zip(run(asking, holding).rows, run(rename[asking], rename[holding]).rows,
                        strict=True):  # fmt: skip
        assert one.ratio == pytest.approx(two.ratio, abs=1e-12)
        assert one.p == pytest.approx(two.p, abs=0.12)


def test_equal_dues_stay_together_however_they_were_added_up() -> None:
    rng = np.random.default_rng(3)
    due = np.repeat([1.0, 2.0], 120)
    residual, group = rng.normal(size=240), np.arange(240) % 2
    added_up = due * (1 + rng.integers(-2, 3, 240) * np.finfo(float).eps)
    exact, noisy = (_hand_around(residual, x, group, 2, 99, 0) for x in (due, added_up))
    np.testing.assert_allclose(noisy, exact, atol=1e-12)


def test_base_rates_alone_are_no_finding_once_relevance_is_declared() -> None:
    # Every relevant item is shown: the group with fewer relevant ones is shown less, as it should.
    rng = np.random.default_rng(2)
    n = 80
    good = np.concatenate([np.arange(40) < 8, np.arange(40) < 32])
    group = np.repeat(["few", "many"], 40)
    hits = np.array([rng.permutation(np.flatnonzero(good & (np.arange(n) != q)))[:20]
                     for q in range(n)])  # fmt: skip
    relevant = np.tile(good, (n, 1))
    rows = assess_exposure(
        hits, range(n), range(n), {"made": group}, relevant=relevant, permutations=499,
        repetitions=200,
    ).rows  # fmt: skip
    assert rows[0].ratio < 0.6
    assert rows[0].p_archive < 0.01
    assert rows[0].ratio_given_relevance == pytest.approx(1.0, abs=0.05)
    assert rows[0].p > 0.05


def test_small_groups_show_nothing() -> None:
    hits, asking, holding, _, _ = small_archive(1, 60, 90, 5)
    labels = np.where(holding < 5, "tiny", np.where(holding < 30, "some", "most"))
    found = assess_exposure(
        hits, asking, holding, {"made": labels}, permutations=99, repetitions=200
    )
    rows = {row.group: row for row in found.rows}
    tiny = rows["tiny"].to_json()
    assert tiny["precision"] == "suppressed"
    assert tiny["verdict"] == "not_assessable"
    assert {name for name, value in tiny.items() if isinstance(value, int | float)} == set()
    assert (rows["some"].n_patients, rows["most"].n_patients) == (25, 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hits": [[0, 0]] * 12}, "own patient|twice"),
        ({"hits": [[99]] * 12}, "outside the gallery"),
        ({"hits": [[-1]] * 12}, "no query has a hit"),
        ({"hits": [[0.5]] * 12}, "whole numbers"),
        ({"gallery_groups": {}}, "no attribute"),
        ({"gallery_groups": {"sex": ["F"]}}, "'sex'"),
        ({"excluded": np.ones((12, 9), bool)}, "excluded|pool"),
        ({"permutations": 3}, "99"),
    ],
)
def test_what_does_not_fit_is_refused(change, message) -> None:
    asked = {
        "hits": [[(q + 1) % 9] for q in range(12)],
        "query_patients": [q % 9 for q in range(12)],
        "gallery_patients": range(9),
        "gallery_groups": {"sex": ["F", "M", ""] * 3},
    } | change
    with pytest.raises(InputError, match=message):
        assess_exposure(**asked)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 14), st.integers(1, 5),
       st.booleans())  # fmt: skip
def test_any_ranking_gives_a_verdict_or_a_clear_error(seed, n_patients, n_queries, k, declared):
    hits, asking, holding, group, relevant = small_archive(seed, n_patients, n_queries, k)
    labels = np.array(["", "b", "c"])[group]
    try:
        found = assess_exposure(
            hits, asking, holding, {"made": labels, "one": ["x"] * len(labels)}, permutations=99,
            relevant=relevant if declared else None, repetitions=200,
            minimum=Minimum(reported=2, precise=4),
        )  # fmt: skip
    except InputError:
        return
    for row in found.to_json()["rows"]:
        json.dumps(row, allow_nan=False)
        assert row["verdict"] in ("within", "exceeds", "differs", "inconclusive", "not_assessable")
        assert row["reason"]
        if row["precision"] == "suppressed" or row["group"] == "x":
            assert row["verdict"] == "not_assessable"


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["fair", "fair with hubs", "fair given relevance"])
def test_fair_rankings_are_flagged_once_in_twenty(setting: str) -> None:
    found = flags(setting, 120, 1, 400, permutations=199)
    assert found["flagged_p"] <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 120)
    assert found["flagged_verdict"] <= found["flagged_p"]
    if "relevance" in setting:
        assert found["flagged_by_archive_share"] > 0.3


@pytest.mark.slow
def test_a_group_shown_four_fifths_as_much_is_found() -> None:
    found = flags("planted", 20, 2, 2000, permutations=199)
    assert found["flagged_verdict"] >= 0.9
    assert found["ratio_mean"] == pytest.approx(0.81, abs=0.02)
