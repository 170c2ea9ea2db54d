"""Files that want to do harm: each is refused, with a reason and without a value."""

from __future__ import annotations

import os
import signal
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian
from scans.dicom_samples import SECRET, dataset, write

from medembed.errors import ScanError
from medembed.scans import Limits, Scan, ScanHeader, ScanReader, read_scan

NOISE = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16)
SAMPLES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture(scope="module")
def reader() -> Iterator[ScanReader]:
    with ScanReader(Limits(memory_bytes=2**29, seconds=20)) as reader:
        yield reader


def deflate_bomb(path: Path) -> None:
    write(path, dataset(NOISE), DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    start = content.index(DeflatedExplicitVRLittleEndian.encode()) + 22
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    # after a full flush blocks stand for themselves, so that one may be repeated: 2 GiB
    block = squeeze.compress(bytes(2**24)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(content[:start] + block * 128 + squeeze.flush())


def lying_length(path: Path) -> None:
    write(path, dataset(NOISE))
    content = bytearray(path.read_bytes())
    at = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    content[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    content[at + 4 :] = b"\0" * 400
    path.write_bytes(content)


def nested_sequences(path: Path) -> None:
    write(path, dataset(NOISE))
    content = path.read_bytes()
    at = content.index(b"\x10\x00\x10\x00PN")
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(content[:at] + opening * 50_000)


def cut(path: Path) -> None:
    write(path, dataset(NOISE))
    path.write_bytes(path.read_bytes()[:-1000])


def cut_in_header(path: Path) -> None:
    write(path, dataset(NOISE))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(SECRET.encode()) + 3])


def huge_claim(path: Path) -> None:
    write(path, dataset(NOISE, Rows=65535, Columns=65535))


def encrypted(path: Path) -> None:
    path.write_bytes(bytes.fromhex("3082010006092a864886f70d010703a0") + os.urandom(500))


def report(path: Path) -> None:
    ds = dataset(NOISE)
    del ds.PixelData
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    write(path, ds)


def loop(path: Path) -> None:
    path.symlink_to(path)


HOSTILE: dict[str, tuple[Any, str]] = {
    "deflate bomb": (deflate_bomb, "too-large"),
    "lying length": (lying_length, "truncated"),
    "nested sequences": (nested_sequences, "nested-too-deep"),
    "cut": (cut, "truncated"),
    "cut in header": (cut_in_header, "truncated"),
    "huge claim": (huge_claim, "too-large"),
    "encrypted": (encrypted, "encrypted"),
    "report": (report, "no-pixels"),
    "no bytes": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("FINDINGS: none.\n" * 40), "not-a-scan"),
    "program": (lambda path: path.write_bytes(b"\x7fELF" + os.urandom(4000)), "not-a-scan"),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "not-a-scan"),
    "only a preamble": (lambda path: path.write_bytes(bytes(128) + b"DICM"), "truncated"),
    "empty folder": (lambda path: path.mkdir(), "empty"),
    "pipe": (os.mkfifo, "not-a-file"),
    "loop of links": (loop, "not-a-file"),
    "nothing": (lambda path: None, "not-found"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_and_the_next_is_read(
    kind: str, tmp_path: Path, reader: ScanReader
) -> None:
    make, reason = HOSTILE[kind]
    make(tmp_path / "x")
    with pytest.raises(ScanError) as caught:
        reader.read(tmp_path / "x")
    assert caught.value.reason == reason
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    good = reader.read(write(tmp_path / "good.dcm", dataset(NOISE)))
    np.testing.assert_array_equal(good.pixels, NOISE)


def test_an_executable_in_the_preamble_is_never_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", dataset(NOISE))
    path.write_bytes((b"MZ\x90\0" * 32) + path.read_bytes()[128:])
    np.testing.assert_array_equal(read_scan(path).pixels, NOISE)


def test_a_uid_with_a_path_in_it_writes_nothing(tmp_path: Path, reader: ScanReader) -> None:
    ds = dataset(NOISE)
    ds["StudyInstanceUID"]._value = "../../x"
    path = tmp_path / "a.dcm"
    ds.save_as(path, implicit_vr=False, little_endian=True)
    reader.read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.dcm"]


def test_more_memory_than_allowed_is_refused(tmp_path: Path) -> None:
    Image.new("L", (12_000, 12_000)).save(tmp_path / "big.png", compress_level=1)
    Image.new("L", (12, 12)).save(tmp_path / "small.png")
    with ScanReader(Limits(memory_bytes=2**28)) as reader:
        with pytest.raises(ScanError) as caught:
            reader.read(tmp_path / "big.png")
        assert caught.value.reason == "too-large"
        assert reader.read(tmp_path / "small.png").pixels.shape == (12, 12)


def test_more_time_than_allowed_is_refused_and_the_worker_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", dataset(NOISE))
    with ScanReader(Limits(seconds=0.5)) as reader:
        reader.header(path)
        worker = reader._idle.queue[0]
        first = worker._process
        assert first is not None
        os.kill(first.pid, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(ScanError) as caught:
            reader.read(path)
        assert caught.value.reason == "timeout"
        assert time.monotonic() - start < 10
        assert first.poll() is not None
        assert reader.header(path).rows == 64


def test_a_crash_of_the_worker_is_refused_and_the_worker_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", dataset(NOISE))
    with ScanReader() as reader:
        reader.header(path)
        worker = reader._idle.queue[0]
        first = worker._process
        assert first is not None
        os.kill(first.pid, signal.SIGSTOP)
        os.kill(first.pid, signal.SIGSEGV)
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(0.2)
        try:
            reader.read(path)  # replaced before it was asked
        except ScanError as error:
            assert error.reason == "decoder-crashed"
        np.testing.assert_array_equal(reader.read(path).pixels, NOISE)


def test_a_closed_reader_leaves_no_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", dataset(NOISE))
    with ScanReader(workers=2) as reader:
        list(reader.map("header", [path] * 4))
        processes = [worker._process for worker in reader._idle.queue]
    assert all(process is None or process.poll() is not None for process in processes)


def test_map_answers_in_order_and_yields_errors(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.dcm", dataset(np.full((2, 2), i, np.uint16))) for i in range(9)]
    paths.insert(4, tmp_path / "none.dcm")
    with ScanReader(workers=2) as reader:
        scans = list(reader.map("read", paths))
        assert [float(s.pixels[0, 0]) for s in scans if isinstance(s, Scan)] == list(range(9))
        assert isinstance(scans[4], ScanError)
        assert scans[4].where == str(tmp_path / "none.dcm")
        headers = list(reader.map("inspect", paths[:2]))
        assert all(isinstance(h, ScanHeader) and h.rows == 2 for h in headers)
        (one,) = reader.map("read", [(paths[1], 0)])
        assert isinstance(one, Scan)


def test_a_worker_gives_what_this_process_gives(reader: ScanReader) -> None:
    path = SAMPLES / "CT_small.dcm"
    here, there = read_scan(path), reader.read(path)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    for name in ("spacing_mm", "units", "modality", "view", "windows", "voi_luts", "study_uid"):
        assert getattr(here, name) == getattr(there, name)
    assert here.instance_uids == there.instance_uids


def test_inspect_finds_what_the_header_hides(tmp_path: Path, reader: ScanReader) -> None:
    path = tmp_path / "a.dcm"
    cut(path)
    assert reader.header(path).rows == 64
    with pytest.raises(ScanError):
        reader.inspect(path)


def test_a_worker_loads_neither_torch_nor_pandas(tmp_path: Path, reader: ScanReader) -> None:
    reader.header(write(tmp_path / "a.dcm", dataset(NOISE)))
    process = reader._idle.queue[0]._process
    assert process is not None
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        pytest.skip("no /proc on this system")
    assert not any(name in maps.read_text() for name in ("torch", "pandas", "faiss"))


MUTATED = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "examples_palette.dcm",
    "liver_1frame.dcm",
]


def mutate_and_read(reader: ScanReader, path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray((SAMPLES / MUTATED[seed % len(MUTATED)]).read_bytes())
    for _ in range(int(rng.integers(1, 12))):
        at = int(rng.integers(132, len(content)))
        content[at] = int(rng.integers(256))
    if rng.random() < 0.2:
        del content[int(rng.integers(200, len(content))) :]
    path.write_bytes(content)
    try:
        scan = reader.read(path)
    except ScanError as error:
        assert error.reason
        assert "Traceback" not in str(error)
        assert "\n" not in str(error)
    else:
        assert np.isfinite(scan.pixels).all()


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutated_file_is_read_or_refused(seed: int, tmp_path: Path, reader: ScanReader) -> None:
    mutate_and_read(reader, tmp_path / "x.dcm", seed)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_thousands_of_mutated_files_are_read_or_refused(
    seed: int, tmp_path: Path, reader: ScanReader
) -> None:
    mutate_and_read(reader, tmp_path / "x.dcm", seed)


@given(content=st.binary(max_size=600))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_after_dicm_are_read_or_refused(
    content: bytes, tmp_path: Path, reader: ScanReader
) -> None:
    (tmp_path / "x").write_bytes(bytes(128) + b"DICM" + content)
    with pytest.raises(ScanError):
        reader.read(tmp_path / "x")
