"""The decoding process: ``python -m medembed.scans.worker MEMORY_BYTES``.

It communicates over the socket that is its stdin. A request states the number of files, not their
names: the worker asks for a file by number, and the parent sends an open descriptor. An answer is 8
bytes of length (little endian) and JSON, and after a scan its pixels as float32.
"""

from __future__ import annotations

import codecs
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from medembed.errors import ScanError
from medembed.scans.confinement import confine
from medembed.scans.header import ScanHeader
from medembed.scans.read import header_from, inspect_from, scan_from
from medembed.scans.safe_open import BoundedFile, Opener, file_from
from medembed.scans.scan import Scan
from medembed.scans.worker_protocol import Json, header_to_json, scan_to_json

__all__ = ["main", "prepare"]

# Everything needed for any file: nothing can be imported once the process is confined.
_WARM = (
    "medembed.scans.dicom_header",
    "medembed.scans.dicom_scan",
    "medembed.scans.jpeg_extended",
    "medembed.scans.nifti",
    "medembed.scans.plain_image",
    "pydicom.pixels.decoders",
    "PIL.JpegImagePlugin",
    "PIL.MpoImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.TiffImagePlugin",
    "nibabel",
    "numpy.ma",
    "gdcm",
    "jpeg_ls",
    "openjpeg",
    "rle",
)
_GRACE_SECONDS = 5


def main() -> None:
    """Answer requests until the parent closes its end."""
    channel = _own_socket()
    measures = prepare(int(sys.argv[1]))
    _send(channel, {"ready": True, "measures": measures})
    while True:
        head = _receive(channel, 8)
        if len(head) < 8:
            return
        request = json.loads(_receive(channel, int.from_bytes(head, "little")))
        # the parent counts the time; this ends a worker whose parent was killed
        signal.alarm(request["seconds"] + _GRACE_SECONDS)
        answer, scan = _answer(request, channel)
        _send(channel, answer)
        if scan is not None:
            channel.sendall(scan.pixels.data.cast("B"))
        signal.alarm(0)


def prepare(memory_bytes: int) -> tuple[str, ...]:
    """Import everything for decoding, then give up all other rights.

    Parameters
    ----------
    memory_bytes : int
        Address space on top of what is in use now.

    Returns
    -------
    tuple of str
        See :func:`medembed.scans.confinement.confine`.
    """
    _warm_up()
    _limit(memory_bytes)
    return confine()


def _own_socket() -> socket.socket:
    """Use stdin for the protocol and close other inherited descriptors.

    Output of decoders is discarded.
    """
    channel = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    keep = channel.fileno()
    os.closerange(3, keep)
    os.closerange(keep + 1, 2**16)
    return channel


def _warm_up() -> None:
    for name in _WARM:
        import_module(name)
    from PIL import Image
    from pydicom.charset import python_encoding
    from pydicom.pixels.decoders.base import get_decoder

    from medembed.scans.dicom_pixels import DECODERS

    Image.preinit()
    for syntax in DECODERS:
        get_decoder(syntax)
    for encoding in python_encoding.values():
        codecs.lookup(encoding)


def _limit(memory_bytes: int) -> None:
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the patient's data
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux the limit is not enforced
        idle = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (idle + memory_bytes,) * 2)


def _answer(request: Json, channel: socket.socket) -> tuple[Json, Scan | None]:
    names = [str(i) for i in range(request["n_files"])]
    opener = _asking(channel)
    try:
        if request["task"] == "read":
            scan = scan_from(names, request["frame"], opener, where="")
            return scan_to_json(scan), scan
        read = inspect_from if request["task"] == "inspect" else header_from
        return header_to_json(read(names[0], opener)), None
    except ScanError as error:
        problem: Json = {"what": error.what, "where": error.where, "hint": error.hint}
        if isinstance(error.header, ScanHeader):
            problem["header"] = header_to_json(error.header)
        return {"error": {**problem, "reason": error.reason}}, None


def _asking(channel: socket.socket) -> Opener:
    """Files by their number in the request, opened by the parent."""

    @contextmanager
    def opened(name: str | Path) -> Iterator[BoundedFile]:
        _send(channel, {"open": int(str(name))})
        # one byte, which carries the descriptor
        sign, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not sign:
            raise SystemExit  # the parent is gone
        if not descriptors:
            problem = json.loads(_receive(channel, int.from_bytes(_receive(channel, 8), "little")))
            raise ScanError(problem["what"], hint=problem["hint"], reason=problem["reason"])
        with file_from(descriptors[0]) as file:
            yield file

    return opened


def _receive(channel: socket.socket, size: int) -> bytes:
    """Read exactly this many bytes; fewer if the parent is gone."""
    content = bytearray()
    while len(content) < size:
        piece = channel.recv(size - len(content))
        if not piece:
            break
        content += piece
    return bytes(content)


def _send(channel: socket.socket, message: Json) -> None:
    body = json.dumps(message).encode()
    channel.sendall(len(body).to_bytes(8, "little") + body)


if __name__ == "__main__":
    main()
