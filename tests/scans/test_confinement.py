"""What a worker can still do, asked of the process itself."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from scans.dicom_samples import SECRET, dataset, write
from scans.golden import expected_refusals
from scans.reference import path_of, samples

from medembed.errors import ScanError
from medembed.scans import Limits, ScanReader, read_scan
from medembed.scans.read import inspect_file
from medembed.scans.worker_process import _environment
from medembed.telemetry import SILENT

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux confines")

# What a decoder that a file has taken over would try: each answers how it ended.
_ATTEMPTS = r"""
import ctypes, json, os, socket, subprocess, sys
from medembed.scans.worker import prepare
known, unix = sys.argv[1], sys.argv[2]
inherited = sorted(os.listdir("/proc/self/fd"))
measures = prepare(2**30)

def attempt(what):
    try:
        return "done: " + str(what())[:40]
    except BaseException as error:
        return type(error).__name__

def connect(family, where, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(2)
        s.connect(where)
        return s.send(b"x")

def kill():
    os.kill(int(sys.argv[3]), 0)

libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps({
    "measures": measures,
    "read": attempt(lambda: open(known).read()),
    "read /etc": attempt(lambda: open("/etc/passwd").read()),
    "list": attempt(lambda: os.listdir("/home")),
    "write": attempt(lambda: open(known + ".new", "w")),
    "remove": attempt(lambda: os.unlink(known)),
    "make": attempt(lambda: os.mkdir(known + ".d")),
    "run": attempt(lambda: subprocess.run(["/bin/true"], check=True)),
    "tcp": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", int(sys.argv[4])))),
    "udp": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", 9), socket.SOCK_DGRAM)),
    "unix": attempt(lambda: connect(socket.AF_UNIX, unix)),
    "signal": attempt(kill),
    "new privileges": libc.prctl(39, 0, 0, 0, 0),
    "environment": sorted(os.environ),
}))
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("confined")
    known = folder / "known"
    known.write_text("something")
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        unix.bind(str(folder / "s"))
        unix.listen()
        arguments = [known, folder / "s", os.getpid(), tcp.getsockname()[1]]
        done = subprocess.run(
            [sys.executable, "-P", "-c", _ATTEMPTS, *map(str, arguments)],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert known.read_text() == "something"
    assert sorted(p.name for p in folder.iterdir()) == ["known", "s"]
    return answer


def needs(tried: dict[str, Any], *measures: str) -> None:
    if not set(measures) & set(tried["measures"]):
        pytest.skip(f"this kernel grants none of {', '.join(measures)}")


@linux
@pytest.mark.parametrize("what", ["read", "read /etc", "list", "write", "remove", "make", "run"])
def test_no_file_can_be_opened_written_or_run(tried: dict[str, Any], what: str) -> None:
    needs(tried, "landlock", "empty-root")
    assert not tried[what].startswith("done"), tried[what]


@linux
def test_no_connection_can_be_made(tried: dict[str, Any]) -> None:
    needs(tried, "landlock", "namespaces")
    assert not tried["tcp"].startswith("done")
    if "namespaces" in tried["measures"]:
        assert not tried["udp"].startswith("done")
    if "empty-root" in tried["measures"]:
        assert not tried["unix"].startswith("done")


@linux
def test_no_new_privileges_and_no_signals(tried: dict[str, Any]) -> None:
    assert tried["new privileges"] == 1
    needs(tried, "landlock", "namespaces")
    assert not tried["signal"].startswith("done")


def test_the_environment_holds_only_what_python_needs(
    tried: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", SECRET)
    monkeypatch.setenv("HOME", "/tmp/somebody")
    assert SECRET not in str(_environment())
    assert not {"SECRET_TOKEN", "HOME", "PATH", "USER"} & set(_environment())
    # the gdcm package sets one for itself, and ours turns reports to makers off
    known = {*_environment(), "LC_CTYPE", "PYTHONHOME", "LD_LIBRARY_PATH", "GDCM_RESOURCES_PATH"}
    known |= SILENT.keys()
    assert set(tried["environment"]) <= known


@pytest.fixture(scope="module")
def reader() -> Iterator[ScanReader]:
    with ScanReader(Limits(memory_bytes=2**29)) as reader:
        yield reader


@linux
def test_a_worker_inherits_no_descriptor(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file, ScanReader() as reader:
        os.set_inheritable(file.fileno(), True)
        reader.confinement()
        process = reader._idle.queue[0]._process
        assert process is not None
        links = [str(p.readlink()) for p in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert sorted(link.partition(":")[0] for link in links) == [
            "/dev/null", "/dev/null", "/dev/null", "socket",
        ]  # fmt: skip
        assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1


@linux
def test_a_reader_says_what_confines_its_workers(reader: ScanReader) -> None:
    assert {"limits", "no-new-privileges"} <= set(reader.confinement())


@linux
def test_a_confined_worker_reads_every_sample_as_this_process_does(reader: ScanReader) -> None:
    """Nothing that a decoder loads late is out of its reach."""
    refused = expected_refusals()
    names = [name for name in samples() if name.startswith("pydicom/")]
    for name in names:
        if name in refused:
            with pytest.raises(ScanError) as caught:
                reader.inspect(path_of(name))
            assert caught.value.reason == refused[name]
        else:
            assert reader.inspect(path_of(name)) == inspect_file(path_of(name))


@linux
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_confined_worker_reads_nifti(tmp_path: Path, reader: ScanReader, suffix: str) -> None:
    import nibabel as nib

    path = tmp_path / f"a{suffix}"
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        nib.save(kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), path)
        np.testing.assert_array_equal(reader.read(path).pixels, read_scan(path).pixels)
    path.write_bytes(gzip.compress(b"nothing" * 100))
    with pytest.raises(ScanError):
        reader.read(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 87"])
def test_a_confined_worker_knows_all_charsets(
    tmp_path: Path, reader: ScanReader, charset: str
) -> None:
    ds = dataset(np.zeros((2, 2), np.uint8), SpecificCharacterSet=charset, PatientName="Anna^Li")
    header = reader.header(write(tmp_path / "a", ds))
    assert header.names[:2] == ("Anna", "Li")


def test_a_worker_is_sent_no_names(tmp_path: Path) -> None:
    folder = tmp_path / f"{SECRET}^Anna"
    folder.mkdir()
    path = write(folder / "a.dcm", dataset(np.arange(4, dtype=np.uint8).reshape(2, 2)))
    with ScanReader() as reader:
        reader.confinement()
        channel = reader._idle.queue[0]._channel
        assert channel is not None
        sent: list[bytes] = []

        class Listening:
            def __getattr__(self, name: str) -> Any:
                return getattr(channel, name)

            def sendall(self, content: bytes) -> None:
                sent.append(content)
                channel.sendall(content)

        reader._idle.queue[0]._channel = Listening()  # type: ignore[assignment]
        assert reader.read(path).pixels.shape == (2, 2)
        with pytest.raises(ScanError) as caught:
            reader.read(folder / "missing.dcm")
    assert caught.value.where == str(folder / "missing.dcm")
    assert len(sent) >= 2
    assert SECRET.encode() not in b"".join(sent)


@linux
def test_a_deflate_bomb_is_stopped_before_it_is_built(tmp_path: Path) -> None:
    path = write(
        tmp_path / "bomb", dataset(np.zeros((4, 4), np.uint8)), DeflatedExplicitVRLittleEndian
    )
    content = path.read_bytes()
    start = content.index(DeflatedExplicitVRLittleEndian.encode()) + 22
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = squeeze.compress(bytes(2**24)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(content[:start] + block * 128 + squeeze.flush())
    with ScanReader(Limits(memory_bytes=2**30)) as reader:
        reader.confinement()
        process = reader._idle.queue[0]._process
        assert process is not None
        idle = peak_bytes(process.pid)
        request = {"task": "read", "n_files": 1, "frame": None}
        # not by ask, which ends a worker that has met a bomb
        answer, _ = reader._idle.queue[0]._exchange(process, request, [str(path)], 60)
        assert answer["error"]["reason"] == "too-large"
        # 256 MiB are allowed, and grow by an eighth at a time
        assert peak_bytes(process.pid) - idle < 400 * 2**20


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
