"""The verbs of ``apps``."""

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
            help="Address to listen on. The page has no login: with any other address than "
            "127.0.0.1 everyone who reaches it sees the library's cases."
        ),
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open a browser, only serve.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Open the reading room: look up similar past cases in the browser.

    Nothing leaves this machine, and no patient's name or file name is kept. Ctrl-C ends it. With
    --json the address is printed once it answers, and no browser is opened.

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
        Whether to print the address as one JSON object on stdout instead of a line on stderr.

    Raises
    ------
    LibraryError
        Where the folder is no library.
    InputError
        Where the port is taken, or Streamlit is not installed.
    """
    from apps.case_lookup.server import show_in_browser, start
    from medembed.library import CaseLibrary

    CaseLibrary.open(library)  # a folder that is no library is refused before anything starts
    if host not in _LOCAL:
        note("The page has no login: everyone who reaches this address sees the library's cases.")

    def opened(address: str) -> None:
        found = {"library": str(library), "url": address}
        emit(found, as_json, lambda: note(f"Reading room: {address} (Ctrl-C ends it)"))
        sys.stdout.flush()
        if browser:
            show_in_browser(address)

    with suppress(KeyboardInterrupt):  # the way to end it; a background job does not get it raised
        start(library, host, port, opened)
    note("The reading room is closed.")
