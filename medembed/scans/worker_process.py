"""One worker process, seen from its parent."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.errors import InternalError, ScanError
from medembed.scans.limits import Limits
from medembed.scans.safe_open import check_size, open_descriptor
from medembed.scans.worker_protocol import Json

__all__ = ["WorkerProcess"]

_START_SECONDS = 120.0
_MAX_ANSWER_BYTES = 2**26
_SOURCES = Path(__file__).parents[2]
_KEPT = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "__PYVENV_LAUNCHER__")


class _GoneError(Exception):
    """The worker closed its connection."""


class _LateError(Exception):
    """The worker did not answer in time."""


class WorkerProcess:
    """A worker process that is started on first use and replaced if it dies or hangs.

    It is a separate Python process and not a fork, which would inherit the parent's open files, its
    secrets in memory and its threads' locks. One request at a time.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._measures: tuple[str, ...] = ()
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[..., WorkerProcess] | None = None

    def measures(self) -> tuple[str, ...]:
        """Measures in force (:func:`medembed.scans.confinement.confine`)."""
        with self._lock:
            self._running()
            return self._measures

    def ask(
        self, request: Json, files: Sequence[str], *, seconds: float
    ) -> tuple[Json, npt.NDArray[np.float32] | None]:
        """Send one request and wait for the answer.

        Parameters
        ----------
        request : dict
        files : sequence of str
            Files that the worker can request by number; it receives open files, not names.
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
                answer, pixels = self._exchange(process, request, files, seconds)
            except _LateError:
                self.stop()
                raise ScanError(
                    f"reading this file takes longer than {seconds:g} s",
                    reason="timeout",
                ) from None
            except _GoneError:
                self.stop()
                raise _death(process.returncode) from None
            except BaseException:
                self.stop()  # interrupted in the middle of an answer: the rest would come next
                raise
            if answer.get("error", {}).get("reason") == "too-large":
                self.stop()  # its heap may be corrupt
            return answer, pixels

    def stop(self) -> None:
        """Stop the process, if it is running."""
        if self._finalizer is not None:
            self._finalizer()
            self._finalizer = None
        self._process = self._channel = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        channel, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "medembed.scans.worker",
                    str(self.limits.memory_bytes),
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders quote headers there
                start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
                env=_environment(),
            )
        self._process, self._channel = process, channel
        self._finalizer = weakref.finalize(self, _end, process, channel)
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        try:
            ready = self._message(process, channel, time.monotonic() + _START_SECONDS)
        except (_GoneError, _LateError):
            self.stop()
            raise InternalError(
                "the scan reading process does not start",
                hint="try: python -m medembed.scans.worker",
            ) from None
        if not ready.get("ready"):
            raise InternalError("the scan reading process sent an unexpected answer")
        self._measures = tuple(str(measure) for measure in ready.get("measures", ()))
        return process

    def _exchange(
        self,
        process: subprocess.Popen[bytes],
        request: Json,
        files: Sequence[str],
        seconds: float,
    ) -> tuple[Json, npt.NDArray[np.float32] | None]:
        channel = self._channel
        if channel is None:
            raise InternalError("a worker has no channel")
        deadline = time.monotonic() + seconds
        try:
            _send(channel, {**request, "seconds": math.ceil(seconds)})
            answer = self._message(process, channel, deadline)
            while "open" in answer:
                _send_file(channel, files[int(answer["open"])])
                answer = self._message(process, channel, deadline)
        except (OSError, IndexError, TypeError, ValueError):  # it is dead or compromised
            raise _GoneError from None
        if "shape" not in answer:
            return answer, None
        shape = tuple(int(length) for length in answer["shape"])
        check_size(*shape)
        pixels = np.empty(shape, np.float32)
        self._fill(process, channel, pixels.reshape(-1).view(np.uint8).data, deadline)
        pixels.setflags(write=False)  # else Scan would copy it
        return answer, pixels

    def _message(
        self, process: subprocess.Popen[bytes], channel: socket.socket, deadline: float
    ) -> Json:
        head = bytearray(8)
        self._fill(process, channel, memoryview(head), deadline)
        length = int.from_bytes(head, "little")
        if length > _MAX_ANSWER_BYTES:
            raise _GoneError
        body = bytearray(length)
        self._fill(process, channel, memoryview(body), deadline)
        try:
            answer: Json = json.loads(body)
        except ValueError:
            raise _GoneError from None
        return answer

    def _fill(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        view: memoryview,
        deadline: float,
    ) -> None:
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(math.ceil(left * 1000)):
                raise _LateError
            try:
                chunk = channel.recv_into(view)  # 0 at the end
            except ConnectionError:
                chunk = 0
            if chunk == 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
                raise _GoneError
            view = view[chunk:]


def _environment() -> dict[str, str]:
    """Return only the variables that Python needs for imports: others may hold a secret."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    paths = [str(_SOURCES), kept.get("PYTHONPATH", "")]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        # a second thread would not be confined
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _send(channel: socket.socket, message: Json) -> None:
    body = json.dumps(message).encode()
    channel.sendall(len(body).to_bytes(8, "little") + body)


def _send_file(channel: socket.socket, path: str) -> None:
    """Send an open file, or the reason why it cannot be opened."""
    try:
        descriptor = open_descriptor(path)
    except ScanError as error:
        channel.sendall(b"E")
        _send(channel, {"what": error.what, "hint": error.hint, "reason": error.reason})
        return
    try:
        socket.send_fds(channel, [b"F"], [descriptor])
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes], channel: socket.socket) -> None:
    channel.close()
    if process.poll() is None:
        process.kill()
    process.wait()


def _death(returncode: int | None) -> ScanError:
    if returncode == -signal.SIGKILL:  # by the kernel, when memory ran out
        return ScanError("reading this file needs more memory than available", reason="too-large")
    if returncode == -signal.SIGALRM:
        return ScanError("reading this file takes too long", reason="timeout")
    return ScanError("this file crashes its decoder", reason="decoder-crashed")
