"""A reranker is trained after the towers, kept with the model, and used as its gain says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.small_pairs import small_config, write_library

from medembed.errors import ConfigError, ModelError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder
from medembed.model.model_files import RERANKER_FILES
from medembed.training import TrainReport, train
from medembed.training.choices import key_settings
from medembed.training.rerank_gain import Choice, RankTable, choose, reordered
from medembed.training.validation import PoolLabels


def settings(name: str, **changes: Any) -> Any:
    """Random towers that are hardly trained: what is learned, the reranker has learned."""
    return small_config(
        name=name,
        epochs=1,
        image={
            "encoder": "vit",
            "grid": 2,
            "options": {"patch": 8, "width": 16, "depth": 1, "heads": 2},
        },
        loss={"temperature": 1.0},
        optim={"lr": 1e-8},
        text_augmentation={"sentences": 0.0, "phrases": 0.3},
        rerank={
            "net": {"width": 16, "heads": 2, "dropout": 0.0},
            "epochs": 40,
            "batch_size": 16,
            "hard": 0,
            "lr": 1e-2,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return write_library(tmp_path_factory.mktemp("rerank"), 180)


@pytest.fixture(scope="module")
def trained(library: CaseLibrary) -> TrainReport:
    return train(library, settings("read"))


@pytest.mark.slow
def test_it_finds_on_new_patients_what_the_towers_do_not_see(trained: TrainReport) -> None:
    about = json.loads((Path(trained.folder) / "reranker.json").read_bytes())
    measured = about["measured"]
    assert measured["text_to_image_R@10_without"] < 0.45  # 10 of 30 by chance
    assert measured["text_to_image_R@10_gain"] > 0.1
    assert about["default"] == (measured["MRR_gain_low"] > 0)
    assert any(line.startswith("reranker: text→image R@10") for line in trained.remarks)


@pytest.mark.slow
def test_the_model_keeps_it_and_its_vectors_are_those_without(
    library: CaseLibrary, trained: TrainReport
) -> None:
    model = DualEncoder.load(trained.folder)
    assert model.has_reranker
    assert model.fingerprint == trained.fingerprint
    plain = settings("plain").model_copy(update={"rerank": None})
    without = train(library, plain)
    assert without.fingerprint == trained.fingerprint
    assert not DualEncoder.load(without.folder).has_reranker
    damaged = Path(trained.folder) / RERANKER_FILES[1]
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-1] + b"x")
    try:
        changed = DualEncoder.load(trained.folder)
        with pytest.raises(ModelError, match=r"reranker\.onnx was changed"):
            _ = changed.reranker
    finally:
        damaged.write_bytes(data)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_reranker(library: CaseLibrary, trained: TrainReport) -> None:
    weights = (Path(trained.folder) / "reranker.safetensors").read_bytes()
    again = train(library, settings("again"))
    assert (Path(again.folder) / "reranker.safetensors").read_bytes() == weights


def test_a_text_encoder_without_tokens_is_refused_before_decoding(library: CaseLibrary) -> None:
    config = settings("toy").model_copy(update={"text": small_config(text={"encoder": "toy"}).text})
    with pytest.raises(ConfigError, match="does not show its tokens"):
        train(library, config)


def test_several_heads_are_refused() -> None:
    frozen = {"image": {"encoder": "vit", "frozen": True}, "text": {"frozen": True}}
    with pytest.raises(ValidationError, match="one head"):
        small_config(heads=[{}], rerank={}, **frozen)


def test_heads_of_attention_that_do_not_divide_the_width_are_named(library: CaseLibrary) -> None:
    with pytest.raises(ValidationError, match="heads"):
        settings("bad", net={"width": 10, "heads": 4})


def test_a_training_without_one_keeps_its_key() -> None:
    assert "rerank" not in key_settings(small_config())
    assert "rerank" in key_settings(settings("read"))


def test_only_the_first_candidates_change_places() -> None:
    similarity = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])
    scores = np.array([[0.0, 0.0, 9.0, 99.0, -99.0]])
    out = np.zeros((1, 5), dtype=bool)
    order = np.argsort(-reordered(similarity, scores, out, 3)[0]).tolist()
    assert order == [2, 0, 1, 3, 4]
    out[0, 0] = True  # left out of the pool: the fourth is a candidate then
    shown = reordered(similarity, scores, out, 3)[0]
    assert [at for at in np.argsort(-shown).tolist() if at] == [3, 2, 1, 4]


def pool(n: int) -> PoolLabels:
    return PoolLabels(np.arange(n), np.arange(n), np.arange(n))


def test_a_gain_of_chance_is_not_taken_for_one() -> None:
    naive, measured, taken = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        table = RankTable(pool(60), rng.standard_normal((60, 60)) + 1.5 * np.eye(60))
        for _ in range(6):
            table.add(0.3 * rng.standard_normal((60, 60)))  # epochs that know nothing
        best = max(each[:, [1, 3]].mean() for each in table.measures)
        naive.append(best - table.without[:, [1, 3]].mean())
        choice = choose(table)
        measured.append(choice.measured["MRR_gain"])
        taken.append(choice.gains)
    assert np.mean(naive) > 0  # what choosing and measuring on the same patients would say
    assert np.mean(measured) < 0
    assert sum(taken) <= 1


def test_a_true_gain_is_seen_and_its_epoch_is_kept() -> None:
    rng = np.random.default_rng(1)
    table = RankTable(pool(60), rng.standard_normal((60, 60)))
    table.add(rng.standard_normal((60, 60)))
    table.add(rng.standard_normal((60, 60)) + 3 * np.eye(60))
    choice = choose(table)
    assert choice.epoch == 1
    assert choice.gains
    assert "searches use it" in str(choice)
    assert "only if asked" not in str(choice)
    assert choice.measured["text_to_image_R@10_gain_low"] > 0


def test_too_few_patients_say_nothing() -> None:
    assert choose(None) == Choice(0, 1.0)
    table = RankTable(pool(8), np.zeros((8, 8)))
    table.add(np.eye(8))
    choice = choose(table)
    assert not choice.gains
    assert "too few" in str(choice)
