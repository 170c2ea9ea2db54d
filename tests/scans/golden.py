"""Every sample image, once through our reader and once through another decoder."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from scans.reference import Opinion, difference, opinion, path_of, samples
from support.decoding_table import Row

from medembed.scans import read_scan

_WITHOUT_PIXELS = ("no-pixels", "not-a-scan")


def expected_refusals() -> dict[str, str]:
    """File and reason, as tests/scans/refused.csv lists them."""
    with (Path(__file__).parent / "refused.csv").open(newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def accepted() -> list[str]:
    refused = expected_refusals()
    return [name for name in samples() if name not in refused]


def refused_with_pixels() -> list[tuple[str, str]]:
    refusals = sorted(expected_refusals().items())
    return [(name, reason) for name, reason in refusals if reason not in _WITHOUT_PIXELS]


@cache
def compare(name: str) -> tuple[Row, float]:
    """How a file fared, and how far apart it may be."""
    other: Opinion = opinion(name)
    apart = difference(read_scan(path_of(name)).pixels, other)
    return Row(
        name, other.encoding, other.oracle, len(other.frames), apart
    ), 2 if other.lossy else 1


def compared() -> Iterator[Row]:
    for name in accepted():
        yield compare(name)[0]
