"""Declared ways to mitigate within an audit: what helps is found, what does not is not advised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.archives import KINDS, OUTCOMES, archive, protocol, put_model
from support.example_cases import make_case
from support.planted import MODEL, unit

from evaluation.library_audit import TextSide, audit_library, load_protocol
from evaluation.library_audit.cases import gather_queries
from evaluation.library_audit.mitigate import Candidate, by_lists, by_vectors
from evaluation.library_audit.neighbours import first_hits, reordered
from evaluation.library_audit.outcomes import MeasuredCases, outcome_columns
from evaluation.mitigation import erase_unit
from evaluation.report import render
from evaluation.retrieval.tasks import image_to_image
from medembed.cases import Finding
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.notes import Note

HELPS_WOMEN = {"group": "F", "outcome": OUTCOMES[0]}
FINDS_WOMEN = {"group": "F", "outcome": OUTCOMES[1]}


def asked(*plans: dict[str, Any], **changes: Any) -> Any:
    return protocol(sections=(), strata=(), mitigation=plans, **changes)


@pytest.fixture(scope="module")
def swamped(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    """Images of women vary along one direction that says nothing but their sex."""
    rng = np.random.default_rng(3)
    n = 900
    which = rng.integers(0, len(KINDS), n)
    coin = rng.integers(0, 2, n // 2)
    cases = [
        make_case(
            i,
            note=Note(f"FINDINGS: report number {i}."),
            findings=(KINDS[which[i]],),
            sex="FM"[(i // 2) % 2],
            attributes={"coin": "ab"[coin[i // 2]]},
            split="val" if i < n // 2 else "test",
        )
        for i in range(n)
    ]
    core = (0.9 * rng.normal(size=(len(KINDS), 16)))[which] + rng.normal(size=(n, 16))
    women = np.array([case.sex == "F" for case in cases])
    along = np.zeros(16)
    along[3] = 1.0
    added = np.where(women, rng.normal(12, 8, n), rng.normal(0, 0.2, n))[:, None] * along
    library = CaseLibrary.create(tmp_path_factory.mktemp("swamped") / "library")
    library.add(cases)
    put_model(library, cases, MODEL, core, added)
    return library


def summary(report: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {
        one["name"].split(" ")[1]: (one["recommended"], " ".join(one["reasons"]))
        for one in report["mitigation"]["summary"]
    }


def test_what_helps_is_recommended_and_a_sham_beside_it_is_not(swamped: CaseLibrary) -> None:
    report = audit_library(
        swamped,
        asked(
            {"way": "erase", "attribute": "sex", **FINDS_WOMEN},
            {"way": "erase", "attribute": "coin", "group": "a", "outcome": OUTCOMES[1]},
            attributes=("sex", "coin"),
        ),
    )
    found = summary(report)
    assert found["sex"][0], found["sex"]
    assert not found["coin"][0]
    rows = {
        (r["name"].split(" ")[1], r["attribute"], r["group"]): r
        for r in report["mitigation"]["rows"]
        if r["measure"] == OUTCOMES[1]
    }
    assert rows["sex", "sex", "F"]["target"]
    assert rows["sex", "sex", "F"]["change"] > 0.3
    assert rows["coin", "coin", "a"]["verdict"] == "no_change_shown"
    for group in (("all", "all"), ("sex", "F"), ("sex", "M"), ("coin", "a"), ("coin", "b")):
        for name in ("sex", "coin"):  # every group of every attribute, with its loss
            assert (name, *group) in rows


def test_an_erasure_is_that_of_other_patients_and_outcomes_are_searched_anew(
    swamped: CaseLibrary,
) -> None:
    plan = {"way": "erase", "attribute": "sex", **HELPS_WOMEN}
    declared = asked(plan)
    sides = {s: gather_queries(swamped, declared, MODEL, s) for s in ("val", "test")}
    here = sides["test"]
    columns, _ = outcome_columns(OUTCOMES, here)
    measured = MeasuredCases(here, columns, declared, swamped, MODEL)
    candidate = Candidate(declared.mitigation[0], measured, sides["val"])
    attempt = by_vectors(candidate)
    eraser = erase_unit(sides["val"].by_image.images, sides["val"].attributes["sex"])
    images = eraser.apply(here.by_image.images)
    scores = images @ images.T
    scores[here.by_image.owners[:, None] == here.by_image.owners[None, :]] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    alike = np.array([[here.by_image.findings[i] == here.by_image.findings[j] for j in row]
                      for i, row in enumerate(best)])  # fmt: skip
    np.testing.assert_allclose(attempt.after[OUTCOMES[0]], alike.mean(axis=1), atol=1e-9)
    assert not candidate.fitted_on & {case.patient_id for case in here.cases}


def test_lists_that_are_given_are_measured_as_they_stand(swamped: CaseLibrary) -> None:
    cases = gather_queries(swamped, asked(), MODEL).by_image
    plain = image_to_image(cases, shuffles=0).scores.per_query
    same = image_to_image(cases, scores=reordered(cases, first_hits(cases, 10)), shuffles=0)
    turned = first_hits(cases, 10)[:, ::-1]
    back = image_to_image(cases, scores=reordered(cases, turned), shuffles=0).scores.per_query
    for name in ("P@1", "P@5", "P@10", "nDCG@10", "MRR"):
        np.testing.assert_allclose(same.scores.per_query[name], plain[name], atol=1e-12)
    np.testing.assert_allclose(back["P@10"], plain["P@10"], atol=1e-12)
    last = [cases.findings[i] == cases.findings[row[0]] for i, row in enumerate(turned)]
    np.testing.assert_allclose(back["P@1"], last)


def test_reordered_lists_hold_each_group_in_its_share_and_change_no_words(
    swamped: CaseLibrary,
) -> None:
    plan = {"way": "rerank", "attribute": "sex", "depth": 450, **HELPS_WOMEN}
    declared = asked(plan)
    here = gather_queries(swamped, declared, MODEL)
    columns = {name: np.zeros(len(here.cases)) for name in OUTCOMES}
    measured = MeasuredCases(here, columns, declared, swamped, MODEL)
    attempt = by_lists(Candidate(declared.mitigation[0], measured, None))
    assert set(attempt.after) == {OUTCOMES[0]}
    said = attempt.notes[0]
    shares = [float(part.split(" ")[-1]) for part in said.split(": ")[1].split(";")[0].split(", ")]
    assert sum(shares) == pytest.approx(1, abs=0.002)
    assert shares[0] == pytest.approx(0.5, abs=0.1)  # half of the archive are women


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return archive(tmp_path_factory.mktemp("fair") / "library", harmed="", n=500, n_val=200)


@pytest.mark.parametrize("way", ["rerank", "exposure", "correlation"])
def test_each_way_is_assessed_for_every_group(fair: CaseLibrary, way: str) -> None:
    report = audit_library(fair, asked({"way": way, "attribute": "sex", **HELPS_WOMEN}))
    section = report["mitigation"]
    groups = {(r["attribute"], r["group"]) for r in section["rows"]}
    assert groups == {("all", "all"), ("sex", "F"), ("sex", "M")}
    assert all(r["ci_low"] <= r["change"] <= r["ci_high"] for r in section["rows"])
    assert not section["summary"][0]["recommended"]  # all are served alike: nothing to mend
    assert section["notes"][0].startswith(section["summary"][0]["name"])


@pytest.fixture(scope="module")
def unheard(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    """Women's images stand further from the words of each finding than men's."""
    rng = np.random.default_rng(4)
    n = 1600
    sick = rng.random(n) < 0.5
    cases = [
        make_case(
            i,
            patient_id=f"P-{i}",
            findings=(Finding("edema"),) if sick[i] else (),
            sex="FM"[i % 2],
            split="val" if i < n // 2 else "test",
        )
        for i in range(n)
    ]
    women = np.array([case.sex == "F" for case in cases])
    near = np.where(sick, 0.5, 0.2) - 0.15 * women + 0.12 * rng.normal(size=n)
    rest = unit(rng.normal(size=(n, 7))) * np.sqrt(1 - near**2)[:, None]
    library = CaseLibrary.create(tmp_path_factory.mktemp("unheard") / "library")
    library.add(cases)
    ids = [case.case_id for case in cases]
    library.put_vectors(MODEL, "image", ids, unit(np.column_stack([near, rest])))
    return library


WORDS = TextSide(
    lambda note: note.text, lambda texts: np.eye(8, dtype=np.float32)[[0] * len(texts)]
)


@pytest.mark.parametrize("equal", ["sensitivity", "rates"])
def test_thresholds_of_each_group_miss_fewer_women_and_say_what_that_costs(
    unheard: CaseLibrary, equal: str
) -> None:
    plan = {"way": "thresholds", "attribute": "sex", "group": "F", "equal": equal}
    report = audit_library(unheard, asked(plan, outcomes=OUTCOMES[:1], primary=()), text_side=WORDS)
    rows = {(r["group"], r["measure"]): r for r in report["mitigation"]["rows"]}
    missed = rows["F", "edema missed (FNR)"]
    assert missed["target"]
    assert missed["verdict"] == "improved"
    assert missed["change"] < -0.05
    assert rows["F", "edema falsely called (FPR)"]["change"] > 0
    gaps = [
        abs(rows["F", "edema missed (FNR)"][at] - rows["M", "edema missed (FNR)"][at])
        for at in ("before", "after")
    ]
    assert gaps[1] < gaps[0] / 2
    assert ("decided at random" in report["mitigation"]["notes"][0]) == (equal == "rates")


def test_what_cannot_be_done_is_a_note_and_never_a_figure(swamped: CaseLibrary) -> None:
    plans = (
        {"way": "erase", "attribute": "race", "group": "w", "outcome": OUTCOMES[0]},
        {"way": "exposure", "attribute": "sex", "group": "F", "outcome": OUTCOMES[0],
         "fit_split": "train"},
        {"way": "rerank", "attribute": "sex", "group": "O", "outcome": OUTCOMES[0]},
        {"way": "thresholds", "attribute": "sex", "group": "F"},
    )  # fmt: skip
    report = audit_library(swamped, asked(*plans, attributes=("sex", "race")))
    section = report["mitigation"]
    assert section["rows"] == []
    said = " ".join(section["notes"])
    for why in ("fewer than two groups of 'race'", "no cases in the split 'train'",
                "no patient whom it is meant to help", "folder is not available"):  # fmt: skip
        assert why in said
    assert all(one["reasons"][0].startswith("Not assessable: ") for one in section["summary"])
    assert not any(one["recommended"] for one in section["summary"])
    assert "could be assessed" in render(report)


def test_who_is_asked_is_not_fitted_on(swamped: CaseLibrary, tmp_path: Path) -> None:
    plan = {"way": "erase", "attribute": "sex", **HELPS_WOMEN}
    report = audit_library(swamped, asked(plan).with_split("val"))
    assert "fitted on the audited patients" in report["mitigation"]["notes"][0]
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps(asked(plan, split="val").model_dump(mode="json")))
    with pytest.raises(ConfigError, match="fitted on the audited patients"):
        load_protocol(path)


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ({"way": "pray", "attribute": "sex"}, "way"),
        ({"way": "erase", "attribute": "race"}, "race"),
        ({"way": "erase", "attribute": "sex", "outcome": "image_to_image.MRR"}, "MRR"),
        ({"way": "erase", "attribute": "sex", "strength": 0.5}, "strength"),
        ({"way": "thresholds", "attribute": "sex"}, "group"),
        ({"way": "rerank", "attribute": "view"}, "has no target"),
    ],
)
def test_a_way_that_does_not_fit_names_its_key(
    tmp_path: Path, plan: dict[str, object], word: str
) -> None:
    path = tmp_path / "own.yaml"
    declared = {"attributes": ["sex", "view"], "outcomes": list(OUTCOMES), "mitigation": [plan]}
    path.write_text(json.dumps(declared))
    with pytest.raises(ConfigError, match=word) as caught:
        load_protocol(path)
    assert "\n" not in str(caught.value)


def test_ways_are_in_the_hash_and_none_leaves_it_what_it_was() -> None:
    plain = asked()
    assert plain.digest == protocol(sections=(), strata=()).digest
    later = {"name", "mitigation", "ratio_margin", "reference", "bands"}
    held = plain.model_dump(mode="json", exclude=later)
    import hashlib

    assert plain.digest == hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()
    assert plain.digest != asked({"way": "erase", "attribute": "sex"}).digest
    assert plain.digest != plain.model_copy(update={"ratio_margin": 2.0}).digest
