"""What computes the tasks of an embedding: this process, several, or Ray Data.

All run the same worker on the same tasks, so that the vectors are the same. The caller alone
writes to the library.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from medembed.errors import ModelError
from medembed.model.embed_task import EmbedOutcome, EmbedTask
from medembed.model.embed_worker import EmbedWorker
from medembed.model.engine_kind import EngineKind
from medembed.model.onnx_side import usable_cores

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = [
    "Done",
    "EmbedEngine",
    "InProcess",
    "Processes",
    "WorkerPlan",
    "cores_for",
    "embed_engine",
    "open_worker",
]

T = TypeVar("T")
Done: TypeAlias = Generator[tuple[EmbedTask, EmbedOutcome], None, None]


class EmbedEngine(Protocol):
    """Computes tasks.

    Attributes
    ----------
    cases : int
        Cases of a task.
    """

    cases: int

    def run(self, tasks: Iterable[EmbedTask]) -> Done:
        """Yield each task with its outcome, in any order; closing the iterator ends the work."""
        ...


class InProcess:
    """Encodes in this process while a thread decodes the next task.

    Parameters
    ----------
    model : DualEncoder
    cache : Path
        The library's folder ``cache``.
    workers : int
        Decoding processes; 0 means one per core.
    """

    cases = 128

    def __init__(self, model: DualEncoder, cache: Path, workers: int = 0) -> None:
        self._open = lambda: EmbedWorker(model, cache, workers)

    def run(self, tasks: Iterable[EmbedTask]) -> Done:
        """Yield the tasks in order."""
        with (
            self._open() as worker,
            closing(_ahead((task, worker.decode(task)) for task in tasks)) as ahead,
        ):
            try:
                for task, decoded in ahead:
                    yield task, worker.encode(task, decoded)
            except BaseException:
                worker.stop()  # else leaving would wait until a whole task is decoded
                raise


@dataclass(frozen=True)
class WorkerPlan:
    """What another process needs to open a worker: no library, only folders.

    Parameters
    ----------
    folder : Path
        Of the model.
    fingerprint : str
        The model that must be there.
    cache : Path
        The library's folder ``cache``.
    threads : int
        Cores for decoding and encoding.
    """

    folder: Path
    fingerprint: str
    cache: Path
    threads: int


def open_worker(plan: WorkerPlan, device: str) -> EmbedWorker:
    """Open a worker in a process of its own.

    Raises
    ------
    ModelError
        If the model is not there, or was replaced after the embedding began.
    """
    from medembed.model.dual_encoder import DualEncoder

    os.environ["OMP_NUM_THREADS"] = str(plan.threads)
    model = DualEncoder.load(plan.folder, device=device)
    if model.fingerprint != plan.fingerprint:
        raise ModelError(
            "the model was replaced while it embeds",
            where=f"models/{plan.folder.name}",
            hint="run the same command again",
        )
    return EmbedWorker(model, plan.cache, plan.threads)


class Processes:
    """Decodes and encodes in several processes, which share the cores.

    Parameters
    ----------
    plan : WorkerPlan
    devices : sequence of str
        Of each process.
    """

    cases = 32

    def __init__(self, plan: WorkerPlan, devices: Sequence[str]) -> None:
        self._plan = plan
        self._devices = list(devices)

    def run(self, tasks: Iterable[EmbedTask]) -> Done:
        """Yield the tasks in order; twice as many as there are processes are under way."""
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
        before = set(multiprocessing.active_children())
        devices = context.SimpleQueue()
        for device in self._devices:
            devices.put(device)
        n = len(self._devices)
        pool = ProcessPoolExecutor(n, context, _start, (self._plan, devices))
        under_way: deque[tuple[EmbedTask, Future[EmbedOutcome]]] = deque()
        try:
            for task in tasks:
                with _no_interrupt():  # the processes inherit it: Ctrl-C is for this one
                    under_way.append((task, pool.submit(_work, task)))
                if len(under_way) >= 2 * n:
                    yield _next(under_way)
            while under_way:
                yield _next(under_way)
        except BrokenProcessPool as error:
            raise ModelError(
                "an embedding process ended unexpectedly, perhaps for lack of memory",
                hint="run the same command with fewer --processes to resume",
            ) from error
        finally:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
            pool.shutdown(cancel_futures=True)


def _next(
    under_way: deque[tuple[EmbedTask, Future[EmbedOutcome]]],
) -> tuple[EmbedTask, EmbedOutcome]:
    task, future = under_way.popleft()
    return task, future.result()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold back Ctrl-C, also in the processes and threads that start meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_opened: Callable[[], EmbedWorker]
_worker: EmbedWorker | None = None


def _start(plan: WorkerPlan, devices: multiprocessing.SimpleQueue[str]) -> None:
    """Prepare a process; what can fail is left to the first task, whose error is passed on."""
    global _opened  # noqa: PLW0603  a process has one worker
    device = devices.get()
    _opened = lambda: open_worker(plan, device)  # noqa: E731
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it has gone, also by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: EmbedTask) -> EmbedOutcome:
    global _worker  # noqa: PLW0603
    if _worker is None:
        _worker = _opened()
    return _worker(task)


def embed_engine(
    library: CaseLibrary,
    model: DualEncoder,
    kind: EngineKind = EngineKind.LOCAL,
    *,
    processes: int = 0,
    devices: Sequence[str] = (),
) -> EmbedEngine:
    """Choose what computes an embedding.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
        Saved, unless it is to run in this process.
    kind : EngineKind
    processes : int
        0 means one per device; with Ray one per node, or one per GPU.
    devices : sequence of str
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, which the processes take in turn. Default: the
        model's device.

    Raises
    ------
    ModelError
        If the model was not saved, or Ray is not installed.
    """
    cache = library.path / "cache"
    devices = tuple(devices) or (model.device,)
    n = processes or len(devices)
    if kind is EngineKind.LOCAL and n == 1 and devices[0] == model.device:
        return InProcess(model, cache)
    if model.folder is None:
        raise ModelError("a model has to be saved before several processes can read it")
    plan = WorkerPlan(model.folder, model.fingerprint, cache.absolute(), cores_for(n))
    if kind is EngineKind.RAY:
        from medembed.model.embed_ray import RayData

        return RayData(plan, devices[0], processes)
    return Processes(plan, [devices[at % len(devices)] for at in range(n)])


def cores_for(processes: int) -> int:
    """Cores of each process if several share this machine."""
    return max(1, usable_cores() // processes)


def _ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield items that a thread computes while the earlier ones are used.

    At most one finished item waits, so that memory is bounded. An error of the thread is raised
    here; closing the generator ends the thread after the item at hand.
    """
    with ThreadPoolExecutor(1, "medembed-decode") as thread:
        pending = thread.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = thread.submit(next, items, None)
            yield item
