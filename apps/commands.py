"""The command ``medembed app``."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, verb

__all__ = ["app", "open_reading_room"]


AccessPath = Annotated[
    Path | None,
    typer.Option(
        "--access",
        metavar="FILE",
        help="Access file: who may sign in and see what (default: access.yaml in the library).",
    ),
]
NoLogin = Annotated[
    bool,
    typer.Option(
        "--no-login", help="Show every case to everybody who can reach the address, without login."
    ),
]


@verb
def app(
    library: LibraryPath,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; any other than 127.0.0.1 needs --access or --no-login."
        ),
    ] = "127.0.0.1",
    access: AccessPath = None,
    no_login: NoLogin = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Serve the page without opening a browser.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Open the reading room to look up similar past cases in the browser.

    Nothing leaves this machine. Patient names and file names are not stored. Press Ctrl-C to stop.
    With --json, the address is printed once the server answers, and no browser opens.

    Example: medembed app my-library --port 8600
    """
    open_reading_room(
        library,
        port=port,
        host=host,
        access=access,
        no_login=no_login,
        browser=not (no_browser or as_json),
        as_json=as_json,
    )


def open_reading_room(
    library: Path,
    *,
    port: int = 8501,
    host: str = "127.0.0.1",
    access: Path | None = None,
    no_login: bool = False,
    browser: bool = True,
    as_json: bool = False,
) -> None:
    """Serve the reading room over ``library`` until it is stopped.

    Parameters
    ----------
    library : Path
        Folder of the case library.
    port : int
    host : str
        Address to listen on.
    access : Path, optional
        Access file; without one, that of the library's folder if it has one.
    no_login : bool
        Let everybody in who can reach the address.
    browser : bool
        Whether to open the page in the user's browser.
    as_json : bool
        Whether to print the address as a JSON object on stdout, not as a line on stderr.

    Raises
    ------
    LibraryError
        If the folder is not a library.
    InputError
        If the port is in use, Streamlit is not installed, or others can reach the address and
        nothing says who may see what.
    ConfigError
        If the access file is not valid.
    """
    from apps.access import open_door
    from apps.access.access_file import LOOPBACK_HOSTS
    from apps.case_lookup.server import show_in_browser, start
    from medembed.library import CaseLibrary

    CaseLibrary.open(library).close()  # fail before anything starts
    door = open_door(library, host, access, no_login)
    if door is None and host not in LOOPBACK_HOSTS:
        note("There is no login: everyone who can reach this address sees the library's cases.")

    def opened(address: str) -> None:
        payload = {"library": str(library), "url": address}
        emit(payload, as_json, lambda: note(f"Reading room: {address} (press Ctrl-C to stop)"))
        sys.stdout.flush()
        if browser:
            show_in_browser(address)

    with suppress(KeyboardInterrupt):  # the usual way to stop
        start(library, host, port, opened, door)
    note("Reading room closed.")
