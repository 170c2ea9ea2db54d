"""No case is held against another of its own patient."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from medembed.training.batches import patient_aware_batches


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=120),
    st.integers(2, 20),
    st.integers(0, 5),
)
def test_no_patient_and_no_group_stands_twice_in_a_batch(
    people: list[tuple[int, int]], batch_size: int, epoch: int
) -> None:
    patients = [f"P{p}" for p, _ in people]
    groups = [f"G{g}" if g < 5 else "" for _, g in people]
    batches = patient_aware_batches(patients, groups, batch_size, seed=(0, epoch))
    for batch in batches:
        assert 2 <= len(batch) <= batch_size
        assert len({patients[i] for i in batch}) == len(batch)
        named = [groups[i] for i in batch if groups[i]]
        assert len(set(named)) == len(named)
    assert max(Counter(i for batch in batches for i in batch).values(), default=1) == 1


def test_every_case_is_dealt_where_patients_are_many() -> None:
    patients = [f"P{i // 2}" for i in range(200)]
    batches = patient_aware_batches(patients, [""] * 200, 40, seed=(0, 0))
    assert sum(map(len, batches)) >= 190


def test_the_same_seed_deals_the_same_and_another_epoch_otherwise() -> None:
    patients = [f"P{i}" for i in range(50)]
    first, again, next_ = (
        patient_aware_batches(patients, [""] * 50, 10, seed=(3, epoch)) for epoch in (0, 0, 1)
    )
    assert first == again
    assert first != next_
