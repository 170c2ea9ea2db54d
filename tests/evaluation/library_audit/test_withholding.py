"""Over all parts of a report together: no small number can be worked out, and the rest stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from simulation.audit_gates_disclosure import report_figures
from simulation.whole_reports import attack_report, counts_shown, make_report, random_archive
from support.archives import protocol

from evaluation.audit import audit_outcomes
from evaluation.library_audit.populations import Facts
from evaluation.library_audit.withholding import withhold
from evaluation.sections.finding_errors import assess_zero_shot
from evaluation.sections.label_quality import assess_label_quality, label_outcomes
from evaluation.stats import Minimum, suppress
from evaluation.stats.rounding import ROUNDED, coarsen, rounded, step_of

Row = dict[str, Any]
N = 400


def rows(report: Mapping[str, Any], section: str, **named: str) -> list[Row]:
    found = report[section].get("rows") or report[section].get("table")
    return [row for row in found if all(row[name] == value for name, value in named.items())]


def a_report(lacking: int, ill: int) -> tuple[dict[str, Any], Facts]:
    """One case a patient; of group F so many without a report, and so many with a finding."""
    sex = np.array(["F", "M"] * (N // 2))
    women = np.flatnonzero(sex == "F")
    noted, has = np.ones(N, dtype=bool), np.arange(N) % 4 == 1  # of men every second
    noted[women[:lacking]] = False
    has[women[-ill:]] = True
    labels = [{"mass"} if a else set() if b else None for a, b in zip(has, noted, strict=True)]
    said = [label if b else None for label, b in zip(labels, noted, strict=True)]
    rng = np.random.default_rng(0)
    scores = rng.normal(size=N)
    hit = (rng.random(N) < 0.5).astype(float)
    table = {"patient_id": np.arange(N), "sex": sex, "hit": hit}
    quality = assess_label_quality(
        label_outcomes(labels, said), np.arange(N), {"sex": sex}, repetitions=200
    )
    found = assess_zero_shot(
        {"mass": scores}, {"mass": has.astype(float)}, {"mass": 0.0}, np.arange(N), {"sex": sex}
    )
    report = {
        "version": 1,
        "stamp": {"n_cases": N, "n_patients": N},
        "protocol": {"minimum": {"reported": 11, "precise": 50}},
        "outcomes": audit_outcomes(table, ["hit"], ["sex"], permutations=0).to_json(),
        "label_quality": {"rows": [row.to_json() for row in quality], "notes": []},
        "zero_shot": {"rows": [row.to_json() for row in found], "notes": []},
    }
    labelled = has | noted
    sets = {
        ("outcome", "hit"): np.ones(N, dtype=bool),
        ("noted",): noted,
        ("label", "unlabelled"): np.ones(N, dtype=bool),
        ("label", "unlabelled", "events"): ~labelled,
        ("label", "without_finding"): labelled,
        ("label", "without_finding", "events"): labelled & ~has,
        ("label", "without_note"): np.ones(N, dtype=bool),
        ("label", "without_note", "events"): ~noted,
        ("finding", "mass", "with"): has,
        ("finding", "mass", "without"): ~has,
    } | {("label", name): noted for name in ("disagreement", "only_in_table", "only_in_note")}
    return report, Facts.of(np.arange(N), {"sex": sex}, sets)


def test_a_reader_who_subtracts_one_section_from_another_learns_nothing() -> None:
    report, facts = a_report(lacking=7, ill=5)
    women = {"attribute": "sex", "group": "F"}
    # Before: all women less those with a report, and all less those without the finding.
    everyone = next(c for c in report["outcomes"]["cells"] if c["group"] == "F")["n_patients"]
    noted = rows(report, "label_quality", measure="disagreement", **women)[0]["n_patients"]
    without = rows(report, "zero_shot", measure="FPR", **women)[0]["n_patients"]
    assert (everyone - noted, everyone - without) == (7, 5)
    kept = withhold(report, facts)
    cell = next(c for c in kept["outcomes"]["cells"] if c["group"] == "F")
    assert cell["n_patients"] == everyone
    assert rows(kept, "label_quality", measure="disagreement", **women)[0]["n_patients"] is None
    assert rows(kept, "zero_shot", measure="FPR", **women)[0]["n_patients"] is None
    for row in rows(kept, "label_quality", measure="without_note"):  # 7 of 200 is a rate of .035
        assert row["estimate"] is row["rest_estimate"] is row["gap"] is row["p"] is None
        assert row["n_events"] == (0 if row["group"] == "M" else None)
        assert (row["verdict"], row["n_patients"]) == ("not_assessable", 200)
        assert "fewer than 11" in row["reason"]


def test_nothing_is_taken_where_nothing_is_small_and_the_report_given_is_left_as_it_is() -> None:
    report, facts = a_report(lacking=40, ill=50)
    before = str(report)
    assert withhold(report, facts) == report
    small, facts = a_report(lacking=3, ill=50)
    assert withhold(small, facts) != small
    assert str(report) == before


def test_a_rate_beside_a_withheld_size_is_too_coarse_to_tell_it() -> None:
    report, facts = a_report(lacking=7, ill=5)
    row = rows(withhold(report, facts), "zero_shot", measure="FPR", group="F")[0]
    exact = rows(report, "zero_shot", measure="FPR", group="F")[0]
    assert exact["estimate"] * exact["n_queries"] == pytest.approx(exact["n_events"], abs=1e-9)
    for name, value in row.items():
        if isinstance(value, float) and name not in {"p", "p_adjusted"}:
            assert value * 50 == pytest.approx(round(value * 50), abs=1e-6), name
    assert row["ci_low"] <= exact["ci_low"] <= exact["ci_high"] <= row["ci_high"]
    assert row["n_events"] is row["n_queries"] is None
    assert row["gap"] == pytest.approx(row["estimate"] - row["rest_estimate"], abs=1e-9)
    assert row["verdict"] == exact["verdict"]
    assert "withheld" in row["reason"]


@pytest.mark.parametrize(
    ("sizes", "precision", "most"), [((11, 50), "low", 0.02), ((50, 100), "usual", 0.1)]
)
def test_how_seldom_a_rounded_rate_and_its_exact_interval_tell_the_size(
    sizes: tuple[int, int], precision: str, most: float
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
            coarsen(row, list(row), step_of(ROUNDED, precision, 0, Minimum()))
            fitting.setdefault(tuple(row.values()), []).append(n)
    pairs = sum(n + 1 for n in range(*sizes))
    told = [
        sum(len(found) for found in made.values() if len(set(found)) == 1) / pairs
        for made in (fitting, plain)
    ]
    assert told[0] <= most
    assert told[1] >= 0.95


@pytest.mark.parametrize("n", [11, 23, 50, 77, 400])
def test_every_rounded_rate_is_one_that_a_group_of_any_such_size_can_have(n: int) -> None:
    # So that, by itself, it excludes no size: whole numbers of events are dense enough.
    precision = Minimum().precision(n)
    step = step_of(ROUNDED, precision, n, Minimum())
    shown = {rounded(events / n, step) for events in range(n + 1)}
    assert shown == {rounded(k * step, step) for k in range(round(1 / step) + 1)}


def test_a_group_s_mean_is_as_coarse_in_every_row_where_it_stands() -> None:
    # 6 of a site were not measured: its mean and those that it is compared with are in steps.
    report, facts = a_report(lacking=7, ill=5)
    site = np.array(["a", "a", "b", "c"] * (N // 4))
    hit = (np.random.default_rng(1).random(N) < 0.5).astype(float)
    hit[np.flatnonzero(site == "b")[:6]] = np.nan
    table = {"patient_id": np.arange(N), "site": site, "hit": hit}
    report["outcomes"] = audit_outcomes(
        table, ["hit"], ["site"], permutations=0, contrasts="all"
    ).to_json()
    sets = facts.sets | {("outcome", "hit"): ~np.isnan(hit)}
    kept = withhold(report, Facts(facts.owner, facts.groups | {"site": site}, sets))
    own = {row["group"]: row["estimate"] for row in rows(kept, "outcomes", comparison="rest")}
    assert own["b"] != pytest.approx(np.nanmean(hit[site == "b"]), abs=1e-6)
    others = [row for row in rows(kept, "outcomes") if row["comparison"] != "rest"]
    assert len(others) == 5
    for row in others:
        assert row["estimate"] == own[row["group"]]
        if row["comparison"].startswith("pair:"):
            assert row["rest_estimate"] in (None, own[row["comparison"].removeprefix("pair:")])


def test_no_small_number_of_random_whole_reports_is_recovered() -> None:
    found = report_figures(2, seed=0, control=3)
    assert found["small_cells"] > 100
    assert found["recovered"] == 0
    assert found["withheld_by_the_last_step"] > 0


@pytest.mark.slow
def test_no_small_number_of_many_whole_reports_is_recovered_and_before_the_last_step_some() -> None:
    found = report_figures(25, seed=1, control=5)
    assert found["small_cells"] > 2000
    assert found["recovered"] == 0
    assert found["control_before_the_last_step"]["recovered"] > 0


def test_the_attack_succeeds_on_the_sections_alone() -> None:
    rng = np.random.default_rng([0, 0])
    archive = random_archive(rng)
    report, facts = make_report(archive, rng)
    assert attack_report(archive, report)[0]
    kept = withhold(report, facts)
    assert not attack_report(archive, kept)[0]
    assert 0 < counts_shown(kept) < counts_shown(report)


def test_facts_are_those_that_the_sections_count(tmp_path: Path) -> None:
    # Every size that a real report of a library shows is the size of its set in the facts.
    from support.archives import archive

    from evaluation.library_audit.cases import gather_queries
    from evaluation.library_audit.counting import Sizes
    from evaluation.library_audit.outcomes import outcome_columns
    from evaluation.library_audit.populations import facts_of
    from evaluation.library_audit.rows import readings
    from evaluation.library_audit.run import audit_library
    from evaluation.library_audit.zero_shot import _truth

    library = archive(tmp_path / "library", harmed="", n=160)
    asked = protocol(sections=("exposure", "leakage", "modality_gap", "label_quality"))
    report = audit_library(library, asked)
    audited = gather_queries(library, asked, report["stamp"]["model"])
    columns, _ = outcome_columns(
        asked.outcomes, audited.by_image, audited.paired, audited.rows_of_pairs, 0
    )
    facts = facts_of(audited, columns)
    sizes = Sizes(facts)
    checked = set()
    for reading in readings(report, sizes, asked.least):
        for field, cell in reading.sizes.items():
            value = reading.row.get(field)
            if field in ("n_patients", "n_queries", "n_events") and isinstance(cell[0], int):
                mask = sizes.masks[cell[0]] & (facts.groups[cell[1]] == cell[2])
                true = len(np.unique(facts.owner[mask])) if field == "n_patients" else mask.sum()
                assert value in (None, true), (reading.section, field)
                checked.add((reading.section, field))
    assert {"outcomes", "exposure", "modality_gap", "label_quality"} <= {s for s, _ in checked}
    assert ("label_quality", "n_events") in checked
    for label in {f.label for case in audited.by_image.findings for f in case}:
        held = facts.sets["finding", label, "with"]
        assert (held == (_truth(audited.by_image, label) == 1)).all()


@pytest.mark.slow
def test_a_report_of_thousands_of_counts_keeps_a_quarter_of_them() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    owner = np.repeat(np.arange(n // 2), 2)
    groups = {f"a{i}": rng.integers(0, 6, n // 2)[owner].astype(str) for i in range(6)}
    sets: dict[tuple[str, ...], Any] = {}
    for number in range(15):
        has = rng.random(n) < rng.uniform(0.01, 0.3)
        sets["finding", str(number), "with"], sets["finding", str(number), "without"] = has, ~has
    facts = Facts.of(owner, groups, sets)
    table = [
        {"finding": f, "attribute": a, "group": g, "measure": m, "n_queries": 0,
         "n_patients": 0, "n_events": 0, "estimate": 0.5, "precision": "usual", "reason": "",
         "verdict": "within"}
        for f in map(str, range(15)) for a in groups for g in "012345" for m in ("FNR", "FPR")
    ]  # fmt: skip
    for row in table:
        mask = facts.sets["finding", row["finding"], "with" if row["measure"] == "FNR" else
                          "without"] & (groups[row["attribute"]] == row["group"])  # fmt: skip
        row["n_patients"], row["n_queries"] = len(np.unique(owner[mask])), int(mask.sum())
    report = {"outcomes": {"settings": {}}, "zero_shot": {"rows": table, "notes": []}}
    kept = withhold(report, facts)
    assert len(table) == 1080
    assert counts_shown(kept) > counts_shown(report) / 4


def test_partners_are_taken_from_those_that_are_missed_least() -> None:
    counts = {"all": 100, "F": 60, "M": 35, "O": 5}
    sums = [("all", ("F", "M", "O"))]
    assert suppress(counts, sums).partners == {"M"}
    assert suppress(counts, sums, spared={"M": 1}).partners == {"F"}
    assert suppress(counts, sums, spared={"M": 1, "F": 1}).partners == {"all"}
    # A difference that is large may be known: nothing has to go for its sake.
    apart = {"all": 100, "with": 60, "less": 40, "few": 3, "others": 57}
    system = [("all", ("with", "less")), ("with", ("few", "others"))]
    kept = suppress(apart, system, unseen=["less"], harmless=["less"])
    assert kept.partners == {"others"}
