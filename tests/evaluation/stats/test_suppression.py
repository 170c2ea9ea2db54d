"""Small groups: merged at the input, rounded at one door, and a report without them untouched."""

from __future__ import annotations

from copy import deepcopy
from math import isclose
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from simulation.audit_gates_disclosure import report_figures, table_figures
from support.report_cases import make_report

from evaluation.audit import audit_outcomes
from evaluation.stats import OTHER_GROUPS, Minimum, merge_groups, protect
from evaluation.stats.report_fields import FIELDS, TABLES, Kind
from evaluation.stats.small_groups import any_few, merge_labels
from evaluation.stats.suppression import round_count, round_rows, shows_small, tells_small

LEAST = Minimum()
Row = dict[str, Any]


@st.composite
def attributes(draw: st.DrawFn) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, group of each case and its patient; a patient may have cases of several groups."""
    sizes = draw(st.lists(st.integers(1, 80), min_size=1, max_size=6))
    of_case = np.repeat(np.arange(len(sizes)), sizes)
    owner = np.arange(len(of_case))
    if draw(st.booleans()):
        owner = owner % draw(st.integers(1, len(owner)))
    return [f"g{number}" for number in range(len(sizes))], of_case, owner


def patients(found: Any, owner: np.ndarray) -> dict[str, int]:
    return {name: len(np.unique(owner[found.of_case == at])) for at, name in enumerate(found.names)}


@settings(max_examples=300, deadline=None)
@given(attributes())
def test_no_group_that_shows_numbers_has_1_to_10_patients(made: Any) -> None:
    names, of_case, owner = made
    found = merge_groups(names, of_case, owner, LEAST)
    sizes = patients(found, owner)
    few = {name for name, n in sizes.items() if 0 < n < 11}
    assert few == set(found.small)
    assert len(few) <= 1  # what is small is together
    again = merge_groups(found.names, found.of_case, owner, LEAST)
    assert again.names == found.names
    assert again.merged == ()


@settings(max_examples=300, deadline=None)
@given(attributes())
def test_a_merged_group_is_never_one_group_alone_and_no_large_one_is_lost(made: Any) -> None:
    names, of_case, owner = made
    found = merge_groups(names, of_case, owner, LEAST)
    before = {name: len(np.unique(owner[of_case == at])) for at, name in enumerate(names)}
    assert len(found.merged) != 1
    assert (OTHER_GROUPS in found.names) == bool(found.merged)
    assert all(before[name] < LEAST.precise for name in found.merged)
    assert set(names) == (set(found.names) - {OTHER_GROUPS}) | set(found.merged)
    kept = np.array([name not in found.merged for name in names])[of_case]
    labels = np.array(found.names)[found.of_case]
    assert (labels[kept] == np.array(names)[of_case[kept]]).all()
    assert (labels[~kept] == OTHER_GROUPS).all()
    if found.merged and not found.small:  # the total less all others tells no small group
        assert patients(found, owner)[OTHER_GROUPS] >= 11
        assert sum(before[name] < 11 for name in found.merged) >= 1


def test_women_are_not_merged_with_five_of_unknown_sex() -> None:
    labels = np.repeat(["F", "M", "unknown"], [1460, 1702, 5])
    merged, names = merge_labels(labels, np.arange(len(labels)), LEAST)
    assert names == ()
    assert (merged == labels).all()
    labels = np.repeat(["F", "M", "unknown"], [40, 60, 5])  # fewer than 50: they are
    assert merge_labels(labels, np.arange(105), LEAST)[1] == ("F", "unknown")


def test_a_patient_in_two_small_groups_counts_once() -> None:
    owner = np.concatenate([np.arange(100), np.arange(6), np.arange(6)])
    of_case = np.repeat([0, 1, 2], [100, 6, 6])
    found = merge_groups("abc", of_case, owner, LEAST)
    assert found.small == (OTHER_GROUPS,)  # 6 patients, not 12


def test_few_who_lack_one_of_two_measurements_are_few() -> None:
    owner = np.arange(100)
    groups = [np.repeat([0, 1], 50)]
    one, two = owner >= 20, (owner >= 20) & (owner < 97)
    assert not any_few(owner, groups, [one], LEAST)
    assert any_few(owner, groups, [one, two], LEAST)  # one less the other: 3
    assert not any_few(owner, groups, [], LEAST)


# The door


def exact_report() -> Row:
    report = make_report(2)
    for section, tables in TABLES.items():
        for table in tables:
            part = report.get(section)
            if isinstance(part, dict) and isinstance(part.get(table), list):
                part[table] = [
                    row for row in part[table] if row.get("precision") != "suppressed"
                ]  # fmt: skip
    for row in report["outcomes"]["table"]:
        row["n_unmeasured"] = 0
        row["n_patients"] = next(
            (c["n_patients"] for c in report["outcomes"]["cells"]
             if (c["attribute"], c["group"]) == (row["attribute"], row["group"])),
            row["n_patients"],
        )  # fmt: skip
        row["n_queries"] = 4 * row["n_patients"]
    for section in ("exposure", "leakage", "modality_gap", "label_quality", "zero_shot",
                    "comparison", "mitigation", "counterfactual"):  # fmt: skip
        report[section] = None
    return report


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Every number of a report, by where it is."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        parts = [numbers(one, f"{path}.{key}") for key, one in value.items()]
        return {key: number for part in parts for key, number in part.items()}
    return {path: value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def test_a_report_without_small_groups_is_untouched_to_the_bit() -> None:
    report = exact_report()
    before = deepcopy(report)
    assert protect(report) == before
    assert repr(numbers(protect(report))) == repr(numbers(before))
    assert not tells_small(report, LEAST)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["outcomes"]["settings"].update({"merged": {"race": ["c", "d"]}}),
        lambda r: r["outcomes"]["table"][0].update({"precision": "suppressed", "n_patients": None}),
        lambda r: r["outcomes"]["table"][0].update({"n_patients": 4, "precision": None}),
        lambda r: r["outcomes"]["table"][0].update({"n_unmeasured": 3}),
        lambda r: r["outcomes"]["table"][0].update(
            {"n_patients": r["outcomes"]["cells"][0]["n_patients"] - 7}
        ),
        lambda r: r.update(comparison={"overlap": {"patients_only_before": 5}, "rows": []}),
        lambda r: r.update(
            label_quality={"rows": [{"attribute": "sex", "group": "F", "measure": "without_note",
                                     "n_events": 1455, "n_queries": 1460}]}
        ),
        lambda r: r.update(
            counterfactual={"rows": [{"attribute": "sex", "group": "F", "n_said": 98,
                                      "n_queries": 100}]}
        ),
    ],
)  # fmt: skip
def test_any_small_count_makes_the_whole_report_a_rounded_one(change: Any) -> None:
    report = exact_report()
    change(report)
    verdicts = [row["verdict"] for row in report["outcomes"]["table"]]
    shown = protect(report)
    assert shown["small_groups"] == {"rounded": True}
    for row, verdict in zip(shown["outcomes"]["table"], verdicts, strict=True):
        if row["precision"] != "suppressed":
            assert row["verdict"] == verdict
    for path, value in numbers(shown).items():
        name = path.rsplit(".", 1)[-1]
        if FIELDS[""].get(name) in (Kind.COUNT, Kind.PART):
            assert value % 10 == 0, path
        elif FIELDS[""].get(name) in (Kind.RATE, Kind.GAP) and "outcomes.table" in path:
            assert isclose(value * 50, round(value * 50), abs_tol=1e-6), path
    assert shown["stamp"]["n_patients"] % 10 == 0


def test_the_door_is_passed_once() -> None:
    report = exact_report() | {"leakage": {"rows": [{"attribute": "x", "n_patients": 4}]}}
    shown = protect(report)
    assert shown != report
    assert protect(shown) == shown
    assert shows_small(report)
    assert not shows_small(shown)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "precision": st.sampled_from(["usual", "low"]),
            "n_patients": st.integers(11, 5000),
            "estimate": st.floats(0, 1),
            "rest_estimate": st.floats(0, 1),
            "p_adjusted": st.floats(0, 1),
            "width": st.floats(0, 1),
        }
    )
)
def test_rounding_is_idempotent_and_intervals_hold_what_they_held(row: Row) -> None:
    width = row.pop("width")
    row |= {"attribute": "a", "group": "b", "gap": row["estimate"] - row["rest_estimate"]}
    row |= {"ci_low": row["estimate"] - width, "ci_high": row["estimate"] + width}
    row |= {"gap_ci_low": row["gap"] - width, "gap_ci_high": row["gap"] + width}
    once = [dict(row), {"attribute": "a", "group": "c", "n_patients": 60, "precision": "usual"}]
    round_rows(once, LEAST)
    twice = deepcopy(once)
    round_rows(twice, LEAST)
    assert twice == once
    new, step = once[0], 0.02 if row["precision"] == "usual" else 0.1
    assert new["step"] == step
    assert abs(new["estimate"] - row["estimate"]) <= step / 2 + 1e-6
    assert new["ci_low"] <= row["ci_low"] + 1e-6
    assert new["ci_high"] >= row["ci_high"] - 1e-6
    assert new["gap_ci_low"] <= min(row["gap_ci_low"], new["gap"]) + 1e-6
    assert new["gap_ci_high"] >= max(row["gap_ci_high"], new["gap"]) - 1e-6
    assert isclose(new["gap"], new["estimate"] - new["rest_estimate"], abs_tol=1e-8)
    assert new["p_adjusted"] >= row["p_adjusted"]
    assert (new["p_adjusted"] <= 0.05) == (row["p_adjusted"] <= 0.05)


def test_a_figure_of_two_groups_takes_the_coarser_step() -> None:
    rows = [
        {"attribute": "a", "group": "many", "n_patients": 400, "precision": "usual",
         "estimate": 0.513, "rest_estimate": 0.447, "gap": 0.066, "comparison": "rest"},
        {"attribute": "a", "group": "some", "n_patients": 30, "precision": "low",
         "estimate": 0.447, "rest_estimate": 0.513, "gap": -0.066, "comparison": "rest"},
        {"attribute": "a", "group": "many", "n_patients": 400, "precision": "usual",
         "estimate": 0.513, "rest_estimate": 0.447, "gap": 0.066, "comparison": "pair:some"},
    ]  # fmt: skip
    round_rows(rows, LEAST)
    shown = [(row["estimate"], row["rest_estimate"]) for row in rows]
    assert shown == [(0.52, 0.4), (0.4, 0.5), (0.52, 0.4)]
    assert [row["step_rest"] for row in rows] == [0.1, 0.1, 0.1]


def test_a_rate_of_a_record_that_few_lack_is_not_shown_and_others_are() -> None:
    def row(group: str, events: int, n: int) -> Row:
        return {
            "attribute": "site", "group": group, "measure": "without_note", "n_events": events,
            "n_queries": n, "n_patients": n, "precision": "usual", "estimate": events / n,
            "rest_estimate": 0.1, "gap": 0.1, "p": 0.1, "verdict": "within", "reason": "",
        }  # fmt: skip

    report = {"label_quality": {"rows": [row("a", 5, 300), row("b", 60, 300), row("c", 0, 200)]}}
    few, many, none = protect(report)["label_quality"]["rows"]
    assert few["estimate"] is few["n_events"] is few["gap"] is None
    assert (few["verdict"], few["n_patients"]) == ("not_assessable", 300)
    assert (many["estimate"], many["rest_estimate"], many["n_events"]) == (0.2, None, 60)
    assert (none["estimate"], none["rest_estimate"], none["verdict"]) == (0.0, 0.1, "within")


def test_every_number_of_an_audit_s_rows_is_declared() -> None:
    table = {"patient_id": range(80), "sex": ["F", "M"] * 40, "hit": [1, 0, 1, 1] * 20}
    found = audit_outcomes(table, ["hit"], ["sex"], permutations=99).to_json()
    reports = [{"outcomes": found}, make_report(1)]
    for report in reports:
        for section, tables in TABLES.items():
            rows = [row for name in tables for row in (report.get(section) or {}).get(name) or []]
            used = {name for row in rows for name in row if numbers(row[name])}
            assert used <= {*FIELDS[""], *FIELDS.get(section, {})}, section


@pytest.mark.parametrize(("sizes", "step", "most"), [((11, 50), 0.1, 0.02), ((50, 100), 0.02, 0.1)])
def test_how_seldom_a_rounded_rate_and_its_exact_interval_tell_the_size(
    sizes: tuple[int, int], step: float, most: float
) -> None:
    # One case a patient: Clopper and Pearson's interval. To three decimals they nearly always do.
    fitting: dict[tuple[Any, ...], list[int]] = {}
    plain: dict[tuple[Any, ...], list[int]] = {}
    for n in range(*sizes):
        x = np.arange(n + 1)
        low = np.where(x == 0, 0.0, beta.ppf(0.025, np.maximum(x, 1e-9), n - x + 1))
        high = np.where(x == n, 1.0, beta.ppf(0.975, x + 1, np.maximum(n - x, 1e-9)))
        for figures in zip((x / n).tolist(), low.tolist(), high.tolist(), strict=True):
            row: Row = dict(zip(("estimate", "ci_low", "ci_high"), figures, strict=True))
            plain.setdefault(tuple(round(value, 3) for value in figures), []).append(n)
            row |= {"precision": LEAST.precision(n), "n_patients": n}
            round_rows([row], LEAST)
            assert row["step"] == step
            key = (row["estimate"], row["ci_low"], row["ci_high"])
            fitting.setdefault(key, []).append(n)
    pairs = sum(n + 1 for n in range(*sizes))
    told = [
        sum(len(found) for found in made.values() if len(set(found)) == 1) / pairs
        for made in (fitting, plain)
    ]
    assert told[0] <= most
    assert told[1] >= 0.95


def test_counts_are_rounded_to_ten() -> None:
    assert [round_count(n) for n in (0, 4, 6, 11, 1999)] == [0, 0, 10, 10, 2000]
    assert round_count(None) is None


# A reader with integer programs, of outputs alone (gate G9)


def test_no_small_count_of_random_tables_is_told_and_without_rounding_many_are() -> None:
    found = table_figures(4, seed=3)
    assert found["small_counts"] > 30
    assert found["told"] == 0
    assert found["told_without_rounding"] > 0.2 * found["small_counts"]


@pytest.mark.slow
def test_no_small_count_of_whole_reports_is_told() -> None:
    found = report_figures(3, seed=4)
    assert found["small_counts"] > 100
    assert found["told"] <= 0.005 * found["small_counts"]
    assert found["told_without_rounding"] > 0
