"""Groups against the rest, image against text, and labels: oracles, small cells, false alarms."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cohorts import hits
from support.one_by_one import gap_interval, korn_graubard, score_test

from evaluation.sections import (
    assess_label_quality,
    assess_modality_gap,
    contrast_groups,
    label_outcomes,
    modality_gap_rows,
)
from evaluation.stats import Minimum, holm
from medembed.errors import InputError

VERDICTS = {"within", "exceeds", "differs", "inconclusive", "not_assessable"}


def test_a_row_holds_what_the_inference_gives_one_by_one() -> None:
    owner, hit = hits(np.random.default_rng(0), 300, 0.6)
    group = np.array(["F", "M", "O"])[(owner * 7) % 3]
    rows = contrast_groups({"hit": hit}, owner, {"sex": group})
    assert [row.group for row in rows] == ["F", "M", "O"]
    for row in rows:
        inside = group == row.group
        mine = korn_graubard(hit, owner, inside)
        gap, low, high = gap_interval(hit, owner, inside, ~inside)
        assert (row.estimate, row.ci_low, row.ci_high) == pytest.approx(
            (mine.estimate, mine.low, mine.high), abs=1e-12
        )
        assert (row.gap, row.gap_ci_low, row.gap_ci_high) == pytest.approx(
            (gap, low, high), abs=1e-12
        )
        assert row.p == pytest.approx(score_test(hit, owner, inside, ~inside).p, abs=1e-12)
        assert row.n_events == hit[inside].sum()
        assert row.n_queries == inside.sum()
    np.testing.assert_allclose([r.p_adjusted for r in rows], holm([r.p for r in rows]))


def test_a_small_group_holds_no_number() -> None:
    owner = np.arange(200)
    group = np.where(owner < 4, "rare", np.where(owner < 60, "some", "most"))
    rows = {r.group: r for r in contrast_groups({"hit": owner % 2}, owner, {"made": group})}
    assert rows["rare"].estimate is None
    assert rows["rare"].precision == "suppressed"
    assert rows["rare"].n_patients is None
    assert (rows["some"].n_patients, rows["most"].n_patients) == (56, 140)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, float("nan"), 0.25]),
            st.integers(0, 12),
            st.sampled_from(["F", "M", "", None, "O"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_table_gives_verdicts_and_no_made_up_number(rows) -> None:
    values, owner, group = (list(column) for column in zip(*rows, strict=True))
    found = contrast_groups(
        {"y": values}, owner, {"made": group}, minimum=Minimum(3, 6), repetitions=200
    )
    for row in found:
        json.dumps(row.to_json(), allow_nan=False)
        assert row.verdict in VERDICTS
        assert row.reason
        if row.estimate is None:
            assert row.verdict == "not_assessable"
        else:
            here = [
                v
                for v, g in zip(values, group, strict=True)
                if (g or "unknown") == row.group and v == v
            ]
            assert row.estimate == pytest.approx(np.mean(here), abs=1e-9)


def clouds(rng, n_patients, gaps, scatter=0.3, d=24):
    """Images and texts whose centroids lie ``gaps[group]`` apart; not of unit norm: no need."""
    owner = np.repeat(np.arange(n_patients), 1 + rng.poisson(1.5, n_patients))
    group = np.array(sorted(gaps))[rng.integers(0, len(gaps), n_patients)][owner]
    own = rng.normal(size=(n_patients, d))[owner]
    apart = scatter * (0.6 * own + 0.8 * rng.normal(size=own.shape)) / np.sqrt(d)
    apart[:, 0] += np.array([gaps[g] for g in group])
    text = rng.normal(size=own.shape)
    return text + apart, text, owner, group


def test_the_gap_is_the_distance_of_centroids_without_its_scatter() -> None:
    images, texts, owner, group = clouds(np.random.default_rng(1), 400, {"a": 0.5, "b": 0.5})
    texts[5] = np.nan
    rows = assess_modality_gap(images, texts, owner, {"made": group}, repetitions=400)
    for row in rows:
        keep = (group == row.group) & ~np.isnan(texts[:, 0])
        plain = np.linalg.norm((images - texts)[keep].mean(axis=0))
        assert plain - 0.01 < row.estimate < plain
        assert row.ci_low - 0.01 < 0.5 < row.ci_high + 0.01
        assert row.n_queries == keep.sum()
    first = modality_gap_rows(rows)[0]
    assert first["gap"] == rows[0].estimate
    assert (
        first["difference"] == rows[0].gap == pytest.approx(first["gap"] - first["rest_estimate"])
    )
    assert first["difference_ci_low"] < first["difference"] < first["difference_ci_high"]


def test_a_product_between_patients_is_what_the_loops_give() -> None:
    images, texts, owner, group = clouds(np.random.default_rng(2), 24, {"a": 0.5})
    d = images - texts
    total = pairs = 0.0
    for i in range(len(d)):
        for j in range(len(d)):
            if owner[i] != owner[j]:
                total, pairs = total + d[i] @ d[j], pairs + 1
    row = assess_modality_gap(images, texts, owner, {"made": group}, repetitions=200)[0]
    assert row.estimate == pytest.approx(np.sqrt(total / pairs), abs=1e-12)
    assert row.verdict == "not_assessable"  # there is nobody to compare with


def test_a_small_group_does_not_look_worse_for_being_small() -> None:
    rng = np.random.default_rng(3)
    estimates = []
    for _ in range(60):
        images, texts, owner, _ = clouds(rng, 150, {"a": 0.3}, scatter=1.5)
        group = np.where(owner < 15, "few", "many")
        rows = assess_modality_gap(images, texts, owner, {"made": group}, repetitions=200)
        estimates.append([rows[0].estimate or 0.0, rows[1].estimate])
    few, many = np.mean(estimates, axis=0)
    assert many == pytest.approx(0.3, abs=0.02)
    assert few < 0.36  # the plain distance of 15 patients' centroids would be .46


def test_clouds_that_lie_on_each_other_have_no_gap_to_compare() -> None:
    vectors = np.eye(4)[np.arange(60) % 4]
    rows = assess_modality_gap(vectors, vectors, range(60), {"sex": ["F", "M"] * 30})
    assert {row.verdict for row in rows} == {"not_assessable"}
    assert all(row.estimate is None for row in rows)


def test_labels_are_counted_as_by_hand() -> None:
    found = label_outcomes(
        [{"mass"}, {"fracture"}, None, {"mass"}], [{"mass", "fracture"}, None, set(), []]
    )
    np.testing.assert_array_equal(found["unlabelled"], [0, 0, 1, 0])
    np.testing.assert_array_equal(found["without_finding"], [0, 0, np.nan, 0])
    np.testing.assert_array_equal(found["without_note"], [0, 1, 0, 0])
    np.testing.assert_array_equal(found["disagreement"], [1, np.nan, np.nan, 1])
    np.testing.assert_array_equal(found["only_in_note"], [1, np.nan, np.nan, 0])
    np.testing.assert_array_equal(found["only_in_table"], [0, np.nan, np.nan, 1])
    with pytest.raises(InputError, match="1 reports for 2"):
        label_outcomes([None, None], [None])


def test_a_finding_that_no_label_names_is_no_disagreement() -> None:
    """Reports assert more than a table lists, and more so of older patients."""
    found = label_outcomes([{"mass"}, set()], [{"mass", "scoliosis"}, {"scoliosis"}])
    np.testing.assert_array_equal(found["disagreement"], [0, 0])
    nothing = label_outcomes([set(), set()], [{"scoliosis"}, set()])
    np.testing.assert_array_equal(nothing["only_in_note"], [np.nan, np.nan])


def test_a_group_without_labels_is_found_and_unknown_is_compared_with_the_known() -> None:
    owner = np.arange(900)
    sex = np.array(["F", "M", ""])[owner % 3]
    labels = [None if (p % 3 == 1 and p % 2) else {"mass"} for p in owner]
    hit = np.where(owner % 3 == 2, owner % 4 == 0, owner % 4 < 3).astype(float)
    rows = assess_label_quality(label_outcomes(labels), owner, {"sex": sex}, outcomes={"hit": hit})
    verdicts = {(row.group, row.measure): row.verdict for row in rows}
    assert verdicts["M", "unlabelled"] in ("exceeds", "differs")
    assert verdicts["unknown", "hit"] in ("exceeds", "differs")
    assert ("F", "hit") not in verdicts
    with pytest.raises(InputError, match="name"):
        assess_label_quality({"x": hit}, owner, {"sex": sex}, outcomes={"x": hit})


def gap_alarms(cohorts: int, seed: int, other: float = 0.5):
    """Share of cohorts with a flag by p, and of intervals of the gap that hold the truth."""
    rng = np.random.default_rng(seed)
    flags = covered = 0
    for _ in range(cohorts):
        images, texts, owner, _ = clouds(rng, 200, {"a": 0.5})
        group = np.where(owner < 50, "few", "many")
        images[group == "few", 0] += other - 0.5
        row = assess_modality_gap(images, texts, owner, {"made": group}, repetitions=300)[0]
        flags += row.p <= 0.05
        covered += row.gap_ci_low <= other - 0.5 <= row.gap_ci_high
    return flags / cohorts, covered / cohorts


@pytest.mark.slow
def test_equal_clouds_are_flagged_once_in_twenty_and_intervals_hold() -> None:
    flagged, covered = gap_alarms(150, 0)
    assert flagged <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 150)
    assert covered >= 0.9
    flagged, covered = gap_alarms(50, 1, other=0.6)
    assert flagged >= 0.9
    assert covered >= 0.87
