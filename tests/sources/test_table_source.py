from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.example_files import write_csv, write_dicom, write_png, write_slices

from medembed.cases import Case, Finding
from medembed.errors import SourceError
from medembed.library.filters import FIELDS
from medembed.privacy import Pseudonymizer
from medembed.scans import ScanReader
from medembed.sources import Refusal, SourceContext, TableSource, open_source
from medembed.sources.cell_parsers import RESERVED, age_of, split_of
from medembed.sources.refusal import CellError
from medembed.sources.table import COLUMNS

NAMES = Pseudonymizer(bytes(32))


def rows_of(*changes: dict[str, str]) -> list[dict[str, str]]:
    base = {"case_id": "c{}", "patient_id": "MRN{}", "image_path": "images/{}.png"}
    return [
        {name: value.format(i) for name, value in base.items()} | change
        for i, change in enumerate(changes)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(4):
        write_png(tmp_path / "images" / f"{i}.png", i)
    return tmp_path


def take(
    source: Any, reader: ScanReader, said: list[str] | None = None, **options: Any
) -> list[Case | Refusal]:
    say = said.append if said is not None else lambda line: None
    return list(source.read(SourceContext(reader, NAMES, warn=say, **options)))


def test_a_row_becomes_a_case(folder: Path, reader: ScanReader) -> None:
    row = {
        "study_id": "S1", "study_date": "2020-02-29", "modality": "cr", "view": "L",
        "sex": "female", "age": "071Y", "race": "w", "site": "north", "scanner": "X 1",
        "split": "validation",
        "findings": "Pleural Effusion:Right;Oedema;No Finding", "note": "Left effusion.",
        "group_id": "g7", "follow_up": "3",
    }  # fmt: skip
    table = write_csv(folder / "cases.csv", rows_of(row))
    (case,) = take(TableSource(table, ["follow_up"]), reader)
    assert isinstance(case, Case)
    assert case.case_id == "c0"
    assert case.patient_id == NAMES.patient("MRN0")
    assert case.group_id == NAMES.group("g7")
    assert case.study_date == date(2020, 2, 29)
    assert (case.modality, case.view, case.sex, case.age_years) == ("CR", "LATERAL", "F", 71.0)
    assert (case.race, case.site, case.scanner, case.split) == ("w", "north", "X 1", "val")
    assert case.findings == (Finding("edema"), Finding("effusion", "right"))
    assert case.note is not None
    assert case.note.text == "Left effusion."
    assert case.attributes == {"follow_up": "3", "study_id": NAMES.study("S1")}
    assert case.scans[0].files == (str(folder / "images" / "0.png"),)
    assert "MRN0" not in repr(case)


def test_an_age_may_have_a_decimal_comma(folder: Path, reader: ScanReader) -> None:
    table = write_csv(folder / "cases.csv", rows_of({"age": "63,5"}, {"age": "63.5"}))
    ages = [case.age_years for case in take(TableSource(table), reader) if isinstance(case, Case)]
    assert ages == [63.5, 63.5]


def test_without_a_findings_cell_the_note_tells_them(folder: Path, reader: ScanReader) -> None:
    note = "Left effusion, no pneumothorax. Possible mass."
    rows = rows_of({"note": note, "findings": ""}, {"findings": ""})
    table = write_csv(folder / "cases.csv", rows)
    told, untold = take(TableSource(table), reader)
    assert isinstance(told, Case)
    assert isinstance(untold, Case)
    assert told.findings == (Finding("effusion", "left"),)
    assert (untold.findings, untold.note, untold.age_years) == ((), None, None)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"age": "old"}, "bad-age"),
        ({"age": "131"}, "bad-age"),
        ({"age": "-1"}, "bad-age"),
        ({"study_date": "31.01.2020"}, "bad-date"),
        ({"study_date": "31-Jan-2020"}, "bad-date"),
        ({"study_date": "43861"}, "bad-date"),
        ({"study_date": "43861.5"}, "bad-date"),
        ({"study_date": "202001"}, "bad-date"),
        ({"study_date": "0001-01-01"}, "bad-date"),
        ({"study_date": "438311"}, "bad-date"),
        ({"study_date": "2020-02-30"}, "bad-date"),
        ({"findings": "effusion:up"}, "bad-finding"),
        ({"split": "holdout"}, "bad-split"),
        ({"case_id": " "}, "missing-value"),
        ({"patient_id": ""}, "missing-value"),
        ({"image_path": ";"}, "missing-value"),
        ({"case_id": "c0"}, "duplicate-case"),
        ({"image_path": "images/none.png"}, "not-found"),
        ({"image_path": "../outside.png"}, "path-outside"),
        ({"image_path": "images/text.png"}, "not-a-scan"),
        ({"image_path": "images/cut.png"}, "truncated corrupt"),
        ({"image_path": "images/0.png;images/cut.png"}, "truncated corrupt"),
        ({"image_path": "empty"}, "empty"),
        ({"case_id": "a\x07b"}, "bad-row"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_the_others_go_on(
    folder: Path, reader: ScanReader, change: dict[str, str], code: str
) -> None:
    (folder / "images" / "text.png").write_text("no image")
    whole = write_png(folder / "images" / "cut.png", 9, 64).read_bytes()
    (folder / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty").mkdir()
    table = write_csv(folder / "cases.csv", rows_of({}, change, {}))
    outcomes = take(TableSource(table), reader)
    assert [type(outcome) for outcome in outcomes] == [Case, Refusal, Case]
    refusal = outcomes[1]
    assert isinstance(refusal, Refusal)
    assert refusal.where == "cases.csv row 3"
    assert refusal.code in code.split()
    values = [value.strip(" ;") for value in change.values() if len(value) > 3]
    assert not any(value in refusal.reason for value in values)


def test_images_may_be_several_a_series_or_a_folder(folder: Path, reader: ScanReader) -> None:
    write_slices(folder / "ct", 5)
    write_dicom(folder / "pa.dcm", 6)
    write_dicom(folder / "lateral.dcm", 6, ViewPosition="LL", SOPInstanceUID="1.2.3.4")
    slices = ";".join(f"ct/slice{i}.dcm" for i in (2, 0, 3, 1))
    table = write_csv(folder / "cases.csv", rows_of(
        {"image_path": "ct"}, {"image_path": slices}, {"image_path": "pa.dcm; lateral.dcm"},
        {"image_path": str(folder / "images" / "1.png")},
    ))  # fmt: skip
    as_folder, as_list, two, absolute = take(TableSource(table), reader)
    assert isinstance(as_folder, Case)
    assert isinstance(as_list, Case)
    assert isinstance(two, Case)
    assert isinstance(absolute, Case)
    assert as_folder.scans == as_list.scans
    assert [Path(file).name for file in as_list.scans[0].files] == [
        f"slice{i}.dcm" for i in range(4)
    ]
    assert as_folder.modality == "CT"
    assert [(scan.modality, scan.view) for scan in two.scans] == [("CR", "PA"), ("CR", "LATERAL")]
    assert len(absolute.scans) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_encodings_are_told_apart_and_windows_1252_is_said(
    folder: Path, reader: ScanReader, encoding: str
) -> None:
    table = write_csv(folder / "cases.csv", rows_of({"site": "Köln"}), encoding)
    said: list[str] = []
    (case,) = take(TableSource(table), reader, said)
    assert isinstance(case, Case)
    assert case.site == "Köln"
    assert any("Windows-1252" in line for line in said) == (encoding == "latin-1")


def test_a_semicolon_table_and_a_parquet_file_say_the_same(
    folder: Path, reader: ScanReader
) -> None:
    import pandas as pd

    rows = rows_of({"age": "60", "note": "No effusion."}, {"age": "", "note": ""})
    write_csv(folder / "cases.csv", rows)
    frame = pd.DataFrame(rows)
    frame["age"] = pd.to_numeric(frame["age"])
    frame["study_date"] = pd.to_datetime(["2020-01-31", None])
    frame.to_parquet(folder / "cases.parquet")
    frame.to_csv(folder / "german.csv", sep=";", index=False)
    from_parquet = take(TableSource(folder / "cases.parquet"), reader)
    assert from_parquet == take(TableSource(folder / "german.csv"), reader)
    first, second = from_parquet
    assert isinstance(first, Case)
    assert isinstance(second, Case)
    assert (first.age_years, first.study_date) == (60.0, date(2020, 1, 31))
    assert (second.age_years, second.study_date, second.note) == (None, None, None)


def test_columns_left_out_are_said_once(folder: Path, reader: ScanReader) -> None:
    table = write_csv(folder / "cases.csv", rows_of({"race_or_site": "Valencia", "licence": "x"}))
    said: list[str] = []
    (case,) = take(TableSource(table, ["race_or_site"]), reader, said)
    assert isinstance(case, Case)
    assert case.attributes == {"race_or_site": "Valencia"}
    assert said == ["cases.csv: ignored columns: licence (keep them with --keep-columns)"]


def broken_tables(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    row = rows_of({})[0]
    (folder / "zero.csv").write_bytes(b"")
    yield "zero.csv", "the file is empty", []
    (folder / "head.csv").write_text(",".join(row) + "\n")
    yield "head.csv", "no rows", []
    write_csv(folder / "lack.csv", [{"case_id": "1"}])
    yield "lack.csv", "missing columns: patient_id, image_path", []
    write_csv(folder / "keep.csv", [row])
    yield "keep.csv", "columns to keep not found: nix", ["nix"]
    write_csv(folder / "reserved.csv", [row | {"date": "1"}])
    yield "reserved.csv", "reserved column names", ["date"]
    (folder / "twice.csv").write_text("case_id,case_id,patient_id,image_path\n1,1,1,1\n")
    yield "twice.csv", "duplicate columns: case_id", []
    (folder / "no.parquet").write_text("no parquet")
    yield "no.parquet", "not a readable parquet file", []
    yield "gone.csv", "file not found", []


def test_a_table_that_cannot_be_read_is_refused_in_one_line(
    folder: Path, reader: ScanReader
) -> None:
    for name, words, keep in broken_tables(folder):
        with pytest.raises(SourceError, match=words) as caught:
            take(TableSource(folder / name, keep), reader)
        assert str(caught.value).startswith(name)
        assert "\n" not in str(caught.value)


def test_a_ragged_row_is_refused_and_the_next_read(folder: Path, reader: ScanReader) -> None:
    (folder / "cases.csv").write_text(
        "case_id,patient_id,image_path\na,1,images/0.png,x\n\nb,1,images/1.png\n"
    )
    refusal, case = take(TableSource(folder / "cases.csv"), reader)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "4 cells under 3 columns"
    assert isinstance(case, Case)
    assert case.case_id == "b"


def test_dates_move_by_the_patients_own_shift_only_when_asked(
    folder: Path, reader: ScanReader
) -> None:
    table = write_csv(folder / "cases.csv", rows_of({"study_date": "20200131"}, {}))
    plain, _ = take(TableSource(table), reader)
    moved, undated = take(TableSource(table), reader, shift_dates=True)
    assert isinstance(plain, Case)
    assert isinstance(moved, Case)
    assert isinstance(undated, Case)
    assert plain.study_date == date(2020, 1, 31)
    assert moved.date_shift_days == NAMES.shift_days("MRN0")
    assert moved.study_date is not None
    assert (moved.study_date - plain.study_date).days == moved.date_shift_days
    assert undated.study_date is None


def test_one_image_under_two_patients_is_said(folder: Path, reader: ScanReader) -> None:
    table = write_csv(folder / "cases.csv", rows_of({}, {"image_path": "images/0.png"}))
    said: list[str] = []
    take(TableSource(table), reader, said)
    assert said == ["cases.csv: 1 image appears under several patients"]


def test_a_folder_with_cases_csv_is_a_table_and_others_are_dicom(folder: Path) -> None:
    assert open_source(folder).format == "dicom"
    write_csv(folder / "cases.csv", rows_of({}))
    assert open_source(folder).format == "table"
    assert open_source(folder / "cases.csv").format == "table"
    (folder / "cases.csv").rename(folder / "unicode.txt")
    assert open_source(folder / "unicode.txt").format == "table"
    (folder / "unicode.txt").rename(folder / "cases.csv")
    assert open_source(folder, "dicom").format == "dicom"
    with pytest.raises(SourceError, match="file or folder not found"):
        open_source(folder / "none")
    with pytest.raises(SourceError, match="its notes in the column"):
        open_source(folder, "table", notes=folder / "cases.csv")


def test_no_kept_column_can_hide_a_field_of_conditions() -> None:
    assert set(FIELDS) - set(COLUMNS) == set(RESERVED)


def test_a_row_whose_files_are_of_two_patients_is_refused(
    tmp_path: Path, reader: ScanReader
) -> None:
    write_dicom(tmp_path / "two" / "a.dcm", 1)
    write_dicom(tmp_path / "two" / "b.dcm", 2)
    write_dicom(tmp_path / "one" / "a.dcm", 3)
    write_dicom(tmp_path / "one" / "b.dcm", 4, PatientID="ANONYMIZED", PatientSex="M")
    rows = rows_of({"image_path": "two"}, {"image_path": "one"})
    refusal, case = take(TableSource(write_csv(tmp_path / "cases.csv", rows)), reader)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "wrong-patient"
    assert "MRN" not in refusal.reason
    assert isinstance(case, Case)


def test_one_person_of_the_headers_under_several_patient_ids_is_said(
    tmp_path: Path, reader: ScanReader
) -> None:
    for i in (1, 2, 3):
        write_dicom(tmp_path / f"{i}.dcm", i, PatientID="MRN1" if i < 3 else "MRN3")
    rows = rows_of(*({"image_path": f"{i}.dcm", "patient_id": f"q{i}"} for i in (1, 2, 3)))
    said: list[str] = []
    cases = take(TableSource(write_csv(tmp_path / "cases.csv", rows)), reader, said)
    assert len({case.patient_id for case in cases if isinstance(case, Case)}) == 3
    assert [line for line in said if ": 1 PatientID in image headers has" in line]
    assert not any("MRN" in line for line in said)


@pytest.mark.parametrize(
    ("word", "split"),
    [("validate", "val"), ("Validation", "val"), ("dev", "val"), ("testing", "test")],
)
def test_the_splits_of_public_tables_are_understood(word: str, split: str) -> None:
    assert split_of({"split": word}) == split


@pytest.mark.parametrize("text", ["000Y", "999Y", "000y"])
def test_an_age_that_stands_in_for_a_missing_one_is_unknown(text: str) -> None:
    assert age_of({"age": text}) is None
    assert age_of({"age": "0"}) == 0


PACKED = {
    "utf-8": ("cases.csv.gz", "utf-8"),
    "UTF-16 with a mark": ("cases.tsv.gz", "utf-16"),
    "UTF-16 LE": ("cases.csv", "utf-16-le"),
    "UTF-16 BE": ("cases.txt", "utf-16-be"),
    "gzip under a plain name": ("cases.csv", "utf-8"),
}


@pytest.mark.parametrize("form", PACKED)
def test_a_table_is_read_packed_and_in_utf_16(folder: Path, reader: ScanReader, form: str) -> None:
    name, encoding = PACKED[form]
    text = "case_id;patient_id;image_path;note;age\nc0;p0;images/0.png;Erguß rechts;61,5\n"
    content = text.encode(encoding)
    (folder / name).write_bytes(
        gzip.compress(content) if "gz" in name or "gzip" in form else content
    )
    for source in (open_source(folder / name), open_source(folder)):
        said: list[str] = []
        (case,) = take(source, reader, said)
        assert isinstance(case, Case)
        assert case.note is not None
        assert (case.note.text, case.age_years, said) == ("Erguß rechts", 61.5, [])


def test_a_packed_table_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"case_id,patient_id,image_path\n" + os.urandom(5000).hex().encode())
    (tmp_path / "cases.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SourceError, match="cut off or damaged; copy it again"):
        open_source(tmp_path / "cases.csv.gz")


def test_a_packed_file_without_lines_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medembed.sources.table_text._LONGEST_LINE", 2**21)
    (tmp_path / "cases.csv.gz").write_bytes(gzip.compress(b"x" * 2**22))
    with pytest.raises(SourceError, match="characters: not a table"):
        open_source(tmp_path / "cases.csv.gz")


@pytest.mark.parametrize("name", ["cases.xlsx", "cases.ods", "cases.json"])
def test_a_spreadsheet_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(SourceError, match=f"{name}: .* save it as CSV UTF-8 or parquet"):
            open_source(path)


def test_paths_of_windows_are_read(folder: Path, reader: ScanReader) -> None:
    cells = [{"image_path": path} for path in (r".\images\0.png", r"images\1.png", "images/2.png")]
    outside = [
        {"image_path": path} for path in (r"..\..\1.png", r"C:\images\1.png", r"images\9.png")
    ]
    table = write_csv(folder / "cases.csv", rows_of(*cells, *outside))
    found = take(TableSource(table), reader)
    assert [isinstance(one, Case) for one in found] == [True] * 3 + [False] * 3
    codes = [one.code for one in found if isinstance(one, Refusal)]
    assert codes == ["path-outside", "bad-path", "not-found"]


def test_names_of_other_tables_are_proposed_and_not_assumed(tmp_path: Path) -> None:
    row = {"Case ID": "c", "patient_id": "p", "filename": "a.png", "Report": "x"}
    table = write_csv(tmp_path / "cases.csv", [row])
    with pytest.raises(SourceError, match='rename "Case ID" to case_id, "filename" to image_path'):
        TableSource(table)


@pytest.mark.parametrize(
    ("cell", "split"),
    [
        ("validate", "val"), ("Validation", "val"), ("valid", "val"), ("dev", "val"),
        ("tune", "val"), ("VAL", "val"), ("training", "train"), ("Train set", "train"),
        ("testing", "test"), ("test_split", "test"), ("n/a", ""), ("", ""),
    ],
)  # fmt: skip
def test_splits_have_many_names(cell: str, split: str) -> None:
    assert split_of({"split": cell}) == split


@pytest.mark.parametrize("cell", ["eval", "held-out", "0", "set"])
def test_a_split_that_could_be_another_is_refused(cell: str) -> None:
    with pytest.raises(CellError, match="split is not train, val or test"):
        split_of({"split": cell})
