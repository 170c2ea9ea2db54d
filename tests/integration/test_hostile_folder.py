"""Fifty broken, foreign and hostile files among fifty good ones."""

from __future__ import annotations

import io
import json
import os
import random
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless
from support.example_files import deflated, make_dataset, write_png

SECRETS = ("DOEWITTE", "JANE", "MRN4711", "ACC4711", "19500117", "1.2.826.4711")
WHO = {
    "PatientName": "DOEWITTE^JANE",
    "PatientID": "MRN4711",
    "AccessionNumber": "ACC4711",
    "PatientBirthDate": "19500117",
}
STUDY = "1.2.826.4711.{}"


def encode(ds: Dataset) -> bytes:
    with io.BytesIO() as buffer:
        ds.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()


def good(number: int = 1000, **changes: object) -> bytes:
    uid = STUDY.format(number)
    values = {"StudyInstanceUID": uid, "SOPInstanceUID": f"{uid}.1", **WHO, **changes}
    return encode(make_dataset(number, **values))


def element(group: int, number: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH2sHI", group, number, vr, 0, length) + value


def before_pixels(more: bytes) -> bytes:
    whole = good()
    start = whole.index(struct.pack("<HH", 0x7FE0, 0x0010))
    return whole[:start] + more + whole[start:]


def deflate_bomb() -> bytes:
    whole = good()
    meta_end = whole.index(struct.pack("<HH", 8, 0x16))
    ds = make_dataset(1, **WHO)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = encode_meta(ds)
    size = 3 * 2**30  # out of 3 MiB
    return head + deflated(whole[meta_end:] + element(0x7FE1, 0x0010, b"OB", size), size)


def encode_meta(ds: Dataset) -> bytes:
    with io.BytesIO() as buffer:
        ds.save_as(buffer, enforce_file_format=True)
        whole = buffer.getvalue()
    length = struct.unpack("<I", whole[140:144])[0]
    return whole[: 144 + length]


def nested(depth: int) -> bytes:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return before_pixels((element(0x0040, 0xA730, b"SQ", 0xFFFFFFFF) + item) * depth)


def without_pixels(**changes: object) -> bytes:
    return good(PixelData=None, **changes)


def zipped() -> bytes:
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.dcm", good())
        return buffer.getvalue()


def png() -> bytes:
    from PIL import Image

    with io.BytesIO() as buffer:
        Image.new("L", (8, 8), 7).save(buffer, "PNG")
        return buffer.getvalue()


def wrong_syntax() -> bytes:
    ds = make_dataset(7, **WHO, StudyInstanceUID=STUDY.format(7))
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    from pydicom.encaps import encapsulate

    ds.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"junk" * 20])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return encode(ds)


