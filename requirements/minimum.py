"""Print the oldest versions that pyproject.toml declares, one requirement a line."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

EXTRAS = ("app", "audit")


def minima(project: dict[str, Any]) -> list[str]:
    """``name==minimum`` for each ``name>=minimum`` of the core and the extras.

    Raises
    ------
    ValueError
        If a requirement declares no minimum.
    """
    optional = project["optional-dependencies"]
    every = [*project["dependencies"], *(r for extra in EXTRAS for r in optional[extra])]
    found = []
    for requirement in every:
        match = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if match is None:
            raise ValueError(f"{requirement!r} is not written name>=minimum")
        found.append(f"{match[1]}=={match[2]}")
    return found


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    sys.stdout.write("\n".join(minima(tomllib.loads(text)["project"])) + "\n")
