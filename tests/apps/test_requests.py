"""Only the reading room's own page, at its own host and port, may send requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.access.origin import SameOrigin, allowed_hosts
from tests.apps.serving import free_port, serving

PAGES = ("/", "/_stcore/health", "/_stcore/host-config", "/media/0.png", "/room/changed.js", "/x")


@pytest.fixture(scope="module")
def port(small_library: Path) -> Iterator[int]:
    """A running reading room."""
    with serving(small_library) as (port, _):
        yield port


def status(port: int, method: str, path: str, **headers: str) -> int:
    """Give the status of a raw request; ``Host`` is the reading room's own by default."""
    given = {"Host": f"localhost:{port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items() if v)]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(("\r\n".join([*lines, "Connection: close", "", ""])).encode())
        return int(connection.makefile("rb").readline().split()[1])


def socket_status(port: int, path: str = "/_stcore/stream", **headers: str) -> int:
    """Give the status of a WebSocket handshake; 101 means open."""
    asked = {"Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    asked |= {
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Protocol": "streamlit",
    }
    given = {"Host": f"localhost:{port}"} | headers
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in (asked | given).items() if v]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(("\r\n".join([*lines, "Connection: Upgrade", "", ""])).encode())
        return int(connection.makefile("rb").readline().split()[1])


def foreign(port: int) -> list[str]:
    other = free_port()
    return [
        f"http://localhost:{other}",  # a page on another port of this machine
        f"http://127.0.0.1:{other}",
        "http://localhost",
        f"https://localhost:{port}",
        f"http://127.0.0.1:{port}",  # the requested host is localhost
        f"http://localhost.evil.example:{port}",
        f"http://localhost:{port}.evil.example",
        "http://evil.example",
        "null",
        "file://",
    ]


def test_the_rooms_own_page_is_served(port: int) -> None:
    own = f"http://localhost:{port}"
    assert status(port, "GET", "/") == 200
    assert status(port, "GET", "/", Sec_Fetch_Site="none") == 200
    assert status(port, "GET", "/_stcore/health", Origin=own, Sec_Fetch_Site="same-origin") == 200
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
        assert status(port, "GET", "/", Host=host) == 200
        assert socket_status(port, Host=host, Origin=f"http://{host.lower()}") == 101


def test_a_page_of_another_origin_opens_no_socket(port: int) -> None:
    for origin in foreign(port):
        assert socket_status(port, Origin=origin) == 403, origin
    assert socket_status(port, Origin="") == 403, "no browser leaves it out"


