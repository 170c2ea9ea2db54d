"""One worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.errors import InternalError, ScanError
from medembed.scans.files import check_size
from medembed.scans.limits import Limits
from medembed.scans.messages import Json

__all__ = ["WorkerProcess"]

_START_SECONDS = 120.0
_MAX_ANSWER_BYTES = 2**26
_SOURCES = Path(__file__).parents[2]


class _GoneError(Exception):
    """The worker has closed its end."""


class _LateError(Exception):
    """The worker has not answered in time."""


class WorkerProcess:
    """A worker that is started when first asked, and replaced once it has died or hung.

    It is a Python of its own and not a fork: a fork would inherit the parent's open files, its
    secrets in memory and its threads' locks. One request at a time.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[..., WorkerProcess] | None = None

    def ask(self, request: Json, *, seconds: float) -> tuple[Json, npt.NDArray[np.float32] | None]:
        """Send one request and wait for its answer.

        Parameters
        ----------
        request : dict
        seconds : float
            How long to wait.

        Returns
        -------
        answer : dict
        pixels : float32 array or None

        Raises
        ------
        ScanError
            ``timeout``, ``too-large`` or ``decoder-crashed``.
        """
        with self._lock:
            process = self._running()
            try:
                answer, pixels = self._exchange(process, request, seconds)
            except _LateError:
                self.stop()
                raise ScanError(
                    f"reading this takes longer than {seconds:g} s",
                    reason="timeout",
                ) from None
            except _GoneError:
                self.stop()
                raise _death(process.returncode) from None
            except BaseException:
                self.stop()  # interrupted in the middle of an answer: the rest would come next
                raise
            if answer.get("error", {}).get("reason") == "too-large":
                self.stop()  # its heap may be left in pieces
            return answer, pixels

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._finalizer is not None:
            self._finalizer()
            self._finalizer = None
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        paths = [str(_SOURCES), os.environ.get("PYTHONPATH", "")]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "medembed.scans.worker", str(self.limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders quote headers there
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in paths if path),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        self._process = process
        self._finalizer = weakref.finalize(self, _end, process)
        self._poll = select.poll()
        self._poll.register(_output(process), select.POLLIN)
        try:
            ready = self._message(process, time.monotonic() + _START_SECONDS)
        except (_GoneError, _LateError):
            self.stop()
            raise InternalError(
                "the process that reads scans does not start",
                hint="try: python -m medembed.scans.worker",
            ) from None
        if not ready.get("ready"):
            raise InternalError("the process that reads scans answers out of turn")
        return process

    def _exchange(
        self, process: subprocess.Popen[bytes], request: Json, seconds: float
    ) -> tuple[Json, npt.NDArray[np.float32] | None]:
        body = json.dumps({**request, "seconds": math.ceil(seconds)}).encode()
        deadline = time.monotonic() + seconds
        try:
            _write(process, len(body).to_bytes(8, "little") + body)
        except OSError:
            raise _GoneError from None
        answer = self._message(process, deadline)
        if "shape" not in answer:
            return answer, None
        shape = tuple(int(length) for length in answer["shape"])
        check_size(*shape)
        pixels = np.empty(shape, np.float32)
        self._fill(process, pixels.reshape(-1).view(np.uint8).data, deadline)
        pixels.setflags(write=False)  # or Scan would copy it
        return answer, pixels

    def _message(self, process: subprocess.Popen[bytes], deadline: float) -> Json:
        head = bytearray(8)
        self._fill(process, memoryview(head), deadline)
        length = int.from_bytes(head, "little")
        if length > _MAX_ANSWER_BYTES:
            raise _GoneError
        body = bytearray(length)
        self._fill(process, memoryview(body), deadline)
        try:
            answer: Json = json.loads(body)
        except ValueError:
            raise _GoneError from None
        return answer

    def _fill(self, process: subprocess.Popen[bytes], view: memoryview, deadline: float) -> None:
        descriptor = _output(process)
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(math.ceil(left * 1000)):
                raise _LateError
            chunk = os.readv(descriptor, [view])  # 0 at the end
            if chunk == 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
                raise _GoneError
            view = view[chunk:]


def _output(process: subprocess.Popen[bytes]) -> int:
    if process.stdout is None:
        raise InternalError("a worker without an output")
    return process.stdout.fileno()


def _write(process: subprocess.Popen[bytes], content: bytes) -> None:
    if process.stdin is None:
        raise InternalError("a worker without an input")
    view = memoryview(content)
    while view:
        view = view[process.stdin.write(view) :]


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if process.poll() is None:
        process.kill()
    process.wait()


def _death(returncode: int | None) -> ScanError:
    if returncode == -signal.SIGKILL:  # by the kernel, where memory has run out
        return ScanError("reading this takes more memory than there is", reason="too-large")
    if returncode == -signal.SIGALRM:
        return ScanError("reading this takes too long", reason="timeout")
    return ScanError("this file crashes its decoder", reason="decoder-crashed")
