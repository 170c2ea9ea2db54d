"""Many processes on one library, some of them killed: nothing wrong, nothing lost, all answer."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from support.library_crowd import KINDS, write_table
from support.small_pairs import note_of

from medembed.library import CaseLibrary, ingest
from medembed.model import DualEncoder
from medembed.model.pixel_cache import PixelCache
from medembed.scans import read_scan
from medembed.sources import open_source

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("MEDEMBED_CROWD_SECONDS", "120"))
CROWD = Path(__file__).parents[1] / "support" / "library_crowd.py"
START = 48
COMMAND = (sys.executable, "-m", "medembed.cli")


@dataclass
class Part:
    """One role that is started again whenever it has ended."""

    name: str
    commands: list[list[str]]
    folder: Path
    loops: bool = True
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    kills: int = 0
    ends: list[int] = field(default_factory=list)

    def start(self) -> None:
        command = self.commands[self.starts % len(self.commands)]
        seed = f"seed={self.starts}"
        command = [seed if word == "SEED" else word for word in command]
        stem = self.folder / f"{self.name}-{self.starts:03d}"
        with stem.with_suffix(".out").open("wb") as out, stem.with_suffix(".err").open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": os.pathsep.join([str(CROWD.parents[2]), str(CROWD.parents[1])]),
                    "PYTHONWARNINGS": "ignore",
                },
            )
        self.starts += 1

    def keep_going(self) -> None:
        """Start it again; one that has no end may only end by being killed."""
        if self.process is None:
            self.start()
        elif (code := self.process.poll()) is not None:
            self.ends.append(code)
            self.start()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.kills += 1
            self.process = None

    def told(self) -> list[dict[str, object]]:
        lines = []
        for path in sorted(self.folder.glob(f"{self.name}-*.out")):
            for line in path.read_text("utf-8").splitlines():
                if line.startswith("{") and line.endswith("}"):
                    lines.append(json.loads(line))
        return lines

    def errors(self) -> str:
        files = sorted(self.folder.glob(f"{self.name}-*.err"))
        return "\n".join(path.read_text("utf-8", "replace") for path in files)


Crowd = tuple[Path, Path, dict[str, Part], int]
"""The library, the folder of images, the parts by name, and the reading room's port."""


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def answers(port: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/_stcore/health", timeout=5
            ) as answer:
                if answer.status == 200:
                    return True
        except OSError:
            time.sleep(0.5)
    return False


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """Run everything for the time given; then kill all of it."""
    folder = tmp_path_factory.mktemp("crowd")
    library, source, logs = folder / "library", folder / "source", folder / "logs"
    source.mkdir()
    logs.mkdir()
    with CaseLibrary.create(library) as opened:
        ingest(opened, open_source(write_table(source, 0, START)))
    for position in range(1, START // 10 + 1):  # the ingest counts tables to know where it stands
        (source / f"cases-{position:05d}-held.csv").touch()
    first = run("train", str(library), "--config", "toy", "name=first", "workers=1")
    assert first.returncode == 0, first.stderr
    made = run("embed", str(library))
    assert made.returncode == 0, made.stderr

    def train(name: str) -> list[str]:
        return [
            *COMMAND, "train", str(library), "--config", "toy", f"name={name}", "SEED",
            "epochs=2", "workers=1", "--json",
        ]  # fmt: skip

    def role(name: str) -> list[str]:
        return [sys.executable, str(CROWD), name, str(library), str(source)]

    port = free_port()
    room = [*COMMAND, "app", str(library), "--port", str(port), "--json"]
    parts = {
        part.name: part
        for part in (
            Part("train-a", [train("a")], logs, loops=False),
            Part("train-b", [train("b"), train("a")], logs, loops=False),
            Part("ingest", [role("ingest")], logs),
            Part("embed", [role("embed")], logs),
            Part("search-1", [role("search")], logs),
            Part("search-2", [role("search")], logs),
            Part("search-3", [role("search")], logs),
            Part("room", [room], logs),
        )
    }
    chance = random.Random(0)
    until = time.monotonic() + SECONDS
    try:
        trainings = [part for part in parts.values() if not part.loops]
        while (late := time.monotonic() - until) < 0 or (
            late < 2 * SECONDS and not any(0 in part.ends for part in trainings)
        ):
            for part in parts.values():
                part.keep_going()
            time.sleep(chance.uniform(2, 6))
            # trainings are long: killed as often as the others they would never end
            rates = [2 if part.loops else int(late < 0) for part in parts.values()]
            chance.choices(list(parts.values()), rates)[0].kill()
        for part in parts.values():
            part.keep_going()
        assert answers(port, 60), parts["room"].errors()[-2000:]
    finally:
        for part in parts.values():
            part.kill()
    return library, source, parts, port


def truth(i: int) -> str:
    label, side = KINDS[i % len(KINDS)]
    return note_of(label, side, i).replace("\n", " ")


def test_no_process_ended_in_a_way_of_its_own(
    crowd: Crowd,
) -> None:
    _, _, parts, _ = crowd
    for part in parts.values():
        assert "Traceback" not in part.errors(), part.errors()[-4000:]
        assert "internal error" not in part.errors().lower(), part.errors()[-4000:]
        if part.loops:  # these have no end but being killed
            assert part.ends == [], (part.name, part.errors()[-2000:])
        else:
            assert set(part.ends) <= {0, 2}, (part.name, part.errors()[-2000:])
    trainings = [part for part in parts.values() if not part.loops]
    assert sum(part.ends.count(0) for part in trainings) >= 1, trainings[0].errors()[-2000:]
    assert sum(part.kills for part in parts.values()) > SECONDS / 10


def test_every_search_answered_and_no_case_answered_for_itself(
    crowd: Crowd,
) -> None:
    library, _, parts, _ = crowd
    with CaseLibrary.open(library) as opened:
        known = set(opened.find())
    for name in ("search-1", "search-2", "search-3"):
        told = parts[name].told()
        assert len(told) >= 3, name
        for answer in told:
            hits = answer["hits"]
            assert len(hits) == len(set(hits)) > 0
            assert set(hits) <= known
            assert f"N-{answer['query']}" not in hits


def test_every_acknowledged_case_is_there_with_its_own_patient_note_and_image(
    crowd: Crowd,
) -> None:
    library, source, parts, _ = crowd
    acknowledged = [name for line in parts["ingest"].told() for name in line["acknowledged"]]
    assert acknowledged
    with CaseLibrary.open(library) as opened:
        cases = {case.case_id: case for case in opened.cases()}
        assert set(acknowledged) <= set(cases)
        assert opened.database.read().execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for case in cases.values():
            i = int(case.case_id[2:])
            assert case.patient_id == opened.pseudonymizer.patient(f"person-{i:05d}")
            assert case.note is not None
            assert case.note.text == truth(i)
            image = (source / f"{i:05d}.png").read_bytes()
            assert case.scans[0].sha256 == hashlib.sha256(image).hexdigest()


def test_every_cached_row_and_every_vector_belongs_to_its_own_scan(
    crowd: Crowd,
) -> None:
    library, source, _, _ = crowd
    with CaseLibrary.open(library) as opened:
        cases = list(opened.cases())
        models = [
            DualEncoder.load(folder)
            for folder in sorted((library / "models").iterdir())
            if (folder / "model.json").is_file()
        ]
        assert len(models) >= 2
        scans = {case.case_id: read_scan(source / f"{case.case_id[2:]}.png") for case in cases}
        cache = PixelCache(library / "cache", models[0].preprocess)
        cached = 0
        for case in cases:
            if case.scans[0] in cache:
                start, count = cache.span(case.scans[0])
                expected = cache.preprocess.pixels(scans[case.case_id])
                assert np.array_equal(cache.rows(slice(start, start + count)), expected)
                cached += 1
        assert cached >= START // 2
        checked = 0
        for model in {model.fingerprint: model for model in models}.values():
            for kind in ("image", "note"):
                ids, vectors = opened.vectors(model.fingerprint, kind)
                if not ids:
                    continue
                held = {case.case_id: case for case in cases}
                expected = (
                    model.encode_scans([scans[name] for name in ids])
                    if kind == "image"
                    else model.encode_notes([held[name].note.text for name in ids])
                )
                if kind == "image":
                    assert np.abs(vectors - expected).max() < 1e-3
                checked += len(ids)
        assert checked >= START


def test_what_was_killed_continues(crowd: Crowd) -> None:
    library, source, _, _ = crowd
    for words in (
        ("train", str(library), "--config", "toy", "name=last", "workers=1", "--json"),
        ("embed", str(library), "--json"),
        ("search", str(library), "--image", str(source / "00003.png"), "--json"),
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    assert "N-00003" not in [hit["case_id"] for hit in json.loads(done.stdout)["hits"]]
    left = [
        path.name
        for path in library.rglob("*")
        if path.name.endswith((".writing", ".new")) or path.name.startswith(".library.sqlite.")
    ]
    assert left == []
