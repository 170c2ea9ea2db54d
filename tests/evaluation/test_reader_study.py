"""Revision rates, times and agreement, computed by hand beside the code."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.reader_study import Stage, measure_review
from evaluation.stats.kappa import KappaReason
from medembed.reviews import Impression, Reading, ReadingState


def reading(
    number: int,
    reader: str,
    first: tuple[str, ...] = (),
    final: tuple[str, ...] | None = None,
    seconds: tuple[float, float] = (10, 20),
    **changes: Any,
) -> Reading:
    values: dict[str, Any] = {
        "case_id": f"case-{number}",
        "reader": reader,
        "state": ReadingState.FINISHED,
        "impression": Impression("text", first),
        "impression_seconds": seconds[0],
        "reveal_seconds": seconds[0],
        "revision": Impression("text", first if final is None else final),
        "end_seconds": seconds[1],
    }
    return Reading(**(values | changes))


PATIENTS = {f"case-{i}": f"P-{i}" for i in range(40)}


def test_revisions_and_times_are_those_of_the_finished_readings() -> None:
    readings = [
        reading(0, "A", ("mass",), ("nodule",), (10, 100)),
        reading(1, "A", ("mass",), ("mass",), (20, 200)),
        reading(2, "A", ("mass",), seconds=(30, 300), revision=Impression("other", ("mass",))),
        reading(3, "A", ("mass",), seconds=(40, 400)),
        reading(4, "A", (), state=ReadingState.REVEALED, seconds=(60, 0), revision=None),
        reading(5, "A", state=ReadingState.OPENED, impression=None, revision=None),
    ]
    (measures,) = measure_review(readings, PATIENTS).readers
    assert (measures.n_opened, measures.n_revealed, measures.n_finished) == (6, 5, 4)
    assert (measures.revised.count, measures.revised.n) == (2, 4)
    assert (measures.findings_revised.count, measures.findings_revised.value) == (1, 0.25)
    assert measures.revised.low is not None
    assert measures.revised.high is not None
    assert 0 < measures.revised.low < 0.5 < measures.revised.high < 1
    impression, end = measures.to_impression, measures.to_end
    assert (impression.lower, impression.median, impression.upper) == (20, 30, 40)
    assert impression.n == 5, "the reveal ends the time to the impression, not the finish"
    assert (end.median, end.n) == (250, 4)


def test_nothing_read_is_no_number() -> None:
    measures = measure_review([], {}).everyone
    assert measures.revised.value is None
    assert measures.to_end.median is None
    assert measures.to_json()["revised"]["n"] == 0


def test_a_patients_cases_count_as_one() -> None:
    readings = [reading(i, "A", ("mass",), ("nodule",) if i < 10 else None) for i in range(20)]
    apart = measure_review(readings, PATIENTS).everyone.revised
    together = measure_review(readings, {c: f"P-{int(c[5:]) // 10}" for c in PATIENTS})
    shared = together.everyone.revised
    assert apart.value == shared.value == 0.5
    assert apart.low is not None
    assert shared.low is not None
    assert shared.low < apart.low


def test_agreement_is_of_the_cases_that_both_have_read() -> None:
    readings = [
        *(reading(i, "A", ("effusion:right",) if i < 10 else ()) for i in range(20)),
        *(reading(i, "B", ("effusion:left",) if i < 8 else ()) for i in range(19)),
        reading(19, "B", state=ReadingState.IMPRESSION, revision=None),
    ]
    first, final = measure_review(readings, PATIENTS).agreements
    assert (first.first, first.second, first.stage, final.stage) == (
        "A", "B", Stage.FIRST, Stage.FINAL
    )  # fmt: skip
    assert first.n_cases == 19, "what is not revealed can still change"
    kappa = first.by_finding["effusion"]
    assert (kappa.both, kappa.first_only, kappa.second_only, kappa.neither) == (8, 2, 0, 9)
    # by hand: agreement 17/19, expected (10*8 + 9*11)/361
    expected = (10 * 8 + 9 * 11) / 361
    assert kappa.value == pytest.approx((17 / 19 - expected) / (1 - expected))
    assert first.overall.value == kappa.value, "the only finding"
    assert len(first.disagreements) == 10
    sides = [d for d in first.disagreements if d.sides]
    assert [d.sides for d in sides] == [("effusion",)] * 8
    assert [d.labels for d in first.disagreements if not d.sides] == [("effusion",)] * 2


def test_the_final_impressions_agree_better() -> None:
    readings = [
        *(reading(i, "A", ("mass",) if i % 2 else (), ("mass",)) for i in range(10)),
        *(reading(i, "B", (), ("mass",) if i else ()) for i in range(10)),
    ]
    first, final = measure_review(readings, PATIENTS).agreements
    assert (first.overall.first_only, final.overall.first_only) == (5, 1)
    assert len(final.disagreements) == 1


def test_overall_pools_findings_and_draws_patients() -> None:
    readings = [
        *(reading(i, "A", ("mass", "nodule") if i < 6 else ("nodule",)) for i in range(12)),
        *(reading(i, "B", ("mass",) if i < 5 else ("nodule",)) for i in range(12)),
    ]
    first = measure_review(readings, PATIENTS).agreements[0]
    assert set(first.by_finding) == {"mass", "nodule"}
    cells = [(k.both, k.first_only, k.second_only, k.neither) for k in first.by_finding.values()]
    total = tuple(map(sum, zip(*cells, strict=True)))
    overall = first.overall
    assert (overall.both, overall.first_only, overall.second_only, overall.neither) == total
    assert overall.n == 24
    assert overall.n_patients == 12
    assert first.by_finding["mass"].reason is KappaReason.NONE


def test_bilateral_is_both_sides_and_no_finding_is_none() -> None:
    readings = [
        reading(0, "A", ("effusion:bilateral",)),
        reading(0, "B", ("effusion:left", "effusion:right")),
        reading(1, "A", ("no finding",)),
        reading(1, "B", ()),
    ]
    first = measure_review(readings, PATIENTS).agreements[0]
    assert first.disagreements == ()
    assert set(first.by_finding) == {"effusion"}


def test_three_readers_make_three_pairs() -> None:
    readings = [reading(0, name, ("mass",)) for name in "CAB"]
    found = measure_review(readings, PATIENTS).agreements
    assert [(one.first, one.second) for one in found[::2]] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert found[0].overall.reason is KappaReason.CONSTANT
    assert found[0].to_json()["overall"]["kappa"] is None