BROKEN: dict[str, Callable[[], bytes]] = {
    "zero.dcm": lambda: b"",
    "one.dcm": lambda: b"D",
    "spaces.dcm": lambda: b" " * 4096,
    "zeros.dcm": lambda: bytes(4096),
    "random.dcm": lambda: bytes(random.Random(7).randbytes(4096)),
    "notes.txt": lambda: b"DOEWITTE^JANE was here, MRN4711",
    "list.csv": lambda: b"name,id\nDOEWITTE^JANE,MRN4711\n",
    "page.html": lambda: b"<html>DOEWITTE^JANE</html>",
    "report.pdf": lambda: b"%PDF-1.7\n1 0 obj (DOEWITTE^JANE)\n",
    "export.zip": zipped,
    "renamed_zip.dcm": zipped,
    "program.exe": lambda: b"MZ" + bytes(200),
    "script.sh": lambda: b"#!/bin/sh\nrm -rf /\n",
    "Thumbs.db": lambda: b"\xd0\xcf\x11\xe0" + bytes(500),
    ".DS_Store": lambda: b"\0\0\0\1Bud1" + bytes(100),
    "image.png": png,
    "renamed_png.dcm": png,
    "cut.png": lambda: png()[:40],
    "picture.jpg": lambda: b"\xff\xd8\xff\xe0" + bytes(60),
    "half.dcm": lambda: good()[: len(good()) // 2],
    "no_end.dcm": lambda: good()[:-1],
    "only_preamble.dcm": lambda: bytes(128) + b"DICM",
    "in_the_meta.dcm": lambda: good()[:160],
    "in_a_tag.dcm": lambda: good()[:400],
    "no_pixels.dcm": without_pixels,
    "report_sr.dcm": lambda: without_pixels(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR"
    ),
    "waveform.dcm": lambda: without_pixels(Modality="ECG"),
    "no_rows.dcm": lambda: good(Rows=None),
    "zero_rows.dcm": lambda: good(Rows=0),
    "huge_rows.dcm": lambda: good(Rows=65535, Columns=65535),
    "more_rows.dcm": lambda: good(Rows=17),
    "many_frames.dcm": lambda: good(NumberOfFrames=2**31 - 1),
    "no_bits.dcm": lambda: good(BitsAllocated=None),
    "odd_bits.dcm": lambda: good(BitsAllocated=13),
    "no_photometric.dcm": lambda: good(PhotometricInterpretation=None),
    "odd_photometric.dcm": lambda: good(PhotometricInterpretation="PLAID"),
    "no_samples.dcm": lambda: good(SamplesPerPixel=7),
    "lying_length.dcm": lambda: before_pixels(element(0x7FDF, 0x10, b"OB", 0xFFFFFFF0)),
    "nested.dcm": lambda: nested(5000),
    "bomb.dcm": deflate_bomb,
    "wrong_syntax.dcm": wrong_syntax,
    "climbing_uid.dcm": lambda: good(StudyInstanceUID="../../x"),
    "absolute_uid.dcm": lambda: good(SeriesInstanceUID="/etc/passwd"),
    "no_study.dcm": lambda: good(StudyInstanceUID=""),
    "exe_preamble.dcm": lambda: b"MZ" + bytes(126) + b"DICM" + good()[132:300],
    "slope.dcm": lambda: good(RescaleSlope="1e308", RescaleIntercept="1e308"),
}
"""Content by name; four more are no regular files or belong to two patients."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mixed"
    root.mkdir()
    for number in range(50):
        path = root / f"study{number}" / "image.dcm"
        path.parent.mkdir()
        path.write_bytes(good(number))
    for name, content in BROKEN.items():
        (root / name).write_bytes(content())
    # broken and in a folder that carries the name
    (root / "DOEWITTE^JANE").mkdir()
    (root / "in_the_meta.dcm").rename(root / "DOEWITTE^JANE" / "MRN4711.dcm")
    os.mkfifo(root / "pipe.dcm")
    (root / "loop").symlink_to(root)
    (root / "dangling.dcm").symlink_to(root / "nowhere")
    # one more patient under the study of another: neither can be trusted
    (root / "mixed_up.dcm").write_bytes(good(2000))
    other = good(2000, PatientID="MRN4712", SOPInstanceUID="1.2.826.4711.2000.2")
    (root / "mixed_up_too.dcm").write_bytes(other)
    return root


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
def test_fifty_good_cases_fifty_reasons_and_no_name(folder: Path, tmp_path: Path) -> None:
    everything = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    n_broken = len(everything) - 50
    assert n_broken >= 50
    library = tmp_path / "lib"
    command = [sys.executable, "-m", "medembed.cli", "ingest", str(library), str(folder)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    refused = {r["where"]: r for r in answer["refusals"]}
    assert answer["added"] == 50, sorted(set(BROKEN) - set(refused))
    assert answer["refused"] == len(refused) == n_broken
    assert all(r["reason"] and r["code"] for r in refused.values())
    assert refused["…/…"]["code"] == "truncated"
    assert refused["mixed_up.dcm"]["code"] == refused["mixed_up_too.dcm"]["code"] == "wrong-patient"

    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert f"0 added, 50 unchanged, {n_broken} refused" in again.stdout
    for said in (done.stdout, done.stderr, again.stdout, again.stderr):
        assert "Traceback" not in said
        for secret in SECRETS:
            assert secret not in said
    sqlite3.connect(library / "library.sqlite").execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in library.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for secret in SECRETS:
                assert secret.encode() not in content, file.name


def test_a_table_of_the_same_names_stores_none_of_them(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 1)
    (tmp_path / "cases.csv").write_text(
        "case_id,patient_id,study_id,image_path,group_id\nx1,MRN4711,ACC4711,a.png,DOEWITTE^JANE\n"
    )
    library = tmp_path / "lib"
    done = subprocess.run(
        [sys.executable, "-m", "medembed.cli", "ingest", str(library), str(tmp_path / "cases.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = (library / "library.sqlite").read_bytes() + done.stdout.encode()
    for secret in SECRETS:
        assert secret.encode() not in content
