"""audit_library: from cases and vectors to a report, with harm planted and without."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from support.archives import OUTCOMES, archive, protocol
from support.example_cases import make_case
from support.planted import MODEL, unit

from evaluation.library_audit import TextSide, audit_library, load_protocol
from evaluation.library_audit.attributes import attribute_values, stratum_values
from evaluation.library_audit.cases import gather_queries
from evaluation.library_audit.neighbours import first_hits
from evaluation.library_audit.outcomes import OUTCOMES as NAMED
from evaluation.library_audit.outcomes import outcome_columns
from evaluation.report import render
from medembed.cases import Finding
from medembed.config import config_names
from medembed.errors import ConfigError, FingerprintError
from medembed.library import CaseLibrary


def encode(texts: list[str]) -> np.ndarray:
    seeds = [sum(text.encode()) for text in texts]
    return unit(np.stack([np.random.default_rng(s).normal(size=16) for s in seeds]))


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return archive(tmp_path_factory.mktemp("fair") / "library", harmed="")


def test_planted_harm_is_found_and_named_and_without_it_the_gate_is_open(
    tmp_path: Path, fair: CaseLibrary
) -> None:
    harmed = audit_library(archive(tmp_path / "library", harmed="F"), protocol())
    verdicts = {
        (row["group"], row["outcome"]): (row["verdict"], row["gap"])
        for row in harmed["outcomes"]["table"]
        if row["comparison"] == "rest"
    }
    for name in OUTCOMES:
        verdict, gap = verdicts["F", name]
        assert verdict == "exceeds"
        assert gap < -0.1
    assert not harmed["gate"]["passed"]
    assert any("F" in reason for reason in harmed["gate"]["reasons"])
    assert audit_library(fair, protocol())["gate"]["passed"]


def test_a_rerun_is_the_same_to_the_bit_and_the_day_is_all_that_a_date_changes(
    fair: CaseLibrary,
) -> None:
    one, two = (json.dumps(audit_library(fair, protocol()), allow_nan=False) for _ in range(2))
    assert one == two
    dated = audit_library(fair, protocol(), day=date(2026, 1, 2))
    assert dated["stamp"].pop("date") == "2026-01-02"
    plain = json.loads(one)
    plain["stamp"].pop("date")
    assert json.loads(json.dumps(dated)) == plain


def test_every_outcome_that_a_protocol_may_name_is_measured_in_all_three_directions(
    fair: CaseLibrary,
) -> None:
    audited = gather_queries(fair, protocol(), MODEL)
    columns, missing = outcome_columns(list(NAMED), audited)
    assert not missing
    for name, column in columns.items():
        assert np.isfinite(column).sum() > 300, name
        assert column[np.isfinite(column)].max() <= 1, name
    # A hit at 1 is both a precision and a recall, whoever asks.
    for way in ("image_to_image", "text_to_image", "image_to_text"):
        assert (columns[f"{way}.P@1"] <= columns[f"{way}.P@5"] * 5 + 1e-12).all(), way
    assert (columns["image_to_image.P@5"] <= columns["image_to_image.R@5"] + 1e-12).all()


def test_the_report_renders_and_holds_no_patient(fair: CaseLibrary) -> None:
    report = audit_library(
        fair,
        protocol(sections=("exposure", "leakage", "counterfactual", "modality_gap")),
        text_side=TextSide(lambda note: note.text, encode),
    )
    assert report["counterfactual"]["rows"]
    assert report["label_quality"] is None
    page = render(report)
    for text in (page, json.dumps(report)):
        assert "P-1" not in text
        assert "case-1" not in text


def test_what_cannot_be_done_is_said_and_not_made_up(tmp_path: Path) -> None:
    library = archive(tmp_path / "library", harmed="", n=80)
    report = audit_library(library, protocol(sections=("counterfactual",)))
    assert report["counterfactual"]["rows"] == []
    assert "folder is not available" in report["counterfactual"]["notes"][0]
    assert report["missing"]["unknown"] == [{"attribute": "sex", "n_patients": 0, "share": 0.0}]


def test_progress_ends_at_its_total_and_never_passes_it(fair: CaseLibrary) -> None:
    seen: list[tuple[int, int | None]] = []
    audit_library(
        fair, protocol(sections=("zero_shot",)), progress=lambda *counts: seen.append(counts)
    )
    assert seen == [(done, 4) for done in range(5)]


def test_an_expected_group_that_is_absent_is_named(fair: CaseLibrary) -> None:
    report = audit_library(fair, protocol(expected={"sex": ["F", "M", "O"]}, sections=()))
    assert report["missing"]["absent"] == ["No case of the group 'O' of sex is in the archive."]


def test_first_hits_hold_no_case_of_the_own_patient_and_are_the_nearest(fair: CaseLibrary) -> None:
    cases = gather_queries(fair, protocol(), MODEL).by_image
    hits = first_hits(cases, 3)
    scores = cases.images.astype(float) @ cases.images.T.astype(float)
    scores[cases.owners[:, None] == cases.owners[None, :]] = -np.inf
    np.testing.assert_array_equal(hits[:, 0], scores.argmax(axis=1))
    assert not (cases.owners[hits] == cases.owners[:, None]).any()


@pytest.mark.parametrize(
    ("age", "band"),
    [(None, "unknown"), (39.9, "under 40"), (40.0, "40-59"), (60.0, "60 and over")],
)
def test_bands_of_age_hold_their_lower_end(age: float | None, band: str) -> None:
    assert attribute_values([make_case(age_years=age)], "age_band", (40, 60)).tolist() == [band]


def test_the_stratum_of_a_case_is_its_commonest_finding() -> None:
    several = make_case(0, findings=(Finding("mass"), Finding("edema")))
    others = [make_case(i, findings=(Finding("edema"),)) for i in (1, 2)]
    nothing = make_case(3, findings=(Finding("no finding"),))
    found = stratum_values([several, *others, nothing], "finding", ())
    assert found.tolist() == ["edema", "edema", "edema", "none"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"outcomes": ["image_to_image.P@7"]}, "P@7"),
        ({"primary": [{"attribute": "race", "outcome": OUTCOMES[0]}]}, "race"),
        ({"margin": 0}, "margin"),
        ({"strata": ["weather"]}, "weather"),
        ({"sections": ["horoscope"]}, "horoscope"),
        ({"age_bands": [60, 40]}, "age_bands"),
        ({"mragin": 0.1}, "mragin"),
        ({"instrument": {"cohorts": 4}}, "instrument.*20 or more"),
    ],
)
def test_a_protocol_that_does_not_fit_names_its_key(
    tmp_path: Path, changes: dict[str, object], key: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps({"attributes": ["sex"], **changes}))
    with pytest.raises(ConfigError, match=key) as caught:
        load_protocol(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", config_names("audit"))
def test_a_declared_protocol_is_valid_and_its_hash_changes_with_what_it_declares(name: str) -> None:
    declared = load_protocol(name)
    assert declared.primary
    assert declared.digest != declared.model_copy(update={"margin": 0.1}).digest
    assert declared.digest == declared.model_copy(update={"name": "other"}).digest
    fewer = declared.by(["sex"])
    assert fewer.attributes == ("sex",)
    assert all(asked.attribute == "sex" for asked in fewer.primary)


def test_a_foreign_model_is_refused(fair: CaseLibrary) -> None:
    with pytest.raises(FingerprintError):
        audit_library(fair, protocol(), fingerprint="f" * 64)
