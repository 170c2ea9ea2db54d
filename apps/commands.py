"""The command ``medembed app``."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, verb

__all__ = ["app", "open_reading_room"]

_LOCAL = ("127.0.0.1", "::1", "localhost")


@verb
def app(
    library: LibraryPath,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. The page has no login: on any address other than "
            "127.0.0.1, everyone who can reach it sees the library's cases."
        ),
    ] = "127.0.0.1",
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
        library, port=port, host=host, browser=not (no_browser or as_json), as_json=as_json
    )


def open_reading_room(
    library: Path,
    *,
    port: int = 8501,
    host: str = "127.0.0.1",
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
    browser : bool
        Whether to open the page in the user's browser.
    as_json : bool
        Whether to print the address as a JSON object on stdout, not as a line on stderr.

    Raises
    ------
    LibraryError
        If the folder is not a library.
    InputError
        If the port is in use, or Streamlit is not installed.
    """
    from apps.case_lookup.server import show_in_browser, start
    from medembed.library import CaseLibrary

    CaseLibrary.open(library)  # fail before anything starts
    if host not in _LOCAL:
        note("The page has no login: everyone who can reach this address sees the library's cases.")

    def opened(address: str) -> None:
        payload = {"library": str(library), "url": address}
        emit(payload, as_json, lambda: note(f"Reading room: {address} (press Ctrl-C to stop)"))
        sys.stdout.flush()
        if browser:
            show_in_browser(address)

    with suppress(KeyboardInterrupt):  # the usual way to stop
        start(library, host, port, opened)
    note("Reading room closed.")
