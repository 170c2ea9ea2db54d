"""Several processes, and Ray Data, give the vectors that one process gives, and lose nothing."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import write_library

from medembed.errors import ModelError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library, toy_model
from medembed.model.embed_engines import Processes, embed_engine
from medembed.model.engine_kind import EngineKind

N = 14


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaseLibrary]:
    monkeypatch.setattr(Processes, "cases", 3)
    with write_library(tmp_path, N, images_per_case=2) as library:
        yield library


@pytest.fixture
def saved(toy: DualEncoder, tmp_path: Path) -> DualEncoder:
    return DualEncoder.load(toy.save(tmp_path / "toy"))


def vectors(library: CaseLibrary, model: DualEncoder) -> dict[str, np.ndarray]:
    found = {}
    for kind in ("image", "note"):
        names, rows = library.vectors(model.fingerprint, kind)
        found |= {f"{kind} {name}": row for name, row in zip(names, rows, strict=True)}
    return found


def forget(library: CaseLibrary) -> None:
    with library.database.write() as db:
        db.execute("DELETE FROM vectors")


def children() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid}


def test_two_processes_give_the_vectors_of_one(library: CaseLibrary, saved: DualEncoder) -> None:
    report = embed_library(library, saved)
    alone = vectors(library, saved)
    assert len(alone) == 2 * N
    forget(library)
    again = embed_library(library, saved, engine=embed_engine(library, saved, processes=2))
    assert again == report
    several = vectors(library, saved)
    assert several.keys() == alone.keys()
    for name, row in alone.items():
        assert np.allclose(several[name], row, atol=1e-6)
    assert not children()


def test_files_that_were_replaced_or_lost_cost_their_own_case(
    library: CaseLibrary, saved: DualEncoder, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    shutil.copyfile(scans / "001-0.png", scans / "005-0.png")  # another patient's image
    for part in range(2):
        shutil.copyfile(scans / "001-0.png", scans / f"008-{part}.png")
    (scans / "009-1.png").unlink()
    expected = embed_library(library, saved)
    assert (expected.images, expected.unread_scans) == (N - 1, 4)
    assert expected.refused == {"changed": 1}
    alone = vectors(library, saved)
    forget(library)
    report = embed_library(library, saved, engine=embed_engine(library, saved, processes=2))
    assert report == expected
    for name, row in vectors(library, saved).items():
        assert np.allclose(row, alone[name], atol=1e-6)


def test_a_process_that_is_killed_is_said_and_the_next_run_resumes(
    library: CaseLibrary, saved: DualEncoder
) -> None:
    def kill(done: int, total: int) -> None:
        if done >= 3 and len(children()) == 2:  # once
            os.kill(min(children()), signal.SIGKILL)

    with pytest.raises(ModelError, match=r"ended unexpectedly.*--processes"):
        embed_library(library, saved, kill, engine=embed_engine(library, saved, processes=2))
    kept = vectors(library, saved)
    assert 3 <= len(kept) < 2 * N
    assert not children()
    report = embed_library(library, saved)
    assert report.images + report.notes == 2 * N - len(kept)


def test_a_model_that_was_replaced_is_not_used(library: CaseLibrary, saved: DualEncoder) -> None:
    assert saved.folder is not None
    engine = embed_engine(library, saved, processes=2)
    toy_model(size=16).save(saved.folder)
    with pytest.raises(ModelError, match="was replaced"):
        embed_library(library, saved, engine=engine)
    assert vectors(library, saved) == {}


def test_a_model_that_was_not_saved_cannot_be_shared(
    library: CaseLibrary, toy: DualEncoder
) -> None:
    with pytest.raises(ModelError, match="saved"):
        embed_engine(library, toy, processes=2)


def test_ray_that_is_missing_is_named(
    library: CaseLibrary, saved: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModelError, match=r"medembed\[ray\]"):
        embed_engine(library, saved, EngineKind.RAY)


def test_a_cluster_that_does_not_answer_is_said_at_once(
    library: CaseLibrary, saved: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ModelError, match="RAY_ADDRESS"):
        embed_library(library, saved, engine=embed_engine(library, saved, EngineKind.RAY))


@pytest.mark.slow
def test_no_process_outlives_one_that_was_killed(
    library: CaseLibrary, saved: DualEncoder, tmp_path: Path
) -> None:
    library.close()
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, time, medembed\n"
        "def shown(done, total):\n"
        "    print(done, flush=True)\n"
        "    time.sleep(60 if done >= 2 else 0)\n"
        "if __name__ == '__main__':\n"
        "    medembed.embed(sys.argv[1], sys.argv[2], processes=2, progress=shown)\n"
    )
    words = [sys.executable, str(script), str(library.path), str(saved.folder)]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert int(run.stdout.readline()) >= 2
    started = _descendants(run.pid)
    assert len(started) >= 2
    run.kill()
    run.communicate()
    deadline = time.monotonic() + 60
    while (left := [pid for pid in started if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left
    with CaseLibrary.open(library.path) as again:
        kept = len(vectors(again, saved))
        assert 0 < kept < 2 * N
        report = embed_library(again, saved)
        assert report.images + report.notes == 2 * N - kept


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::DeprecationWarning")
def test_ray_data_gives_the_same_vectors_and_resumes(
    library: CaseLibrary, saved: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from medembed.model.embed_ray import RayData

    monkeypatch.setattr(RayData, "cases", 3)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    embed_library(library, saved)
    alone = vectors(library, saved)
    forget(library)

    def stop(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_library(library, saved, stop, engine=embed_engine(library, saved, EngineKind.RAY))
    kept = len(vectors(library, saved))
    assert 3 <= kept < 2 * N
    report = embed_library(
        library, saved, engine=embed_engine(library, saved, EngineKind.RAY, processes=2)
    )
    assert report.images + report.notes == 2 * N - kept
    several = vectors(library, saved)
    assert several.keys() == alone.keys()
    for name, row in alone.items():
        assert np.allclose(several[name], row, atol=1e-6)


def _descendants(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        try:
            text = Path(f"/proc/{todo[0]}/task/{todo.pop(0)}/children").read_text()
        except FileNotFoundError:
            continue
        todo += (below := list(map(int, text.split())))
        found += below
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
