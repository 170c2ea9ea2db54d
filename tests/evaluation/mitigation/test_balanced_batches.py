"""Batches of even shares: what always holds of them, whatever the archive."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.errors import InputError
from medembed.training.balanced_sampler import balanced_batches, group_shares

CASES = st.lists(
    st.tuples(st.integers(0, 25), st.sampled_from(["F", "M", "", "O"]), st.sampled_from(["", "k"])),
    min_size=1,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(CASES, st.integers(2, 12), st.floats(0, 1), st.integers(1, 5))
def test_what_holds_of_any_archive(
    cases: list[tuple[int, str, str]], size: int, strength: float, repeats: int
) -> None:
    patients = [f"p{p}" for p, _, _ in cases]
    groups, kin = [g for _, g, _ in cases], [k for _, _, k in cases]
    dealt = balanced_batches(
        patients, groups, size, related=kin, strength=strength, repeats=repeats, seed=3
    )
    shares = group_shares(groups, strength)
    drawn: Counter[int] = Counter()
    for batch in dealt.batches:
        assert 2 <= len(batch) <= size
        assert len({patients[i] for i in batch}) == len(batch)
        assert sum(bool(kin[i]) for i in batch) <= 1
        for name, share in shares.items():
            held = sum((groups[i] or "unknown") == name for i in batch)
            assert held < share * size + 1
        drawn.update(batch)
    assert max(drawn.values(), default=0) <= repeats
    for name in shares:
        members = [i for i, g in enumerate(groups) if (g or "unknown") == name]
        assert dealt.drawn[name] == sum(drawn[i] for i in members) <= dealt.wanted[name]
    assert sum(dealt.wanted.values()) == max(1, len(cases) // size) * size
    again = balanced_batches(
        patients, groups, size, related=kin, strength=strength, repeats=repeats, seed=3
    )
    assert again == dealt


def test_a_group_of_three_percent_has_an_even_share_of_every_batch() -> None:
    groups = ["rare"] * 30 + ["usual"] * 970
    dealt = balanced_batches([f"p{i}" for i in range(1000)], groups, 20, repeats=20)
    for batch in dealt.batches:
        assert sum(groups[i] == "rare" for i in batch) == 10
    assert dealt.drawn == {"rare": 500, "usual": 500}
    drawn = Counter(i for batch in dealt.batches for i in batch)
    assert {drawn[i] for i in range(30)} <= {16, 17}  # none twice before all once
    assert dealt.repeated["rare"] == 17


def test_without_balancing_the_mix_of_the_archive_is_kept() -> None:
    groups = ["a"] * 35 + ["b"] * 65
    dealt = balanced_batches([f"p{i}" for i in range(100)], groups, 10, strength=0.0)
    assert dealt.wanted == {"a": 35, "b": 65}
    assert dealt.drawn == {"a": 35, "b": 65}
    assert sorted(i for batch in dealt.batches for i in batch) == list(range(100))


def test_a_group_that_may_not_be_repeated_leaves_its_places_empty_and_that_is_said() -> None:
    dealt = balanced_batches(
        [f"p{i}" for i in range(100)], ["rare"] * 4 + ["usual"] * 96, 10, repeats=2
    )
    assert dealt.drawn["rare"] == 8
    assert dealt.wanted["rare"] == 50


def test_another_seed_deals_otherwise() -> None:
    patients, groups = [f"p{i}" for i in range(40)], ["a", "b"] * 20
    one, two = (balanced_batches(patients, groups, 8, seed=(5, e)).batches for e in (0, 1))
    assert one != two


def test_what_cannot_be_dealt_is_refused() -> None:
    for call in (
        lambda: balanced_batches(["a"], ["x", "y"], 2),
        lambda: balanced_batches(["a"], ["x"], 1),
        lambda: balanced_batches([""], ["x"], 2),
        lambda: balanced_batches(["a"], ["x"], 2, strength=np.nan),
        lambda: group_shares([]),
    ):
        with pytest.raises(InputError):
            call()
