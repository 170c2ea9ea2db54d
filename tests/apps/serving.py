"""A reading room that really runs, as the verb ``app`` starts it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START = "from medembed.cli import main; main()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(library: Path, start: str = START) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Port and process of a running reading room; at its end it has to have been quiet.

    Parameters
    ----------
    library : Path
    start : str
        Code of the process; it may change something before it calls ``main()``.
    """
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", start, "app", str(library), f"--port={port}", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    try:
        assert f":{port}" in first, first
        yield port, process
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0].splitlines()
    assert said == ["The reading room is closed."], "\n".join(said)
    assert process.returncode == 0
