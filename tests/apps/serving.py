"""Start a real reading room, as ``medembed app`` does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CONTRAST = """() => {
  const rgba = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const lum = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.5) return c;
    }
    return [13, 16, 18];
  };
  const low = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.checkVisibility({checkOpacity: true})) continue;
    if (['STYLE', 'SCRIPT', 'NOSCRIPT'].includes(e.tagName)) continue;
    const ink = rgba(getComputedStyle(e).color);
    // a slider's value stands above its thumb, whose child it is
    const thumb = e.closest('[data-testid="stSliderThumbValue"]');
    const under = thumb ? thumb.parentElement.parentElement : e;
    const box = e.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const [a, b] = [lum(ink), lum(ground(under))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${texts.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START = "from medembed.cli import run; run()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    library: Path, start: str = START, options: Sequence[str] = (), port: int | None = None
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Give port and process of a running reading room; it must not log anything.

    Parameters
    ----------
    library : Path
    start : str
        Code of the process; it may change something before it calls ``main()``.
    options : sequence of str
        Further options of the command.
    port : int, optional
    """
    port = free_port() if port is None else port
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            start,
            "app",
            str(library),
            f"--port={port}",
            "--no-browser",
            *options,
        ],
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
        output = process.communicate(timeout=30)[0].splitlines()
    assert output == ["Reading room closed."], "\n".join(output)
    assert process.returncode == 0
