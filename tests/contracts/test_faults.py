"""Every kind of fault on docs/results/faults.md has a test of its name, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results" / "faults.md"
SHARED = ROOT.parent / "shared" / "faults"
KIND = re.compile(r"\b[nirt]\d\d-[a-z0-9-]+")


def kinds_on_page() -> set[str]:
    return set(KIND.findall(PAGE.read_text("utf-8")))


def kinds_tested() -> set[str]:
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {
        name.replace("_", "-") for name in re.findall(r"def test_([nirt]\d\d_[a-z0-9_]+)", text)
    }


def has_test(kind: str) -> bool:
    return any(name == kind or name.startswith(f"{kind}-") for name in kinds_tested())


def test_every_kind_on_the_page_has_a_test_of_its_name() -> None:
    kinds = kinds_on_page()
    assert len(kinds) >= 31  # n01 to n16, i01 to i07, r01 to r04, t01 to t04
    assert [kind for kind in sorted(kinds) if not has_test(kind)] == []


def test_every_kind_that_was_found_stands_on_the_page() -> None:
    if not SHARED.is_dir():
        pytest.skip("the folder of fault examples is not beside this checkout")
    found = {path.name for path in SHARED.iterdir() if KIND.fullmatch(path.name)}
    assert found
    assert sorted(found - kinds_on_page()) == []
