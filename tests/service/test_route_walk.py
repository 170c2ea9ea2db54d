"""Every route of the service, walked without a token and with one of each role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from apps.access import Role
from apps.access.tokens import TokenFile
from apps.service import ServiceSettings, create_app
from medembed.library import CaseLibrary
from medembed.reviews import ReviewCase, ReviewStore
from tests.service.conftest import in_process, problem

OPEN = {"/healthz", "/readyz"}
READS = {
    "/v1/search",
    "/v1/search/batch",
    "/v1/cases/{case_id}",
    "/v1/cases/{case_id}/thumbnail",
    "/v1/cases/{case_id}/scans/{scan}/metadata",
    "/v1/cases/{case_id}/scans/{scan}/frames/{frame}",
}
DESCRIPTION = {"/openapi.json", "/docs", "/docs/style.css"}
REVIEWS = {"/v1/reviews", "/v1/reviews/{link}"}
MAY = {
    Role.READER: READS | DESCRIPTION,
    Role.REVIEWER: READS | DESCRIPTION | REVIEWS,
    Role.AUDITOR: DESCRIPTION | {"/v1/audit"},
    Role.MONITOR: DESCRIPTION | {"/metrics"},
    Role.ADMIN: READS | DESCRIPTION | REVIEWS | {"/v1/audit", "/metrics"},
}
HIDDEN, SEEN = "C-0009", "C-0001"
REAL = {"case_id": SEEN, "link": "x"}


class Walk:
    """A guarded service, its routes, and a token for each role."""

    def __init__(self, client: TestClient, settings: ServiceSettings) -> None:
        self.client, self.settings = client, settings
        self.tokens: dict[str, str] = {}
        assert settings.access is not None
        file = TokenFile(settings.access.parent / "tokens.yaml")
        for role in Role:
            self.tokens[role], _ = file.create(role.value, [role])
        rule = ["site=north"]
        self.tokens["north"], _ = file.create("north", [Role.REVIEWER], rule)
        self.tokens["north-auditor"], _ = file.create("north-auditor", [Role.AUDITOR], rule)

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.request(method, path, headers=headers | more.pop("headers", {}), **more)

    def routes(self) -> list[tuple[str, str, str]]:
        """Method, pattern and a real path of every route that the application has."""
        app = self.client.app
        while not hasattr(app, "routes"):
            app = app._app  # type: ignore[attr-defined]  a middleware of ours
        found = []
        for route in _leaves(app.routes):
            pattern = re.sub(r":\w+", "", route.path)
            path = re.sub(r"\{(\w+)\}", lambda m: REAL.get(m[1], "1"), pattern)
            found += [(method, pattern, path) for method in sorted(route.methods)]
        return found


def _leaves(routes: Sequence[Any]) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)  # an included router of FastAPI
        if inner is None:
            yield route
        else:
            yield from _leaves(inner.routes)


@pytest.fixture(scope="module")
def walk(library_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("access")
    access = folder / "access.yaml"
    access.write_text("tokens: tokens.yaml\n", encoding="utf-8")
    settings = replace(ServiceSettings(library_path, rate=0, max_lines=20), access=access)
    with ExitStack() as stack:
        yield Walk(stack.enter_context(in_process(settings)), settings)


def test_the_walk_knows_every_route(walk: Walk) -> None:
    patterns = {pattern for _, pattern, _ in walk.routes()}
    assert patterns == OPEN | MAY[Role.ADMIN]


@pytest.mark.parametrize("token", ["", "guess", "medembed_000000000000_guess"])
def test_without_a_valid_token_every_route_but_health_is_refused(walk: Walk, token: str) -> None:
    for method, pattern, path in walk.routes():
        answer = walk.ask(method, path, token)
        if pattern in OPEN:
            assert answer.status_code == 200, path
            assert set(answer.json()) == {"status"}
        else:
            assert answer.status_code in (401, 429), (method, path)
    for path in ("/", "/v1/vectors", "/metrics/x", "/docs/x", "/v1/", "//v1/cases/C-0001"):
        assert walk.ask("GET", path, token).status_code in (401, 429), path


@pytest.mark.parametrize("role", list(Role))
def test_each_role_walks_as_far_as_it_may(walk: Walk, role: Role) -> None:
    token = walk.tokens[role]
    for method, pattern, path in walk.routes():
        answer = walk.ask(method, path, token)
        if pattern in MAY[role] | OPEN:
            assert answer.status_code not in (401, 403), (role, path)
        else:
            problem(answer, 403, "forbidden")
    unknown = walk.ask("GET", "/v1/vectors", token)
    assert unknown.status_code == (404 if role is Role.ADMIN else 403)


def test_a_token_in_an_address_or_a_cookie_opens_nothing(walk: Walk) -> None:
    token = walk.tokens[Role.ADMIN]
    for more in (
        {"params": {"token": token, "access_token": token}},
        {"headers": {"Cookie": f"medembed={token}; Authorization={token}"}},
        {"headers": {"Authorization": f"Basic {token}"}},
    ):
        assert walk.ask("GET", f"/v1/cases/{SEEN}", **more).status_code == 401


def test_a_revoked_token_ends_at_once(walk: Walk) -> None:
    assert walk.settings.access is not None
    file = TokenFile(walk.settings.access.parent / "tokens.yaml")
    token, record = file.create("short", [Role.READER])
    assert walk.ask("GET", f"/v1/cases/{SEEN}", token).status_code == 200
    file.revoke(record.id)
    assert walk.ask("GET", f"/v1/cases/{SEEN}", token).status_code == 401


def test_a_row_rule_holds_on_every_route(walk: Walk, library_path: Path) -> None:
    """In search, case, pixels, review and audit, by a real token."""
    token = walk.tokens["north"]
    found = walk.ask("POST", "/v1/search", token, json={"text": "effusion", "k": 50}).json()
    sites = {hit["case_id"] for hit in found["hits"]}
    assert sites
    assert max(sites) <= "C-0006"
    asked = [{"text": "effusion", "k": 50}, {"case": HIDDEN}]
    lines = "\n".join(map(json.dumps, asked))
    answer = walk.ask(
        "POST",
        "/v1/search/batch",
        token,
        content=lines,
        headers={"Content-Type": "application/x-ndjson"},
    )
    first, second = (json.loads(line) for line in answer.text.splitlines())
    assert {hit["case_id"] for hit in first["result"]["hits"]} == sites
    assert second["error"]["status"] == 404
    for _, pattern, path in walk.routes():
        if "{case_id}" in pattern:
            assert walk.ask("GET", path, token).status_code == 200, path
            hidden = path.replace(SEEN, HIDDEN)
            problem(walk.ask("GET", hidden, token), 404, "not-found")
            assert walk.ask("GET", hidden, walk.tokens[Role.READER]).status_code == 200
    with CaseLibrary.open(library_path) as library:
        store = ReviewStore(library)
        both = store.create("Board", "token:north", [ReviewCase(SEEN), ReviewCase(HIDDEN)])
        other = store.create("South", "token:north", [ReviewCase(HIDDEN)])
    seen = walk.ask("GET", f"/v1/reviews/{both.link}", token)
    assert [case["case_id"] for case in seen.json()["review"]["cases"]] == [SEEN]
    assert HIDDEN not in seen.text
    problem(walk.ask("GET", f"/v1/reviews/{other.link}", token), 404, "not-found")
    listed = walk.ask("GET", "/v1/reviews", token)
    assert {one["link"] for one in listed.json()["reviews"]} == {both.link}
    # of an audit of all cases, whoever may see some gets nothing
    problem(walk.ask("GET", "/v1/audit", walk.tokens["north-auditor"]), 404, "not-found")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "https://127.0.0.1:8600", "null"])
def test_a_page_of_another_port_gets_nothing_without_logins(
    settings: ServiceSettings, origin: str
) -> None:
    """With logins it has no token; without them the origin tells it apart."""
    with TestClient(create_app(settings), f"http://127.0.0.1:{settings.port}") as client:
        for path in ("/docs", "/metrics", f"/v1/cases/{SEEN}", "/v1/audit"):
            problem(client.get(path, headers={"Origin": origin}), 403, "forbidden")
        answer = client.post("/v1/search", json={"text": "a"}, headers={"Origin": origin})
        problem(answer, 403, "forbidden")
