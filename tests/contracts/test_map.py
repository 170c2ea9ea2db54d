"""The map of the tree in CONTRIBUTING.md names every package, and only what exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOTS = ("medembed", "evaluation", "apps")


def rows() -> list[str]:
    """Lines of the map's table, its head left out."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Map of the tree")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def mapped() -> set[str]:
    return {name for row in rows() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def packages() -> set[str]:
    found = {
        init.parent.relative_to(ROOT).as_posix()
        for root in ROOTS
        for init in (ROOT / root).rglob("__init__.py")
    }
    return found - {"medembed", "evaluation"}  # their packages are named instead


def test_every_place_on_the_map_exists() -> None:
    assert [name for name in sorted(mapped()) if not (ROOT / name).exists()] == []


def test_every_package_is_on_the_map() -> None:
    assert packages() >= {"medembed/scans", "evaluation/stats", "apps/case_lookup"}
    assert sorted(packages() - mapped()) == []


def test_every_module_beside_the_packages_of_medembed_is_on_the_map() -> None:
    modules = {f"medembed/{file.name}" for file in (ROOT / "medembed").glob("*.py")}
    assert sorted(modules - {"medembed/__init__.py"} - mapped()) == []


def test_the_map_fits_on_a_page() -> None:
    assert 20 < len(rows()) <= 50
