"""Reading of untrusted files in worker processes with memory and time limits."""

from __future__ import annotations

import math
import queue
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, cast

from medembed.errors import ScanError
from medembed.scans.header import ScanHeader
from medembed.scans.limits import Limits
from medembed.scans.read import Files, listed
from medembed.scans.scan import Scan
from medembed.scans.worker_process import WorkerProcess
from medembed.scans.worker_protocol import header_from_json, scan_from_json

__all__ = ["ScanReader"]

Task = Literal["read", "header", "inspect"]
Item = Files | tuple[Files, int | None]


class ScanReader:
    """Reads scans in worker processes, so that a hostile file can harm only a worker.

    A file that takes too much memory or time, or that crashes its decoder, is refused with a
    :class:`~medembed.errors.ScanError`, and its worker is replaced. Workers start when first
    needed, import no more than numpy, pydicom, its decoders, Pillow and nibabel, and live until
    :meth:`close`. They receive open files, not names, and cannot open, write or run anything if the
    kernel can forbid it (:meth:`confinement`). They answer with JSON and raw pixels, never
    with a pickle. Can be used from several threads.

    Parameters
    ----------
    limits : Limits, optional
        For one call: one file, or the files of one volume.
    workers : int, optional
        How many files are read at the same time.

    Examples
    --------
    >>> with ScanReader(Limits(seconds=10)) as reader:
    ...     try:
    ...         scan = reader.read("missing.dcm")
    ...     except ScanError as error:
    ...         error.reason
    'not-found'
    """

    def __init__(self, limits: Limits | None = None, workers: int = 1) -> None:
        if workers < 1:
            raise ScanError("a reader needs at least one worker")
        self.limits = limits or Limits()
        self.workers = workers
        self._idle: queue.LifoQueue[WorkerProcess] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(WorkerProcess(self.limits))

    def __enter__(self) -> ScanReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers. A later call starts new ones."""
        resting = []
        while not self._idle.empty():
            resting.append(self._idle.get())
        for worker in resting:
            worker.stop()
            self._idle.put(worker)

    def confinement(self) -> tuple[str, ...]:
        """Confinement of a worker on this machine, besides memory and time limits.

        Returns
        -------
        tuple of str
            See :func:`medembed.scans.confinement.confine`.
        """
        worker = self._idle.get()
        try:
            return worker.measures()
        finally:
            self._idle.put(worker)

    def read(self, files: Files, frame: int | None = None) -> Scan:
        """Read one image or one volume, like :func:`medembed.scans.read_scan`.

        Raises
        ------
        ScanError
        """
        return cast(Scan, self._ask("read", files, frame))

    def header(self, file: str | Path) -> ScanHeader:
        """Read a header, like :func:`medembed.scans.read_header`.

        Raises
        ------
        ScanError
        """
        return cast(ScanHeader, self._ask("header", file, None))

    def inspect(self, file: str | Path) -> ScanHeader:
        """Read a header, decode the pixels of all frames, and return their digests.

        Raises
        ------
        ScanError
            If only the pixels cannot be read, ``header`` is the file's header.
        """
        return cast(ScanHeader, self._ask("inspect", file, None))

    def map(self, task: Task, items: Iterable[Item]) -> Iterator[Scan | ScanHeader | ScanError]:
        """Run one task on many files, on all workers in parallel.

        Parameters
        ----------
        task : {"read", "header", "inspect"}
        items : iterable
            Files as the task takes them; for ``"read"`` also ``(files, frame)``.

        Yields
        ------
        Scan, ScanHeader or ScanError
            One for each item, in the order of the items. An error is yielded, not raised.
        """
        if task not in ("read", "header", "inspect"):
            raise ScanError("the task must be read, header or inspect")

        def one(item: Item) -> Scan | ScanHeader | ScanError:
            files, frame = _split(item)
            try:
                return self._ask(task, files, frame)
            except ScanError as error:
                return error

        with ThreadPoolExecutor(self.workers, "scan-reader") as threads:
            ahead: deque[Future[Scan | ScanHeader | ScanError]] = deque()
            try:
                for item in items:
                    ahead.append(threads.submit(one, item))
                    if len(ahead) > 2 * self.workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for waiting in ahead:
                    waiting.cancel()

    def _ask(self, task: Task, files: Files, frame: int | None) -> Scan | ScanHeader:
        paths = listed(files) if task == "read" else [cast("str | Path", files)]
        given = [str(path) for path in paths]
        request = {"task": task, "n_files": len(given), "frame": frame}
        seconds = self.limits.seconds * math.ceil(len(given) / 100)
        whole = given[0] if len(given) == 1 else str(Path(given[0]).parent)
        worker = self._idle.get()
        try:
            answer, pixels = worker.ask(request, given, seconds=seconds)
        except ScanError as error:
            raise ScanError(error.what, where=whole, hint=error.hint, reason=error.reason) from None
        finally:
            self._idle.put(worker)
        if "error" in answer:
            problem = answer["error"]
            named = {str(i): name for i, name in enumerate(given)}
            refusal = ScanError(
                problem["what"],
                where=named.get(problem["where"], whole),
                hint=problem["hint"],
                reason=problem["reason"],
            )
            if "header" in problem:
                refusal.header = header_from_json(problem["header"])
            raise refusal
        if task == "read" and pixels is not None:
            return scan_from_json(answer, pixels)
        return header_from_json(answer)


def _split(item: Item) -> tuple[Files, int | None]:
    if isinstance(item, tuple) and len(item) == 2 and (item[1] is None or type(item[1]) is int):
        return item
    return cast(Files, item), None