def test_a_page_of_another_origin_reads_nothing(port: int) -> None:
    for path in PAGES:
        for origin in foreign(port):
            assert status(port, "GET", path, Origin=origin) == 403, (path, origin)
        for site in ("same-site", "cross-site"):  # an <img> or a <script> sends no Origin
            mode = {"Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
            assert status(port, "GET", path, Sec_Fetch_Site=site, **mode) == 403, (path, site)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_a_page_of_another_origin_uploads_and_removes_nothing(port: int, method: str) -> None:
    path = "/_stcore/upload_file/session/file"
    for origin in (*foreign(port), ""):
        assert status(port, method, path, Origin=origin) == 403, origin
    own = status(port, method, path, Origin=f"http://localhost:{port}")
    assert own in (403, 404, 405), "it comes to Streamlit, which asks for its token"


def test_a_foreign_name_pointed_at_this_machine_is_refused(port: int) -> None:
    other = free_port()
    for host in (
        f"evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"localhost:{other}",
        "localhost",
        f"user@localhost:{port}",
        f"0.0.0.0:{port}",
    ):
        assert status(port, "GET", "/", Host=host) == 403, host
        assert socket_status(port, Host=host, Origin=f"http://{host}") == 403, host


def test_a_link_from_elsewhere_opens_the_page_and_nothing_else(port: int) -> None:
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert status(port, "GET", "/?case=C-0001", Sec_Fetch_Dest="document", **followed) == 200
    assert status(port, "GET", "/", Sec_Fetch_Dest="iframe", **followed) == 403
    assert status(port, "GET", "/media/0.png", Sec_Fetch_Dest="document", **followed) == 403


def is_own(
    host: str, port: int, asked: str, scheme: str = "http", public_url: str | None = None
) -> bool:
    async def nothing(*_: object) -> None: ...

    headers = [(b"host", asked.encode()), (b"origin", f"{scheme}://{asked}".encode())]
    gate = SameOrigin(nothing, host, port, public_url)
    return gate._is_own({"type": "websocket", "headers": headers})


def test_behind_a_proxy_scheme_host_and_port_are_those_of_the_public_address() -> None:
    public = "https://room.example.org"
    for host in ("127.0.0.1", "0.0.0.0"):
        assert is_own(host, 8501, "room.example.org", "https", public)
        assert is_own(host, 8501, "ROOM.example.org", "https", public)
        for wrong in (
            ("room.example.org", "http"),
            ("room.example.org:8501", "https"),
            ("room.example.org:443", "https"),
            ("127.0.0.1:8501", "http"),
            ("127.0.0.1:8501", "https"),
            ("10.1.2.3:8501", "http"),
            ("evil.example", "https"),
            ("room.example.org.evil.example", "https"),
        ):
            assert not is_own(host, 8501, *wrong, public_url=public), wrong
    assert is_own("127.0.0.1", 8501, "room.example.org:8443", "https", f"{public}:8443")
    assert not is_own("127.0.0.1", 8501, "room.example.org", "https", f"{public}:8443")


def test_forwarded_headers_change_nothing() -> None:
    """They come from whoever asks; the public address is configured."""

    async def nothing(*_: object) -> None: ...

    gate = SameOrigin(nothing, "127.0.0.1", 8501, "https://room.example.org")
    forged = [
        (b"host", b"evil.example"),
        (b"origin", b"https://evil.example"),
        (b"x-forwarded-host", b"room.example.org"),
        (b"x-forwarded-proto", b"https"),
        (b"forwarded", b"host=room.example.org;proto=https"),
    ]
    assert not gate._is_own({"type": "websocket", "headers": forged, "scheme": "wss"})
    plain = [(b"host", b"room.example.org"), (b"origin", b"http://room.example.org")]
    more = [*plain, (b"x-forwarded-proto", b"http")]
    assert not gate._is_own({"type": "websocket", "headers": more, "scheme": "ws"})


def test_every_address_means_every_numeric_address_and_this_machines_name() -> None:
    assert is_own("0.0.0.0", 8501, "10.1.2.3:8501")
    assert is_own("::", 8501, "[fe80::1]:8501")
    assert is_own("0.0.0.0", 8501, f"{socket.gethostname().lower()}:8501")
    for wrong in ("evil.example:8501", "10.1.2.3", "10.1.2.3:85010", "10.1.2.3.evil.example:8501"):
        assert not is_own("0.0.0.0", 8501, wrong)
    assert not is_own("127.0.0.1", 8501, "10.1.2.3:8501")


def test_port_80_is_omitted_as_browsers_do() -> None:
    assert allowed_hosts("127.0.0.1", 80) == {"localhost", "127.0.0.1", "[::1]"}
    assert is_own("127.0.0.1", 80, "localhost")
    assert not is_own("127.0.0.1", 80, "localhost:81")
    assert is_own("0.0.0.0", 80, "10.1.2.3")


def test_two_hosts_or_origins_are_refused() -> None:
    async def nothing(*_: object) -> None: ...

    own = [(b"host", b"localhost:8501"), (b"origin", b"http://localhost:8501")]
    gate = SameOrigin(nothing, "127.0.0.1", 8501)
    assert gate._is_own({"type": "websocket", "headers": own})
    for more in own:
        assert not gate._is_own({"type": "websocket", "headers": [*own, more]})
