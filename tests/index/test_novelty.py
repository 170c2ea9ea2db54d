"""The rule for "nothing like it here", against a slow reading of its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import FingerprintError, InputError
from medembed.index import NoveltyThresholds, calibrate
from medembed.index.novelty import best_of_others


def random_embeddings(n, dim, seed):
    rng = np.random.default_rng(seed)
    return Embeddings([f"c{i}" for i in range(n)], unit_rows(rng.normal(size=(n, dim))), "m")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 1000))
def test_the_best_of_others_is_what_two_loops_find(n, people, seed) -> None:
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng.normal(size=(n, 3)))
    owners = rng.integers(0, people, n)
    queries = unit_rows(rng.normal(size=(5, 3)))
    asking = rng.integers(0, people + 1, 5)
    got = best_of_others(queries, asking, rows, owners)
    for q in range(5):
        others = [float(queries[q] @ rows[i]) for i in range(n) if owners[i] != asking[q]]
        assert got[q] == pytest.approx(max(others, default=-np.inf), abs=1e-6)


def test_about_one_in_a_hundred_of_the_librarys_own_cases_lies_below() -> None:
    images = random_embeddings(1000, 6, 1)
    patients = {name: f"p{i // 4}" for i, name in enumerate(images.case_ids)}
    novelty = calibrate(images, None, patients)
    owners = np.arange(1000) // 4
    best = best_of_others(images.vectors, owners, images.vectors, owners)
    below = int((best < novelty.thresholds["image"]).sum())
    assert 5 <= below <= 10
    assert novelty.n_queries == {"image": 1000}
    assert novelty.is_novel("image", 0.0) is True
    assert novelty.is_novel("image", 1.0) is False
    assert novelty.is_novel("text", 0.0) is None


def test_text_and_mixture_are_drawn_from_the_notes() -> None:
    images, notes = random_embeddings(300, 5, 1), random_embeddings(300, 5, 2)
    patients = {name: name for name in images.case_ids}
    novelty = calibrate(images, notes, patients)
    assert set(novelty.thresholds) == {"image", "text", "both"}
    owners = np.arange(300)
    mixed = unit_rows(images.vectors + notes.vectors)
    ranks = {name: i for i, name in enumerate(sorted(patients))}
    owners = np.array([ranks[name] for name in images.case_ids])
    best = best_of_others(mixed, owners, images.vectors, owners)
    assert novelty.thresholds["both"] == pytest.approx(np.sort(best)[2], abs=1e-6)


def test_it_cannot_be_said_with_too_few_cases_or_a_single_patient() -> None:
    few = random_embeddings(99, 4, 1)
    assert not calibrate(few, None, {name: name for name in few.case_ids}).thresholds
    alone = random_embeddings(500, 4, 1)
    assert not calibrate(alone, None, dict.fromkeys(alone.case_ids, "p")).thresholds


def test_the_order_of_adding_does_not_choose_the_sample() -> None:
    images = random_embeddings(2500, 4, 3)
    turned = Embeddings(images.case_ids[::-1], images.vectors[::-1], "m")
    patients = {name: name for name in images.case_ids}
    one, other = calibrate(images, None, patients), calibrate(turned, None, patients)
    assert one.n_queries == {"image": 2000}
    assert one.thresholds["image"] == pytest.approx(other.thresholds["image"], abs=1e-6)


def test_nineteen_in_twenty_notes_have_the_fewest_words_or_more() -> None:
    images = random_embeddings(200, 4, 1)
    lengths = {name: 5 + i for i, name in enumerate(images.case_ids)}
    patients = {name: name for name in images.case_ids}
    novelty = calibrate(images, images, patients, lambda names: [lengths[n] for n in names])
    assert sum(length >= novelty.fewest_words for length in lengths.values()) >= 190
    assert novelty.fewest_words == 14


def test_notes_of_another_model_are_refused() -> None:
    images = random_embeddings(3, 4, 1)
    other = Embeddings(images.case_ids, images.vectors, "other")
    with pytest.raises(FingerprintError):
        calibrate(images, other, {name: name for name in images.case_ids})


def test_a_calibration_survives_json_and_a_broken_one_is_refused() -> None:
    novelty = NoveltyThresholds({"image": 0.5}, {"image": 120}, 7)
    assert NoveltyThresholds.from_json(novelty.to_json()).to_json() == novelty.to_json()
    for broken in ({}, {"thresholds": 3, "n_queries": {}}, {"thresholds": {"a": "x"}}):
        with pytest.raises(InputError):
            NoveltyThresholds.from_json(broken)
