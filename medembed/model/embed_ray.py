"""Compute the tasks of an embedding on Ray Data: on one machine, or on a cluster (extra ``ray``).

Workers read the model and the scans by the paths that they have on the machine that asks, so these
must be on a file system that all share. Only that machine opens the library's database.
"""

from __future__ import annotations

import gc
import os
import pickle
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from medembed.errors import MedEmbedError, ModelError
from medembed.model.embed_engines import Done, WorkerPlan, cores_for, open_worker
from medembed.model.embed_task import EmbedTask
from medembed.model.embed_worker import EmbedWorker

__all__ = ["RayData"]

_PATIENCE_SECONDS = 30.0


class RayData:
    """Decodes and encodes in actors of Ray Data.

    The environment variable ``RAY_ADDRESS`` names a running cluster; without it Ray runs on this
    machine for as long as the embedding does. Ray's usage statistics are off unless the
    environment asks for them.

    Parameters
    ----------
    plan : WorkerPlan
        Its ``threads`` do not count: actors get the cores of their nodes.
    device : str
        ``"cpu"``, or ``"cuda"`` for one GPU per actor.
    processes : int
        Actors; 0 means one per node, or one per GPU.

    Raises
    ------
    ModelError
        If Ray is not installed.
    """

    cases = 32

    def __init__(self, plan: WorkerPlan, device: str = "cpu", processes: int = 0) -> None:
        try:
            import ray.data
        except ImportError as error:
            raise ModelError(
                "Ray is not installed", hint='pip install "medembed[ray]", or use --engine local'
            ) from error
        self._plan = plan
        self._gpu = device.startswith("cuda")
        self._processes = processes
        self._ray = ray

    def run(self, tasks: Iterable[EmbedTask]) -> Done:
        """Yield the tasks as they are done."""
        given = dict(enumerate(tasks))
        if not given:
            return
        data = self._ray.data
        with _running(self._ray):
            _quiet(data)
            actors, cpus = self._share()
            plan = replace(self._plan, threads=cpus), "cuda" if self._gpu else "cpu"
            rows = [
                {"number": at, "asked": pickle.dumps((*plan, task))} for at, task in given.items()
            ]
            done = data.from_items(rows, override_num_blocks=len(rows)).map(
                _Actor,
                compute=data.ActorPoolStrategy(size=min(actors, len(rows))),
                num_cpus=cpus,
                num_gpus=1 if self._gpu else 0,
            )
            try:
                for row in done.iter_rows():
                    outcome = pickle.loads(row["outcome"])  # noqa: S301  our own actors'
                    if isinstance(outcome, MedEmbedError):
                        raise outcome
                    yield given[int(row["number"])], outcome
            except self._ray.exceptions.RayError as error:
                raise ModelError(
                    f"Ray stopped ({type(error).__name__})",
                    hint="what is done is kept; see Ray's logs, and run the same command to resume",
                ) from error

    def _share(self) -> tuple[int, int]:
        """Return the number of actors, and the cores of each."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
        if not cores:
            raise ModelError("this Ray cluster has no free CPU")
        gpus = sum(int(node.get("GPU", 0)) for node in nodes)
        if self._gpu and not gpus:
            raise ModelError("this Ray cluster has no GPU", hint="use --device cpu")
        actors = self._processes or (gpus if self._gpu else len(cores))
        return actors, max(1, min(*cores, sum(cores) // actors))


class _Actor:
    """A worker, opened by its first task: an error of it is then passed on as it is."""

    def __init__(self) -> None:
        self._worker: EmbedWorker | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Compute a task."""
        try:
            plan, device, task = pickle.loads(row["asked"])  # noqa: S301  ours
            if self._worker is None:
                self._worker = open_worker(plan, device)
            outcome: object = self._worker(task)
        except MedEmbedError as error:
            outcome = error
        return {"number": row["number"], "outcome": pickle.dumps(outcome)}


@contextmanager
def _running(ray: Any) -> Iterator[None]:
    """Connect to Ray, or start it, unless the caller has; what was started here is ended."""
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "configure_logging": False}
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        if address:
            _reach(address)
            ray.init(**quiet)
        else:
            ray.init(num_cpus=cores_for(1), include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, OSError) as error:
        raise ModelError(
            f"Ray cannot be started or reached ({type(error).__name__})",
            hint="check RAY_ADDRESS, or unset it to run on this machine",
        ) from error
    try:
        yield
    finally:
        _let_end()
        ray.shutdown()


def _let_end() -> None:
    """Wait for Ray Data's threads: one that asks Ray after its end would end this process."""
    gc.collect()  # an iterator that was left in the middle ends its executor
    for thread in threading.enumerate():
        if thread.name.startswith("StreamingExecutor"):
            thread.join(_PATIENCE_SECONDS)


def _reach(address: str) -> None:
    """Raise OSError soon if nothing listens there; Ray itself tries for minutes."""
    named = re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)
    if named is not None:
        with socket.create_connection((named[1], int(named[2])), timeout=10):
            pass


def _quiet(data: Any) -> None:
    """Leave the progress to the command's own bar."""
    import logging

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
