"""The OpenAPI description: every operation, with examples that are true, and walked by hand."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from apps.service import answers, examples
from apps.service.application import create_app
from apps.service.description import operations
from apps.service.query import SearchQuery
from apps.service.settings import ServiceSettings

OPERATIONS = {
    "POST /v1/search",
    "POST /v1/search/batch",
    "GET /v1/cases/{case_id}",
    "GET /v1/cases/{case_id}/thumbnail",
    "GET /v1/cases/{case_id}/scans/{scan}/metadata",
    "GET /v1/cases/{case_id}/scans/{scan}/frames/{frame}",
    "GET /v1/reviews",
    "GET /v1/reviews/{link}",
    "GET /v1/audit",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}


@pytest.fixture(scope="module")
def openapi(client: TestClient) -> dict[str, Any]:
    found = client.get("/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    return dict(found)


def named(openapi: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{one['method']} {one['path']}": one for one in operations(openapi)}


def test_every_operation_is_described(openapi: dict[str, Any]) -> None:
    assert set(named(openapi)) == OPERATIONS


def test_every_operation_has_examples_and_problems(openapi: dict[str, Any]) -> None:
    for name, operation in named(openapi).items():
        assert operation["summary"], name
        assert operation["description"], name
        assert all("example" in p for p in operation.get("parameters", [])), name
        assert all(p.get("description") for p in operation.get("parameters", [])), name
        answer = operation["responses"]["200"].get("content", {})
        assert answer, name
        is_picture = any(kind.startswith("image/") for kind in answer)
        assert is_picture or any("example" in c for c in answer.values()), name
        for status, response in operation["responses"].items():
            if status != "200":
                assert list(response["content"]) == ["application/problem+json"], (name, status)
                assert response["content"]["application/problem+json"]["example"]["detail"]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content or "examples" in content, name


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    for target in set(re.findall(r'"\$ref": "(.*?)"', json.dumps(openapi))):
        found: Any = openapi
        for step in target.removeprefix("#/").split("/"):
            found = found[step]


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (answers.SearchAnswer, examples.SEARCH),
        (answers.CaseAnswer, examples.CASE),
        (answers.ReviewList, examples.REVIEWS),
        (answers.ReviewAnswer, examples.REVIEW),
        (answers.AuditAnswer, examples.AUDIT),
        (answers.HealthAnswer, examples.HEALTH),
        (answers.HealthAnswer, examples.READY),
        *((SearchQuery, example["value"]) for example in examples.QUERIES.values()),
        *((SearchQuery, json.loads(line)) for line in examples.BATCH.splitlines()),
    ],
)
def test_every_example_fits_its_model(model: type[BaseModel], example: Any) -> None:
    model.model_validate_json(json.dumps(example))


VALUES: dict[str, list[str]] = {
    "case_id": ["C-0001", "nobody", "%2e%2e", "%00", "a%2fb", "ä", "'", "%"],
    "scan": ["1", "2", "0", "-1", "x", "1.5", "%20", "9" * 30],
    "frame": ["1", "2", "0", "x", "9" * 30],
    "link": ["none", "%00", "../x", "a%0ab"],
    "window": ["", "40,400", "lung", ",", "nan,nan", "%00", "a" * 90],
    "size": ["100", "0", "-5", "x", ""],
    "invert": ["true", "0", "x", ""],
    "quality": ["1", "101", "x"],
}
STATUSES = {200, 400, 403, 404, 405, 406, 413, 415, 422, 429, 503}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_walk_with_odd_values_meets_only_described_answers(
    client: TestClient, openapi: dict[str, Any], name: str
) -> None:
    operation = named(openapi)[name]
    described = {int(status) for status in operation["responses"]}
    parameters = operation.get("parameters", [])
    base = {p["name"]: VALUES[p["name"]][0] for p in parameters}
    turns = [base] + [
        base | {p["name"]: value} for p in parameters for value in VALUES[p["name"]]
    ]  # fmt: skip
    for values in turns:
        path = operation["path"]
        query = []
        for parameter in parameters:
            value = values[parameter["name"]]
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", value)
            else:
                query.append(f"{parameter['name']}={value}")
        answer = client.request(operation["method"], f"{path}?{'&'.join(query)}")
        is_elsewhere = "/../" in path or "%2f" in path.lower()
        assert answer.status_code in described | {415} | ({404} if is_elsewhere else set()), path
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", path


def test_the_page_of_the_service_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert not re.search(r"(src|href)=.?(https?:)?//", page.text)
    for name in OPERATIONS:
        assert f"<code>{name.partition(' ')[2]}</code>" in page.text
    style = client.get("/docs/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text


def test_the_description_names_the_limits_of_this_service(openapi: dict[str, Any]) -> None:
    assert openapi["components"]["schemas"]["SearchQuery"]["properties"]["k"]["maximum"] == 50


def test_no_framework_answer_is_described(openapi: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(openapi)


def test_another_address_needs_a_file_of_access(settings: ServiceSettings) -> None:
    from dataclasses import replace

    from medembed.errors import InputError

    with pytest.raises(InputError):
        create_app(replace(settings, host="0.0.0.0"))
