from __future__ import annotations

from collections.abc import Iterator

import pytest

from medembed.scans import ScanReader


@pytest.fixture(scope="session")
def reader() -> Iterator[ScanReader]:
    with ScanReader(workers=2) as reader:
        yield reader
