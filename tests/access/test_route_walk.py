"""Every route of the page, walked without a login, as each role, and from another port.

The routes come from the application itself and from what a browser asked for while somebody
worked with the page: a route that is added later is walked, too.
"""

from __future__ import annotations

import http.server
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from apps.case_lookup.texts import ENGLISH
from tests.access.conftest import write_access
from tests.access.oidc_provider import CLIENT_SECRET, Provider
from tests.apps.conftest import small_library as small_library  # noqa: PLC0414  a fixture
from tests.apps.serving import CHROMIUM, FLAGS, START, free_port, serving

pytestmark = pytest.mark.browser

ROUTES = """
import json
from apps.case_lookup.server import build_app
app = build_app("127.0.0.1", 1)._build_starlette_app()
print(json.dumps([
    [type(r).__name__, r.path, sorted(getattr(r, "methods", None) or ["GET"])] for r in app.routes
]))
"""
# eight seconds without anybody: long enough to click, short enough to wait for
SOON = """
import apps.access.door as door
sessions = door.Sessions
door.Sessions = lambda idle, absolute, **more: sessions(8.0, absolute, **more)
"""
TOLD = """
import pathlib
from apps.case_lookup.visits import OpenPages
end = OpenPages._end
def told(self, session_id):
    end(self, session_id)
    from streamlit.runtime import get_instance
    held = get_instance().uploaded_file_mgr.file_storage
    pathlib.Path(%r).write_text(str(sum(len(files) for files in held.values())))
OpenPages._end = told
"""
PICTURE = ".mv-reading:not(:empty)"  # the viewer shows a picture
FOREIGN = """<!doctype html><script>
const room = "127.0.0.1:PORT";
const socket = new WebSocket(`ws://${room}/_stcore/stream`, ["streamlit"]);
const opened = new Promise((done) => {
  socket.onmessage = () => done("got something");
  socket.onopen = () => setTimeout(() => done("open"), 1000);
  socket.onerror = () => done("refused");
});
const reads = PATHS.map((path) => fetch(`http://${room}${path}`, {credentials: "include"})
  .then((answer) => answer.text(), () => "refused"));
const changes = ["POST", "PUT", "DELETE"].map((method) =>
  fetch(`http://${room}/_stcore/upload_file/S/f`, {method, credentials: "include", mode: "cors"})
  .then((answer) => String(answer.status), () => "refused"));
Promise.all([opened, ...reads, ...changes]).then((a) => { window.answers = a; });
</script>"""


@dataclass
class Recorded:
    """A running page with logins, its routes, what a browser asked for, and the cookies."""

    port: int
    cookies: dict[str, str]
    asked: set[tuple[str, str]] = field(default_factory=set)
    sockets: set[str] = field(default_factory=set)
    routes: list[tuple[str, str, list[str]]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self, method: str, path: str, **headers: str) -> int:
        given = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items() if v)]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            return int(connection.makefile("rb").readline().split()[1])

    def socket_status(self, path: str, **headers: str) -> int:
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec_WebSocket_Protocol": "streamlit",
            "Origin": self.url,
        }
        return self.status("GET", path, **upgrade | headers)

    def every_path(self) -> set[tuple[str, str, str]]:
        """Kind, method and path of everything there is."""
        found = {("http", method, path) for method, path in self.asked}
        found |= {("websocket", "GET", path) for path in self.sockets}
        for kind, path, methods in self.routes:
            real = re.sub(r"\{\w+(:\w+)?\}", "x", path) or "/"
            if kind == "WebSocketRoute":
                found.add(("websocket", "GET", real))
                continue
            found |= {("http", method, real) for method in methods}
            if kind == "Mount":
                found.add(("http", "GET", f"{real.rstrip('/')}/static/js/x.js"))
        return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def sign_in(page: Any, url: str, user: str, path: str = "/") -> None:
    page.goto(f"{url}{path}")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name=user, exact=True).click()


