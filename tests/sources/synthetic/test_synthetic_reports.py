"""Reports say what is true, in many ways."""

from __future__ import annotations

import re

import pytest

from medembed.notes import FINDINGS, SIDED_FINDINGS, asserted_findings, read_note
from medembed.sources.synthetic import CohortConfig
from medembed.sources.synthetic.phrases import BOTH, ONE
from medembed.sources.synthetic.plan import Study, findings_of, plan_cohort
from medembed.sources.synthetic.report import write_report


@pytest.fixture(scope="module")
def told() -> list[tuple[Study, str]]:
    config = CohortConfig(n_studies=300, seed=8)
    return [(study, write_report(study, config.seed)) for study in plan_cohort(config)]


def test_every_finding_has_at_least_six_phrasings() -> None:
    devices = {"pacemaker", "central line", "port", "endotracheal tube", "chest tube"}
    for label in (set(FINDINGS) - {"support device"}) | devices | {"nasogastric tube"}:
        assert len(ONE[label]) >= 6, label
    for label, phrases in BOTH.items():
        assert len(phrases) >= 6, label


def test_every_report_has_findings_and_impression_and_no_hole(
    told: list[tuple[Study, str]],
) -> None:
    for _, text in told:
        assert re.search(r"findings:", text, re.I)
        assert re.search(r"impression:", text, re.I)
        assert "{" not in text
        assert "  " not in text
        assert " ." not in text
        assert not re.search(r"\b[Aa] [aeio]", text)


def test_a_report_names_no_person_and_no_date(told: list[tuple[Study, str]]) -> None:
    for study, text in told:
        assert study.accession not in text
        assert study.study_uid not in text
        assert str(study.when.year) not in text
        assert "Synthetic" not in text


def test_reports_differ(told: list[tuple[Study, str]]) -> None:
    assert len({text for _, text in told}) > 0.99 * len(told)


def test_a_side_is_named_only_if_something_lies_there(told: list[tuple[Study, str]]) -> None:
    for study, text in told:
        shown = {x.side for x in (*study.lesions, *study.resolved)}
        build = study.build
        if build.scoliosis or build.no_breast or abs(study.pose.rotation) > 0.08:
            continue
        for side, other in (("right", "left"), ("left", "right")):
            if shown <= {other, ""} and "superior vena" not in text and "atrium" not in text:
                assert not re.search(rf"\b{side}\b", text, re.I), text


def test_our_own_reader_finds_what_was_reported(told: list[tuple[Study, str]]) -> None:
    wanted = found = sides = sided = 0
    false = 0
    for study, text in told:
        have = asserted_findings(read_note(text))
        labels = {label for label, _ in have}
        sure = tuple(e.lesion for e in study.entries if e.status == "present")
        seen = tuple(e.lesion for e in study.entries if e.status != "omitted")
        for finding in filter(None, findings_of(sure).split(";")):
            label, _, side = finding.partition(":")
            wanted += 1
            found += label in labels
            if label in SIDED_FINDINGS and label in labels:
                sided += 1
                sides += any(a == label and b in (side, "bilateral") for a, b in have)
        # a report also tells of builds and old marks (a tortuous aorta), which are no lesions
        false += len((labels & set(FINDINGS)) - {x.label for x in seen})
    assert found / wanted > 0.95
    assert sides / sided > 0.93
    assert false / wanted < 0.05
