"""The same seed and the same choices give the same weights; what auto chose is kept and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.small_pairs import small_config, write_library

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.training import choices as choices_module
from medembed.training import train
from medembed.training import trainer as trainer_module
from medembed.training.autotune import fastest_mode
from medembed.training.choices import run_key, training_key
from medembed.training.feature_feeders import Mode
from medembed.training.trainer import Trainer


class _PulledPlugError(Exception):
    """The machine went off."""


AUTO = {"epochs": 2, "precision": "auto", "channels_last": "auto", "checkpoint_seconds": 1e-6}


@pytest.fixture
def library(tmp_path: Path) -> CaseLibrary:
    return write_library(tmp_path, n=24)


def record(folder: str) -> dict[str, object]:
    return json.loads((Path(folder) / "training.json").read_bytes())


def choosing(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> list[Mode]:
    """Let ``auto`` measure that this mode is the fastest; gives the list of its calls."""
    calls: list[Mode] = []

    def fastest(*_: object) -> tuple[Mode, dict[str, float]]:
        calls.append(mode)
        return mode, {"float32": 0.02, str(mode): 0.01}

    monkeypatch.setattr(trainer_module, "fastest_mode", fastest)
    return calls


TRAIN = """
import sys
from pathlib import Path
from medembed.config import load_config
from medembed.library import CaseLibrary
from medembed.training import train
sys.path.insert(0, sys.argv[1])
from support.small_pairs import small_config
name = sys.argv[3]
config = (
    small_config(epochs=2) if name == "small" else load_config("toy", ["workers=1", "epochs=2"])
)
report = train(CaseLibrary.open(sys.argv[2]), config, restart=True)
print(report.fingerprint, report.chosen["threads"])
"""


def in_a_process(library: CaseLibrary, name: str, threads: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(Path(__file__).parents[1]), str(library.path), name],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": "random"},
    )
    return done.stdout.split()


@pytest.mark.slow
def test_two_fresh_processes_train_the_toy_pair_to_the_same_bits(library: CaseLibrary) -> None:
    first, again = (in_a_process(library, "toy", 1) for _ in range(2))
    assert first == again
    assert first[1] == "1"


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_two_fresh_processes_train_a_real_pair_to_the_same_bits(
    library: CaseLibrary, threads: int
) -> None:
    first, again = (in_a_process(library, "small", threads) for _ in range(2))
    assert first == again
    assert first[1] == str(threads)


def test_what_auto_chose_stands_in_the_record_with_its_reason(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, bare_models: None
) -> None:
    choosing(monkeypatch, Mode(bfloat16=True))
    kept = record(train(library, small_config(**AUTO)).folder)
    assert kept["chosen"] == {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "bfloat16": True,
        "channels_last": False,
        "threads": torch.get_num_threads(),
    }
    assert "measured" in kept["why"]["bfloat16"]
    assert "10.0 ms" in kept["why"]["bfloat16"]
    assert kept["made_with"]["torch"] == torch.__version__


def test_two_trainings_that_chose_otherwise_have_other_keys(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, bare_models: None
) -> None:
    kept = []
    for mode in (Mode(), Mode(bfloat16=True), Mode()):
        choosing(monkeypatch, mode)
        kept.append(record(train(library, small_config(**AUTO), restart=True).folder))
    assert kept[0]["key"] != kept[1]["key"]
    assert kept[0]["key"] == kept[2]["key"]
    assert kept[0]["fingerprint"] == kept[2]["fingerprint"]
    assert kept[0]["why"] != kept[1]["why"]


def test_a_resumed_training_computes_as_its_first_part_did(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, bare_models: None
) -> None:
    choosing(monkeypatch, Mode(bfloat16=True))
    config = small_config(**AUTO)
    whole = train(library, config)
    step, steps = Trainer._step, 0

    def failing(self: Trainer, *said: object) -> float:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise _PulledPlugError
        return step(self, *said)  # type: ignore[arg-type]

    other = small_config(**AUTO, name="stopped")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", failing)
        with pytest.raises(_PulledPlugError):
            train(library, other)
    calls = choosing(monkeypatch, Mode())  # the machine is busy with other things now
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        resumed = train(library, other)
    finally:
        torch.set_num_threads(threads)
    assert calls == []
    assert resumed.chosen == whole.chosen
    assert resumed.fingerprint == whole.fingerprint


def test_a_training_begun_on_another_device_is_not_resumed_here(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, bare_models: None
) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    config = small_config(epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", lambda *_: (_ for _ in ()).throw(_PulledPlugError))
        with pytest.raises(_PulledPlugError):
            train(library, config)
    run = library.path / "models" / ".small.training" / "run.json"
    run.write_text(run.read_text().replace('"cpu"', '"cuda"'))
    with pytest.raises(ConfigError, match="--restart"):
        train(library, config)
    assert train(library, config, restart=True).chosen["device"] == "cpu"


def test_channels_last_is_never_used_on_a_processor(
    library: CaseLibrary, bare_models: None
) -> None:
    auto = small_config(epochs=1, device="cpu", channels_last="auto")
    images = torch.rand(4, 1, 32, 32)
    assert fastest_mode(auto, torch.nn.Conv2d(1, 2, 3), images)[0] == Mode()
    with pytest.raises(ConfigError, match="channels_last=auto or channels_last=false"):
        train(library, small_config(epochs=1, device="cpu", channels_last=True))


def test_a_training_begun_in_channels_last_on_a_processor_is_not_resumed(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, bare_models: None
) -> None:
    config = small_config(epochs=1, device="cpu")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", lambda *_: (_ for _ in ()).throw(_PulledPlugError))
        with pytest.raises(_PulledPlugError):
            train(library, config)
    (run,) = library.path.rglob("run.json")
    run.write_text(run.read_text().replace('"channels_last": false', '"channels_last": true'))
    with pytest.raises(ConfigError, match="--restart"):
        train(library, config)


def test_pixels_in_another_order_are_the_same_training(
    library: CaseLibrary, bare_models: None
) -> None:
    config = load_config("toy", ["workers=1", "epochs=1"])
    first = train(library, config)
    for file in (library.path / "cache").iterdir():
        file.unlink()
    from medembed.model.pixel_cache import PixelCache

    backwards = list(library.cases())[::-1]
    PixelCache(library.path / "cache", config.preprocess).fill(library, backwards, workers=1)
    again = train(library, config)
    assert again.unchanged
    assert train(library, config, restart=True).fingerprint == first.fingerprint


def test_a_training_of_before_the_choices_were_kept_is_not_done_again(
    library: CaseLibrary, bare_models: None
) -> None:
    report = train(library, small_config(epochs=1))
    file = Path(report.folder) / "training.json"
    kept = json.loads(file.read_bytes())
    from medembed.training.alignment import _load_cohorts

    config = small_config(epochs=1)
    cohort, val, _ = _load_cohorts(library, config)
    old = {k: v for k, v in kept.items() if k not in ("chosen", "why", "collapse", "remarks")}
    file.write_text(json.dumps({**old, "key": training_key(config, cohort.digest, val.digest)}))
    assert train(library, config).unchanged


def test_keys_tell_choices_apart() -> None:
    one = {"device": "cpu", "bfloat16": False, "channels_last": False, "threads": 1}
    assert run_key("a", one) == run_key("a", dict(reversed(list(one.items()))))
    assert len({run_key("a", one), run_key("a", {**one, "threads": 2}), run_key("b", one)}) == 3
    assert choices_module.Choices(**one).mode == Mode()
