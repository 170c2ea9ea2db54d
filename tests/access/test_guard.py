"""The guard lets nothing pass without a person, whatever the path, method or kind of scope."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.access import (
    LOCAL_PERSON,
    NOBODY,
    AccessFile,
    Door,
    Entry,
    Guard,
    Kind,
    Permission,
    Person,
    Role,
    SecurityHeaders,
    TokenFile,
    guarded_service,
    need_by_path,
    person_of,
    read_access_file,
)
from apps.access.guard import HANDLE_HEADER
from apps.access.limits import FailureLimit
from apps.access.needs import SERVICE_NEEDS
from apps.access.recording import Event, Recorder
from apps.access.sessions import Sessions
from apps.case_lookup.middleware import PAGE_NEEDS
from medembed.errors import InternalError
from medembed.library import CaseLibrary
from tests.access.conftest import write_access

READER = Person("anna", [Role.READER])
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X")


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Answer with who asks; a socket says hello."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": person_of(scope).name})
        return
    body = person_of(scope).name.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(app: Any, path: str = "/", method: str = "GET", kind: str = "http", **headers: str) -> Any:
    """Send one request; give its status, headers and body, or what a socket got."""
    sent: list[Any] = []
    lines = [(k.lower().replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {
        "type": kind,
        "path": path,
        "query_string": b"",
        "headers": lines,
        "client": ("10.0.0.1", 1),
    }
    if kind == "http":
        scope["method"] = method

    async def receive() -> Any:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if kind != "http":
        return [message["type"] for message in sent]
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), body


class Written(list[Any]):
    """What the journal was told."""

    def __call__(self, event: Event, actor: str, details: Any) -> None:
        self.append((event, actor, details["reason"] if details else ""))


def page_guard(tmp_path: Path) -> tuple[Guard, Door, Written]:
    settings = read_access_file(
        write_access(tmp_path, "https://id.example.org", "https://room.example.org")
    )
    written = Written()
    door = Door(settings, TokenFile(tmp_path / "t.yaml"), Recorder(written))
    need = need_by_path(PAGE_NEEDS, Permission.SEARCH)
    return Guard(inner, door, Kind.PAGE, need, look_seconds=0.01), door, written


def service_guard(tmp_path: Path) -> tuple[Guard, TokenFile, Written]:
    tokens, written = TokenFile(tmp_path / "t.yaml"), Written()
    limit = FailureLimit(3)
    door = Door(AccessFile(), tokens, Recorder(written), limit=limit, with_login=False)
    need = need_by_path(SERVICE_NEEDS, Permission.ADMIN)
    return Guard(inner, door, Kind.SERVICE, need), tokens, written


paths = st.one_of(
    st.text(max_size=30).map(lambda text: "/" + text),
    st.sampled_from(
        [
            "/",
            "//",
            "/_stcore/stream",
            "/_stcore/health/",
            "/_stcore/health/../stream",
            "//_stcore/health",
            "/_stcore/HEALTH",
            "/_stcore/health\x00",
            "/media/0.png",
            "/static/js/index.js",
            "/access",
            "/access/",
            "/access/login/",
            "/access/login/../../media/0.png",
            "/access/style.css/x",
            "/room/neutral_names.js",
            "/pixels/case/C-1/image/0/still",
            "/anything/added/later",
        ]
    ),
)


@settings(deadline=None)
@given(path=paths, method=st.sampled_from(METHODS), kind=st.sampled_from(["http", "websocket"]))
def test_without_a_login_nothing_reaches_the_page(
    tmp_path_factory: pytest.TempPathFactory, path: str, method: str, kind: str
) -> None:
    import os

    os.environ["MEDEMBED_CLIENT_SECRET"] = "x"
    reached: list[str] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    settings = read_access_file(
        write_access(tmp_path_factory.getbasetemp(), "https://id.example.org", "https://r.example")
    )
    door = Door(settings, TokenFile(tmp_path_factory.getbasetemp() / "t.yaml"))
    app = Guard(watched, door, Kind.PAGE, need_by_path(PAGE_NEEDS, Permission.SEARCH))
    answer = ask(app, path, method, kind)
    assert reached == []
    if kind == "websocket":
        assert answer == ["websocket.close"]
    else:
        assert answer[0] == 401


def test_only_health_and_the_sign_in_are_open(tmp_path: Path) -> None:
    guard, door, _ = page_guard(tmp_path)
    assert door.sign_in is not None
    assert ask(guard, "/_stcore/health")[2] == NOBODY.name.encode()
    table = {path for path, need in PAGE_NEEDS.items() if need is Entry.EVERYBODY}
    assert table == {"/_stcore/health"}
    for path in ("login", "signed-out", "style.css"):
        assert ask(guard, f"/access/{path}")[0] == 200
    for method in set(METHODS) - {"GET", "HEAD"}:
        assert ask(guard, "/access/login", method)[0] == 405
    assert ask(guard, "/access/login", kind="websocket") == ["websocket.close"]


def test_a_person_who_opens_an_address_is_sent_to_the_sign_in_and_back(tmp_path: Path) -> None:
    guard, _, _ = page_guard(tmp_path)
    status, headers, _ = ask(guard, "/", Sec_Fetch_Mode="navigate")
    assert (status, headers[b"location"]) == (303, b"/access/login?next=%2F")
    assert ask(guard, "/", Accept="text/html,*/*")[0] == 303
    assert ask(guard, "/", Sec_Fetch_Mode="cors", Accept="text/html")[0] == 401
    assert ask(guard, "/", "POST", Sec_Fetch_Mode="navigate")[0] == 401


def test_a_session_reaches_the_page_and_names_its_person_to_the_script(tmp_path: Path) -> None:
    guard, door, _ = page_guard(tmp_path)
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        seen.append([value for name, value in scope["headers"] if name == HANDLE_HEADER])
        await inner(scope, receive, send)

    guard._app = script
    assert door.sign_in is not None
    identity, session = door.sessions.start(READER)
    cookie = f"{door.sign_in.cookie}={identity}"
    assert ask(guard, "/media/0.png", Cookie=cookie)[2] == b"anna"
    assert ask(guard, "/_stcore/stream", kind="websocket", Cookie=cookie) == [
        "websocket.accept",
        "websocket.send",
    ]
    assert seen == [[session.handle.encode()]] * 2
    assert door.sessions.of_handle(session.handle) is session


def test_a_client_cannot_name_a_session_to_the_script(tmp_path: Path) -> None:
    guard, door, _ = page_guard(tmp_path)
    assert door.sign_in is not None
    _, other = door.sessions.start(Person("adam", [Role.ADMIN]))
    identity, session = door.sessions.start(READER)
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(value for name, value in scope["headers"] if b"medembed" in name.lower())
        await inner(scope, receive, send)

    guard._app = script
    forged = {"X_Medembed_Session": other.handle, "X_Medembed_Page": "1"}
    ask(guard, "/", Cookie=f"{door.sign_in.cookie}={identity}", **forged)
    assert seen == [session.handle.encode()]
    seen.clear()
    ask(guard, "/_stcore/health", **forged)
    assert seen == []
    assert ask(guard, "/", **forged)[0] == 401
    local = Guard(script, None, Kind.PAGE, need_by_path(PAGE_NEEDS, Permission.SEARCH))
    assert ask(local, "/", **forged)[2] == LOCAL_PERSON.name.encode()
    assert seen == []


def test_two_cookies_of_one_name_count_as_none(tmp_path: Path) -> None:
    guard, door, _ = page_guard(tmp_path)
    assert door.sign_in is not None
    identity, _ = door.sessions.start(READER)
    good = f"{door.sign_in.cookie}={identity}"
    assert ask(guard, "/", Cookie=f"a=b; {good}")[0] == 200
    assert ask(guard, "/", Cookie=f"{good}; {door.sign_in.cookie}=evil")[0] == 401
    assert door.sign_in.cookie.startswith("__Host-")


def test_every_role_gets_what_it_may_and_403_for_the_rest(tmp_path: Path) -> None:
    guard, door, written = page_guard(tmp_path)
    assert door.sign_in is not None
    for role in Role:
        identity, session = door.sessions.start(Person(role.value, [role]))
        cookie = f"{door.sign_in.cookie}={identity}"
        for path, need in (
            ("/", Permission.SEARCH),
            ("/media/0.png", Permission.SEARCH),
            ("/pixels/case/C-1/image/0/header", Permission.VIEW),
            ("/_stcore/metrics", Permission.METRICS),
        ):
            wanted = 200 if session.person.may(need) else 403
            assert ask(guard, path, Cookie=cookie)[0] == wanted, (role, path)
    assert ask(guard, "/", Sec_Fetch_Mode="navigate", Cookie=cookie)[0] == 200
    identity, _ = door.sessions.start(Person("audra", [Role.AUDITOR]))
    status, _, body = ask(
        guard, "/", Sec_Fetch_Mode="navigate", Cookie=f"{door.sign_in.cookie}={identity}"
    )
    assert status == 403
    assert b"/access/logout" in body
    door.close()
    assert (Event.REFUSED, "reader", "permission:metrics") in written


def test_a_token_opens_the_service_and_no_page(tmp_path: Path) -> None:
    guard, tokens, _ = service_guard(tmp_path)
    secret, _ = tokens.create("list", [Role.READER])
    bearer = {"Authorization": f"Bearer {secret}"}
    assert ask(guard, "/v1/cases/C-1", **bearer)[2] == b"token:list"
    assert ask(guard, "/healthz")[0] == 200
    assert ask(guard, "/healthz/x")[0] == 401
    page, door, _ = page_guard(tmp_path)
    assert ask(page, "/", **bearer)[0] == 401
    assert door.sign_in is not None
    identity, _ = door.sessions.start(READER)
    assert ask(guard, "/v1/cases/C-1", Cookie=f"{door.sign_in.cookie}={identity}")[0] == 401


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.READER, {"/v1/search", "/v1/search/batch", "/v1/cases/C-1", "/docs"}),
        (
            Role.REVIEWER,
            {"/v1/search", "/v1/search/batch", "/v1/cases/C-1", "/v1/reviews/abc", "/docs"},
        ),
        (Role.AUDITOR, {"/v1/audit", "/docs"}),
        (Role.MONITOR, {"/metrics", "/docs"}),
    ],
)
def test_each_role_has_its_part_of_the_service(
    tmp_path: Path, role: Role, allowed: set[str]
) -> None:
    guard, tokens, _ = service_guard(tmp_path)
    secret, _ = tokens.create("x", [role])
    every = {
        "/v1/search", "/v1/search/batch", "/v1/cases/C-1", "/v1/reviews/abc", "/v1/audit",
        "/metrics", "/docs", "/v1/vectors", "/v1/casesX", "/added/later",
    }  # fmt: skip
    got = {p for p in every if ask(guard, p, Authorization=f"Bearer {secret}")[0] == 200}
    assert got == allowed
    everything, _ = tokens.create("boss", [Role.ADMIN])
    assert {ask(guard, p, Authorization=f"bearer {everything}")[0] for p in every} == {200}


@pytest.mark.parametrize(
    "line", ["", "Bearer", "Bearer ", "Basic x", "Bearer medembed_x_y", "Token {}", "{}"]
)
def test_a_wrong_token_is_401_and_in_the_journal(tmp_path: Path, line: str) -> None:
    guard, tokens, written = service_guard(tmp_path)
    secret, _ = tokens.create("list", [Role.READER])
    status, headers, body = ask(guard, "/v1/search", Authorization=line.format(secret))
    assert status == 401
    assert headers[b"www-authenticate"].startswith(b"Bearer")
    assert secret.encode() not in body
    assert guard._door is not None
    guard._door.recorder.close()
    assert written == [(Event.REFUSED, "unknown", "token")]


def test_guessing_ends_in_429_also_for_the_right_token(tmp_path: Path) -> None:
    guard, tokens, _ = service_guard(tmp_path)
    secret, record = tokens.create("list", [Role.READER])
    for _ in range(3):
        guess = f"Bearer medembed_{record.id}_x"
        assert ask(guard, "/v1/search", Authorization=guess)[0] == 401
    status, headers, _ = ask(guard, "/v1/search", Authorization=f"Bearer {secret}")
    assert status == 429
    assert int(headers[b"retry-after"]) > 0


def test_a_damaged_file_of_tokens_is_503(tmp_path: Path) -> None:
    guard, tokens, _ = service_guard(tmp_path)
    secret, _ = tokens.create("list", [Role.READER])
    tokens.path.write_text("tokens: [", encoding="utf-8")
    assert ask(guard, "/v1/search", Authorization=f"Bearer {secret}")[0] == 503


def test_a_route_without_a_guard_finds_nobody() -> None:
    with pytest.raises(InternalError):
        person_of({"type": "http"})
    with pytest.raises(InternalError):
        person_of({"type": "http", "medembed.person": "anna"})


def test_a_scope_of_an_unknown_kind_goes_nowhere(tmp_path: Path) -> None:
    guard, _, _ = page_guard(tmp_path)
    assert ask(guard, kind="webtransport") == []


def test_equal_refusals_are_written_once_a_minute(tmp_path: Path) -> None:
    now, written = [0.0], Written()
    recorder = Recorder(written, clock=lambda: now[0])
    for _ in range(50):
        recorder.refusal("unknown", "token")
    now[0] = 61.0
    recorder.refusal("unknown", "token")
    recorder.refusal("anna", "permission:audit")
    recorder.close()
    assert [entry[1] for entry in written] == ["unknown", "unknown", "anna"]


def test_a_full_disk_keeps_nobody_from_signing_out() -> None:
    def full(*_: object) -> None:
        raise OSError("no space")

    recorder = Recorder(full)
    recorder.logout("anna", "signed-out")
    recorder.refusal("anna", "token")
    with pytest.raises(OSError):
        asyncio.run(recorder.login("anna"))
    recorder.close()


def test_headers_are_strict_and_nothing_of_a_patient_is_stored() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        own = [(b"Cache-Control", b"public"), (b"Server", b"uvicorn"), (b"X-Frame-Options", b"")]
        await send({"type": "http.response.start", "status": 200, "headers": own})

    app = SecurityHeaders(page, "default-src 'self'", https=True, lasting=("/static/",))
    for path, stored in (("/", b"no-store"), ("/media/0.png", b"no-store"), ("/static/a", None)):
        _, headers, _ = ask(app, path)
        assert headers[b"content-security-policy"] == b"default-src 'self'"
        assert headers.get(b"cache-control") == stored
        assert headers[b"strict-transport-security"].startswith(b"max-age=31536000")
        assert headers[b"cross-origin-opener-policy"] == b"same-origin"
        assert b"camera=()" in headers[b"permissions-policy"]
        assert headers[b"x-frame-options"] == b"DENY"
        assert b"Server" not in headers
    assert b"default-src 'none'" in ask(app, "/access/login")[1][b"content-security-policy"]
    plain = SecurityHeaders(page)
    assert b"strict-transport-security" not in ask(plain, "/")[1]
    assert ask(plain, "/static/a")[1][b"cache-control"] == b"no-store"


def test_a_service_on_this_machine_needs_no_token_but_is_no_page_of_another_port(
    tmp_path: Path,
) -> None:
    app = guarded_service(inner, None, library=tmp_path, port=8600)
    own = {"Host": "127.0.0.1:8600"}
    assert ask(app, "/v1/search", "POST", **own)[2] == b"local"
    assert ask(app, "/v1/search", "POST", Origin="http://127.0.0.1:8600", **own)[0] == 200
    for other in ("http://127.0.0.1:9000", "https://127.0.0.1:8600", "null", "http://evil.example"):
        assert ask(app, "/v1/search", "POST", Origin=other, **own)[0] == 403
    assert ask(app, "/v1/search", "POST", Sec_Fetch_Site="cross-site", **own)[0] == 403
    assert ask(app, "/v1/search", "GET", Sec_Fetch_Site="same-site", **own)[0] == 403
    assert ask(app, "/v1/search", "POST", Host="evil.example:8600")[0] == 403
    assert ask(app, "/healthz", Host="10.1.2.3")[0] == 200


def test_a_service_takes_the_access_file_of_its_library(tmp_path: Path) -> None:
    CaseLibrary.create(tmp_path).close()
    (tmp_path / "access.yaml").write_text("{}", encoding="utf-8")
    secret, _ = TokenFile(tmp_path / "access-tokens.yaml").create("a", [Role.READER])
    for file in (None, tmp_path / "access.yaml"):
        app = guarded_service(inner, file, library=None if file else tmp_path)
        assert ask(app, "/v1/search")[0] == 401
        assert ask(app, "/v1/search", Authorization=f"Bearer {secret}")[0] == 200


def test_what_is_around_the_guard_sees_what_is_found_inside(tmp_path: Path) -> None:
    """The service's metrics name the route, which its router writes into the scope."""
    found: dict[str, Any] = {}

    async def router(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/v1/search"
        await inner(scope, receive, send)

    app = guarded_service(router, None, library=tmp_path, port=8600)

    async def around(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        found.update(scope)

    ask(around, "/v1/search", Host="127.0.0.1:8600")
    assert found["route"] == "/v1/search"


def test_the_sessions_of_a_door_end_in_the_journal(tmp_path: Path) -> None:
    _, door, written = page_guard(tmp_path)
    door.sessions.start(READER)
    door.close()
    assert written == [(Event.LOGOUT, "anna", "closed")]
    assert json.dumps([str(event) for event, *_ in written]) == '["LOGOUT"]'
    assert isinstance(door.sessions, Sessions)
