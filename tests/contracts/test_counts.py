"""Counts in messages agree with their nouns: they go through ``medembed.counted``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medembed.counted import counted, counted_line

ROOT = Path(__file__).parents[2]
COUNT = re.compile(
    r"\{(?:len\([^{}]*\)|(?:[\w.]+\.)?n_\w+|count|report\.\w+|payload\['\w+'\])\} "
    r"(?:[a-z]+ ){0,2}[a-z]{2,}s\b"
)
NEVER_ONE = {
    "{len(known)} models": "with one model there is no choice",
    "{n_files} files": "several series have several files",
    "{count} phases": "one phase is no split",
    "{len(train)} notes": "a training needs more",
    "{len(at)} different notes": "a hundred or more",
    "{n_patients} patients": "one patient has a sentence of its own",
    "{len(found)} series": "several series, one plural",
    "{len(found)} review sessions": "one session needs no choice",
    "{len(unit)} vectors": "a fault of the calling program, not a message to a user",
    "{len(text)} characters": "longer than the limit",
    "{len(ids)} case ids": "a fault of the calling program, not a message to a user",
    "{len(row_of)} cases": "a fault of the calling program, not a message to a user",
    "{len(case_ids)} cases": "a fault of the calling program, not a message to a user",
}


@pytest.mark.parametrize("root", ["medembed", "apps"])
def test_no_count_is_written_before_a_fixed_plural(root: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {match.group()}"
        for file in sorted((ROOT / root).rglob("*.py"))
        for match in COUNT.finditer(file.read_text(encoding="utf-8"))
        if not any(match.group().startswith(known) for known in NEVER_ONE)
    ]
    assert found == []


@pytest.mark.parametrize("root", ["medembed", "apps"])
def test_no_remark_begins_with_a_fixed_plural(root: str) -> None:
    """Remarks are counted under their text, which the count precedes later."""
    fixed = re.compile(r"notic(?:ed|e)\[\s*f?\"(?!\[)(?!duplicate \[)")
    files = sorted((ROOT / root).rglob("*.py"))
    assert [str(f) for f in files if fixed.search(f.read_text(encoding="utf-8"))] == []


def test_one_is_singular_and_all_others_are_plural() -> None:
    assert [counted(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert counted(1, "study", "studies") == "1 study"
    text = "[note matches|notes match] no study"
    assert [counted_line(n, text) for n in (1, 3)] == [
        "1 note matches no study",
        "3 notes match no study",
    ]
