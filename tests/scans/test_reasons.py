"""The table of refusals in the docs is that of the code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

from medembed.errors import ScanError

ROOT = Path(__file__).parents[2]


def test_every_reason_in_the_code_stands_in_the_docs_and_no_other() -> None:
    code = "".join(p.read_text() for p in (ROOT / "medembed/scans").glob("*.py"))
    used = set(re.findall(r'reason="([a-z-]+)"', code)) | {
        match
        for pair in re.findall(r'reason="([a-z-]+)" if \w+ else "([a-z-]+)"', code)
        for match in pair
    }
    table = (ROOT / "docs/reference/scans.md").read_text().partition("## What is refused")[2]
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))
    assert documented == used | {"invalid"}


def test_a_reason_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ScanError("w", where="a", hint="h", reason="truncated")))
    assert (error.reason, str(error)) == ("truncated", "a: w; h")
