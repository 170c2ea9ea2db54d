"""Pixels as bytes, checked against the scan they came from, and the routes that hand them out."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from apps.case_lookup.session import LibrarySession
from apps.pixels import (
    Guard,
    QueryImages,
    address_of_case,
    address_of_query,
    frame_bytes,
    pixel_header,
    pixel_routes,
)
from medembed.errors import LibraryError, ScanError
from medembed.scans import PRESETS, Scan, VoiLut, Window


def restored(scan: Scan) -> np.ndarray:
    """The pixels as the viewer computes them from header and bytes."""
    header = json.loads(pixel_header(scan))
    kind = {"int16": "<i2", "float32": "<f4"}[header["dtype"]]
    shape = header["rows"], header["columns"]
    slices = [
        np.frombuffer(frame_bytes(scan, i), kind).reshape(shape).astype(np.float64)
        for i in range(header["slices"])
    ]
    return np.stack(slices) * header["slope"] + header["intercept"]


SCANS = {
    "CT": Scan(
        np.random.default_rng(0).integers(-1024, 3072, (3, 4, 5)).astype(np.float32),
        spacing_mm=(5.0, 2.0, 1.0),
        units="HU",
        modality="CT",
        axes=("H", "P", "L"),
    ),
    "16 bits": Scan(np.array([[0, 65535], [40_000, 1]], np.float32)),
    "17 bits": Scan(np.array([[0, 65536], [40_000, 1]], np.float32)),
    "large values": Scan(np.array([[2.0**26, 2.0**26 + 8]], np.float32)),
    "fractions": Scan(np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)),
    "constant": Scan(np.full((2, 2), -3, np.float32)),
    "one fraction in the last slice": Scan(
        np.array([[[1, 2]], [[3, 4.5]]], np.float32), spacing_mm=(1.0, 1.0, 1.0)
    ),
}


@pytest.mark.parametrize("name", SCANS)
def test_header_and_bytes_give_the_scans_own_values(name: str) -> None:
    scan = SCANS[name]
    pixels = scan.pixels if scan.is_volume else scan.pixels[None]
    assert (restored(scan) == pixels).all()


@pytest.mark.parametrize(
    ("name", "dtype", "n_bytes"),
    [("CT", "int16", 40), ("16 bits", "int16", 8), ("17 bits", "float32", 16)],
)
def test_whole_numbers_of_16_bits_travel_in_two_bytes(name: str, dtype: str, n_bytes: int) -> None:
    assert json.loads(pixel_header(SCANS[name]))["dtype"] == dtype
    assert len(frame_bytes(SCANS[name], 0)) == n_bytes


@given(
    st.lists(st.integers(-(2**24), 2**24), min_size=2, max_size=6),
    st.sampled_from([1.0, 0.5, 0.1]),
)
def test_no_value_is_changed_by_its_encoding(values: list[int], step: float) -> None:
    scan = Scan(np.array([values], np.float32) * np.float32(step))
    assert (restored(scan)[0] == scan.pixels).all()


def test_the_header_says_what_a_viewer_needs() -> None:
    header = json.loads(pixel_header(SCANS["CT"]))
    assert header["spacing_mm"] == [5.0, 2.0, 1.0]
    assert (header["units"], header["scale"], header["axes"]) == ("HU", "patient", ["H", "P", "L"])
    assert [window["id"] for window in header["windows"]] == ["mediastinum", "lung", "bone", "full"]
    lung = header["windows"][1]
    assert (lung["center"], lung["width"]) == (PRESETS["lung"].center, PRESETS["lung"].width)
    assert header["low"] == SCANS["CT"].pixels.min()
    assert header["high"] == SCANS["CT"].pixels.max()


def test_presets_in_hounsfield_units_only_for_hounsfield_units() -> None:
    header = json.loads(pixel_header(SCANS["16 bits"]))
    assert [window["id"] for window in header["windows"]] == ["auto", "full"]


def test_a_radiograph_is_measured_at_the_detector_and_a_picture_without_spacing_not_at_all() -> (
    None
):
    pixels = np.zeros((2, 2), np.float32)
    radiograph = Scan(pixels, spacing_mm=(0.2, 0.1), modality="DX")
    assert json.loads(pixel_header(radiograph))["scale"] == "detector"
    assert json.loads(pixel_header(radiograph))["spacing_mm"] == [None, 0.2, 0.1]
    unknown = json.loads(pixel_header(Scan(pixels, modality="DX")))
    assert (unknown["scale"], unknown["spacing_mm"]) == ("unknown", None)


def test_the_files_lookup_table_travels_with_the_header() -> None:
    lut = VoiLut(100.0, (0.0, 0.25, 1.0))
    scan = Scan(np.zeros((2, 2), np.float32), voi_luts=(lut,), windows=(Window(5, 10),))
    first, second = json.loads(pixel_header(scan))["windows"][:2]
    assert (first["center"], first["width"]) == (5, 10)
    assert second == {"id": "file-2", "first": 100.0, "values": [0.0, 0.25, 1.0]}


def test_there_is_no_slice_outside_the_scan() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError):
            frame_bytes(SCANS["CT"], index)


# the routes --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(small_library: Path) -> Iterator[LibrarySession]:
    opened = LibrarySession(small_library)
    yield opened
    opened.close()


def client(session: LibrarySession, guard: Guard | None = None, **given: object) -> TestClient:
    return TestClient(Starlette(routes=pixel_routes(lambda: session, guard, **given)))  # type: ignore[arg-type]


def test_a_case_is_handed_out_slice_by_slice(session: LibrarySession) -> None:
    browser = client(session)
    address = f"/{address_of_case('C-0013', 0)}"
    scan = session.scan(session.library.case("C-0013"))
    header = browser.get(f"{address}/header")
    assert header.content == pixel_header(scan)
    assert header.json()["slices"] == 5
    for index in range(5):
        assert browser.get(f"{address}/slice/{index}").content == frame_bytes(scan, index)
    still = Image.open(BytesIO(browser.get(f"{address}/still").content))
    assert still.size == (64, 64)  # 64 × 32 pixels of 1 × 2 mm


def test_pixels_stay_out_of_every_cache(session: LibrarySession) -> None:
    browser = client(session)
    for what in ("header", "slice/0", "still", "slice/99"):
        answer = browser.get(f"/{address_of_case('C-0001', 0)}/{what}")
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers


@pytest.mark.parametrize(
    "address",
    [
        "case/nobody/image/0/header",
        "case/C-0001/image/7/header",
        "case/C-0001/image/0/slice/1",
        "case/..%2F..%2Fetc%2Fpasswd/image/0/header",
        "query/unknown/header",
        "query//slice/0",
        "case/C-0001/image/-1/header",
    ],
)
def test_what_is_not_there_is_not_found(session: LibrarySession, address: str) -> None:
    assert client(session).get(f"/pixels/{address}").status_code == 404


def test_a_hidden_case_and_a_missing_one_get_the_same_answer(session: LibrarySession) -> None:
    asked: list[str] = []

    def may_see(_: object, case_id: str) -> bool:
        asked.append(case_id)
        return False

    browser = client(session, Guard(may_see=may_see))
    hidden = browser.get(f"/{address_of_case('C-0001', 0)}/slice/0")
    missing = browser.get(f"/{address_of_case('C-9999', 0)}/slice/0")
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert hidden.status_code == 404
    assert asked == ["C-0001", "C-9999"]


def test_the_journal_learns_once_who_was_given_which_case(session: LibrarySession) -> None:
    entries: list[tuple[str, str]] = []
    guard = Guard(person_of=lambda _: "reader-1", record=lambda *entry: entries.append(entry))
    browser = client(session, guard)
    for what in ("header", "slice/0", "slice/1", "still"):
        browser.get(f"/{address_of_case('C-0013', 0)}/{what}")
    browser.get(f"/{address_of_case('nobody', 0)}/header")
    browser.get(f"/{address_of_case('C-0002', 0)}/slice/0")
    assert entries == [("reader-1", "C-0013"), ("reader-1", "C-0002")]


def test_without_a_journal_entry_there_are_no_pixels(session: LibrarySession) -> None:
    def broken(*_: str) -> None:
        raise LibraryError("the journal cannot be written")

    answer = client(session, Guard(record=broken)).get(f"/{address_of_case('C-0001', 0)}/slice/0")
    assert answer.status_code == 422
    assert answer.text == "the journal cannot be written"


def test_an_unreadable_image_is_one_line_without_its_path(session: LibrarySession) -> None:
    def scan(*_: object) -> Scan:
        raise ScanError("the file is cut off", where="/data/Planted^Name.dcm")

    broken = SimpleNamespace(library=session.library, scan=scan)
    answer = client(broken).get(f"/{address_of_case('C-0001', 0)}/header")  # type: ignore[arg-type]
    assert answer.status_code == 422
    assert answer.text == "the file is cut off"


@pytest.mark.parametrize("case_id", ["a/b", "../x", "a?b#c", "ü 1", "x/image/0/slice"])
def test_any_case_id_has_an_address_of_its_own(case_id: str) -> None:
    def case(asked: str) -> object:
        assert asked == case_id
        return SimpleNamespace(scans=[None])

    source = SimpleNamespace(library=SimpleNamespace(case=case), scan=lambda *_: SCANS["constant"])
    answer = client(source).get(f"/{address_of_case(case_id, 0)}/slice/0")  # type: ignore[arg-type]
    assert answer.content == frame_bytes(SCANS["constant"], 0)


# a dropped image ---------------------------------------------------------------------------


class Uploads:
    """What a session of the page holds."""

    def __init__(self) -> None:
        self.held = {("session", "file")}

    def __call__(self, session_id: str, uploads: object) -> bool:
        return all((session_id, upload) in self.held for upload in uploads)  # type: ignore[attr-defined]


def test_a_dropped_image_has_an_address_until_its_upload_goes(session: LibrarySession) -> None:
    uploads = Uploads()
    images = QueryImages(uploads)
    scan = Scan(np.arange(4, dtype=np.float32).reshape(2, 2))
    token = images.offer(scan, "session", ["file"])
    browser = client(session, query_images=images)
    address = f"/{address_of_query(token)}/slice/0"
    assert browser.get(address).content == frame_bytes(scan, 0)
    uploads.held.clear()
    assert browser.get(address).status_code == 404
    uploads.held.add(("session", "file"))
    assert browser.get(address).status_code == 404, "a dead token stays dead"


def test_a_rerun_gets_the_same_token_and_another_session_another() -> None:
    uploads = Uploads()
    uploads.held.add(("other", "file"))
    images = QueryImages(uploads)
    scan = Scan(np.zeros((2, 2), np.float32))
    first = images.offer(scan, "session", ["file"])
    assert images.offer(scan, "session", ["file"]) == first
    assert images.offer(scan, "other", ["file"]) != first
    assert len(first) >= 43, "256 bits"


def test_a_token_serves_only_the_person_who_dropped_the_image() -> None:
    images = QueryImages(Uploads())
    scan = Scan(np.zeros((2, 2), np.float32))
    token = images.offer(scan, "session", ["file"], "reader-1")
    assert images.get(token, "reader-2") is None
    assert images.get(token, "reader-1") is scan


def test_a_token_does_not_keep_the_pixels_in_memory() -> None:
    images = QueryImages(Uploads())
    scan = Scan(np.zeros((2, 2), np.float32))
    token = images.offer(scan, "session", ["file"])
    del scan
    gc.collect()
    assert images.get(token) is None
    kept = Scan(np.zeros((2, 2), np.float32))
    images.offer(kept, "session", ["file"])
    assert len(images) == 1, "the dead one was removed"
