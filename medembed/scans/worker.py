"""The process that decodes: ``python -m medembed.scans.worker MEMORY_BYTES``.

Requests come on stdin, answers go to what was stdout: 8 bytes of length (little endian), JSON, and
after a scan its pixels as float32.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from medembed.errors import ScanError
from medembed.scans.messages import Json, header_to_json, scan_to_json
from medembed.scans.reading import inspect_file, read_header, read_scan
from medembed.scans.scan import Scan

__all__ = ["main"]

_WARM = (
    "medembed.scans.dicom_header",
    "medembed.scans.dicom_scan",
    "medembed.scans.plain_image",
    "pydicom.pixels.decoders",
)
_GRACE_SECONDS = 5


def main() -> None:
    """Answer requests until the parent closes its end."""
    memory_bytes = int(sys.argv[1])
    source, target = _own_pipes()
    for name in _WARM:
        import_module(name)
    _limit(memory_bytes)
    _send(target, {"ready": True})
    while True:
        head = source.read(8)
        if len(head) < 8:
            return
        request = json.loads(source.read(int.from_bytes(head, "little")))
        # the parent counts the time; this ends a worker whose parent was killed
        signal.alarm(request["seconds"] + _GRACE_SECONDS)
        answer, scan = _answer(request)
        _send(target, answer)
        if scan is not None:
            target.write(scan.pixels.data.cast("B"))
        target.flush()
        signal.alarm(0)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take stdin and stdout for the protocol, so that what a decoder prints goes nowhere."""
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return source, target


def _limit(memory_bytes: int) -> None:
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the patient's data
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux the limit is not enforced
        idle = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (idle + memory_bytes,) * 2)


def _answer(request: Json) -> tuple[Json, Scan | None]:
    files = request["files"][0] if request["single"] else request["files"]
    try:
        if request["task"] == "read":
            scan = read_scan(files, frame=request["frame"])
            return scan_to_json(scan), scan
        read = inspect_file if request["task"] == "inspect" else read_header
        return header_to_json(read(files)), None
    except ScanError as error:
        problem = {"what": error.what, "where": error.where, "hint": error.hint}
        return {"error": {**problem, "reason": error.reason}}, None


def _send(target: BinaryIO, message: Json) -> None:
    body = json.dumps(message).encode()
    target.write(len(body).to_bytes(8, "little") + body)
    target.flush()


if __name__ == "__main__":
    main()
