"""A check of an encoder finds what is wrong with it before anything is trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.tiny_image_models import edit_json, write_model

from medembed.encoders import transformers_image
from medembed.errors import ConfigError, ModelError
from medembed.model import encoder_check
from medembed.model.encoder_check import check_encoder, sides_of

GOLDEN = Path(__file__).parents[1] / "encoders" / "golden" / "image"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "medembed.cli", "check-encoder", *words],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_right_encoder_passes_and_says_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "rad"
    write_model(folder, "dinov2")
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: msrla\n---\n# Rad\n")
    found = check_encoder(str(folder), "image")
    assert found.passed
    assert (found.name, found.library, found.kind, found.license) == (
        "rad", "transformers", "dinov2", "msrla",
    )  # fmt: skip
    assert found.own_library is not None
    assert found.own_library <= 1e-5
    assert found.round_trip <= 1e-6
    assert found.preprocess["size"] == [32, 32]
    assert str(tmp_path) not in json.dumps(found.to_json())


@pytest.mark.slow
def test_the_parts_that_are_left_out_are_counted(tmp_path: Path) -> None:
    model, _ = write_model(tmp_path, "clip")
    found = check_encoder(str(tmp_path), "image")
    text = sum(key.startswith("text_model.") for key in model.state_dict())
    assert found.left_out == {"logit_scale": 1, "text_model": text, "text_projection": 1}


def test_an_encoder_that_is_read_wrongly_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, "dinov2")
    right = transformers_image.TransformersImage.pooled

    def wrong(self: transformers_image.TransformersImage, images: torch.Tensor) -> torch.Tensor:
        return right(self, images.flip(-1))

    monkeypatch.setattr(transformers_image.TransformersImage, "pooled", wrong)
    found = check_encoder(str(tmp_path), "image")
    assert found.own_library is not None
    assert found.own_library > encoder_check.TOLERANCE
    assert not found.passed


def test_sides_are_those_that_a_checkpoint_has(tmp_path: Path) -> None:
    write_model(tmp_path / "clip", "clip")
    write_model(tmp_path / "swin", "swin")
    assert sides_of(str(tmp_path / "clip")) == ("image", "text")
    assert sides_of(str(tmp_path / "swin")) == ("image",)
    assert sides_of(str(GOLDEN / "open_clip")) == ("image", "text")
    assert sides_of(str(GOLDEN / "xrv"), "torchxrayvision") == ("image",)


@pytest.mark.slow
def test_weights_without_a_library_of_their_own_are_checked_too() -> None:
    found = check_encoder(str(GOLDEN / "xrv"), "image", encoder="torchxrayvision")
    assert found.passed
    assert found.own_library is None
    assert found.not_compared
    assert found.left_out == {"classifier": 2}


def test_an_encoder_from_scratch_has_nothing_to_check() -> None:
    with pytest.raises(ConfigError, match="not read from a checkpoint"):
        check_encoder("anything", "image", encoder="resnet10")
    with pytest.raises(ConfigError, match="not read from a checkpoint"):
        check_encoder("anything", "text", encoder="bert")


@pytest.mark.parametrize("side", ["image", "text"])
def test_a_folder_that_does_not_exist_is_one_line(side: encoder_check.Side) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        check_encoder("/nowhere/at-all", side)


@pytest.mark.slow
def test_the_command_prints_json_and_one_line_for_what_is_wrong(tmp_path: Path) -> None:
    write_model(tmp_path / "vit", "vit")
    done = command(str(tmp_path / "vit"), "--json")
    assert done.returncode == 0, done.stderr
    (check,) = json.loads(done.stdout)["checks"]
    assert (check["side"], check["kind"], check["passed"]) == ("image", "vit", True)
    edit_json(tmp_path / "vit" / "preprocessor_config.json", do_pad=True)
    done = command(str(tmp_path / "vit"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "do_pad is set" in done.stderr
