"""Trials of crashes: an operation is ended at one of its write steps, and the library checked."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.crash_checks import check_world, require
from support.crash_operations import MODEL, N_CASES, N_MORE, OPERATIONS, toy, vectors_of
from support.crash_steps import Fault, Steps
from support.example_cases import make_case
from support.example_files import write_dicom
from support.small_pairs import note_of, write_library

from medembed.cases import Case
from medembed.errors import MedEmbedError
from medembed.index import open_index
from medembed.library import CaseLibrary
from medembed.library.backup import back_up
from medembed.notes import read_note
from medembed.notes.vocabulary import load_vocabulary

__all__ = ["Outcome", "Trials", "in_child", "recovery"]


@dataclass(frozen=True)
class Outcome:
    """How a child process ended, and the lines that it wrote before."""

    status: int
    lines: tuple[str, ...]

    @property
    def told(self) -> list[str]:
        return [line[2:] for line in self.lines if line.startswith("t ")]

    @property
    def error(self) -> str:
        return next((line[2:] for line in self.lines if line.startswith("e ")), "")


def in_child(work: Callable[[Callable[[str], None]], None], kill_after: float = 0.0) -> Outcome:
    """Run ``work`` in a fork of this process; kill it after some seconds if asked to."""
    ours, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  ends without a report
        status = 1
        try:
            os.close(ours)
            write = os.write
            work(lambda line: void(write(theirs, f"{line}\n".encode())))
            status = 0
        except BaseException as error:  # noqa: BLE001  reported to the parent
            kind = "line" if isinstance(error, MedEmbedError | OSError) else "trace"
            line = f"e {kind} {type(error).__name__}: {error}".replace("\n", " ")
            os.write(theirs, f"{line}\n".encode())
            if kind == "trace" and os.environ.get("CRASH_TRACE"):
                import traceback

                traceback.print_exc()
        finally:
            os._exit(status)
    os.close(theirs)
    if kill_after:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with os.fdopen(ours, "rb") as stream:
        lines = stream.read().decode().splitlines()
    return Outcome(os.waitpid(pid, 0)[1], tuple(lines))


def void(_: object) -> None:
    """Drop a result."""


def recovery(folder: Path, n_cases: int) -> float:
    """Kill a library of this size in the middle of writing vectors; return seconds to open it."""

    def write(say: Callable[[str], None]) -> None:
        notes = [read_note(note_of("effusion", "left", seed)) for seed in range(37)]
        library = CaseLibrary.create(folder)
        library.add((make_case(i, note=notes[i % 37]) for i in range(n_cases)), batch=1000)
        ids = library.find()
        for start in range(0, n_cases, 5000):
            some = ids[start : start + 5000]
            rows = np.random.default_rng(start).standard_normal((len(some), 512))
            say(f"t {start}")
            library.put_vectors(MODEL, "image", some, rows)
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(write)

    def measure(say: Callable[[str], None]) -> None:
        began = time.perf_counter()
        with CaseLibrary.open(folder) as library:
            require(len(library) == n_cases, "cases are gone")
            say(f"t {time.perf_counter() - began}")

    outcome = in_child(measure)
    if outcome.status:
        raise RuntimeError(outcome.error)
    return float(outcome.told[-1])


class Trials:
    """Prepares a small library once, and crashes each operation on copies of it.

    Parameters
    ----------
    folder : Path
        For the copies, on a file system with a few MiB.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: list[float] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._base: dict[str, Case] = {}
        self._steps: dict[str, list[str]] = {}
        self._time: dict[str, float] = {}
        toy()  # here once, and not in each fork
        load_vocabulary()
        template = folder / "template"
        outcome = in_child(lambda _: self._prepare(template))
        if outcome.status:
            raise RuntimeError(outcome.error)
        base = in_child(lambda say: self._describe(template, say))
        if base.status:
            raise RuntimeError(base.error)
        self._ids = base.told

    @staticmethod
    def _prepare(template: Path) -> None:
        template.mkdir(parents=True)
        (template / "out").mkdir()
        with write_library(template, N_CASES, patients=N_CASES // 2) as library:
            ids = library.find()
            library.put_vectors(MODEL, "image", ids, vectors_of(len(ids), 3))
            open_index(library, MODEL)
            back_up(library, template / "out" / "old.zip")
        for seed in range(N_MORE):
            write_dicom(template / "source" / f"{seed}.dcm", seed)

    @staticmethod
    def _describe(template: Path, say: Callable[[str], None]) -> None:
        with CaseLibrary.open(template / "library") as library:
            for one in library.find():
                say(f"t {one}")

    @staticmethod
    def _cases(world: Path) -> dict[str, Case]:
        with CaseLibrary.open(world / "library") as library:
            return {case.case_id: case for case in library.cases()}

    def steps(self, name: str) -> list[str]:
        """Return the names of the write steps of an operation, in order."""
        if name not in self._steps:
            world = self._copy()
            began = time.perf_counter()

            def record(say: Callable[[str], None]) -> None:
                steps = Steps()
                steps.watch()
                OPERATIONS[name](world, void)
                say(f"t {json.dumps(steps.names)}")

            outcome = in_child(record)
            self._time[name] = time.perf_counter() - began
            if outcome.status:
                raise RuntimeError(f"{name}: {outcome.error}")
            self._steps[name] = json.loads(outcome.told[0])
            shutil.rmtree(world)
        return self._steps[name]

    def _copy(self) -> Path:
        world = self.folder / f"world-{random.randrange(10**9)}"
        shutil.copytree(self.folder / "template", world)
        return world

    def crash(self, name: str, fault: Fault) -> str:
        """End one operation at one step and check the library.

        Returns
        -------
        str
            What is wrong; empty if nothing is.
        """
        steps = self.steps(name)
        world = self._copy()
        shown = steps[fault.at] if fault.at < len(steps) else "end"
        self.counts[name, shown, fault.kind] += 1

        def work(say: Callable[[str], None]) -> None:
            Steps(fault).watch()
            OPERATIONS[name](world, lambda line: say(f"t {line}"))

        outcome = in_child(work)
        if fault.kind != "full" and outcome.status and outcome.error:
            return self._wrong(name, shown, fault.kind, outcome.error, world)
        if outcome.error.startswith("trace"):
            return self._wrong(name, shown, fault.kind, outcome.error, world)
        return self._check(name, shown, fault.kind, outcome.told, world)

    def crash_any_time(self, name: str, random_share: float) -> str:
        """Kill one operation at any time, in the middle of a write as well."""
        self.steps(name)
        world = self._copy()
        self.counts[name, "any time", "any time"] += 1
        outcome = in_child(
            lambda say: OPERATIONS[name](world, lambda line: say(f"t {line}")),
            kill_after=max(0.001, self._time[name] * random_share),
        )
        if outcome.error:
            return self._wrong(name, "any time", "kill", outcome.error, world)
        return self._check(name, "any time", "kill", outcome.told, world)

    def fill_disk(self, name: str, disk: Path, left: int) -> str:
        """Run one operation on an own file system with only ``left`` bytes free."""
        self.steps(name)
        for one in disk.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        world = disk / "world"
        shutil.copytree(self.folder / "template", world)
        self.counts[name, "small disk", "small disk"] += 1
        ballast = disk / "ballast"
        free = os.statvfs(disk)
        os.posix_fallocate(
            descriptor := os.open(ballast, os.O_CREAT | os.O_WRONLY),
            0,
            max(1, free.f_bavail * free.f_frsize - left),
        )
        os.close(descriptor)
        outcome = in_child(lambda say: OPERATIONS[name](world, lambda line: say(f"t {line}")))
        ballast.unlink()
        if outcome.status and not outcome.error.startswith("line"):
            return self._wrong(name, f"{left} bytes", "small disk", outcome.error, world)
        return self._check(name, f"{left} bytes", "small disk", outcome.told, world)

    def _check(self, name: str, shown: str, kind: str, told: list[str], world: Path) -> str:
        base = self.folder / "template"

        def check(say: Callable[[str], None]) -> None:
            cases = self._cases(base)
            say(f"t {check_world(name, world, list(told), cases)}")

        outcome = in_child(check)
        if outcome.status:
            return self._wrong(name, shown, kind, outcome.error, world)
        self.seconds.append(float(outcome.told[-1]))
        shutil.rmtree(world)
        return ""

    @staticmethod
    def _wrong(name: str, shown: str, kind: str, what: str, world: Path) -> str:
        return f"{name}, {kind} {shown}: {what or 'it died'} (kept: {world.name})"
