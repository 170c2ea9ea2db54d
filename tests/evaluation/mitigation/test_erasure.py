"""Erasure: a linear reader finds nothing, no eraser changes vectors less, and unit length holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fairlearn.preprocessing import CorrelationRemover
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from evaluation.mitigation.erasure import (
    CorrelationErasure,
    erase_unit,
    fit_leace,
    linear_trace,
)
from medembed.errors import InputError


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def vectors(seed: int, n: int = 1500, dim: int = 16, groups: tuple[str, ...] = ("F", "M")):
    """Vectors with spread of their own in each direction and each group's own shift."""
    rng = np.random.default_rng(seed)
    shape = np.random.default_rng(99)
    mix = shape.normal(size=(dim, dim)) * np.linspace(0.3, 2, dim)
    shift = shape.normal(size=(len(groups), dim)) * 1.5
    which = rng.integers(0, len(groups), n)
    return rng.normal(size=(n, dim)) @ mix + shift[which] @ mix / 2, np.array(groups)[which]


def cross(x, groups) -> float:
    z = (groups[:, None] == np.unique(groups)).astype(float)
    return float(np.abs((x - x.mean(0)).T @ (z - z.mean(0)) / len(x)).max())


def auc(train, train_group, test, test_group) -> float:
    probe = LogisticRegression(C=1e3, max_iter=2000).fit(train, train_group == "F")
    return float(roc_auc_score(test_group == "F", probe.decision_function(test)))


def test_no_covariance_is_left_and_a_linear_reader_learns_nothing() -> None:
    x, group = vectors(0, groups=("F", "M", ""))
    assert cross(x, group) > 0.1
    erased = fit_leace(x, group).apply(x)
    assert cross(erased, group) < 1e-10
    probe = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8, solver="newton-cg")
    read = log_loss(group, probe.fit(erased, group).predict_proba(erased))
    shares = np.unique(group, return_counts=True)[1] / len(group)
    assert read == pytest.approx(-np.sum(shares * np.log(shares)), abs=1e-6)  # as a constant does
    assert log_loss(group, probe.fit(x, group).predict_proba(x)) < read - 0.1
    assert linear_trace(erased, group) < 1e-20


def test_no_other_linear_eraser_changes_the_vectors_less() -> None:
    x, group = vectors(1, groups=("F", "M", "unknown"))
    centred = x - x.mean(0)
    z = (group[:, None] == np.unique(group)).astype(float)
    sigma = centred.T @ (z - z.mean(0)) / len(x)
    least = np.mean((fit_leace(x, group).apply(x) - x) ** 2)
    rng = np.random.default_rng(2)
    basis = np.linalg.svd(sigma)[0][:, :2]
    others = [np.eye(16), *(rng.normal(size=(16, 16)) for _ in range(30))]
    for metric in others:  # A = B (C B)^+ C erases for every C that keeps the rank
        c = basis.T @ metric
        a = basis @ np.linalg.solve(c @ basis, c)
        erased = x - centred @ a.T
        assert cross(erased, group) < 1e-8
        assert np.mean((erased - x) ** 2) >= least - 1e-12


def test_vectors_without_the_attribute_and_dimensions_without_spread_are_kept() -> None:
    rng = np.random.default_rng(3)
    x, group = vectors(3)
    wide = np.concatenate([x, np.zeros((len(x), 4))], axis=1)
    np.testing.assert_allclose(
        fit_leace(wide, group).apply(wide)[:, :16], fit_leace(x, group).apply(x), atol=1e-8
    )
    far = rng.normal(size=(50, 16))
    eraser = fit_leace(x, group)
    np.testing.assert_allclose(eraser.apply(eraser.apply(far)), eraser.apply(far), atol=1e-9)


def test_unit_length_undoes_one_erasure_and_refitting_mends_it() -> None:
    x, group = vectors(4, 4000)
    train, test = slice(0, 2000), slice(2000, 4000)
    once = fit_leace(unit(x[train]), group[train])
    renormed = unit(once.apply(unit(x)))
    assert linear_trace(renormed[train], group[train]) > 1e-5
    fit = erase_unit(x[train], group[train])
    searched = fit.apply(x)
    np.testing.assert_allclose(np.linalg.norm(searched, axis=1), 1)
    assert fit.trace[-1] <= 1e-6 < 1e-5 < fit.trace[1] < fit.trace[0]
    before = auc(unit(x)[train], group[train], unit(x)[test], group[test])
    after = auc(searched[train], group[train], searched[test], group[test])
    assert before > 0.8
    assert after == pytest.approx(0.5, abs=0.04)  # standard error .013


def test_the_other_erasure_is_fairlearns_brought_to_unit_length() -> None:
    x, group = vectors(5, groups=("F", "M", "unknown"))
    found = CorrelationErasure.fit(x, group)
    once = replace(found, slopes=found.slopes[:1])
    z = (group[:, None] == np.unique(group)).astype(float)
    both = np.concatenate([z, unit(x)], axis=1)
    golden = CorrelationRemover(sensitive_feature_ids=[0, 1, 2]).fit_transform(both)
    np.testing.assert_allclose(once.apply(x, group), unit(golden), atol=1e-10)
    assert found.trace[-1] <= 1e-6 < found.trace[0]
    unseen = found.apply(x[:3], ["other"] * 3)
    np.testing.assert_allclose(unseen, unit(x[:3]), atol=1e-12)


def test_trace_is_what_lies_between_the_means() -> None:
    x, group = vectors(6, 200)
    between = sum(
        (group == g).sum() * ((x[group == g].mean(0) - x.mean(0)) ** 2).sum() for g in "FM"
    )
    assert linear_trace(x, group) == pytest.approx(between / ((x - x.mean(0)) ** 2).sum())
    assert np.isnan(linear_trace(np.ones((2, 2)), ["F", "M"]))


def test_what_cannot_be_erased_is_refused() -> None:
    x, group = vectors(7, 40)
    for call in (
        lambda: fit_leace(x, ["F"] * 40),
        lambda: fit_leace(x, group[:5]),
        lambda: fit_leace(np.ones((2, 3)), ["F", "M"]),
        lambda: fit_leace(x * np.nan, group),
        lambda: fit_leace(x, group).apply(x[:, :3]),
        lambda: erase_unit(np.zeros((40, 2)), group),
        lambda: CorrelationErasure.fit(x, group).apply(x, group[:4]),
    ):
        with pytest.raises(InputError):
            call()
