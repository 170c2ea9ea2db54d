"""Cohen's kappa against its definition, a library, and known tables."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from evaluation.stats.kappa import KappaReason, cohen_kappa


def table(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    one = [True] * both + [True] * first + [False] * second + [False] * neither
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return one, other


def test_a_textbook_table() -> None:
    one, other = table(20, 5, 10, 15)
    found = cohen_kappa(one, other, range(50))
    assert found.value == pytest.approx(0.4)
    assert (found.both, found.first_only, found.second_only, found.neither) == (20, 5, 10, 15)
    assert found.agreement == pytest.approx(0.7)
    assert found.low is not None
    assert found.high is not None
    # Fleiss, Cohen and Everitt 1969: standard error .126 for this table
    assert found.low == pytest.approx(0.4 - 1.96 * 0.126, abs=0.05)
    assert found.high == pytest.approx(0.4 + 1.96 * 0.126, abs=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_any_table_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, 40)) < rng.random((2, 1)) * 0.6 + 0.2
    found = cohen_kappa(one, other, np.arange(40), repetitions=100)
    assert found.value == pytest.approx(cohen_kappa_score(one, other), abs=1e-9)
    assert cohen_kappa(other, one, np.arange(40), repetitions=100).value == found.value


def test_cases_of_few_patients_say_less_than_those_of_many() -> None:
    one, other = table(20, 5, 10, 15)
    many = cohen_kappa(one, other, range(50))
    few = cohen_kappa(one * 4, other * 4, [*range(50)] * 4)
    assert few.value == pytest.approx(many.value)
    assert (few.low, few.high) == pytest.approx((many.low, many.high)), "copies add nothing"
    assert few.n == 200
    assert few.n_patients == 50


def test_perfect_agreement_is_one_and_not_certain() -> None:
    one, other = table(10, 0, 0, 10)
    found = cohen_kappa(one, other, range(20))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert 0.3 < found.low < 0.95


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((0, 0, 0, 0), KappaReason.NO_CASE),
        ((0, 0, 0, 9), KappaReason.CONSTANT),
        ((9, 0, 0, 0), KappaReason.CONSTANT),
    ],
)
def test_what_chance_explains_has_no_kappa(
    cells: tuple[int, int, int, int], reason: KappaReason
) -> None:
    one, other = table(*cells)
    found = cohen_kappa(one, other, range(len(one)))
    assert (found.value, found.low, found.reason) == (None, None, reason)
    assert found.to_json()["n"] == len(one)


def test_a_rare_finding_has_a_kappa_and_no_interval() -> None:
    one, other = table(1, 0, 0, 30)
    found = cohen_kappa(one, other, range(31))
    assert (found.value, found.low, found.reason) == (1.0, None, KappaReason.RARE)


def test_one_patient_gives_no_interval() -> None:
    one, other = table(3, 1, 1, 3)
    assert cohen_kappa(one, other, ["p"] * 8).reason is KappaReason.RARE


def test_the_interval_is_the_same_each_time() -> None:
    one, other = table(20, 5, 10, 15)
    assert cohen_kappa(one, other, range(50)) == cohen_kappa(one, other, range(50))


@pytest.mark.slow
def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    # two readers who see the truth with errors: kappa of the population from its shares
    p, error, n, held = 0.4, 0.15, 60, 0
    both = p * (1 - error) ** 2 + (1 - p) * error**2
    positive = p * (1 - error) + (1 - p) * error
    agreement = (1 - error) ** 2 + error**2
    expected = positive**2 + (1 - positive) ** 2
    kappa = (agreement - expected) / (1 - expected)
    assert 0 < both < positive
    for seed in range(400):
        truth = rng.random(n) < p
        one, other = (truth ^ (rng.random(n) < error) for _ in range(2))
        found = cohen_kappa(one, other, np.arange(n), repetitions=400, seed=seed)
        held += found.low is not None and found.low <= kappa <= (found.high or 0)
    assert 0.91 <= held / 400 <= 0.99
