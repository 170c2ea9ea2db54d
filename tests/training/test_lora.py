"""Low-rank adapters: only they are trained, and a finished model knows nothing of them."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from support.small_pairs import small_config, write_library

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder
from medembed.model.towers import Towers, build_towers
from medembed.training import train
from medembed.training.choices import key_settings
from medembed.training.lora import add_adapters, merge_adapters, set_trainable
from medembed.training.settings import TrainingConfig
from medembed.training.trainer import Trainer

NOTES = ["Right effusion at the base.", "Left nodule in the upper lobe."] * 4
VIT = {
    "encoder": "vit",
    "grid": 2,
    "options": {"patch": 16, "width": 16, "depth": 2, "heads": 2},
}
BOTH = {"image": VIT, "lora": {"image": {"rank": 2}, "text": {"rank": 3, "alpha": 6}}}


def towers_of(config: TrainingConfig) -> Towers:
    torch.manual_seed(config.seed)
    return build_towers(
        config.image,
        config.text,
        config.projection,
        dimensions=2,
        size=config.preprocess.shape[1:],
        notes=NOTES,
    )[0]


def outputs(towers: Towers) -> tuple[torch.Tensor, torch.Tensor]:
    towers.eval()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(3, 1, 32, 32, generator=generator)
        ids = torch.randint(5, 30, (3, 9), generator=generator)
        return towers.image(images), towers.text(ids, torch.ones_like(ids))


def test_new_adapters_change_nothing_and_merged_ones_are_the_same_network() -> None:
    config = small_config(**BOTH)
    towers = towers_of(config)
    names = set(towers.state_dict())
    before = outputs(towers)
    add_adapters(config, towers)
    for was, now in zip(before, outputs(towers), strict=True):
        assert torch.equal(was, now)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in towers.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) / 4)
    adapted = outputs(towers)
    merge_adapters(towers)
    assert set(towers.state_dict()) == names
    for was, had, now in zip(before, adapted, outputs(towers), strict=True):
        assert (had - was).abs().max() > 1e-2
        torch.testing.assert_close(now, had, atol=1e-5, rtol=0)


def test_the_adapters_are_of_the_rank_and_beside_the_projections_of_attention() -> None:
    config = small_config(**BOTH)
    towers = towers_of(config)
    add_adapters(config, towers)
    set_trainable(config, towers)
    trained = {n: w for n, w in towers.named_parameters() if w.requires_grad and "encoder" in n}
    assert all("lora_" in name for name in trained)
    of_text = {n.split(".lora_")[0].rsplit(".", 1)[1] for n in trained if n.startswith("text")}
    of_image = {n.split(".lora_")[0].rsplit(".", 1)[1] for n in trained if n.startswith("image")}
    assert (of_text, of_image) == ({"query", "key", "value"}, {"qkv"})
    ranks = {n.split(".")[0]: w.shape[0] for n, w in trained.items() if "lora_A" in n}
    assert ranks == {"image": 2, "text": 3}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return write_library(tmp_path_factory.mktemp("lora"))


def test_training_changes_the_adapted_layers_only(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained: dict[str, torch.Tensor] = {}
    kept: list[set[str]] = []
    run = Trainer.run

    def spy(self: Trainer, *args: object) -> object:
        pair = copy.deepcopy(self.towers)
        merge_adapters(pair)
        untrained.update(pair.state_dict())
        kept.append(set(self._changing()))
        return run(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "run", spy)
    monkeypatch.setattr(DualEncoder, "export", lambda *_: [])
    report = train(library, small_config(name="only", **BOTH))
    model = DualEncoder.load(report.folder)
    sides = {"image": model.image_side(), "text": model.text_side()}
    changed = {
        f"{side}.{name}"
        for side, module in sides.items()
        for name, weight in module.state_dict().items()
        if not torch.equal(weight, untrained[f"{side}.{name}"])
    }
    encoders = {name for name in changed if ".encoder." in name}
    assert encoders
    assert all(
        name.rsplit(".", 2)[1] in {"query", "key", "value", "qkv"} and name.endswith("weight")
        for name in encoders
    )
    assert changed - encoders  # the projections
    assert all(".encoder." not in name or "lora_" in name for name in kept[0])


@pytest.mark.slow
def test_a_folder_has_no_trace_of_them_and_serves_on_onnx_runtime(library: CaseLibrary) -> None:
    report = train(library, small_config(name="served", epochs=1, **BOTH))
    model = DualEncoder.load(report.folder)
    assert {about["runtime"] for about in model.serving.values()} == {"onnx"}
    assert "lora" not in str(model.architecture)
    assert not [name for name in model.text_side().state_dict() if "lora" in name]


class _PulledPlugError(Exception):
    """The machine went off."""


def test_a_training_that_was_stopped_ends_in_the_same_weights(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DualEncoder, "export", lambda *_: [])
    whole = train(library, small_config(name="whole", epochs=2, **BOTH)).fingerprint
    steps = 0
    step = Trainer._step

    def failing(self: Trainer, *args: object) -> float:
        nonlocal steps
        steps += 1
        if steps == 5:
            raise _PulledPlugError
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_step", failing)
    config = small_config(name="stopped", epochs=2, checkpoint_seconds=1e-6, **BOTH)
    with pytest.raises(_PulledPlugError):
        train(library, config)
    assert train(library, config).fingerprint == whole


def test_an_encoder_without_such_layers_is_refused(library: CaseLibrary) -> None:
    with pytest.raises(ConfigError, match="has no linear layers") as no_layer:
        train(library, small_config(name="refused", lora={"image": {}}))
    assert no_layer.value.where == "lora.image"
    with pytest.raises(ConfigError, match="no linear layer of the text encoder") as none:
        train(library, small_config(name="refused", lora={"text": {"targets": "gate$"}}))
    assert "dense" in str(none.value)
    assert not (library.path / "models" / "refused").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lora": {"text": {"targets": "("}}}, "not a regular expression"),
        ({"lora": {"text": {"rank": 0}}}, "greater than or equal to 1"),
        (
            {"lora": {"text": {}}, "text": {"encoder": "bert", "frozen": True}},
            r"lora.text needs text.frozen=false",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        small_config(**changes)


def test_without_peft_it_says_what_to_install(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match="need peft") as error:
        train(library, small_config(name="none", lora={"text": {"rank": 5}}))
    assert "medembed[lora]" in str(error.value)


def test_torchs_own_attention_is_left_out() -> None:
    """It reads the weights of ``out_proj`` without calling it: an adapter would do nothing."""
    config = small_config(lora={"text": {"targets": "linear|out_proj"}})
    towers = towers_of(config)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    towers.text.encoder = torch.nn.Sequential(layer)
    add_adapters(config, towers)
    adapted = {
        n.split(".lora_")[0] for n, _ in towers.text.encoder.named_parameters() if "lora_" in n
    }
    assert adapted == {"0.linear1", "0.linear2"}


def test_earlier_trainings_keep_their_key() -> None:
    assert "lora" not in key_settings(small_config())
    assert key_settings(small_config(lora={"text": {}}))["lora"]["text"]["rank"] == 8


def test_a_misspelled_key_is_named_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'lora.text.rnk'.*'rank'"):
        load_config("starter", ["text.frozen=false", "lora.text.rnk=8"])
    with pytest.raises(ConfigError, match=r"starter.yaml: lora.text needs text.frozen=false"):
        load_config("starter", ["lora.text.rank=8"])


def test_the_named_configuration_adapts_its_text_encoder() -> None:
    config = load_config("ladder-lora")
    assert config.lora.text is not None
    assert config.image.frozen
    assert not config.text.frozen
