"""``medembed train`` and ``medembed embed`` say what they did, to a person and to a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.small_pairs import write_library
from typer.testing import CliRunner

from medembed.cli import build

RUNNER = CliRunner()


def run(*words: object) -> tuple[int, str, str]:
    done = RUNNER.invoke(build(), [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with write_library(tmp_path_factory.mktemp("verbs"), n=24) as library:
        return library.path


def test_training_embeds_activates_and_answers_in_json(library: Path) -> None:
    words = ("train", library, "--config", "toy", "epochs=2", "workers=1", "--json")
    code, out, _ = run(*words)
    report = json.loads(out)
    assert code == 0
    assert (report["n_train"], report["n_val"], report["unchanged"]) == (16, 4, False)
    assert {"text_to_image_R@10", "image_to_text_R@10", "val_loss"} <= set(report["best"])
    assert {"image_effective_rank", "text_to_image_first_hits", "text_to_image_hubness"} <= set(
        report["collapse"]
    )
    embedded = report["embedded"]
    assert (embedded["images"], embedded["notes"]) == (24, 24)
    assert (embedded["active"], embedded["activated"]) == (True, True)
    assert embedded["fingerprint"] == report["fingerprint"]
    again = json.loads(run(*words)[1])
    assert again["unchanged"]
    assert (again["embedded"]["active"], again["embedded"]["activated"]) == (True, False)
    assert "0 image vectors and 0 note vectors" in run("embed", library)[1]


def test_without_embedding_the_next_command_is_said_and_activates(library: Path) -> None:
    words = ("train", library, "--config", "toy", "epochs=1", "workers=1", "name=later")
    code, out, _ = run(*words, "--no-embed")
    assert code == 0
    assert f"next: medembed embed {library}" in out
    shown = json.loads(run("show", "models", library, "--json")[1])
    assert shown["active_model"] != "later"
    code, out, _ = run("embed", library, "--json")
    assert code == 0
    assert json.loads(out)["activated"]
    assert json.loads(run("show", "models", library, "--json")[1])["active_model"] == "later"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "LIBRARY", "--config", "demmo"), "did you mean 'demo'"),
        (("train", "LIBRARY", "--config", "toy", "epoch=2"), "did you mean 'epochs'"),
        (("train", "nowhere", "--config", "toy"), "nowhere"),
        (("embed", "LIBRARY", "--model", "absent"), "there is no model named 'absent'"),
        (("train", "LIBRARY", "--config", "toy", "device=cuda"), "CUDA"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(library: Path, words: tuple[str, ...], said: str) -> None:
    import torch

    if "device=cuda" in words and torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    code, out, err = run(*(str(library) if word == "LIBRARY" else word for word in words))
    assert code == 2
    assert out == ""
    assert said in err
    assert len(err.strip().splitlines()) == 1
