"""Tables as spreadsheets and exports spoil them: right, or refused with the reason."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medembed.errors import SourceError
from medembed.sources.notes_table import NotesTable
from medembed.sources.tabular import Row, Table

HEADER = "case_id,patient_id,image_path,note"
REQUIRED = ("case_id", "patient_id", "image_path")


def table(path: Path, keep: Sequence[str] = ()) -> Table:
    return Table(
        path,
        REQUIRED,
        (*REQUIRED, "note", "site", "age", "study_date", "race", "study_id"),
        ids=("case_id", "patient_id", "study_id"),
        keys=REQUIRED,
        keep=keep,
    )


def rows_of(tmp_path: Path, content: str | bytes, header: str = HEADER) -> list[Row]:
    path = tmp_path / "cases.csv"
    raw = content if isinstance(content, bytes) else f"{header}\n{content}".encode()
    path.write_bytes(raw)
    return list(table(path).rows())


def notes(rows: Sequence[Row]) -> dict[str, str]:
    return {row.cells["case_id"]: row.cells["note"] for row in rows if not row.fault}


def refused(rows: Sequence[Row]) -> dict[int, str]:
    return {row.number: row.fault for row in rows if row.fault}


def test_t01_unbalanced_quote_closed_by_the_next_quoted_cell(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        'c1,p1,1.png,"Small left effusion.\n'
        "c2,p2,2.png,Lungs clear.\n"
        'c3,p3,3.png,"Right pneumothorax."\n'
        "c4,p4,4.png,No effusion.\n",
    )
    assert notes(rows) == {"c4": "No effusion."}
    assert list(refused(rows)) == [2, 3, 4]
    assert all(
        "text follows the closing quotation mark" in fault for fault in refused(rows).values()
    )
    assert [row.number for row in rows] == [2, 3, 4, 5]


def test_t01_unbalanced_quote_closed_by_an_inch_sign(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        'c1,p1,1.png,"Small left effusion.\n'
        'c2,p2,2.png,Tube of 5"\n'
        "c3,p3,3.png,Right pneumothorax.\n",
    )
    assert notes(rows) == {"c3": "Right pneumothorax."}
    assert list(refused(rows)) == [2, 3]
    assert "seems to contain further rows" in refused(rows)[2]


def test_t01_unbalanced_quote_never_closed(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        "c0,p0,0.png,Normal.\n"
        'c1,p1,1.png,"Small effusion.\nSecond line, of it, with, commas\n'
        "c2,p2,2.png,Lungs clear.\nc3,p3,3.png,Nodule.\n",
    )
    assert notes(rows) == {"c0": "Normal.", "c2": "Lungs clear.", "c3": "Nodule."}
    assert refused(rows) == {3: "a quotation mark is never closed"}


def test_t01_a_note_before_the_keys(tmp_path: Path) -> None:
    head = "note,case_id,patient_id,image_path"
    swallowed = rows_of(
        tmp_path,
        '"Small effusion,c1,p1,1.png\ncatheter 5",c2,p2,2.png\nClear.,c3,p3,3.png\n',
        head,
    )
    assert notes(swallowed) == {"c3": "Clear."}
    whole = rows_of(tmp_path, '"Lungs, heart,\nand bones, are clear",c1,p1,1.png\n', head)
    assert notes(whole) == {"c1": "Lungs, heart,\nand bones, are clear"}


def test_t01_swallowed_rows_with_cells_behind_the_note(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        'c1,p1,1.png,"Effusion,north\nc2,p2,2.png,catheter 5",south\nc3,p3,3.png,Clear.,x\n',
        HEADER + ",site",
    )
    assert notes(rows) == {"c3": "Clear."}


def test_reports_with_lines_commas_and_quotes_stay_whole(tmp_path: Path) -> None:
    text = 'FINDINGS:\nHeart, lungs, pleura, bones: normal.\n\n"Old" scar, C3, L4, 5" tube.'
    quoted = text.replace('"', '""')
    rows = rows_of(tmp_path, f'c1,p1,1.png,"{quoted}"\r\nc2,p2,2.png,Tube of 5" length\n')
    assert notes(rows) == {"c1": text, "c2": 'Tube of 5" length'}


def test_where_no_later_row_is_sure_the_rest_is_refused(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'c1,p1,1.png,Clear.\nc2,p2,2.png,"A" b\nno row, at all\nnor, this\n')
    assert notes(rows) == {"c1": "Clear."}
    assert list(refused(rows)) == [3]
    assert "the following rows cannot be separated" in refused(rows)[3]


def test_t01_in_a_table_of_notes(tmp_path: Path) -> None:
    path = tmp_path / "reports.csv"
    path.write_text(
        'accession,note\nA1,"Small left effusion.\nA2,Lungs clear. No effusion.\n'
        'A3,"Right pneumothorax."\nA4,No pneumothorax.\nA5,"Two lines,\nof one note, both"\n'
    )
    found = NotesTable(path)
    assert [f.where for f in found.faults()] == [f"reports.csv row {n}" for n in (2, 3, 4)]
    joined = {a: found.join("1.2.3", {a}) for a in ("A1", "A2", "A3", "A4", "A5")}
    texts = {a: one.note.text for a, one in joined.items() if one and one.note}
    assert texts == {"A4": "No pneumothorax.", "A5": "Two lines,\nof one note, both"}


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text('ab,;"\n .:5', max_size=25), min_size=2, max_size=8),
    spoiled=st.integers(0, 7),
    hashes=st.booleans(),
)
def test_t01_no_note_ever_holds_another_patients_row(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], spoiled: int, hashes: bool
) -> None:
    spoiled %= len(texts)
    # With no sound row before it, a report's line with as many cells as a row looks like one.
    assume(not any(line.count(",") >= 3 for text in texts for line in text.splitlines()[1:]))
    lines = []
    for i, text in enumerate(texts):
        note = '"' + text.replace('"', '""') + '"'
        if i == spoiled:  # a quotation mark that opens its cell and is never closed
            note = '"' + text.replace('"', "").replace("\n", " ").replace(",", " ")
        key = f"{hash(i) * 7919 % 997:x}f{i}" if hashes else f"c{i}"
        lines.append(f"{key},p{i},images/{i}.png,{note}")
    rows = rows_of(tmp_path_factory.mktemp("t"), "\n".join(lines) + "\n")
    for row in rows:
        if not row.fault:
            number = int(row.cells["patient_id"].lstrip("p") or -1)
            assert row.cells["image_path"] == f"images/{number}.png"
            assert "images/" not in row.cells["note"]
            if number != spoiled:
                assert row.cells["note"].strip() == texts[number].strip()


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(st.text('ab,;"\n\r\t .:C-é', max_size=40), min_size=1, max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from([",", ";", "\t"]),
    note_first=st.booleans(),
)
def test_reports_that_are_quoted_right_are_read_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    end: str,
    mark: str,
    note_first: bool,
) -> None:
    import csv

    path = tmp_path_factory.mktemp("t") / "cases.csv"
    names = HEADER.split(",")
    order = [names[3], *names[:3]] if note_first else names
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=mark, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow(order)
        for i, text in enumerate(texts):
            row = {"case_id": f"c{i}", "patient_id": f"p{i}", "image_path": f"x/{i}.png"}
            writer.writerow([{**row, "note": text}[name] for name in order])
    assert notes(list(table(path).rows())) == {f"c{i}": text for i, text in enumerate(texts)}


def test_t02_cp1252(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path, f"{HEADER}\nc1,p1,1.png,".encode() + b"Patient\x92s effusion \x96 old\n"
    )
    assert notes(rows) == {"c1": "Patient\u2019s effusion \u2013 old"}
    said: list[str] = []
    path = tmp_path / "cases.csv"
    path.write_bytes(f"{HEADER}\nc1,p1,1.png,".encode() + b"K\x81ln caf\xe9\n")
    read = table(path)
    (row,) = read.rows()
    assert row.cells["note"] == "K\x81ln café"  # the five open bytes, as browsers take them
    read.warn(said.append)
    read.warn_rows(said.append)
    assert said == [
        "cases.csv: not UTF-8; read as Windows-1252",
        "cases.csv: bytes undefined in Windows-1252; letters may be wrong: rows 2",
    ]


def test_a_blank_before_a_quotation_mark_does_not_cut_a_report(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'c1, p1, 1.png, "Left\neffusion, small"\nc2,p2,2.png,b\n')
    assert notes(rows) == {"c1": "Left\neffusion, small", "c2": "b"}


def test_lines_above_the_header(tmp_path: Path) -> None:
    assert notes(rows_of(tmp_path, f"\r\n \n{HEADER}\nc1,p1,1.png,a\n".encode())) == {"c1": "a"}
    with pytest.raises(SourceError, match="line 2 looks like the header: remove the lines above"):
        rows_of(tmp_path, f"Export of 2020\n{HEADER}\nc1,p1,1.png,a\n".encode())


def test_t03_one_bad_byte(tmp_path: Path) -> None:
    content = f"{HEADER}\nc1,p1,1.png,Köln Überblähung\nc2,p2,2.png,stray ".encode()
    rows = rows_of(tmp_path, content + b"\xe9 byte\nc3,p3,3.png,clear\n")
    assert notes(rows) == {"c1": "Köln Überblähung", "c3": "clear"}
    assert refused(rows) == {3: "column note has a byte that is not valid in the file's encoding"}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_t04_utf16_and_other_marks(tmp_path: Path, encoding: str, end: str) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE,
             "utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE}  # fmt: skip
    text = end.join((HEADER, 'c1,p1,1.png,"Köln, 乳房"', "c2,p2,2.png,clear", ""))
    rows = rows_of(tmp_path, marks.get(encoding, b"") + text.encode(encoding))
    assert notes(rows) == {"c1": "Köln, 乳房", "c2": "clear"}


def test_t04_utf16_that_ends_in_half_a_character(tmp_path: Path) -> None:
    raw = codecs.BOM_UTF16_LE + f"{HEADER}\nc1,p1,1.png,a\nc2,p2,2.png,b".encode("utf-16-le")
    rows = rows_of(tmp_path, raw + b"\x41")
    assert notes(rows) == {"c1": "a"}
    assert list(refused(rows)) == [3]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;;;;"])
def test_t04_sep_line(tmp_path: Path, first: str) -> None:
    content = f"{first}\r\n{HEADER.replace(',', ';')}\r\nc1;p1;1.png;a, b\r\n"
    rows = rows_of(tmp_path, content.encode())
    assert notes(rows) == {"c1": "a, b"}
    assert [row.number for row in rows] == [2]


@pytest.mark.parametrize(
    "header",
    [
        HEADER.upper(),
        " Case_ID ,\u00a0patient_id\u00a0,\ufeffimage_path,Note\u200b",
        "\ufeff\ufeff" + HEADER,
        '"case_id","patient_id","image_path","note"',
    ],
)
def test_t04_headers_in_other_letters_and_blanks(tmp_path: Path, header: str) -> None:
    assert notes(rows_of(tmp_path, "c1,p1,1.png,a\n", header)) == {"c1": "a"}


def test_t04_near_misses_of_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        rows_of(tmp_path, "c1,p1,1.png,a\n", "CaseID,Patient ID,image-path,note")
    assert str(caught.value) == (
        "cases.csv: missing columns: case_id, patient_id, image_path; rename "
        '"CaseID" to case_id, "Patient ID" to patient_id, "image-path" to image_path'
    )
    path = tmp_path / "cases.csv"
    path.write_text(f"{HEADER},Study Date,Ward\nc1,p1,1.png,a,x,y\n")
    said: list[str] = []
    table(path).warn(said.append)
    assert said == [
        "cases.csv: ignored columns: Study Date, Ward (keep them with --keep-columns, or "
        'rename "Study Date" to study_date)'
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_each_separator_is_found(tmp_path: Path, mark: str) -> None:
    head = mark.join((*REQUIRED, "note", '"a, b; c"'))
    rows = rows_of(tmp_path, mark.join(("c1", "p1", "1.png", "clear", "x")) + "\n", head)
    assert notes(rows) == {"c1": "clear"}


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"PK\x03\x04rest", "an Excel workbook or zip archive"),
        (b"\xd0\xcf\x11\xe0rest", "an old Excel workbook"),
        (b"\x1f\x8brest", "the gzip file is cut off or damaged"),
        (bytes(100), "not a text file"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, magic: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        rows_of(tmp_path, magic)


def test_columns_named_twice_in_other_letters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="duplicate columns: note"):
        rows_of(tmp_path, "c1,p1,1.png,a,b\n", HEADER + ",NOTE")
    rows = rows_of(tmp_path, "c1,p1,1.png,a,b,c\n", HEADER + ",Comment,Comment")
    assert notes(rows) == {"c1": "a"}  # twice, but left out


def test_blank_cells_behind_all_rows_are_no_columns(tmp_path: Path) -> None:
    assert notes(rows_of(tmp_path, "c1,p1,1.png,a,\nc2,p2,2.png,b,\n")) == {"c1": "a", "c2": "b"}
    assert notes(rows_of(tmp_path, "c1,p1,1.png,a\n", HEADER + ",,")) == {"c1": "a"}
    # behind one row only, an unquoted comma may have moved its cells
    mixed = rows_of(tmp_path, "c1,p1,1.png,Clear, no effusion,\nc2,p2,2.png,b,\n", HEADER + ",race")
    assert notes(mixed) == {"c2": "b"}
    assert refused(mixed) == {2: "6 cells under 5 columns"}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("c1,p1,1.png", "3 cells under 4 columns"),
        ("c1,p1,1.png,a,b", "5 cells under 4 columns"),
        ("c1,p1,1.png,a\x00b", "column note has a zero byte"),
        ("c1,1.23E+11,1.png,a", "column patient_id has a number in scientific notation"),
        ('c1,"1,23E+11",1.png,a', "column patient_id has a number in scientific notation"),
        ("1e+16,p1,1.png,a", "column case_id has a number in scientific notation"),
        ("c1,p\u200b1,1.png,a", "column patient_id has an invisible character"),
        ("c1,#REF!,1.png,a", "column patient_id has a spreadsheet error value"),
        ("c1,p1,1.png,#N/A", "column note has a spreadsheet error value"),
        ("c1,p1,1.png,#NAME?", "column note has a spreadsheet error value"),
    ],
)
def test_a_spoiled_cell_refuses_its_row_only(tmp_path: Path, row: str, fault: str) -> None:
    rows = rows_of(tmp_path, f"c0,p0,0.png,a\n{row}\nc2,p2,2.png,b\n")
    assert notes(rows) == {"c0": "a", "c2": "b"}
    (found,) = refused(rows).values()
    assert found.startswith(fault)


def test_a_very_long_cell_is_read(tmp_path: Path) -> None:
    text = "word, " * 200_000
    assert notes(rows_of(tmp_path, f'c1,p1,1.png,"{text}"\n')) == {"c1": text}


def test_zeros_in_front_of_an_id_stay(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "007,0042,1.png,a\n")
    assert (row.cells["case_id"], row.cells["patient_id"]) == ("007", "0042")


def test_parquet_cells_of_other_types(tmp_path: Path) -> None:
    import datetime as dt
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows(**columns: object) -> list[Row]:
        base = {"case_id": ["c1"], "patient_id": ["p1"], "image_path": ["1.png"], "note": ["a"]}
        pq.write_table(pa.table({**base, **columns}), tmp_path / "cases.parquet")
        return list(table(tmp_path / "cases.parquet").rows())

    def id_of(column: object) -> str:
        (row,) = rows(patient_id=column)
        return row.fault or row.cells["patient_id"]

    assert id_of([123]) == "123"
    assert id_of([123.0]) == "123"
    assert id_of([Decimal("123.00")]) == "123"
    assert id_of(pa.array(["p7"]).dictionary_encode()) == "p7"
    assert id_of(pa.array([None], pa.float64())) == ""
    assert id_of([b"p7"]) == "p7"
    assert "too many digits" in id_of([1.5e17])
    assert "cannot be identifiers" in id_of([dt.datetime(2020, 1, 31, 9, 30)])
    assert "cannot be identifiers" in id_of([True])
    (row,) = rows(study_date=[dt.datetime(2020, 1, 31, 9, 30)], age=[63.5])
    assert (row.cells["study_date"], row.cells["age"]) == ("2020-01-31", "63.5")
