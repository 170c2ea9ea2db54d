"""The plan: who has what, how it goes on, and the bias that is planted."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from medembed.errors import ConfigError
from medembed.notes import FINDINGS, SIDED_FINDINGS
from medembed.sources.synthetic import Bias, CohortConfig
from medembed.sources.synthetic.plan import Study, findings_of, plan_cohort, uid_of


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return list(plan_cohort(CohortConfig(n_studies=900, seed=4)))


def test_every_finding_occurs_and_every_sided_one_on_both_sides(studies: list[Study]) -> None:
    count = Counter(f for s in studies for f in findings_of(s.lesions).split(";"))
    for label in FINDINGS:
        if label in SIDED_FINDINGS:
            assert min(count[f"{label}:right"], count[f"{label}:left"]) >= 10
        else:
            assert count[label] >= 20


def test_about_a_fifth_of_the_studies_is_normal(studies: list[Study]) -> None:
    normal = sum(not findings_of(s.lesions) for s in studies) / len(studies)
    assert 0.14 < normal < 0.28


def test_patients_have_one_to_four_studies_in_the_order_of_time(studies: list[Study]) -> None:
    by_patient: dict[int, list[Study]] = {}
    for study in studies:
        by_patient.setdefault(study.patient, []).append(study)
    assert {len(s) for s in by_patient.values()} == {1, 2, 3, 4}
    for series in by_patient.values():
        assert [s.when for s in series] == sorted(s.when for s in series)
        assert [s.prior for s in series] == [None, *(s.when for s in series[:-1])]


def test_findings_go_on_as_the_plan_says(studies: list[Study]) -> None:
    for before, after in pairwise(studies):
        if before.patient != after.patient:
            continue
        old = {(x.label, x.seed): x for x in before.lesions if x.label != "other"}
        gone = {(x.label, x.seed) for x in after.resolved}
        for entry in after.entries:
            key = (entry.lesion.label, entry.lesion.seed)
            if entry.lesion.label == "other":
                continue
            assert (entry.change == "new") == (key not in old)
            if entry.change == "increased" and entry.lesion.size:
                assert entry.lesion.size > old[key].size
        kept = {(e.lesion.label, e.lesion.seed) for e in after.entries}
        assert gone == set(old) - kept


def test_the_first_studies_do_not_hang_on_how_many_follow(studies: list[Study]) -> None:
    few = list(plan_cohort(CohortConfig(n_studies=50, seed=4)))
    assert few == studies[:50]


def test_planted_prevalence_and_under_reporting_reach_their_group_only() -> None:
    bias = Bias({"sex": "F"}, noisier_images=2, under_reported=0.5, prevalence={"effusion": 2.5})
    biased = list(plan_cohort(CohortConfig(n_studies=700, seed=4, bias=bias)))

    def share(sex: str) -> tuple[float, float, float]:
        own = [s for s in biased if s.sex == sex]
        entries = [e for s in own for e in s.entries if e.lesion.label != "other"]
        ill = sum("effusion" in findings_of(s.lesions) for s in own) / len(own)
        left_out = sum(e.status == "omitted" for e in entries) / len(entries)
        return ill, left_out, sum(s.noise for s in own) / len(own)

    women, men = share("F"), share("M")
    assert women[0] > 1.5 * men[0]
    assert women[1] == pytest.approx(0.5, abs=0.06)
    assert men[1] < 0.04
    assert (women[2], men[2]) == (2.0, 1.0)


def test_race_hangs_on_nothing_that_can_be_seen(studies: list[Study]) -> None:
    by_race: dict[str, list[Study]] = {}
    for study in studies:
        by_race.setdefault(study.race, []).append(study)
    rates = [sum(bool(s.lesions) for s in own) / len(own) for own in by_race.values()]
    assert len(rates) == 5
    assert max(rates) - min(rates) < 0.25  # chance: the smallest group has some 50 studies


@pytest.mark.parametrize(
    "make",
    [
        lambda: CohortConfig(n_studies=0),
        lambda: CohortConfig(size=20),
        lambda: CohortConfig(seed=-1),
        lambda: CohortConfig(views={"OBLIQUE": 1.0}),
        lambda: CohortConfig(prevalence={"gout": 0.5}),
        lambda: CohortConfig(ct_fraction=1.5),
        lambda: Bias({}),
        lambda: Bias({"shoe": "42"}),
        lambda: Bias({"age": "old"}),
        lambda: Bias({"sex": "F"}, under_reported=2),
        lambda: Bias({"sex": "F"}, noisier_images=0.5),
        lambda: Bias({"sex": "F"}, prevalence={"gout": 2.0}),
    ],
)
def test_a_cohort_that_cannot_be_is_refused(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


def test_an_age_range_holds_both_ends() -> None:
    bias = Bias({"age": "65-80", "site": "site-A"})
    common = {"sex": "F", "race": "white", "scanner": "A1"}
    assert bias.applies(**common, site="site-A", age=65)
    assert bias.applies(**common, site="site-A", age=80)
    assert not bias.applies(**common, site="site-A", age=81)
    assert not bias.applies(**common, site="site-B", age=70)


def test_a_uid_is_valid_and_a_version_4_uuid() -> None:
    uid = uid_of(1, "study")
    assert uid.startswith("2.25.")
    assert len(uid) <= 64
    assert uid != uid_of(2, "study")
    bits = int(uid[5:])
    assert (bits >> 76) & 0xF == 4
    assert (bits >> 62) & 0x3 == 2
