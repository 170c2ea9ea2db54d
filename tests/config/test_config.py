"""A configuration fits, or one line says what does not and what would."""

from __future__ import annotations

from pathlib import Path

import pytest

from medembed.config import config_names, find_config, load_config
from medembed.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from medembed.errors import ConfigError
from medembed.model.towers import checked_options


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_configuration_fits_and_says_what_it_is_for(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    image, text = IMAGE_ENCODERS[config.image.encoder], TEXT_ENCODERS[config.text.encoder]
    checked_options(image.options, config.image.options, "image")
    checked_options(text.options, config.text.options, "text")
    first = find_config(name).read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 30


def test_overrides_reach_any_depth_and_read_numbers() -> None:
    config = load_config(
        "toy", ["optim.lr=1e-3", "epochs=7", "image.frozen=true", "text.options.width=8"]
    )
    assert (config.optim.lr, config.epochs, config.image.frozen) == (1e-3, 7, True)
    assert config.text.options == {"width": 8}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epoch=3", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("optim.learning=3", "unknown key 'optim.learning'"),
        ("optim.lrr=3", "did you mean 'lr'?"),
        ("preprocess.sise=3", "did you mean 'size'?"),
        ("epochs=0", "epochs: "),
        ("loss.same_finding=maybe", "loss.same_finding"),
        ("epochs.more=3", "is a value"),
        ("epochs", "key=value"),
        ("preprocess.window=lung", "window must be percentile"),
        ("name=../../etc", "name: "),
    ],
)
def test_what_does_not_fit_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("toy", [override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load_config("dmeo")


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2", "a: !!python/object:os.system {}"])
def test_what_is_no_mapping_of_plain_values_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_file_of_ones_own_gives_the_model_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yaml").write_text("epochs: 2\n")
    monkeypatch.chdir(tmp_path)
    assert load_config("mine").name == "mine"
    assert load_config("mine.yaml", ["name=other"]).name == "other"
