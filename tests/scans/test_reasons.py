"""The codes of refused files: declared once, documented, and kept across processes."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import get_args

from medembed.errors import ScanError, ScanReason

ROOT = Path(__file__).parents[2]


def test_the_docs_describe_exactly_the_declared_reasons() -> None:
    # mypy checks that the code raises no reason outside ScanReason
    table = (ROOT / "docs/reference/scans.md").read_text().partition("## What is refused")[2]
    documented = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert sorted(documented) == sorted(get_args(ScanReason))


def test_a_reason_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ScanError("w", where="a", hint="h", reason="truncated")))
    assert (error.reason, str(error)) == ("truncated", "a: w; h")
