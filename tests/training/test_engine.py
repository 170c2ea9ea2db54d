"""Several processes train the model that one process trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.small_pairs import small_config, write_library

from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.training import train
from medembed.training.engine import Engine

ONE = [sys.executable, "-m", "medembed.cli"]
RUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
# by address: where the machine's own name is not resolved, they would wait for each other in vain
HERE = ["--local_addr", "127.0.0.1", "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
TWO = [*RUN, "--master_port", "0", *HERE]
PATIENCE = 400


def start(*words: object, several: bool = False, **env: str) -> subprocess.Popen[str]:
    command = [*TWO, "-m", "medembed.cli"] if several else ONE
    return subprocess.Popen(
        [*command, "train", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes that torchrun started, each in a session of its own."""
    return [
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it printed; one that hangs is ended and fails the test with what it said."""
    try:
        return process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        for pid in (*workers_of(process), process.pid):
            os.kill(pid, signal.SIGKILL)
        pytest.fail(f"hung: {process.communicate()}")


def trained(*words: object, several: bool = False) -> dict[str, object]:
    process = start(*words, "--json", several=several)
    out, err = ended(process)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    report: dict[str, object] = json.loads(out)  # one process speaks
    return report


def configuration(folder: Path, **changes: object) -> Path:
    """Trained transformers without dropout, with all losses."""
    text = {"width": 16, "depth": 1, "heads": 2, "vocabulary": 200, "min_notes": 2, "dropout": 0.0}
    base = small_config(
        epochs=2,
        batch_size=9,  # a share of two processes is padded
        image={"encoder": "vit", "options": {"patch": 8, "width": 16, "depth": 2, "heads": 2}},
        text={"encoder": "bert", "max_length": 40, "options": text},
    )
    values = base.model_dump(mode="json", exclude_defaults=True)
    values["optim"] = {"lr": 1e-3, "clip": 0.5, "ema_decay": 0.5}
    file = folder / "pair.yaml"
    file.write_text(yaml.safe_dump({**values, **changes}))
    return file


def weights(library: CaseLibrary, name: str) -> dict[str, torch.Tensor]:
    return load_file(library.path / "models" / name / "weights.safetensors")


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(tmp_path: Path) -> None:
    library = write_library(tmp_path)
    words = (library.path, "--config", configuration(tmp_path))
    one = trained(*words, "name=one")
    two = trained(*words, "name=two", several=True)
    chunks = trained(*words, "name=chunks", "optim.chunk=2", several=True)
    sharded = trained(*words, "name=sharded", "optim.chunk=3", "sharding=full", several=True)
    assert [report["chosen"].get("processes") for report in (one, two)] == [None, 2]  # type: ignore[attr-defined]
    assert furthest(weights(library, "one"), weights(library, "two")) < 1e-5
    assert furthest(weights(library, "one"), weights(library, "chunks")) < 1e-5
    assert furthest(weights(library, "one"), weights(library, "sharded")) < 1e-5
    for report in (two, chunks, sharded):
        losses = [[entry["loss"] for entry in each["history"]] for each in (one, report)]  # type: ignore[attr-defined]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert report["embedded"]["images"] == 48  # type: ignore[index]
    # training moved the weights by far more than that
    again = trained(*words, "name=shorter", "epochs=1", several=True)
    assert again["history"][0]["loss"] != one["history"][1]["loss"]  # type: ignore[index]
    assert furthest(weights(library, "one"), weights(library, "shorter")) > 1e-3


@pytest.mark.slow
def test_two_processes_train_the_adapters_of_one(tmp_path: Path) -> None:
    library = write_library(tmp_path)
    adapters = {"image": {"rank": 2}, "text": {"rank": 2}}
    words = (library.path, "--config", configuration(tmp_path, lora=adapters))
    one = trained(*words, "name=one")
    sharded = trained(*words, "name=sharded", "sharding=full", several=True)
    assert sharded["chosen"].get("processes") == 2  # type: ignore[attr-defined]
    assert sharded["best"]["loss"] == pytest.approx(one["best"]["loss"], rel=1e-5)  # type: ignore[index]
    assert furthest(weights(library, "one"), weights(library, "sharded")) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_killed_in_the_middle_come_to_the_same_weights(
    tmp_path: Path, sharding: str
) -> None:
    library = write_library(tmp_path)
    config = configuration(tmp_path, sharding=sharding, epochs=6)
    words = (library.path, "--config", config)
    whole = trained(*words, "name=whole", several=True)
    process = start(*words, "name=killed", "checkpoint_seconds=0.001", several=True)
    checkpoint = library.path / "models" / ".killed.training" / "checkpoint.pt"
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    for pid in (*workers_of(process), process.pid):
        os.kill(pid, signal.SIGKILL)
    ended(process)
    one = start(*words, "name=killed", "sharding=none")
    assert "started with 2 processes, not 1" in ended(one)[1]
    assert one.returncode == 2
    resumed = trained(*words, "name=killed", several=True)
    assert resumed["fingerprint"] == whole["fingerprint"]


@pytest.mark.slow
def test_an_environment_of_processes_that_are_not_there_is_one_line(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    for env, said in (
        ({"WORLD_SIZE": "2", "RANK": "0"}, "LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number"),
    ):
        process = start(library.path, "--config", "toy", "--json", **env)
        out, err = ended(process)
        assert process.returncode == 2, err
        assert out == ""
        assert said in err
        assert len(err.strip().splitlines()) == 1
    assert not (library.path / "models" / "toy").exists()


def test_one_process_cannot_divide_weights(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    with pytest.raises(ConfigError, match="only one"):
        train(library, small_config(sharding="full"))


def test_shares_of_processes_cover_a_batch_with_equal_sizes() -> None:
    for world in (1, 2, 3, 5):
        for n in (1, 2, 3, 9, 10):
            shares = []
            for rank in range(world):
                engine = Engine(torch.device("cpu"))
                engine.world, engine.rank = world, rank
                shares.append(engine.share(n))
            assert len({len(share) for share in shares}) == 1
            assert [int(at) for share in shares for at in share][:n] == list(range(n))
            assert all(0 <= at < n for share in shares for at in share)
