"""Serve the reading room: Streamlit with our settings and security headers."""

from __future__ import annotations

import importlib
import os
import socket
import threading
import tomllib
import webbrowser
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from apps.access import Door, set_door, trust_proxies
from apps.access.origin import ANY_ADDRESS
from apps.case_lookup.dropped import remove_abandoned_folders
from apps.case_lookup.faults import strip_error_messages
from apps.case_lookup.index_page import routes
from apps.case_lookup.middleware import page_middleware
from apps.case_lookup.seen import pixel_guard
from apps.case_lookup.settled_memory import keep_settled
from apps.pixels import pixel_routes
from medembed.errors import InputError, MedEmbedError

if TYPE_CHECKING:
    from streamlit.starlette import App

__all__ = ["build_app", "settings", "start"]

_HERE = Path(__file__).parent


def settings(host: str, port: int, public_url: str | None = None) -> dict[str, Any]:
    """Give Streamlit's options by dotted name: ``settings.toml`` plus address and port."""
    options = _flat(tomllib.loads((_HERE / "settings.toml").read_text(encoding="utf-8")))
    options["server.address"] = host
    options["server.port"] = port
    # a second check behind SameOrigin, which also compares scheme and port
    if public_url is not None:
        options["server.allowedHosts"] = [urlsplit(public_url).hostname or ""]
    elif host not in ANY_ADDRESS:
        options["server.allowedHosts"] = ["localhost", "127.0.0.1", "::1", host]
    return options


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            options.update(_flat(value, f"{prefix}{name}."))
        else:
            options[f"{prefix}{name}"] = value
    return options


def build_app(
    host: str, port: int, door: Door | None = None, opened: Callable[[str], None] | None = None
) -> App:
    """Build the page's application: its routes, and what stands before every one of them.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
    door : Door or None
        Who may come in; None for single-user mode.
    opened : callable, optional
        Called with the page's address once the server answers.
    """
    from streamlit.starlette import App

    from apps.case_lookup.shared_session import served_session

    def loaded() -> None:
        """Load what the page needs before the first visit."""
        importlib.import_module("apps.case_lookup.page")
        with suppress(MedEmbedError):  # the page says what is wrong
            served_session().wait()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        threading.Thread(target=keep_settled, args=(loaded,), name="memory", daemon=True).start()
        if opened is not None:
            address = _address(host, port, door)
            threading.Thread(target=opened, args=(address,), daemon=True).start()
        yield
        if door is not None:
            door.close()

    set_door(door)
    return App(
        _HERE / "page.py",
        routes=[*routes(), *pixel_routes(served_session, pixel_guard(served_session))],
        middleware=page_middleware(host, port, door),
        lifespan=lifespan,
    )


def _address(host: str, port: int, door: Door | None) -> str:
    if door is not None and door.settings.public_url is not None:
        return door.settings.public_url
    shown = "localhost" if host in ("127.0.0.1", "::1", *ANY_ADDRESS) else host
    return f"http://{shown}:{port}"


def start(
    library: Path,
    host: str,
    port: int,
    opened: Callable[[str], None],
    door: Door | None = None,
) -> None:
    """Serve the reading room until it is stopped.

    Parameters
    ----------
    library : Path
        Folder of an existing library.
    host : str
        Address to listen on.
    port : int
    opened : callable
        Called with the page's address once the server answers.
    door : Door or None
        Who may come in; None for single-user mode.

    Raises
    ------
    InputError
        If the address is not available, or Streamlit is not installed.
    """
    _check_address_is_free(host, port)
    os.environ["MEDEMBED_LIBRARY"] = str(library.resolve())
    remove_abandoned_folders()
    strip_error_messages()
    trust_proxies(door)
    try:
        app = build_app(host, port, door, opened)
    except ImportError:
        raise InputError(
            "the reading room needs Streamlit", hint="pip install 'medembed[app]'"
        ) from None
    app.run(config=settings(host, port, door.settings.public_url if door else None))


def _check_address_is_free(host: str, port: int) -> None:
    """Bind to the address first: a port in use is then one line, not a Streamlit log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host} port {port} ({(error.strerror or 'refused').lower()})",
                hint="is a reading room already open? choose another port with --port",
            ) from None


def show_in_browser(address: str) -> None:
    """Open the page in the user's browser, if there is one."""
    webbrowser.open(address)
