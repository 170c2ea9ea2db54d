"""Each export read back: CSV by csv, PDF by Ghostscript, DICOM by pydicom and dciodvfy."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from apps.review.exports import Exported, ExportKind, export, packed
from apps.review.table import safe_cell
from medembed.reviews import ReviewStore
from tests.apps.review.conftest import Reviewed

PLANTED = (b"Planted", b"PLANTED-ID", b"8.498.77", b"20200101")


def made(reviewed: Reviewed, kind: ExportKind, **options: bool) -> Exported:
    document = reviewed.document(**options)
    return export(reviewed.library, document, kind, reviewed.picture, reviewed.reader)  # type: ignore[arg-type]


def rows(reviewed: Reviewed, **options: bool) -> list[dict[str, str]]:
    content = made(reviewed, ExportKind.CSV, **options).files["review.csv"]
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def objects(reviewed: Reviewed, kind: ExportKind) -> dict[str, Dataset]:
    files = made(reviewed, kind).files
    return {name: pydicom.dcmread(io.BytesIO(content)) for name, content in files.items()}


# what nobody may see yet


@pytest.mark.parametrize("kind", list(ExportKind))
def test_a_blind_impression_is_in_no_export(reviewed: Reviewed, kind: ExportKind) -> None:
    for content in made(reviewed, kind, with_reports=True).files.values():
        assert b"still blind words" not in content


@pytest.mark.parametrize("kind", list(ExportKind))
def test_no_identifier_of_a_file_is_in_an_export(reviewed: Reviewed, kind: ExportKind) -> None:
    one = made(reviewed, kind)
    for name, content in one.files.items():
        for planted in PLANTED:
            assert planted not in content, name
            assert planted.decode() not in name


# CSV


def test_the_table_has_a_row_for_each_case_and_reader(reviewed: Reviewed) -> None:
    found = rows(reviewed)
    assert [(r["position"], r["reader"], r["state"]) for r in found] == [
        ("1", "Anna", "finished"),
        ("1", "Ben Ärzte", "revealed"),
        ("2", "Anna", "finished"),
        ("3", "Anna", "finished"),
    ]
    first = found[0]
    assert first["first_impression"] == "Right effusion.\nHeart normal."
    assert first["first_findings"] == "effusion:right; support device"
    assert first["final_findings"] == "effusion:left"
    assert (first["revised"], first["teaching"], first["shortlisted"]) == ("yes", "yes", "no")
    assert (first["seconds_to_impression"], first["seconds_to_end"]) == ("45.0", "75.0")
    assert first["query"].startswith("query by text; read as effusion:right")
    assert "report" not in first
    assert "number 0" in rows(reviewed, with_reports=True)[0]["report"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert safe_cell(f"{start}1+1") == f"'{start}1+1"
    assert safe_cell(f"1{start}") == f"1{start}"


# PDF


@contextmanager
def drawn() -> Iterator[list[list[str]]]:
    """Record the lines that are drawn, by page."""
    from reportlab.pdfgen.canvas import Canvas

    pages: list[list[str]] = [[]]
    draw, end = Canvas.drawString, Canvas.showPage

    def record(self: Any, x: float, y: float, text: str, *rest: Any) -> None:
        pages[-1].append(text)
        draw(self, x, y, text, *rest)

    def turn(self: Any) -> None:
        pages.append([])
        end(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Canvas, "drawString", record)
        patch.setattr(Canvas, "showPage", turn)
        yield pages


def test_another_program_reads_the_words_of_the_pdf(reviewed: Reviewed, tmp_path: Path) -> None:
    tool = shutil.which("gs")
    if tool is None:
        pytest.skip("Ghostscript is absent")
    file = tmp_path / "review.pdf"
    file.write_bytes(made(reviewed, ExportKind.PDF).files["review.pdf"])
    command = [tool, "-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=txtwrite", "-o-", str(file)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Tumor board" in text
    assert "Findings: effusion (right), support device" in text


def test_the_pdf_has_a_page_of_measures_and_one_for_each_case(reviewed: Reviewed) -> None:
    content = made(reviewed, ExportKind.PDF).files["review.pdf"]
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 4
    assert len(re.findall(rb"/Subtype /Image", content)) == 3
    assert content == made(reviewed, ExportKind.PDF).files["review.pdf"], "the same again"


def test_the_pdf_says_what_was_written_and_how_long_it_took(reviewed: Reviewed) -> None:
    with drawn() as found:
        made(reviewed, ExportKind.PDF)
    pages = ["\n".join(page) for page in found]
    assert "Tumor board" in pages[0]
    assert "Revised after the reveal: 1 of 3, 33%" in pages[0]
    assert "Anna and Ben Ärzte" in pages[0]
    assert "First impression, after 0:45 min" in pages[1]
    assert "Findings: effusion (right), support device" in pages[1]
    assert "Final impression, revised, 1:15 min" in pages[1]
    assert "Marked: teaching file" in pages[1]
    assert "number 0" not in pages[1]
    with drawn() as found:
        made(reviewed, ExportKind.PDF, with_reports=True)
    assert "number 0" in "\n".join(found[1])


def test_a_case_whose_image_is_gone_is_in_the_pdf_without_it(reviewed: Reviewed) -> None:
    for files in (reviewed.library.scan_files(c) for c in reviewed.library.cases()):
        for file in files[0]:
            file.unlink()
    content = made(reviewed, ExportKind.PDF).files["review.pdf"]
    assert b"/Subtype /Image" not in content
    assert made(reviewed, ExportKind.KO).files == {}


# DICOM


def complaints(content: bytes, tmp_path: Path) -> list[str]:
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy is absent: it comes with Debian's dicom3tools")
    file = tmp_path / "object.dcm"
    file.write_bytes(content)
    done = subprocess.run([tool, "-new", str(file)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("kind", [ExportKind.SR, ExportKind.KO])
def test_dciodvfy_finds_no_error(reviewed: Reviewed, kind: ExportKind, tmp_path: Path) -> None:
    files = made(reviewed, kind).files
    assert files
    for name, content in files.items():
        assert complaints(content, tmp_path) == [], name


def items(dataset: Dataset) -> list[Dataset]:
    found = []
    for item in dataset.get("ContentSequence", []):
        found += [item, *items(item)]
    return found


def named(dataset: Dataset, meaning: str) -> list[Dataset]:
    return [
        item for item in items(dataset)
        if item.get("ConceptNameCodeSequence")
        and item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]  # fmt: skip


def test_a_structured_report_says_what_was_written_before_and_after(reviewed: Reviewed) -> None:
    reports = objects(reviewed, ExportKind.SR)
    assert len(reports) == 4, "not the one that is blind"
    report = next(r for name, r in reports.items() if name.startswith("sr-001-anna"))
    assert report.SOPClassUID == pydicom.uid.ComprehensiveSRStorage
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PatientIdentityRemoved == "YES"
    assert report.StudyDate == ""
    (first,) = named(report, "First impression, before the reveal")
    (final,) = named(report, "Final impression, after the reveal")
    texts = [named(part, "Impression")[0].TextValue for part in (first, final)]
    assert texts == ["Right effusion.\r\nHeart normal.", "Left effusion."]
    code, device = named(first, "Finding")
    assert code.ConceptCodeSequence[0].CodeValue == "60046008"
    assert named(code, "Laterality")[0].ConceptCodeSequence[0].CodeMeaning == "Right"
    assert device.TextValue == "support device", "no code is known"
    measured = named(first, "Time the case was open until then")[0].MeasuredValueSequence[0]
    assert float(measured.NumericValue) == 45
    assert named(report, "Person Observer Name")[0].PersonName == "Anna^"
    begun = next(r for name, r in reports.items() if "ben" in name)
    assert begun.CompletionFlag == "PARTIAL"
    assert named(begun, "Final impression, after the reveal") == []
    assert named(begun, "Person Observer Name")[0].PersonName == "Ben Ärzte^"


def test_references_are_pseudonyms_that_are_the_same_everywhere(reviewed: Reviewed) -> None:
    reports = objects(reviewed, ExportKind.SR)
    selections = objects(reviewed, ExportKind.KO)
    assert set(selections) == {"ko-001-teaching.dcm", "ko-002-shortlisted.dcm"}
    ct = selections["ko-002-shortlisted.dcm"]
    assert ct.ConceptNameCodeSequence[0].CodeMeaning == "For Conference"
    assert (
        selections["ko-001-teaching.dcm"].ConceptNameCodeSequence[0].CodeMeaning == "For Teaching"
    )
    report = next(r for name, r in reports.items() if name.startswith("sr-002"))
    for one in (ct, report):
        (study,) = one.CurrentRequestedProcedureEvidenceSequence
        assert study.StudyInstanceUID == one.StudyInstanceUID
        (series,) = study.ReferencedSeriesSequence
        assert len(series.ReferencedSOPSequence) == 5, "slices of the CT"
        uids = [ref.ReferencedSOPInstanceUID for ref in series.ReferencedSOPSequence]
        assert all(uid.startswith("2.25.") for uid in uids)
    assert ct.StudyInstanceUID == report.StudyInstanceUID
    assert ct.SOPInstanceUID != report.SOPInstanceUID


def test_a_case_without_a_dicom_image_has_a_report_without_references(
    reviewed: Reviewed, tmp_path: Path
) -> None:
    reports = made(reviewed, ExportKind.SR).files
    name = next(name for name in reports if name.startswith("sr-003"))
    report = pydicom.dcmread(io.BytesIO(reports[name]))
    assert "CurrentRequestedProcedureEvidenceSequence" not in report
    assert named(report, "Source") == []
    assert complaints(reports[name], tmp_path) == []
    left_out = made(reviewed, ExportKind.KO).left_out
    assert left_out == (reviewed.document().session.case_ids[2],)


def test_equal_content_has_an_equal_uid_and_other_content_another(reviewed: Reviewed) -> None:
    before = {name: one.SOPInstanceUID for name, one in objects(reviewed, ExportKind.SR).items()}
    assert before == {
        name: one.SOPInstanceUID for name, one in objects(reviewed, ExportKind.SR).items()
    }
    store = ReviewStore(reviewed.library)
    case_id = store.session(reviewed.link).case_ids[0]
    store.finish(reviewed.link, case_id, "Ben Ärzte")
    after = {name: one.SOPInstanceUID for name, one in objects(reviewed, ExportKind.SR).items()}
    assert [name for name in before if before[name] != after[name]] == [
        name for name in before if "ben" in name
    ]


# teaching file


def test_the_teaching_file_is_one_page_with_the_marked_case(reviewed: Reviewed) -> None:
    page = made(reviewed, ExportKind.TEACHING).files["teaching-file.html"].decode("utf-8")
    assert page.count("<section>") == 1
    assert page.count("data:image/png;base64,") == 1
    assert "<details><summary>Answer</summary>" in page
    assert "Reader 1" in page
    case_id = reviewed.document().session.case_ids[0]
    assert case_id not in page
    assert "Anna" not in page
    assert "P-0000" not in page
    assert "number 0" not in page
    with_report = made(reviewed, ExportKind.TEACHING, with_reports=True)
    assert "number 0" in with_report.files["teaching-file.html"].decode("utf-8")


def test_several_files_become_one_archive(reviewed: Reviewed) -> None:
    name, content = packed(made(reviewed, ExportKind.SR))
    assert name == "review-sr.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 4
    assert packed(made(reviewed, ExportKind.CSV))[0] == "review.csv"
