"""Fixtures of the lookup tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lookup.known_library import fill

from medembed.library import CaseLibrary


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "library") as opened:
        fill(opened)
        yield opened
