"""Serve a library over HTTP until stopped: one or several workers on one socket."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from apps.service.settings import ServiceSettings
from medembed.errors import InputError, InternalError
from medembed.library import CaseLibrary

__all__ = ["start"]

_GRACE_SECONDS = 20
_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_START_SECONDS = 120.0
_UNREAD_SECONDS = 120
"""After this long, the kernel drops a connection whose client reads nothing of what was sent."""


def start(settings: ServiceSettings, opened: Callable[[str], None]) -> None:
    """Serve a library until SIGINT or SIGTERM; requests that are being answered are finished.

    Parameters
    ----------
    settings : ServiceSettings
    opened : callable
        Called with the address once the service answers.

    Raises
    ------
    InputError
        If the address is not free, a package is missing, or nothing says who may see what.
    LibraryError
        If the folder is not a library.
    """
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if not find_spec(name)]
    if missing:  # not imported here: prometheus_client reads the folder below at its import
        raise InputError(f"the service needs {missing[0]}", hint="pip install 'medembed[service]'")
    CaseLibrary.open(settings.library).close()  # fail before anything starts
    with tempfile.TemporaryDirectory(prefix="medembed-serve-") as folder:
        shared = Path(folder) / "metrics"
        shared.mkdir()
        settings = replace(settings, run_folder=Path(folder), library=settings.library.resolve())
        # read by prometheus_client at its import, here or in the workers
        os.environ[_SHARED_FOLDER] = str(shared)
        os.environ.update(settings.to_environment())
        _share_cores(settings.workers)
        _run(settings, opened)


def _run(settings: ServiceSettings, opened: Callable[[str], None]) -> None:
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    from apps.logged_errors import strip_error_messages
    from apps.service.guard import guarded

    guarded(_nothing, settings)  # refuses an address without access before a worker starts
    strip_error_messages()
    listening = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        "apps.service.application:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level="error",
        access_log=False,  # addresses name cases
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_worker_healthcheck=60,  # a worker that loads a model may not answer for a while
        lifespan="on",
        ws="none",
    )
    with listening:
        address = _address(settings)
        stopping = threading.Event()
        waiting = threading.Thread(
            target=_tell, args=(settings, lambda: opened(address), stopping), daemon=True
        )
        waiting.start()
        try:
            if settings.workers == 1:
                with suppress(KeyboardInterrupt), _ending_by_interrupt():
                    uvicorn.Server(config).run(sockets=[listening])
            else:
                workers = Multiprocess(config, sockets=[listening])
                workers.run()
                if any(one.exitcode == STARTUP_FAILURE for one in workers.processes):
                    raise SystemExit(STARTUP_FAILURE)
        except SystemExit:
            raise InternalError("the service did not start; its log says where") from None
        finally:
            stopping.set()
            waiting.join()


@contextmanager
def _ending_by_interrupt() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does: uvicorn raises it again after its shutdown."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _nothing(*_: object) -> None:
    """Stand for the application where only what guards it is checked."""


def _share_cores(workers: int) -> None:
    """Let the threads of all workers together be as many as there are cores."""
    if workers > 1:
        each = max(1, (os.cpu_count() or 1) // workers)
        os.environ.setdefault("OMP_NUM_THREADS", str(each))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # its protocol is named: only on a socket that it knows as TCP, asyncio sends answers at once
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; each connection has it from here
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _UNREAD_SECONDS)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen on {host} port {port} ({(error.strerror or 'refused').lower()})",
            hint="is a service already running? choose another port with --port",
        ) from None
    listening.set_inheritable(True)
    return listening


def _address(settings: ServiceSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _tell(settings: ServiceSettings, opened: Callable[[], None], stopping: threading.Event) -> None:
    """Call back once the service answers."""
    end = time.monotonic() + _START_SECONDS
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    while time.monotonic() < end and not stopping.wait(0.05):
        connection = http.client.HTTPConnection(host, settings.port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            opened()
            return
        connection.close()
