"""Pooling of several images: padding is not seen, order does not matter, nothing may be missing."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medembed.encoders.study_images import VIEWS, ScanSource, StudyBatch, StudyImages, view_code
from medembed.encoders.study_pooling import (
    Elements,
    HeaderWords,
    StudySettings,
    study_pooling,
)
from medembed.errors import ConfigError

DIM = 12
KINDS = ("attention", "resampler")
MEAN = StudySettings(kind="mean")


def pooling(kind: str, **settings: object) -> nn.Module:
    torch.manual_seed(1)
    built = study_pooling(DIM, StudySettings(kind=kind, width=16, heads=2, **settings))
    with torch.no_grad():  # else it is the mean
        nn.init.normal_(built.query.weight if kind == "resampler" else built.weight.weight)
    return built.eval()


def elements(n: int = 3, m: int = 4, seed: int = 0) -> Elements:
    draw = torch.Generator().manual_seed(seed)
    return Elements(
        torch.randn(n, m, DIM, generator=draw),
        torch.ones(n, m, dtype=torch.bool),
        torch.randint(len(VIEWS), (n, m), generator=draw),
        torch.rand(n, m, generator=draw),
        400 * torch.rand(n, m, generator=draw).round(),
        torch.randint(6, (n, m, 3), generator=draw),
    )


def taken(given: Elements, order: list[int]) -> Elements:
    return Elements(*(getattr(given, f.name)[:, order] for f in fields(given)))


@pytest.mark.parametrize("kind", ["mean", *KINDS])
def test_the_order_of_the_images_does_not_matter(kind):
    pool, given = pooling(kind) if kind in KINDS else study_pooling(DIM, MEAN), elements()
    torch.testing.assert_close(pool(given), pool(taken(given, [2, 0, 3, 1])))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_as_good_as_nothing(kind):
    pool, given = pooling(kind), elements()
    present = given.present.clone()
    present[:, 2:] = False
    vectors = given.vectors.clone()
    vectors[:, 2:] = 1e4
    some = replace(given, vectors=vectors, present=present)
    torch.testing.assert_close(pool(some), pool(taken(given, [0, 1])))


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_pooling_is_the_mean(kind):
    built = study_pooling(DIM, StudySettings(kind=kind, width=16, heads=2))
    given = elements()
    own = replace(given, gap_days=torch.zeros_like(given.gap_days))
    torch.testing.assert_close(built(own), own.mean())
    far = (built(given) - given.mean()).norm() / given.mean().norm()
    assert far < 0.1  # earlier studies hardly count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["view", "place", "gap_days"])
def test_view_place_and_time_are_read(kind, field):
    pool, given = pooling(kind), elements()
    old = getattr(given, field)
    changed = (old + 1) % len(VIEWS) if field == "view" else 0.3 * old + 0.1 * (old > 0)
    assert not torch.allclose(pool(given), pool(replace(given, **{field: changed})))


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_image_is_pooled(kind):
    pool, given = pooling(kind), taken(elements(), [0])
    assert pool(given).isfinite().all()
    torch.testing.assert_close(pool(given), given.vectors[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_weight(kind):
    pool = pooling(kind).train()
    pool(elements()).square().sum().backward()
    missed = [name for name, p in pool.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missed


def test_the_mean_is_that_of_the_own_images():
    given = elements(n=1, m=3)
    gaps = torch.tensor([[0.0, 30.0, 0.0]])
    own = given.vectors[:, [0, 2]].mean(dim=1)
    torch.testing.assert_close(replace(given, gap_days=gaps).mean(), own)
    only_priors = replace(given, gap_days=torch.full((1, 3), 30.0))
    torch.testing.assert_close(only_priors.mean(), given.vectors.mean(dim=1))


def test_leaving_out_images_always_keeps_one():
    torch.manual_seed(0)
    thin = elements(n=200).thinned(0.95).present
    assert thin.any(dim=1).all()
    assert 1 <= thin.sum(dim=1).float().mean() < 1.3
    padded = replace(elements(n=200), present=torch.tensor([[True, False, False, False]] * 200))
    assert torch.equal(padded.thinned(0.95).present, padded.present)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_attention_and_resampler_learn_what_the_mean_cannot(kind):
    """The target is one view's features; the mean mixes both."""
    torch.manual_seed(0)
    pool = study_pooling(DIM, StudySettings(kind=kind, width=32, heads=4))
    given = elements(n=256, m=2, seed=3)
    view = torch.tensor([[1, 3]] * 256)
    given = replace(given, view=view, gap_days=torch.zeros(256, 2))
    target = given.vectors[:, 0]
    optimizer = torch.optim.Adam(pool.parameters(), lr=3e-3)
    of_mean = given.mean()
    for _ in range(200):
        optimizer.zero_grad()
        loss = (pool(given) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * (of_mean - target).square().mean()


def test_scans_of_a_case_become_one_row_of_a_batch():
    frontal = StudyImages.of_scan(7, 1, ScanSource("PA", "DX"))
    stack = StudyImages.of_scan(20, 3, ScanSource("unknown", "CT")).before(90)
    batch = StudyBatch.of([StudyImages.joined([frontal, stack]), frontal])
    assert batch.rows.tolist() == [[7, 20, 21, 22], [7, -1, -1, -1]]
    assert batch.present.sum() == 5
    assert [VIEWS[v] for v in batch.view[0]] == ["PA", "slice", "slice", "slice"]
    assert batch.place[0].tolist() == [0.5, 0.0, 0.5, 1.0]
    assert batch.gap_days[0].tolist() == [0, 90, 90, 90]
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    spread = batch.spread(vectors)
    assert spread[1].tolist() == [[8, 9], [0, 0], [0, 0], [0, 0]]
    torch.testing.assert_close(
        Elements.of(batch, torch.from_numpy(vectors)).vectors, torch.from_numpy(spread)
    )
    assert batch.of_cases(np.array([1])).rows.tolist() == [[7, -1, -1, -1]]
    assert batch.header.tolist() == [
        [[1, 1, 0], [0, 2, 0], [0, 2, 0], [0, 2, 0]],
        [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]


def test_views_that_mean_the_same_have_one_code():
    assert view_code("LATERAL") == view_code("LL") != view_code("RL")
    assert view_code("RAO") == view_code("LAO") == VIEWS.index("oblique")
    assert view_code("whatever") == view_code("") == 0
    assert VIEWS[view_code("unknown", "XA", 12)] == "frame"


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValidationError, match="heads must divide the width"):
        StudySettings(width=30, heads=4)
    with pytest.raises(ConfigError, match="5 heads do not divide 12 dimensions"):
        study_pooling(DIM, StudySettings(kind="attention", width=30, heads=5))


def header_words(dropout: float = 0.0) -> HeaderWords:
    torch.manual_seed(2)
    words = HeaderWords(DIM, dropout)
    with torch.no_grad():  # as if trained; what is unknown stays zero
        for each in words.words:
            each.weight[1:] = torch.randn(each.weight[1:].shape)
    return words.eval()


def test_a_header_adds_nothing_before_training():
    given = elements()
    assert torch.equal(HeaderWords(DIM, 0.2).eval()(given).vectors, given.vectors)


@pytest.mark.parametrize("kind", ["mean", *KINDS])
def test_an_unknown_header_is_none_to_the_bit(kind):
    pool, words = pooling(kind) if kind in KINDS else study_pooling(DIM, MEAN), header_words()
    without = replace(elements(), header=None)
    unknown = replace(without, header=torch.zeros(3, 4, 3, dtype=torch.int64))
    assert torch.equal(pool(words(unknown)), pool(without))
    assert torch.equal(pool(words(without)), pool(without))


@pytest.mark.parametrize("word", range(3))
@pytest.mark.parametrize("kind", ["mean", *KINDS])
def test_each_word_of_a_header_counts_and_those_of_padding_do_not(kind, word):
    pool, words = pooling(kind) if kind in KINDS else study_pooling(DIM, MEAN), header_words()
    given = elements()
    given = replace(given, present=given.present.clone())
    given.present[:, 3] = False
    before = pool(words(given))
    other = given.header.clone()
    other[:, 3, word] += 1
    torch.testing.assert_close(pool(words(replace(given, header=other))), before)
    other[:, 1, word] += 1
    assert not torch.allclose(pool(words(replace(given, header=other))), before, atol=1e-3)


def test_a_header_weighs_the_same_beside_vectors_of_any_length():
    words, given = header_words(), elements()
    long = replace(given, vectors=100 * given.vectors)
    torch.testing.assert_close(words(long).vectors, 100 * words(given).vectors)


def test_what_is_unknown_is_not_learned():
    words = HeaderWords(DIM, 0.0).train()
    optimizer = torch.optim.AdamW(words.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (words(elements(n=40)).vectors - 1).square().sum().backward()
        optimizer.step()
    for each in words.words:
        assert not each.weight[0].any()
        assert each.weight[1:6].any(dim=1).all()
        assert not each.weight[6:].any()  # names that no case has say nothing


def test_in_training_some_cases_are_read_without_their_headers():
    words, given = header_words(dropout=0.3), elements(n=400)
    given.header.clamp_(min=1)
    torch.manual_seed(0)
    changed = (words.train()(given).vectors != given.vectors).any(dim=-1)
    assert torch.equal(changed.any(dim=1), changed.all(dim=1))  # all images of a case, or none
    assert 0.6 < changed.float().mean() < 0.8
    assert (words.eval()(given).vectors != given.vectors).any(dim=-1).all()