@pytest.fixture(scope="module")
def room(
    small_library: Path,
    shared_provider: Provider,
    chromium: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Recorded]:
    """Work with the page as Anna, who sees the north, and sign in as the others."""
    port = free_port()
    made = Recorded(port, {})
    access = write_access(tmp_path_factory.mktemp("access"), shared_provider.issuer, made.url)
    shared_provider.redirect_uris = {f"{made.url}/access/callback"}
    code = subprocess.run(
        [sys.executable, "-c", ROUTES], capture_output=True, text=True, check=True
    ).stdout
    made.routes = [tuple(route) for route in json.loads(code)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDEMBED_CLIENT_SECRET", CLIENT_SECRET)
        with serving(small_library, options=["--access", str(access)], port=port):
            for user in ("audra", "rob", "adam", "anna"):
                context = chromium.new_context(viewport={"width": 1440, "height": 900})
                page = context.new_page()
                if user == "anna":
                    _record(page, made)
                sign_in(page, made.url, user, "/?case=C-0001" if user == "anna" else "/")
                if user == "anna":
                    _work(page)
                elif user == "audra":
                    page.get_by_text("may not use the reading room").wait_for(timeout=60_000)
                else:
                    page.wait_for_selector(".rr-foot", timeout=60_000)
                held = {c["name"]: c["value"] for c in context.cookies(made.url)}
                name = f"medembed-{port}"
                if name in held:
                    made.cookies[user] = f"{name}={held[name]}"
                if user != "anna":
                    context.close()
            yield made


def _record(page: Any, made: Recorded) -> None:
    def asked(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.port == made.port:
            made.asked.add((request.method, parts.path))

    page.on("request", asked)
    page.on("websocket", lambda opened: made.sockets.add(urlsplit(opened.url).path))
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: made.complaints.append(line.text) if line.type == "error" else None,
    )


def _work(page: Any) -> None:
    """Read a case, search, drop an image."""
    page.get_by_text("Signed in as Anna Reader.").wait_for(timeout=60_000)
    page.wait_for_selector(PICTURE, timeout=60_000)
    page.get_by_label("Findings or report text", exact=True).fill("right pleural effusion")
    page.keyboard.press("Enter")
    page.locator(".rr-hit").first.wait_for(timeout=60_000)
    page.set_input_files(
        "input[type=file]",
        {"name": "a.png", "mimeType": "image/png", "buffer": _png()},
    )
    page.wait_for_timeout(2000)


def _png() -> bytes:
    picture = BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(picture, "PNG")
    return picture.getvalue()


def test_a_recorded_session_saw_what_the_application_lists(room: Recorded) -> None:
    assert room.complaints == []
    paths = {path for _, path in room.asked}
    assert {"/", "/_stcore/host-config", "/room/neutral_names.js"} <= paths
    assert any(path.startswith("/static/js/") for path in paths)
    assert any(path.startswith("/_stcore/upload_file/") for path in paths)
    assert any(path.startswith("/pixels/case/C-0001/") for path in paths)
    assert any(path.startswith("/_stcore/bidi-components/") for path in paths)
    assert room.sockets == {"/_stcore/stream"}
    listed = {path for _, path, _ in room.routes}
    assert {
        "/_stcore/health",
        "/_stcore/metrics",
        "/_stcore/stream",
        "/_stcore/upload_file/{session_id}/{file_id}",
        "/_stcore/bidi-components/{path:path}",
        "/component/{path:path}",
        "/media/{file_id:path}",
    } <= listed
    assert len(room.every_path()) > 40


def test_without_a_login_every_route_is_refused(room: Recorded) -> None:
    """A person who opens an address is sent to the sign-in, which shows nothing of the library."""
    for kind, method, path in sorted(room.every_path()):
        if kind == "websocket":
            assert room.socket_status(path) == 403, path
            continue
        got = room.status(method, path, Origin=room.url)
        if path == "/_stcore/health" and method in ("GET", "HEAD", "OPTIONS"):
            assert got in (200, 204)
        elif path.startswith("/access/"):
            assert got in (200, 303, 400, 401, 405), (method, path)
        else:
            assert got == 401, (method, path)
            if method == "GET":
                navigated = room.status("GET", path, Sec_Fetch_Mode="navigate", Accept="text/html")
                assert navigated == 303, path


@pytest.mark.parametrize("cookie", ["medembed-{port}=guess", "medembed-{port}=", "other={good}"])
def test_a_wrong_cookie_opens_nothing(room: Recorded, cookie: str) -> None:
    good = room.cookies["anna"].partition("=")[2]
    wrong = cookie.format(port=room.port, good=good)
    for kind, method, path in sorted(room.every_path()):
        if path.startswith("/access/") or path == "/_stcore/health":
            continue
        if kind == "websocket":
            assert room.socket_status(path, Cookie=wrong) == 403
        else:
            assert room.status(method, path, Origin=room.url, Cookie=wrong) == 401, path


def test_each_role_walks_as_far_as_it_may(room: Recorded) -> None:
    assert set(room.cookies) == {"anna", "rob", "adam"}, "the auditor has no business on the page"
    for user, cookie in room.cookies.items():
        assert room.status("GET", "/", Cookie=cookie) == 200
        assert room.socket_status("/_stcore/stream", Cookie=cookie) == 101
        assert room.status("GET", "/media/x", Cookie=cookie) == 404
        wanted = 200 if user == "adam" else 403
        assert room.status("GET", "/_stcore/metrics", Cookie=cookie) == wanted, user


def test_nobody_uploads_into_another_persons_page(room: Recorded) -> None:
    put = [(m, p) for m, p in room.asked if p.startswith("/_stcore/upload_file/") and m == "PUT"]
    assert put
    for _, path in put:
        for method in ("PUT", "DELETE", "GET", "OPTIONS"):
            got = room.status(method, path, Origin=room.url, Cookie=room.cookies["rob"])
            assert got == 404, (method, path)


def test_another_local_ports_page_gets_nothing(room: Recorded, chromium: Any) -> None:
    """The browser is signed in, and cookies know no ports: only the origin tells them apart."""
    paths = sorted({path for kind, _, path in room.every_path() if kind == "http"})
    asked = [path for path in paths if not path.startswith("/_stcore/health")][:60]

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = FOREIGN.replace("PORT", str(room.port)).replace("PATHS", json.dumps(asked))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name, _, value = room.cookies["anna"].partition("=")
    context = chromium.new_context()
    context.add_cookies([{"name": name, "value": value, "url": room.url}])
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.wait_for_function("window.answers", timeout=60_000)
    answers = page.evaluate("window.answers")
    context.close()
    server.shutdown()
    server.server_close()
    assert len(answers) == len(asked) + 4
    assert set(answers) == {"refused"}
    # the socket by hand: another port, and another scheme
    for origin in (
        f"http://127.0.0.1:{server.server_port}",
        f"https://127.0.0.1:{room.port}",
        f"http://localhost:{room.port}",
        "null",
        "",
    ):
        got = room.socket_status("/_stcore/stream", Cookie=room.cookies["anna"], Origin=origin)
        assert got == 403, origin


def test_a_row_rule_holds_for_links_and_searches(room: Recorded, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    sign_in(page, room.url, "anna", "/?case=C-0009")
    page.get_by_text("Signed in as Anna Reader.").wait_for(timeout=60_000)
    page.get_by_text(ENGLISH.case.not_found).wait_for(timeout=60_000)
    assert page.locator(".mv-panel").count() == 0
    pixels = {p for _, p in room.asked if p.startswith("/pixels/case/C-0001/")}
    assert pixels
    for seen in sorted(pixels):
        assert room.status("GET", seen, Cookie=room.cookies["anna"]) == 200, seen
        hidden = seen.replace("C-0001", "C-0009")
        assert room.status("GET", hidden, Cookie=room.cookies["anna"]) == 404, hidden
        assert room.status("GET", hidden, Cookie=room.cookies["rob"]) == 200, hidden
    page.goto(f"{room.url}/")
    page.get_by_label("Findings or report text", exact=True).fill("pleural effusion")
    page.keyboard.press("Enter")
    page.locator(".rr-hit").first.wait_for(timeout=60_000)
    shown = page.locator(".rr-hit").count()
    context.close()
    assert 0 < shown <= 7


def test_signing_out_ends_every_page_of_the_session(room: Recorded, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    sign_in(page, room.url, "rob")
    page.wait_for_selector(".rr-foot", timeout=60_000)
    other = context.new_page()
    other.goto(f"{room.url}/?case=C-0002")
    other.wait_for_selector(PICTURE, timeout=60_000)
    page.get_by_role("link", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for(timeout=60_000)
    other.get_by_text("You are signed out.").wait_for(timeout=60_000)
    assert other.locator(".mv-panel").count() == 0
    assert "next=%2F%3Fcase%3DC-0002" in other.url
    context.close()


def test_a_page_that_nobody_uses_is_taken_off_the_screen_with_its_files(
    small_library: Path, shared_provider: Provider, chromium: Any, tmp_path: Path
) -> None:
    port = free_port()
    url, told = f"http://127.0.0.1:{port}", tmp_path / "uploads"
    access = write_access(tmp_path, shared_provider.issuer, url)
    shared_provider.redirect_uris |= {f"{url}/access/callback"}
    start = SOON + TOLD % str(told) + START
    with serving(small_library, start, ["--access", str(access)], port):
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        sign_in(page, url, "rob")
        page.wait_for_selector(".rr-foot", timeout=60_000)
        page.set_input_files(
            "input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": _png()}
        )
        page.get_by_alt_text("Query: Your image").wait_for(timeout=60_000)
        page.get_by_text("nothing happened for a while").wait_for(timeout=60_000)
        assert page.locator(".rr-foot").count() == 0
        assert told.read_text(encoding="utf-8") == "0"
        page.get_by_role("link", name="Sign in").wait_for()
        context.close()
