"""Embeddings are unit, finite, and each case has one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import FingerprintError, InputError

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=120, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    )
)
def test_rows_come_to_length_one_and_keep_their_direction(rows: np.ndarray) -> None:
    if not np.abs(rows).max(axis=1).all():
        with pytest.raises(InputError, match="zeros"):
            unit_rows(rows)
        return
    unit = unit_rows(rows)
    assert unit.dtype == np.float32
    assert unit.flags.c_contiguous
    wide = rows.astype(np.float64)
    wide = wide / np.abs(wide).max(axis=1, keepdims=True)
    oracle = wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))
    assert np.allclose(unit, oracle, atol=2e-6)
    assert np.array_equal(unit_rows(unit), unit), "what is unit keeps its bits"


@given(hnp.arrays(np.float64, (2, 3), elements=finite))
@settings(max_examples=100, deadline=None)
def test_no_finite_row_over_or_underflows(rows: np.ndarray) -> None:
    if np.abs(rows).max(axis=1).all():
        assert np.allclose(np.linalg.norm(unit_rows(rows).astype(np.float64), axis=1), 1, atol=1e-6)


def test_rounded_rows_are_mended_and_others_refused() -> None:
    rng = np.random.default_rng(0)
    unit = unit_rows(rng.normal(size=(5, 64)))
    rounded = Embeddings(list("abcde"), unit.astype(np.float16), "m")
    assert rounded.vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(rounded.vectors.astype(np.float64), axis=1) - 1).max() < 1e-6
    with pytest.raises(InputError, match="length differs from 1"):
        Embeddings(list("abcde"), unit * 1.01, "m")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    rows = np.eye(3)
    rows[1, 1] = value
    with pytest.raises(InputError, match="not finite"):
        Embeddings(["a", "b", "c"], rows, "m")


@pytest.mark.parametrize(
    ("ids", "rows", "fingerprint", "what"),
    [
        (["a", "a"], np.eye(2), "m", "duplicate"),
        (["a"], np.eye(2), "m", "1 case ids for 2"),
        (["a", ""], np.eye(2), "m", "empty"),
        (["a", "b"], np.eye(2), "", "fingerprint"),
        (["a", "b"], np.ones(2), "m", "shape"),
        ([], np.empty((0, 0)), "m", "d > 0"),
        (["a", "b"], np.zeros((2, 2)), "m", "zeros"),
        (["a", "b"], np.eye(2).astype(complex), "m", "real numbers"),
    ],
)
def test_embeddings_are_valid_or_not_at_all(ids, rows, fingerprint: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        Embeddings(ids, rows, fingerprint)


def test_they_cannot_be_changed_afterwards_and_do_not_hold_the_callers_array() -> None:
    mine = np.eye(2, dtype=np.float32)
    held = Embeddings(["a", "b"], mine, "m")
    mine[0, 0] = 5
    assert held.vectors[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        held.vectors[0, 0] = 2
    with pytest.raises(AttributeError):
        held.fingerprint = "other"  # type: ignore[misc]


def test_none_at_all_are_embeddings_too() -> None:
    assert len(Embeddings([], np.empty((0, 4)), "m")) == 0


def test_a_foreign_fingerprint_is_refused_and_says_what_to_run() -> None:
    with pytest.raises(FingerprintError, match="medembed embed"):
        Embeddings(["a"], [[1.0]], "one").require("other")
