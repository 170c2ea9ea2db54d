"""The collected faults of tables and folders, where they are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medembed.library import CaseLibrary, IngestReport, ingest
from medembed.scans import ScanReader
from medembed.sources import open_source

FAULTS = Path(__file__).parents[3] / "shared" / "faults"

pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason="the collected faults are not here")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "lib") as made:
        yield made


def take(library: CaseLibrary, reader: ScanReader, name: str) -> IngestReport:
    return ingest(library, open_source(FAULTS / name), reader=reader)


def texts(library: CaseLibrary) -> dict[str, str]:
    return {case.case_id: case.note.text for case in library.cases() if case.note}


def test_t01_unbalanced_quote(library: CaseLibrary, reader: ScanReader) -> None:
    report = take(library, reader, "t01-unbalanced-quote/cases.csv")
    assert (report.added, report.refused_by_code) == (1, {"bad-row": 3})
    assert texts(library) == {"c4": "No effusion."}


def test_t02_cp1252(library: CaseLibrary, reader: ScanReader) -> None:
    take(library, reader, "t02-cp1252/cases.csv")
    assert texts(library) == {"c1": "Patient\u2019s effusion \u2013 unchanged"}


def test_t03_one_bad_byte(library: CaseLibrary, reader: ScanReader) -> None:
    report = take(library, reader, "t03-one-bad-byte/cases.csv")
    assert texts(library) == {"c1": "Überblähung"}
    assert [refusal.where for refusal in report.refusals] == ["cases.csv row 3"]


@pytest.mark.parametrize("name", ["utf16", "sep", "header"])
def test_t04_utf16_and_sep(library: CaseLibrary, reader: ScanReader, name: str) -> None:
    report = take(library, reader, f"t04-utf16-and-sep/{name}.csv")
    assert set(report.refused_by_code) <= {"not-found"}  # only its image is not there


def test_i01_one_id_two_people(library: CaseLibrary, reader: ScanReader) -> None:
    report = take(library, reader, "i01-one-id-two-people/input")
    assert report.added == len(set(library.patients().values())) == 2
    assert report.remarks


def test_i02_masks_doses_and_screens(library: CaseLibrary, reader: ScanReader) -> None:
    report = take(library, reader, "i02-masks-doses-and-screens/input")
    (case,) = library.cases("modality=CR")
    assert [(scan.modality, scan.kind) for scan in case.scans] == [("CR", "image")]
    assert set(report.remarks) == {
        "1 segmentation skipped",
        "1 secondary capture skipped",
    }
