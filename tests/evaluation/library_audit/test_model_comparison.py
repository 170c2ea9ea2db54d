"""What changed: another model on the same queries, verdicts since an earlier audit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.archives import OTHER, OUTCOMES, archive, protocol, second_model
from support.planted import MODEL, unit
from typer.testing import CliRunner

from evaluation.change.comparison import compare_outcomes
from evaluation.library_audit import audit_library
from evaluation.library_audit.cases import gather_queries
from evaluation.library_audit.outcomes import outcome_columns
from evaluation.report import render
from medembed.cli import build
from medembed.errors import FingerprintError, InputError
from medembed.library import CaseLibrary

QUICK = {"sections": (), "strata": ()}


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    """The audited model serves all alike; the other one serves women by noise."""
    library = archive(tmp_path_factory.mktemp("mended") / "library", harmed="")
    second_model(library, harmed="F")
    return library


def test_a_planted_improvement_of_one_group_is_found_and_only_there(mended: CaseLibrary) -> None:
    found = audit_library(mended, protocol(**QUICK), fingerprint=MODEL, against=OTHER)["comparison"]
    assert found["models"] == {"before": OTHER, "after": MODEL}
    rows = {(row["group"], row["outcome"]): row for row in found["rows"]}
    for name in OUTCOMES:
        assert rows["F", name]["verdict"] == "improved"
        assert rows["F", name]["change"] > 0.1
        assert rows["F", name]["primary"]
        assert abs(rows["M", name]["change"]) < rows["F", name]["change"] / 2
    turned = audit_library(mended, protocol(**QUICK), fingerprint=OTHER, against=MODEL)
    worse = {(row["group"], row["outcome"]): row for row in turned["comparison"]["rows"]}
    assert worse["F", OUTCOMES[0]]["verdict"] == "worse"
    assert worse["F", OUTCOMES[0]]["change"] == pytest.approx(-rows["F", OUTCOMES[0]]["change"])


def test_the_change_is_that_of_the_outcomes_of_both_models(mended: CaseLibrary) -> None:
    asked = protocol(**QUICK)
    tables = []
    for model in (OTHER, MODEL):
        cases = gather_queries(mended, asked, model)
        columns, _ = outcome_columns(asked.outcomes, cases)
        tables.append({"patient_id": cases.by_image.owners, **cases.attributes, **columns})
    want = compare_outcomes(*tables, OUTCOMES, ["sex"], repetitions=300).to_json()["rows"]
    found = audit_library(mended, asked, fingerprint=MODEL, against=OTHER)["comparison"]["rows"]
    for a, b in zip(want, found, strict=True):
        assert (a["group"], a["outcome"]) == (b["group"], b["outcome"])
        for figure in ("before", "after", "change", "ci_low", "ci_high"):
            assert a[figure] == pytest.approx(b[figure], abs=1e-12)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_model_and_a_little_noise_has_not_changed(tmp_path: Path, seed: int) -> None:
    library = archive(tmp_path / "library", harmed="F")
    second_model(library, harmed="same", jitter=0.03, seed=seed)
    found = audit_library(library, protocol(**QUICK), fingerprint=MODEL, against=OTHER)
    assert {r["verdict"] for r in found["comparison"]["rows"]} == {"no_change_shown"}


def test_cases_without_vectors_of_both_models_neither_ask_nor_answer(tmp_path: Path) -> None:
    library = archive(tmp_path / "library", harmed="", n=240)
    ids, images = library.vectors(MODEL, "image")
    library.put_vectors(OTHER, "image", ids[:200], images[:200])
    with pytest.raises(FingerprintError, match="only 200 of 240 cases"):
        audit_library(library, protocol(**QUICK), fingerprint=MODEL, against=OTHER)
    found = audit_library(
        library, protocol(**QUICK), fingerprint=MODEL, against=OTHER, allow_partial=True
    )
    rows = {(r["group"], r["outcome"]): r for r in found["comparison"]["rows"]}
    assert {outcome for _, outcome in rows} == {OUTCOMES[0]}
    for row in rows.values():  # the same vectors among the same 200 cases: no figure may differ
        assert row["change"] == 0
        assert row["before"] == row["after"]
    told = " ".join(found["comparison"]["notes"])
    assert "are left out" in told
    assert OUTCOMES[1] in told
    assert found["comparison"]["overlap"]["queries_both"] == 200


def test_the_page_says_which_model_is_which_and_holds_no_patient(mended: CaseLibrary) -> None:
    report = audit_library(mended, protocol(**QUICK), fingerprint=MODEL, against=OTHER)
    page = render(report)
    compared = page[page.index('id="comparison"') : page.index('id="drift"')]
    assert compared.index(OTHER) < compared.index(MODEL)
    assert "the one this report is about" in compared
    for text in (page, json.dumps(report)):
        assert "P-1" not in text
        assert "case-1" not in text


def test_wrong_models_are_refused_in_one_line(mended: CaseLibrary) -> None:
    with pytest.raises(InputError, match="is the audited one"):
        audit_library(mended, protocol(**QUICK), fingerprint=MODEL, against=MODEL)
    with pytest.raises(FingerprintError, match="image vectors of this model"):
        audit_library(mended, protocol(**QUICK), fingerprint=MODEL, against="a" * 64)


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, CaseLibrary]:
    """An audit that finds harm to women, and one of the year after in which it is mended."""
    library = archive(tmp_path_factory.mktemp("years") / "library", harmed="F", n=600)
    asked = protocol(**QUICK, margin=0.1)
    then = audit_library(library, asked)
    ids, notes = library.vectors(MODEL, "note")
    rng = np.random.default_rng(5)
    library.put_vectors(OTHER, "image", ids, unit(notes + 0.05 * rng.normal(size=notes.shape)))
    library.put_vectors(OTHER, "note", ids, notes)
    now = audit_library(library, asked, fingerprint=OTHER, earlier=json.loads(json.dumps(then)))
    return then, now, library


def test_verdicts_that_turned_since_an_earlier_audit_are_listed_and_called_no_test(
    years: tuple[dict, dict, CaseLibrary],
) -> None:
    then, now, _ = years
    turns = {(r["group"], r["outcome"]): r["turn"] for r in now["drift"]["rows"]}
    assert turns["F", OUTCOMES[1]] == "settled"
    assert now["drift"]["earlier"]["model"] == then["stamp"]["model"]
    shown = {(r["group"], r["outcome"]): r for r in now["outcomes"]["table"]}
    for row in now["drift"]["rows"]:  # nothing that the report itself withholds
        own = shown[row["group"], row["outcome"]]
        assert (row["estimate_after"], row["gap_after"]) == (own["estimate"], own["gap"])
    page = render(now)
    assert "nothing is tested here" in page
    assert then["stamp"]["model"] in page
    notes = " ".join(now["drift"]["notes"])
    assert "not tested" in notes
    assert "Both audits are of the same cases." in notes
    assert "--against" in notes


def test_an_earlier_audit_by_other_rules_or_no_audit_is_refused_in_one_line(
    years: tuple[dict, dict, CaseLibrary],
) -> None:
    then, _, library = years
    other = protocol(**QUICK, margin=0.2, alpha=0.1)
    with pytest.raises(InputError, match="different protocol: alpha, margin"):
        audit_library(library, other, fingerprint=MODEL, earlier=then)
    with pytest.raises(InputError, match="not an audit"):
        audit_library(library, other, fingerprint=MODEL, earlier={"outcomes": []})


@pytest.mark.slow
def test_the_verb_takes_another_model_and_an_earlier_audit(
    tmp_path: Path, years: tuple[dict, dict, CaseLibrary]
) -> None:
    _, _, library = years
    own = tmp_path / "own.yaml"
    plan = {"way": "rerank", "attribute": "sex"}
    asked = protocol(**QUICK, mitigation=[plan]).model_dump(mode="json", exclude={"name"})
    own.write_text(json.dumps(asked))
    run = CliRunner()
    call = ["audit", str(library.path), "--protocol", str(own), "--model", OTHER[:8]]
    first = run.invoke(build(), [*call, "--out", str(tmp_path / "first"), "--against", MODEL[:8]])
    assert first.exit_code == 0, first.output
    assert f"Change from model {MODEL[:12]} (before) to {OTHER[:12]} (after)" in first.output
    assert "Tried: Reranking" in first.output
    assert "not recommended" in first.output
    second = [*call, "--out", str(tmp_path / "second"), "--before", str(tmp_path / "first")]
    again = run.invoke(build(), second)
    assert (
        "Verdicts that changed since the earlier audit (listed, not tested): none" in again.output
    )
    wrong = tmp_path / "first" / "audit.csv"
    refused = run.invoke(build(), [*second[:-1], str(wrong)])
    assert refused.exit_code == 2
    assert "not an audit's JSON" in refused.output
    assert len(refused.output.strip().splitlines()) <= 2
    assert "Traceback" not in refused.output
