"""The command ``medembed serve``."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, verb
from medembed.counted import counted

__all__ = ["serve"]


@verb
def serve(
    library: LibraryPath,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8600,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; any other than 127.0.0.1 needs --access or --no-login."
        ),
    ] = "127.0.0.1",
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that answer requests.")
    ] = 1,
    access: Annotated[
        Path | None,
        typer.Option(
            "--access",
            metavar="FILE",
            help="Access file: whose tokens may see what (default: access.yaml in the library).",
        ),
    ] = None,
    no_login: Annotated[
        bool,
        typer.Option(
            "--no-login",
            help="Show every case to everybody who can reach the address, without tokens.",
        ),
    ] = False,
    audit: Annotated[
        Path | None,
        typer.Option(
            "--audit",
            metavar="DIR",
            help="Folder of the audit to serve. Default: the folder audit in the library.",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            min=0, help="Requests and batch lines a second for each client; 0 for no limit."
        ),
    ] = 100.0,
    searches: Annotated[
        int, typer.Option(min=1, max=64, help="Searches at a time, in each worker.")
    ] = 4,
    queue: Annotated[
        int, typer.Option(min=0, max=10_000, help="Searches that may wait, in each worker.")
    ] = 32,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="Longest time of one search or picture.")
    ] = 60.0,
    max_k: Annotated[
        int, typer.Option("--max-k", min=1, max=10_000, help="Most hits of one search.")
    ] = 200,
    batch_lines: Annotated[
        int,
        typer.Option("--batch-lines", min=1, help="Most queries of one batch."),
    ] = 10_000,
    upload_mib: Annotated[
        int, typer.Option("--upload-mib", min=1, max=65_536, help="Largest upload in MiB.")
    ] = 512,
    accept_vectors: Annotated[
        bool,
        typer.Option(
            "--accept-vectors",
            help="Also take vectors as queries. From the scores of chosen vectors, those of the "
            "cases can be worked out.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve searches, cases and pixels of a library over HTTP, for other programs.

    Only this machine can reach the default address, and whoever uses it may see every case. The
    page /docs lists all addresses; nothing of it comes from elsewhere. Press Ctrl-C to stop:
    requests that are being answered are finished. With --json, the address is printed once the
    service answers.

    Example: medembed serve my-library --workers 4
    """
    from apps.service.guard import is_open_to_all
    from apps.service.server import start
    from apps.service.settings import ServiceSettings

    settings = ServiceSettings(
        library,
        host=host,
        port=port,
        workers=workers,
        audit=None if audit is None else audit.resolve(),
        access=None if access is None else access.resolve(),
        no_login=no_login,
        accept_vectors=accept_vectors,
        rate=rate,
        searches=searches,
        queue=queue,
        seconds=seconds,
        max_k=max_k,
        max_lines=batch_lines,
        max_upload_bytes=upload_mib * 2**20,
    )

    if is_open_to_all(settings):
        note("There is no login: everyone who can reach this address sees the library's cases.")

    def opened(address: str) -> None:
        payload = {"library": str(library), "url": address, "workers": workers}
        shown = f"Service: {address}, {counted(workers, 'worker')} (press Ctrl-C to stop)"
        emit(payload, as_json, lambda: note(shown))
        sys.stdout.flush()

    with suppress(KeyboardInterrupt):  # the usual way to stop
        start(settings, opened)
    note("Service stopped.")
