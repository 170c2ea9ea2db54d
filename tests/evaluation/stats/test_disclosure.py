"""Small cells stay unknown to a reader who tries every table that fits."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

from evaluation.stats import Minimum, attack, suppress
from evaluation.stats.attacker_ip import _unheard, told_by_whole_numbers
from evaluation.stats.attacker_lp import Bounds, Limit, exposed_cells, split
from evaluation.stats.rounding import BLANK, EXACT, Mean, settle, step_of
from medembed.errors import InputError


def two_way(table: np.ndarray) -> tuple[dict, list]:
    """Counts and sums of a table with margins."""
    rows, columns = table.shape
    counts = {(i, j): int(table[i, j]) for i in range(rows) for j in range(columns)}
    counts |= {(i, "all"): int(table[i].sum()) for i in range(rows)}
    counts |= {("all", j): int(table[:, j].sum()) for j in range(columns)}
    counts["all", "all"] = int(table.sum())
    sums = [((i, "all"), tuple((i, j) for j in range(columns))) for i in range(rows)]
    sums += [(("all", j), tuple((i, j) for i in range(rows))) for j in range(columns)]
    sums += [(("all", "all"), tuple((i, "all") for i in range(rows)))]
    sums += [(("all", "all"), tuple(("all", j) for j in range(columns)))]
    return counts, sums


def random_table(rng: np.random.Generator) -> np.ndarray:
    shape = tuple(rng.integers(2, 5, size=2))
    return rng.choice([0, 1, 3, 7, 10, 11, 25, 80, 400], size=shape)


def check(rng: np.random.Generator) -> None:
    table = random_table(rng)
    counts, sums = two_way(table)
    kept = suppress(counts, sums)
    assert not any(1 <= count <= 10 for count in kept.shown.values())
    assert set(kept.shown) | kept.small | kept.partners == set(counts)
    for low, high in attack(counts, sums, kept.small | kept.partners, kept.small).values():
        assert high - low >= 1


def test_no_small_cell_of_random_tables_can_be_derived() -> None:
    rng = np.random.default_rng(0)
    for _ in range(25):
        check(rng)


@pytest.mark.slow
def test_no_small_cell_of_many_random_tables_can_be_derived() -> None:
    rng = np.random.default_rng(1)
    for _ in range(400):
        check(rng)


def test_trying_every_table_finds_several_values_for_each_small_cell() -> None:
    rng = np.random.default_rng(3)
    every = np.indices((7,) * 6).reshape(6, -1)  # all 2 x 3 tables with cells of 0 to 6
    for _ in range(12):
        table = rng.choice([0, 1, 2], size=(2, 3), p=[0.2, 0.5, 0.3])
        counts, sums = two_way(table)
        kept = suppress(counts, sums, threshold=1)
        cells = dict(zip(((i, j) for i in range(2) for j in range(3)), every, strict=True))
        for total, parts in sums:
            cells[total] = np.sum([cells[part] for part in parts], axis=0)
        fits = np.ones(every.shape[1], dtype=bool)
        for cell, count in kept.shown.items():
            fits &= cells[cell] == count
        assert fits.any()
        for cell in kept.small:
            assert len(np.unique(cells[cell][fits])) >= 2, table


def test_a_cell_that_two_outputs_give_away_together_is_hidden() -> None:
    # Neither page alone gives the 4 away: sex says 96 of 100, the other page splits the same.
    counts = {"all": 100, "F": 60, "M": 36, "O": 4, "F or M": 96}
    sums = [("all", ("F", "M", "O")), ("all", ("F or M", "O")), ("F or M", ("F", "M"))]
    kept = suppress(counts, sums)
    low, high = attack(counts, sums, kept.small | kept.partners, {"O"})["O"]
    assert high - low >= 1
    assert "F or M" not in kept.shown


def test_a_naive_single_suppression_is_recovered_by_the_attack() -> None:
    counts, sums = two_way(np.array([[4, 50], [60, 70]]))
    assert attack(counts, sums, {(0, 0)}, {(0, 0)})[0, 0] == (4, 4)


def test_zero_may_be_shown_and_is_the_last_to_be_hidden() -> None:
    kept = suppress({"all": 100, "F": 95, "M": 5, "O": 0}, [("all", ("F", "M", "O"))])
    assert kept.shown == {"all": 100, "O": 0}
    assert kept.partners == {"F"}


def test_the_total_goes_where_a_sum_has_nothing_else() -> None:
    kept = suppress({"all": 5, "F": 5}, [("all", ("F",))])
    assert kept.shown == {}
    assert suppress({"a": 5, "b": 50}).shown == {"b": 50}


def test_tables_that_do_not_add_up_are_refused() -> None:
    for counts, sums in (
        ({"all": 10, "F": 5}, [("all", ("F",))]),
        ({"all": 10}, [("all", ("F",))]),
        ({"all": -1}, []),
    ):
        with pytest.raises(InputError):
            suppress(counts, sums)


def test_whole_numbers_tell_what_fractions_do_not() -> None:
    # Three quarters of a, to within a hundredth, is a whole number: of 1 to 6, a can be 4 alone.
    counts = {"a": 4, "b": 3, "all": 7, "events": 3}
    limits = [Limit({"events": 1.0, "a": -0.76}, -np.inf, 0.0)]
    limits += [Limit({"events": 1.0, "a": -0.74}, 0.0, np.inf)]
    bounds = Bounds(counts, {"a"}, {"events", "b"}, 10, marked=False, own=False)
    (system,) = split(counts, [("all", ("a", "b"))], {"a", "b", "events"}, limits)
    assert exposed_cells(system, {"a"}, bounds, 1.0) == []
    assert told_by_whole_numbers(system, {"a"}, bounds, fractions=()) == ["a"]
    assert told_by_whole_numbers(system, {"a"}, bounds, fractions={"events"}) == []


def test_a_mean_beside_a_size_becomes_coarser_until_the_size_is_open() -> None:
    # 40 queries, 20 events in all; a's mean .9, the others' .1: where these meet a has 20.
    counts = {"a": 20, "few": 4, "b": 16, "all": 40}
    sums = {"sum a": 18.0, "sum all": 20.0}

    def told(levels):
        step = step_of(levels["a"], "low", 40, Minimum())
        if not np.isfinite(step):
            return {"a", "few", "sum a"}, []
        half = step / 2 + 1e-7
        own = Mean({"sum a": 1.0}, {"a": 1.0}, 0.9, half)
        rest = Mean({"sum all": 1.0, "sum a": -1.0}, {"all": 1.0, "a": -1.0}, 0.1, half)
        return {"a", "few", "sum a"}, [*own.limits(), *rest.limits()]

    bounds = Bounds(counts, {"few"}, {"a", "sum a"}, 10, marked=True, own=False, capped={"few"})
    found = settle(
        {"a": EXACT}, told, lambda cell: {"a"}, counts | sums, [("all", ("a", "few", "b"))], bounds
    )
    assert EXACT < found["a"] < BLANK


def test_what_a_solver_prints_does_not_reach_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with _unheard():
        ctypes.CDLL(None).puts(b"a line of the solver's")
    sys.stdout.write("{}\n")
    assert capfd.readouterr().out == "{}\n"
