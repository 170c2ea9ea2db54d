"""Every image of pydicom and pydicom-data, against another decoder."""

from __future__ import annotations

import pytest
from scans import golden
from scans.reference import missing_tools, path_of, samples
from support.decoding_table import TABLE, render

from medembed.errors import ScanError
from medembed.scans import read_header, read_scan

needs_dcmtk = pytest.mark.skipif(
    bool(missing_tools()), reason=f"DCMTK is not installed: no {', '.join(missing_tools())}"
)


def test_exactly_the_listed_files_are_refused_and_for_the_listed_reason() -> None:
    expected = golden.expected_refusals()
    found = {}
    for name in samples():
        try:
            header = read_header(path_of(name))
            if name in expected:
                read_scan(path_of(name))
        except ScanError as error:
            found[name] = error.reason
        else:
            assert header.has_pixels, name
    assert found == expected


@needs_dcmtk
@pytest.mark.parametrize("name", golden.accepted())
def test_pixels_are_those_of_another_decoder(name: str) -> None:
    row, allowed = golden.compare(name)
    assert row.difference <= allowed


@needs_dcmtk
def test_the_table_of_comparisons_is_up_to_date() -> None:
    fresh = render(golden.compared(), golden.refused_with_pixels())
    kept = TABLE.read_text(encoding="utf-8")
    # the last column may move by a tenth where a C library is of another version
    assert _without_differences(kept) == _without_differences(fresh), (
        "run: python tests/support/decoding_table.py"
    )


def _without_differences(table: str) -> list[str]:
    return [line.rsplit("|", 2)[0] for line in table.splitlines()]
