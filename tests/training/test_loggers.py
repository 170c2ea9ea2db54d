"""Loggers get numbers only, and a missing one is said before anything is decoded."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.small_pairs import write_library

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.training import loggers as loggers_module
from medembed.training import prepare, train

WORDS = ["workers=1", "epochs=2", "loggers=[tensorboard]"]


class Writer:
    """Stands in for TensorBoard's writer."""

    made: list[Writer]

    def __init__(self, folder: str, **_: object) -> None:
        self.folder = folder
        self.scalars: list[tuple[str, float, int]] = []
        self.closed = False
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, global_step: int, **_: object) -> None:
        assert isinstance(value, float)
        self.scalars.append((name, value, global_step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> type[Writer]:
    module = ModuleType("tensorboardX")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorboardX", None)
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    Writer.made = []
    return Writer


def test_epochs_are_reported_as_numbers(
    tmp_path: Path, tensorboard: type[Writer], bare_models: None
) -> None:
    library = write_library(tmp_path, n=24)
    seen: list[object] = []
    report = train(library, load_config("toy", WORDS), on_epoch=seen.append)
    (writer,) = tensorboard.made
    assert writer.closed
    assert Path(writer.folder) == library.path / "logs" / "toy"
    expected = [
        (name, value, int(entry["epoch"]))
        for entry in report.history
        for name, value in entry.items()
        if name != "epoch"
    ]
    assert sorted(writer.scalars) == sorted(expected)
    assert seen == report.history
    assert (Path(report.folder) / "history.csv").read_text().count("\n") == 3


def test_a_training_that_stops_closes_its_loggers(
    tmp_path: Path, tensorboard: type[Writer]
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    library = write_library(tmp_path, n=24)
    with pytest.raises(KeyboardInterrupt):
        train(library, load_config("toy", WORDS), on_epoch=stop)
    (writer,) = tensorboard.made
    assert writer.closed
    assert {at for _, _, at in writer.scalars} == {1}


def test_a_missing_logger_is_one_line_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path, n=24)
    monkeypatch.setattr(loggers_module, "find_spec", lambda _: None)
    for verb in (prepare, train):
        with pytest.raises(ConfigError, match="pip install tensorboard") as caught:
            verb(library, load_config("toy", WORDS))
        assert "\n" not in str(caught.value)
    assert not list((library.path / "cache").glob("pixels*"))


def test_a_logger_that_does_not_start_is_one_line(
    tmp_path: Path, tensorboard: type[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("/secret/path")

    monkeypatch.setattr(sys.modules["tensorboardX"], "SummaryWriter", refuse)
    library = write_library(tmp_path, n=24)
    with pytest.raises(ConfigError, match=r"could not be started \(OSError\)") as caught:
        train(library, load_config("toy", WORDS))
    assert "secret" not in str(caught.value)
