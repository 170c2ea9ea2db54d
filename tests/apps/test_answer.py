"""What the page says of its answer: fit, novelty, archive, own case, doubt, worth, audit."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from apps.case_lookup.answer_lines import _novelty, fitting_hits
from apps.case_lookup.archive_checks import Aspect, CheckState, check_archive
from apps.case_lookup.finding_chips import Certainty, case_chips, certainties
from apps.case_lookup.patient_audit import patient_of
from apps.case_lookup.texts import ENGLISH
from evaluation.latest_audit import AuditedGroup, AuditedOutcome, LatestAudit
from medembed.cases import Finding
from medembed.library import CaseLibrary
from medembed.lookup.messages import Novelty, NoveltyReason
from medembed.lookup.novelty_check import NoveltyAnswer
from medembed.lookup.terms import QueryTerms, Term, TermKind
from medembed.notes import Assertion, Note
from tests.apps.acting import drop, html, press, ranked, search, without_css
from tests.apps.conftest import make_case, write_ct


def result_of(room: AppTest) -> Any:
    return room.session_state["outcome"].result


# does anything fit -------------------------------------------------------------------------


def test_the_page_says_when_no_hit_states_what_was_asked_for(room: AppTest) -> None:
    search(room, "right effusion")
    assert re.search(r"\d of these 10 hits fits? everything you asked for", html(room))
    search(room, "right pneumothorax")
    assert "None of these 10 hits fits everything you asked for." in html(room)
    assert fitting_hits(result_of(room)) is not None
    assert fitting_hits(result_of(room))[0] == 0  # type: ignore[index]


def test_hits_that_contradict_the_words_are_counted(room: AppTest) -> None:
    search(room, "pneumothorax without effusion")
    fitting, contradicting = fitting_hits(result_of(room))  # type: ignore[misc]
    assert fitting == 0
    assert contradicting == 10, "every report here rules out a pneumothorax and has an effusion"
    assert "10 contradict it." in html(room)


@pytest.mark.parametrize("text", ["effusion without pneumothorax", "effusion and not pneumothorax"])
def test_without_and_and_not_deny(room: AppTest, text: str) -> None:
    search(room, text)
    terms = {(term.value, term.status) for term in result_of(room).terms.terms}
    assert terms == {("effusion", "present"), ("pneumothorax", "absent")}
    fitting, _ = fitting_hits(result_of(room))  # type: ignore[misc]
    assert fitting >= 9, "all but the one without a report rule it out"


def test_a_view_that_no_case_has_is_said_of_words(room: AppTest) -> None:
    search(room, "effusion on a lateral view")
    assert "No case here has view" in html(room)


def test_novelty_has_three_answers_and_each_is_shown(room: AppTest) -> None:
    search(room, "effusion")
    result = result_of(room)
    answers = {
        "rr-novel": NoveltyAnswer(Novelty.UNLIKE, NoveltyReason.NONE, 0.01),
        "rr-known": NoveltyAnswer(Novelty.LIKE, NoveltyReason.NONE, 0.4),
        "rr-untold": NoveltyAnswer(Novelty.CANNOT_TELL, NoveltyReason.FEW_CASES),
    }
    shown = {}
    for css, answer in answers.items():
        shown[css] = _novelty(replace(result, novelty_answer=answer))
        assert f'class="{css}"' in shown[css]
        assert 'role="status"' in shown[css]
    assert "40% of its own cases are at least as unusual" in shown["rr-known"]
    assert "Nothing like this" in shown["rr-novel"]
    assert "too few patients" in shown["rr-untold"]
    stale = replace(answers["rr-known"], is_stale=True)
    assert "before the library changed" in _novelty(replace(result, novelty_answer=stale))


def test_modality_body_part_and_view_are_compared_with_the_archive() -> None:
    counts = {"modality": {"CR": 3}, "body_part": {}, "view": {"PA": 2, "AP": 1}}
    image = {Aspect.MODALITY: "cr", Aspect.BODY_PART: "CHEST", Aspect.VIEW: "LATERAL"}
    checks = check_archive(image, lambda field: counts[field])
    assert [(c.state, c.n_cases) for c in checks] == [
        (CheckState.HOLDS, 3),
        (CheckState.NOT_RECORDED, 0),
        (CheckState.LACKS, 0),
    ]
    unknown = check_archive({Aspect.VIEW: "unknown"}, lambda field: counts[field])
    assert {c.state for c in unknown} == {CheckState.NOT_STATED}
    assert set(ENGLISH.query.checks) == set(CheckState)
    assert set(ENGLISH.query.aspects) == set(Aspect)
    assert ENGLISH.query.lacks(Aspect.VIEW, "LATERAL").startswith(
        "The archive holds no lateral views."
    )


def test_what_the_archive_holds_of_a_dropped_image_is_said(
    room: AppTest, radiograph: bytes, tmp_path: Path
) -> None:
    drop(room, ("x.dcm", radiograph))
    assert "Modality DX: 13 cases in the archive" in html(room)
    assert "Body part: the image does not say" in html(room)
    assert "View PA: 13 cases in the archive" in html(room)


# doubt -------------------------------------------------------------------------------------


def with_statuses(*given: tuple[str, str, str], findings: tuple[Finding, ...]) -> Any:
    text = " ".join(label for label, _, _ in given)
    at, spans = 0, []
    for label, status, side in given:
        spans.append(Assertion(label, status, side, at, at + len(label)))  # type: ignore[arg-type]
        at += len(label) + 1
    case = make_case(0, [Path(__file__)])
    return replace(case, note=Note(text, (), tuple(spans)), findings=findings)


def test_what_a_report_only_suspects_is_no_fact_on_its_chip() -> None:
    case = with_statuses(
        ("effusion", "uncertain", ""),
        ("mass", "present", ""),
        ("nodule", "uncertain", "left"),
        ("edema", "absent", ""),
        findings=(Finding("effusion"), Finding("mass"), Finding("edema"), Finding("fracture")),
    )
    assert certainties(case) == {
        Finding("edema"): Certainty.RULED_OUT,
        Finding("effusion"): Certainty.POSSIBLE,
        Finding("fracture"): Certainty.STATED,
        Finding("mass"): Certainty.STATED,
        Finding("nodule", "left"): Certainty.POSSIBLE,
    }
    chips = case_chips(case)
    assert ">possible effusion<" in chips
    assert ">effusion<" not in chips
    assert ">possible left nodule<" in chips
    assert ">mass<" in chips
    assert ">edema: labeled, but ruled out in the report<" in chips


def test_a_finding_that_is_stated_once_is_certain_whatever_else_is_doubted() -> None:
    case = with_statuses(
        ("effusion", "uncertain", "left"),
        ("effusion", "present", "right"),
        findings=(Finding("effusion", "right"), Finding("effusion", "left")),
    )
    assert certainties(case) == {
        Finding("effusion", "left"): Certainty.POSSIBLE,
        Finding("effusion", "right"): Certainty.STATED,
    }


def test_the_hits_show_what_their_reports_suspect(room: AppTest) -> None:
    search(room, "right effusion")
    assert html(room).count("possible nodule") >= 9


# what belongs together ---------------------------------------------------------------------


def test_hits_of_one_patient_stand_together_and_earlier_studies_apart(room: AppTest) -> None:
    search(room, "right effusion")
    result = result_of(room)
    shown = [int(rank) for rank in ranked(room)]
    of_patient = [result.hits[rank - 1].case.patient_id for rank in shown]
    changes = sum(a != b for a, b in pairwise(of_patient))
    assert changes == len(set(of_patient)) - 1
    room.toggle(key="one").set_value(True).run()
    priors = [b for b in room.button if b.key and b.key.startswith("priors-")]
    assert priors
    assert all(b.label.startswith("1 day before") for b in priors)
    priors[0].click().run()
    assert "case" in room.query_params


def test_the_querys_own_patient_is_no_stranger(room: AppTest, small_library: Path) -> None:
    with CaseLibrary.open(small_library) as library:
        content = library.scan_files(library.case("C-0004"))[0][0].read_bytes()
    drop(room, ("x", content))
    assert "This image is already in the library" in html(room)
    assert "This patient's own study (not listed below)" in without_css(room).replace("&#x27;", "'")
    press(room, "2020-01-06")
    assert room.query_params["case"] in ("C-0005", ["C-0005"])


def test_one_of_several_dropped_series_is_the_query(
    room: AppTest, radiograph: bytes, tmp_path: Path
) -> None:
    slices = [(file.name, file.read_bytes()) for file in write_ct(tmp_path, 77, slices=6)]
    drop(room, *slices, ("other.dcm", radiograph), ("readme.txt", b"no image"))
    assert not room.error
    assert room.session_state["outcome"].request.scan.modality == "CT"
    chooser = room.selectbox[0]
    assert [option.split(": ")[1] for option in chooser.options] == [
        "CT, 6 images",
        "DX PA, 1 image",
    ]
    before = room.query_params["image"]
    chooser.set_value(1).run()
    assert room.session_state["outcome"].request.scan.modality == "DX"
    assert room.query_params["image"] != before
    press(room, "Undo")
    assert room.session_state["outcome"].request.scan.modality == "CT"


# worth and audit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0.63, 0.58, 0.69), "about 6 share the finding (95%: 5 to 7)"),
        ((0.70, 0.70, 0.70), "about 7 share the finding (95%: 7 to 7)"),
        ((0.96, 0.91, 1.0), "about 10 share the finding (95%: 9 to 10)"),
        ((0.0, 0.0, 0.04), "about 0 share the finding (95%: 0 to 1)"),
    ],
)
def test_a_share_is_said_of_ten_and_its_interval_is_rounded_outward(
    numbers: tuple[float, float, float], said: str
) -> None:
    assert said in ENGLISH.query.in_ten(*numbers)


def audit(model: str) -> LatestAudit:
    groups = [
        AuditedGroup("sex", "F", "image", "exceeds", 90, 0.5, 0.4, 0.6, 0.7, -0.2),
        AuditedGroup("sex", "F", "text", "inconclusive", 90, 0.6, 0.5, 0.7, 0.65, -0.05),
        AuditedGroup("age_band", "40-59", "text", "within", 50, 0.61, 0.5, 0.7, 0.6, 0.01),
        AuditedGroup("sex", "M", "text", "not_assessable"),
    ]
    outcomes = {
        side: AuditedOutcome(f"{side}_to_image.P@5", "share of the first 5")
        for side in ("image", "text")
    }
    return LatestAudit("2026-11-20", model, "test", 200, 0.05, (40, 60), outcomes, tuple(groups))


def test_the_latest_audit_is_stated_for_patients_like_the_querys(
    room: AppTest, small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(room, "effusion in a woman")
    assert "No audit yet" in html(room)
    model = result_of(room).fingerprint
    kept = audit(model)
    monkeypatch.setattr("apps.case_lookup.patient_audit.read_latest", lambda _: kept)
    room.run()
    assert "audit of 2026-11-20: share of the first 5" in html(room)
    assert "Women: 60% (50%–70%), others 65%; too few patients to tell a difference" in html(room)
    search(room, "effusion in a man")
    assert "Sex M" not in html(room)
    assert "Men: too few patients to show a number" in html(room)
    search(room, "effusion")
    assert "does not say the patient&#x27;s sex or age" in html(room)
    monkeypatch.setattr(
        "apps.case_lookup.patient_audit.read_latest", lambda _: replace(kept, model="f" * 64)
    )
    room.run()
    assert "latest audit is of another model" in html(room)


def test_the_audit_of_searches_by_image_is_that_of_an_image(
    room: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(room, "effusion")
    kept = audit(result_of(room).fingerprint)
    monkeypatch.setattr("apps.case_lookup.patient_audit.read_latest", lambda _: kept)
    press(room, "Open case 1")
    press(room, "Find similar")
    result = result_of(room)
    case = result.asked.of_kind("case")[0].case
    if int(case[-4:]) % 2:  # a woman
        assert "served worse than others, by more than 5 points" in html(room)
    else:
        assert "does not compare patients like this one" in html(room)


def test_who_the_patient_is_comes_from_case_header_or_words() -> None:
    case = make_case(1, [Path(__file__)])
    none = QueryTerms()
    assert patient_of(case, None, none) is case
    assert patient_of(None, None, none) is None
    sex = Term(TermKind.SEX, "F", codes=("F",))
    age = Term(TermKind.AGE, "64", years=(64.0, 64.0))
    made = patient_of(None, None, QueryTerms((sex, age)))
    assert made is not None
    assert (made.sex, made.age_years) == ("F", 64.0)
    wide = Term(TermKind.AGE, "elderly", years=(65.0, 130.0))
    assert patient_of(None, None, QueryTerms((wide,))) is None, "no one age"


def test_what_holds_for_all_hits_is_said_once(room: AppTest) -> None:
    search(room, "effusion")
    said = html(room)
    assert said.count("How many such hits share the finding is not known") == 1
