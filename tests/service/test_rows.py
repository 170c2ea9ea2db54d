"""A person with a rule of rows sees nothing of other cases, whichever way they ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from apps.service.person import Caller, Right
from medembed.library import CaseLibrary, parse_condition
from tests.service.conftest import problem

NORTH = {f"C-{n:04d}" for n in range(7)}  # the patient of C-0006 and C-0007 is in both
ROUTES = ("", "/thumbnail", "/scans/1/metadata", "/scans/1/frames/1")


def as_person(monkeypatch: pytest.MonkeyPatch, caller: Caller) -> None:
    for module in ("asking", "envelope"):
        monkeypatch.setattr(f"apps.service.{module}.caller_of", lambda _: caller)


@pytest.fixture
def north(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    as_person(monkeypatch, Caller("nora", (parse_condition("site=north"),)))
    return client


def test_only_visible_cases_are_found(north: TestClient) -> None:
    for query in ({"text": "effusion", "k": 50}, {"case": "C-0002", "k": 50}):
        found = north.post("/v1/search", json=query).json()
        hits = {hit["case_id"] for hit in found["hits"]}
        assert hits
        assert hits <= NORTH


def test_nothing_of_an_answer_names_a_hidden_case(north: TestClient, library_path: Path) -> None:
    with CaseLibrary.open(library_path) as library:
        files = library.scan_files(library.case("C-0007"))[0]
    upload = [("image", ("x", files[0].read_bytes()))]
    answers = [
        north.post("/v1/search", json={"text": "effusion", "k": 50}).text,
        north.post("/v1/search", json={"text": "effusion", "where": ["site=south"]}).text,
        north.post("/v1/search", json={"like": ["C-0006"], "k": 50}).text,
        north.post("/v1/search", files=upload, data={"query": '{"k": 50}'}).text,
    ]
    for text in answers:
        hidden = [f"C-{n:04d}" for n in range(7, 14) if f"C-{n:04d}" in text]
        assert not hidden
    own = json.loads(answers[3])
    assert own["own_cases"] == []
    assert own["own_patient_cases"] == 0
    assert not [
        note for note in own["plan"]["notes"] if "excluded" in note or "in the library" in note
    ]
    assert json.loads(answers[1])["hits"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"case": "C-0009"},
        {"text": "a", "like": ["C-0009"]},
        {"text": "a", "unlike": ["C-0002", "C-0009"]},
    ],
    ids=str,
)
def test_a_hidden_case_cannot_be_asked_with(north: TestClient, query: dict[str, Any]) -> None:
    hidden = problem(north.post("/v1/search", json=query), 404, "not-found")
    missing = json.loads(json.dumps(query).replace("C-0009", "C-9999"))
    assert hidden == problem(north.post("/v1/search", json=missing), 404, "not-found")


@pytest.mark.parametrize("route", ROUTES)
def test_a_hidden_case_is_not_told_from_a_missing_one(north: TestClient, route: str) -> None:
    assert north.get(f"/v1/cases/C-0006{route}").status_code == 200
    hidden = problem(north.get(f"/v1/cases/C-0009{route}"), 404, "not-found")
    assert hidden == problem(north.get(f"/v1/cases/C-9999{route}"), 404, "not-found")


def test_an_audit_of_all_cases_is_not_for_who_may_see_some(north: TestClient) -> None:
    problem(north.get("/v1/audit"), 404, "not-found")


def test_a_batch_obeys_the_rule_as_well(north: TestClient) -> None:
    body = '{"text": "effusion", "k": 50}\n{"case": "C-0009"}\n'
    answer = north.post(
        "/v1/search/batch", content=body, headers={"content-type": "application/x-ndjson"}
    )
    first, second = (json.loads(line) for line in answer.text.splitlines())
    assert {hit["case_id"] for hit in first["result"]["hits"]} <= NORTH
    assert second["error"]["status"] == 404


NEEDS = {
    "GET /v1/cases/C-0001": Right.VIEW,
    "GET /v1/cases/C-0001/thumbnail": Right.VIEW,
    "GET /v1/cases/C-0001/scans/1/metadata": Right.VIEW,
    "GET /v1/cases/C-0001/scans/1/frames/1": Right.VIEW,
    "POST /v1/search": Right.SEARCH,
    "POST /v1/search/batch": Right.SEARCH,
    "GET /v1/reviews": Right.REVIEW,
    "GET /v1/reviews/x": Right.REVIEW,
    "GET /v1/audit": Right.AUDIT,
    "GET /metrics": Right.METRICS,
}


@pytest.mark.parametrize("route", NEEDS)
@pytest.mark.parametrize("right", [None, *Right])
def test_each_route_needs_its_own_right(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, route: str, right: Right | None
) -> None:
    as_person(monkeypatch, Caller("ben", may=lambda asked: asked is right))
    method, path = route.split()
    answer = client.request(method, path)
    if right is NEEDS[route]:
        assert answer.status_code != 403
    else:
        problem(answer, 403, "forbidden")
