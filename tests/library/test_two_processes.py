"""Several processes on one library, killed at random: no wrong row, no lost case."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.small_pairs import image_of, note_of

from medembed.cases import Case, ScanRef
from medembed.errors import ScanError
from medembed.index import open_index
from medembed.library import CaseLibrary
from medembed.model import embed_library, toy_model
from medembed.model.pixel_cache import PixelCache, read_pixels
from medembed.notes import read_note

SIDES = ("right", "left")
ROLE = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
import test_two_processes as t
from pathlib import Path
t.ROLES[sys.argv[2]](Path(sys.argv[3]))
"""


def make_case(folder: Path, i: int) -> Case:
    """A case whose image is like no other's."""
    path = folder / "scans" / f"{i:04d}.png"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image_of("effusion", SIDES[i % 2], i)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    note = read_note(note_of("effusion", SIDES[i % 2], i))
    return Case(f"C-{i:04d}", f"P-{i:04d}", (ScanRef((str(path),), digest, "CR", "PA"),), note)


def ingest(folder: Path) -> None:
    with CaseLibrary.open(folder / "library") as library:
        for i in range(len(library), 2000):
            library.add([make_case(folder, i)])
            time.sleep(0.02)
            sys.stdout.write(f"{i + 1}\n")
            sys.stdout.flush()


def embed(folder: Path) -> None:
    model = toy_model()
    sys.stdout.write("0\n")
    sys.stdout.flush()
    with CaseLibrary.open(folder / "library") as library:
        while True:
            cache = PixelCache(library.path / "cache", model.preprocess)
            cache.fill(library, library.cases(), workers=1)
            embed_library(library, model, workers=1)


def search(folder: Path) -> None:
    model = toy_model()
    sys.stdout.write("0\n")
    sys.stdout.flush()
    while True:
        with CaseLibrary.open(folder / "library") as library:
            if not library.vectors(model.fingerprint, "image")[0]:
                continue
            index = open_index(library, model.fingerprint).index
            ids, vectors = library.vectors(model.fingerprint, "image")
            hits = index.search(vectors[:8], k=1)
            assert len(hits.case_ids) == min(8, len(ids))


ROLES = {"ingest": ingest, "embed": embed, "search": search}


def start(role: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ROLE, str(Path(__file__).parent), role, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_processes_killed_at_random_leave_no_wrong_row_and_lose_no_case(tmp_path: Path) -> None:
    running: list[subprocess.Popen[str]] = []
    try:
        storm(tmp_path, running)
    finally:
        for process in running:
            process.kill()
            process.communicate()


def storm(tmp_path: Path, running: list[subprocess.Popen[str]]) -> None:
    draw = random.Random(3)
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add(make_case(tmp_path, i) for i in range(8))
    acknowledged = 8
    wanted = ["ingest", "embed", "embed", "search", "search"]
    for _ in range(4):
        running[:] = [start(role, tmp_path) for role in wanted]
        for process in running:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise AssertionError(process.communicate()[1])
        time.sleep(draw.uniform(1, 4))
        for process in running:
            assert process.poll() is None, process.communicate()[1]
        for role, process in draw.sample(list(zip(wanted, running, strict=True)), len(wanted)):
            time.sleep(draw.uniform(0, 0.2))
            process.kill()
            said, problems = process.communicate()
            assert "Traceback" not in problems
            running.remove(process)
            if role == "ingest":
                acknowledged = max(acknowledged, *map(int, said.split() or ["0"]))
    model = toy_model()
    with CaseLibrary.open(tmp_path / "library") as library:
        cases = list(library.cases())
        assert len(cases) >= acknowledged
        assert [case.case_id for case in cases] == [f"C-{i:04d}" for i in range(len(cases))]
        cache = PixelCache(library.path / "cache", model.preprocess)
        cache.fill(library, cases, workers=1)
        embed_library(library, model, workers=1)
        right = list(read_pixels(library, [(case, 0) for case in cases], model.preprocess, 1))
        ids, vectors = library.vectors(model.fingerprint, "image")
        assert ids == [case.case_id for case in cases]
        for case, pixels in zip(cases, right, strict=True):
            assert not isinstance(pixels, ScanError)
            first, count = cache.span(case.scans[0])
            assert np.array_equal(cache.rows(slice(first, first + count)), pixels)
        encoded = model.encode_pixels([p for p in right if not isinstance(p, ScanError)])
        assert np.allclose(vectors, encoded, atol=1e-5)
