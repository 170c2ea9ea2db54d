"""Dropped files are removed with their page."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from apps.access.session_sockets import SESSION_ENDED
from apps.case_lookup import visits
from apps.case_lookup.visits import HEADER, OpenPages, register_page

STREAM = {"type": "websocket", "path": "/_stcore/stream"}


class Runtime:
    """Record calls; ``active`` are the sessions whose page is open."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self.uploaded_file_mgr = self

    def is_active_session(self, session_id: str) -> bool:
        return session_id in self.active

    def close_session(self, session_id: str) -> None:
        self.told.append(("close", session_id))

    def remove_session_files(self, session_id: str) -> None:
        self.told.append(("files", session_id))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    made = Runtime()
    monkeypatch.setattr("streamlit.runtime.get_instance", lambda: made)
    return made


async def visit(pages: OpenPages, runtime: Runtime, code: int | None, **scope: Any) -> None:
    """One socket: opened, the script run as session S, closed with ``code``."""

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect"} | ({} if code is None else {"code": code})

    async def send(message: Any) -> None: ...

    await pages({**STREAM, "headers": [], **scope}, receive, send)


def streamlit(runtime: Runtime, runs: bool = True) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        names = {key.lower(): value for key, value in scope["headers"]}
        page = names[HEADER.lower().encode()].decode()
        runtime.active.add("S")
        if runs:
            register_page(page, "S")
        while (await receive())["type"] != "websocket.disconnect":
            pass
        runtime.active.discard("S")

    return app


@pytest.mark.parametrize("code", [1000, 1001])
def test_closing_or_leaving_a_page_ends_its_session_at_once(runtime: Runtime, code: int) -> None:
    asyncio.run(visit(OpenPages(streamlit(runtime)), runtime, code))
    assert runtime.told == [("close", "S"), ("files", "S")]
    assert visits._sessions == {}


@pytest.mark.parametrize("code", [1006, 1011, 1012, None])
def test_a_lost_page_is_waited_for_and_then_ended(runtime: Runtime, code: int | None) -> None:
    async def lose() -> None:
        await visit(OpenPages(streamlit(runtime), lost_seconds=0.05), runtime, code)
        assert runtime.told == []
        await asyncio.sleep(0.2)

    asyncio.run(lose())
    assert runtime.told == [("close", "S"), ("files", "S")]


def test_a_returning_page_keeps_its_session(runtime: Runtime) -> None:
    async def lose_and_return() -> None:
        await visit(OpenPages(streamlit(runtime), lost_seconds=0.05), runtime, 1006)
        runtime.active.add("S")
        await asyncio.sleep(0.2)

    asyncio.run(lose_and_return())
    assert runtime.told == []


def test_a_returning_page_that_closes_without_a_run_is_ended(runtime: Runtime) -> None:
    """Streamlit runs no script when a page returns: the page names its session itself."""
    back = [(b"sec-websocket-protocol", b"streamlit, token, S")]

    async def lose_return_and_close() -> None:
        pages = OpenPages(streamlit(runtime, runs=False), lost_seconds=60)
        await visit(pages, runtime, 1006, headers=back)
        await visit(pages, runtime, 1001, headers=back)
        assert pages._waiting == {}

    asyncio.run(lose_return_and_close())
    assert runtime.told == [("close", "S"), ("files", "S")]


def test_no_page_waits_longer_than_ten_minutes_for_its_heartbeat() -> None:
    from apps.case_lookup.server import settings

    chosen = settings("127.0.0.1", 8501)
    heartbeat = 2 * chosen["server.websocketPingInterval"]  # sent and not answered
    assert visits.LOST_SECONDS + heartbeat <= 600
    assert chosen["server.disconnectedSessionTTL"] > visits.LOST_SECONDS, "or it is lost sight of"


def test_a_visitor_cannot_name_another_page(runtime: Runtime) -> None:
    forged = [(HEADER.lower().encode(), b"of another page")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        names = [v for k, v in scope["headers"] if k == HEADER.lower().encode()]
        assert len(names) == 1
        assert names != [b"of another page"]

    asyncio.run(visit(OpenPages(app), runtime, 1001, headers=forged))
    register_page("of another page", "S")
    assert visits._sessions == {}


# --- a session belongs to the sign-in that began it


def signed_in(scope: dict[str, Any], handle: str) -> dict[str, Any]:
    return {**scope, "medembed.session": handle}


def test_a_page_ends_with_its_sign_in(runtime: Runtime) -> None:
    asyncio.run(visit(OpenPages(streamlit(runtime)), runtime, SESSION_ENDED))
    assert runtime.told == [("close", "S"), ("files", "S")]
    assert (visits._sessions, visits._handles, visits._owners) == ({}, {}, {})


@pytest.mark.parametrize(("handle", "asked"), [("anna", b"S"), ("eve", None), ("", None)])
def test_a_session_is_resumed_only_by_the_sign_in_that_began_it(
    runtime: Runtime, handle: str, asked: bytes | None
) -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(v for k, v in scope["headers"] if k == b"sec-websocket-protocol")
        await receive()

    back = [(b"sec-websocket-protocol", b"streamlit, token, S")]

    async def lose_and_ask_for_it() -> None:
        pages = OpenPages(streamlit(runtime), lost_seconds=60)
        await visit(pages, runtime, 1006, **signed_in({}, "anna"))
        pages._app = app
        runtime.active.add("S")
        await visit(pages, runtime, 1001, headers=back, **signed_in({}, handle))

    try:
        asyncio.run(lose_and_ask_for_it())
        given = seen[0].split(b",")
        assert (given[2].strip() if len(given) > 2 else None) == asked
        assert runtime.told == []
    finally:
        visits._owners.clear()


@pytest.mark.parametrize(
    ("path", "handle", "status"),
    [
        ("/_stcore/upload_file/S/file", "anna", 200),
        ("/_stcore/upload_file/S/file", "eve", 404),
        ("/_stcore/upload_file/T/file", "anna", 404),
        ("/media/abc.pdf", "anna", 200),
        ("/media/abc.pdf", "eve", 404),
        ("/media/def.pdf", "anna", 404),
        ("/media/", "anna", 404),
        ("/static/a.js", "eve", 200),
        ("/media/abc.pdf", "", 200),  # without logins there is one person
    ],
)
def test_uploads_and_downloads_are_for_the_page_that_has_them(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, path: str, handle: str, status: int
) -> None:
    monkeypatch.setattr(visits, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(visits, "_owners", {"S": "anna", "T": "eve"})
    files = {"S": {"row-1": "abc"}, "U": {"row-1": "def"}}
    runtime.media_file_mgr = SimpleNamespace(_files_by_session_and_coord=files)  # type: ignore[attr-defined]
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any: ...

    scope = signed_in({"type": "http", "path": path, "headers": []}, handle)
    asyncio.run(OpenPages(app)(scope, receive, send))
    assert sent[0]["status"] == status


def test_streamlit_keeps_its_media_by_session_as_we_read_it() -> None:
    from streamlit.runtime.media_file_manager import MediaFileManager
    from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

    manager = MediaFileManager(MemoryMediaFileStorage("/media"))
    address = manager.add(b"a", "application/pdf", "row-1", "a.pdf")
    held = manager._files_by_session_and_coord
    kept = {file for files in held.values() for file in files.values()}
    assert address.removeprefix("/media/").partition(".")[0] in kept
