"""An audit of a library with small groups: one set of groups everywhere, and one door."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.archives import KINDS, protocol, put_model, second_model
from support.example_cases import make_case
from support.planted import MODEL

from evaluation.library_audit.run import audit_library
from evaluation.report import outcomes_csv, render
from evaluation.stats import OTHER_GROUPS
from evaluation.stats.report_fields import FIELDS, TABLES, Kind
from medembed.library import CaseLibrary
from medembed.notes import Note

OTHER = "fedcba9876543210" * 4
SITES = ["north"] * 70 + ["south"] * 60 + ["east"] * 7 + ["west"] * 8
SECTIONS = ("exposure", "leakage", "modality_gap", "label_quality")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """145 patients of two images; two sites have few, five patients are of unknown sex."""
    rng = np.random.default_rng(0)
    cases = [
        make_case(
            i,
            note=Note(f"FINDINGS: report number {i}."),
            findings=(KINDS[i % 3],),
            site=SITES[i // 2],
            sex="unknown" if i < 10 else "FM"[(i // 2) % 2],
            split="test",
        )
        for i in range(2 * len(SITES))
    ]
    library = CaseLibrary.create(tmp_path_factory.mktemp("small") / "library")
    library.add(cases)
    core = (2 * rng.normal(size=(3, 16)))[np.arange(len(cases)) % 3]
    core = core + rng.normal(size=core.shape)
    put_model(library, cases, MODEL, core, 0.4 * rng.normal(size=core.shape))
    second_model(library, harmed="")
    return audit_library(
        library,
        protocol(
            attributes=("sex", "site"), intersections=(("sex", "site"),), sections=SECTIONS,
            primary=[{"attribute": "site", "group": "east", "outcome": "image_to_image.P@5"}],
            expected={"site": ("east", "overseas")},
        ),
        fingerprint=MODEL,
        against=OTHER,
    )  # fmt: skip


def rows_of(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (section, row)
        for section, tables in TABLES.items()
        for table in tables
        for row in (report.get(section) or {}).get(table) or []
    ]


def test_every_section_has_the_merged_groups(report: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for section, row in rows_of(report):
        if row.get("attribute") == "site" and "group" in row and not row.get("primary"):
            found.setdefault(section, set()).add(row["group"])
    assert set(found) >= {"outcomes", "exposure", "modality_gap", "label_quality", "comparison"}
    assert all(groups == {"north", "south", OTHER_GROUPS} for groups in found.values())
    read = [row["by_group"] for row in report["leakage"]["rows"] if row["attribute"] == "site"]
    assert all(set(areas) == {"north", "south", OTHER_GROUPS} for areas in read)
    assert report["outcomes"]["settings"]["merged"]["site"] == ["east", "west"]


def test_a_few_of_unknown_sex_take_nobody_with_them(report: dict[str, Any]) -> None:
    cells = {row["group"]: row for row in report["outcomes"]["cells"] if row["attribute"] == "sex"}
    assert set(cells) == {"F", "M", "unknown"}
    assert cells["unknown"]["n_patients"] is None
    unknown = next(row for row in report["missing"]["unknown"] if row["attribute"] == "sex")
    assert (unknown["n_patients"], unknown["share"]) == (None, None)
    assert unknown["precision"] == "suppressed"


def test_every_count_and_rate_of_the_report_is_rounded(report: dict[str, Any]) -> None:
    assert report["small_groups"] == {"rounded": True}
    seen = set()
    for section, row in rows_of(report):
        kinds = {**FIELDS[""], **FIELDS.get(section, {})}
        for name, value in row.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            kind = kinds[name]  # every number of a row is declared
            seen.add((section, kind))
            if kind in (Kind.COUNT, Kind.PART):
                assert value % 10 == 0, (section, name)
            if kind in (Kind.RATE, Kind.GAP):
                assert value * 50 == pytest.approx(round(value * 50), abs=1e-6), (section, name)
    assert {("exposure", Kind.COUNT), ("comparison", Kind.RATE), ("leakage", Kind.RATE)} <= seen
    assert report["stamp"]["n_patients"] == report["outcomes"]["settings"]["n_patients"] == 140
    assert report["comparison"]["overlap"]["patients_both"] % 10 == 0


def test_a_question_on_a_merged_group_fails_the_gate_closed_and_says_why(
    report: dict[str, Any],
) -> None:
    assert not report["gate"]["passed"]
    assert "part of 'other (small groups)'" in "; ".join(report["gate"]["reasons"])
    absent = " ".join(report["missing"]["absent"])
    assert "'overseas'" in absent
    assert "'east'" not in absent


def test_the_page_and_the_csv_have_no_count_of_the_small_groups(report: dict[str, Any]) -> None:
    assert "fewer than 11" in render(report)
    counts = [line.split(",") for line in outcomes_csv(report).splitlines()]
    column = counts[0].index("n_patients")
    assert {int(float(line[column] or 0)) % 10 for line in counts[1:]} == {0}
