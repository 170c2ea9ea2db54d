"""Write constraints.txt and constraints-dev.txt: every package with the digests of its files.

Needs the tool uv; run it by ``make lock``, with ``ARGS=--upgrade`` to move the pins. Otherwise
versions stay as they are in these files. torch and what its builds bring (CUDA, Triton)
are left out: docs/decisions/0021-weights-are-data.md says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXTRAS = {
    "constraints.txt": ("app", "audit", "access", "service"),
    "constraints-dev.txt": (
        *("app", "audit", "access", "service", "lora", "milvus", "ray"),
        "dev",
    ),
}
OF_TORCH = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
HEAD = "# Made by `make lock`; docs/guides/dependencies.md says how it is installed.\n"


def compiled(lock: Path, *words: str) -> str:
    """What ``uv pip compile`` gives for all platforms and Python versions from 3.11 on.

    Versions that ``lock`` names already are preferred.
    """
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    style = ["--generate-hashes", "--no-header", "--no-annotate"]
    output = ["--output-file", str(lock)]
    subprocess.run([*command, *style, *words, *output, *sys.argv[1:]], check=True, cwd=HERE)
    return lock.read_text("utf-8")


def entries(text: str) -> list[str]:
    """Requirements with their digests: an entry starts at the beginning of a line."""
    return [entry for entry in re.split(r"^(?=\S)", text, flags=re.M) if entry[:1].isalnum()]


def main() -> None:
    """Write ``constraints.txt``, and beside it what development needs on top."""
    own = ["../pyproject.toml", "build.in", "--constraints", "torch.in"]
    same: list[str] = []
    written: set[str] = set()
    for name, extras in EXTRAS.items():
        lock = HERE.parent / name
        chosen = [word for extra in extras for word in ("--extra", extra)]
        found = entries(compiled(lock, *own, *chosen, *same))
        if not same:
            weights = HERE / "starter.lock"
            found += entries(compiled(weights, "starter.in", "--no-deps"))
            weights.unlink()
        kept = [entry for entry in found if not OF_TORCH.match(entry) and entry not in written]
        lock.write_text(HEAD + "".join(kept), encoding="utf-8")
        written.update(kept)
        same = ["--constraints", str(lock)]


if __name__ == "__main__":
    main()
