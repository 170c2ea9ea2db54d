"""Heads over frozen features: closed forms are right, a fused model is a model like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_pairs import small_config, write_library

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library
from medembed.model.heads import HeadPlan, Heads, WordFeatures
from medembed.training import train
from medembed.training.closed_forms import choose_ridge, solve
from medembed.training.structure import mutual_neighbors, structure_loss
from medembed.training.validation import PoolLabels

FROZEN = {
    "name": "fused",
    "epochs": 4,
    "validate_every": 2,
    "image": {**small_config().image.model_dump(), "frozen": True},
    "text": {**small_config().text.model_dump(), "frozen": True},
    "optim": {"lr": 1e-2},
    "projection": {"dim": 8},
}
HEADS = [
    {"seeds": 2},
    {"method": "csa", "text": "words", "dim": 6, "weight": 0.5},
    {"method": "ridge", "ridge": 0.1},
]


def pairs(n: int = 200, shared: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views of a few hidden directions, with noise in others."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, shared))
    x = np.hstack([hidden, rng.normal(size=(n, 9))]) @ rng.normal(size=(9 + shared, 12))
    y = np.hstack([hidden, rng.normal(size=(n, 5))]) @ rng.normal(size=(5 + shared, 8))
    return x, y


def test_cca_finds_the_correlations_that_the_definition_gives() -> None:
    x, y = pairs()
    form = solve("cca", x, y[:, None], 1e-9, 3)
    a, b = x @ form.image + form.image_shift, y @ form.text + form.text_shift
    found = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    x_q, y_q = (np.linalg.qr(part - part.mean(0))[0] for part in (x, y))
    assert np.allclose(found, np.linalg.svd(x_q.T @ y_q, compute_uv=False)[:3], atol=1e-6)
    assert np.allclose(np.cov(a.T, bias=True), np.eye(3), atol=1e-6)


def test_csa_weighs_each_variate_by_its_correlation() -> None:
    x, y = pairs()
    plain, weighted = (solve(m, x, y[:, None], 1e-9, 3) for m in ("cca", "csa"))
    ratio = (weighted.image * weighted.text[0]).sum(0) / (plain.image * plain.text[0]).sum(0)
    a, b = x @ plain.image, y @ plain.text
    assert np.allclose(ratio, [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)], atol=1e-6)


@pytest.mark.parametrize("n", [7, 200])
def test_ridge_is_the_regularized_least_squares_solution(n: int) -> None:
    x, y = pairs(n)
    form = solve("ridge", x, y[:, None], 0.5, 99)
    centered, target = x - x.mean(0), y - y.mean(0)
    rank = np.linalg.matrix_rank(centered)
    amount = 0.5 * (centered**2).mean(0).sum() / rank * n
    weights = np.linalg.solve(centered.T @ centered + amount * np.eye(12), centered.T @ target)
    got, want = x @ form.image + form.image_shift, y @ form.text + form.text_shift
    assert np.allclose(got @ want.T, centered @ weights @ target.T, atol=1e-6)


def test_the_regularization_is_chosen_over_patients_and_prefers_what_generalizes() -> None:
    x, y = pairs(60, shared=2)
    x = np.hstack([x, np.random.default_rng(1).normal(size=(60, 80))])  # room to overfit
    each = np.arange(60)
    best, tried = choose_ridge("csa", x, y[:, None], PoolLabels(each, each, each), 8)
    assert tried[best] == max(tried.values()) > tried[0.01]
    alone = np.zeros(60, dtype=np.int64)
    assert set(
        choose_ridge("csa", x, y[:, None], PoolLabels(each, alone, each), 8)[1].values()
    ) == {0.0}  # one patient cannot be held out


def test_a_fused_similarity_is_the_weighted_sum_of_the_heads_cosines() -> None:
    torch.manual_seed(0)
    one, two = torch.nn.Linear(3, 4), torch.nn.Linear(2, 5)
    heads = Heads([one, two], [(0, 3), (3, 5)], [0.25, 0.75])
    rows = torch.randn(6, 5)
    fused = heads(rows)
    cosines = [
        torch.nn.functional.normalize(part(rows[:, a:b]), dim=-1)
        for part, a, b in ((one, 0, 3), (two, 3, 5))
    ]
    want = 0.25 * cosines[0] @ cosines[0].T + 0.75 * cosines[1] @ cosines[1].T
    assert torch.allclose(fused @ fused.T, want, atol=1e-6)


def test_words_are_tf_idf_in_few_directions() -> None:
    ids = np.array([[1, 2, 2, 0], [1, 3, 0, 0], [1, 2, 3, 4], [1, 4, 4, 3]])
    mask = (ids > 0).astype(np.int64)
    words = WordFeatures.fit(ids, mask, 16)
    got = words(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    idf = {2: np.log(5 / 3), 3: np.log(5 / 4), 4: np.log(5 / 3)}  # 1 is in all texts
    table = np.array([[(row == t).sum() * idf[t] for t in (2, 3, 4)] for row in ids])
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    kept = np.linalg.svd(table, full_matrices=False)[2][: got.shape[1]]
    want = table @ kept.T
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    assert np.allclose(got @ got.T, want @ want.T, atol=1e-5)
    unknown = words(torch.tensor([[9, 1]]), torch.tensor([[1, 1]]))
    assert torch.equal(unknown, torch.zeros_like(unknown))


def test_structure_is_kept_by_a_rotation_and_lost_by_noise() -> None:
    torch.manual_seed(0)
    features = torch.randn(30, 6)
    rotation = torch.linalg.qr(torch.randn(6, 6))[0]
    kept = structure_loss(features, (features - features.mean(0)) @ rotation)
    assert float(kept) == pytest.approx(0, abs=1e-6)
    assert float(structure_loss(features, torch.randn(30, 6))) > 0.005


def test_neighborhoods_that_agree_have_more_mutual_neighbors() -> None:
    x, y = pairs(100, shared=6)
    noise = np.random.default_rng(3).normal(size=y.shape)
    assert mutual_neighbors(x, x) == 1
    assert mutual_neighbors(x, y) > mutual_neighbors(x, noise)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return write_library(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def fused(library: CaseLibrary) -> DualEncoder:
    return DualEncoder.load(train(library, small_config(**FROZEN, heads=HEADS)).folder)


@pytest.mark.slow
def test_a_fused_model_is_saved_embedded_and_searched_like_any_other(
    library: CaseLibrary, fused: DualEncoder
) -> None:
    assert fused.training["remarks"]
    done = embed_library(library, fused)
    assert (done.images, done.notes) == (48, 48)
    _, images = library.vectors(fused.fingerprint, "image")
    assert images.shape[1] == fused.dim
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_its_validation_is_that_of_the_saved_model(
    library: CaseLibrary, fused: DualEncoder
) -> None:
    from evaluation.retrieval.load_cases import load_cases
    from evaluation.retrieval.tasks import image_to_text, text_to_image

    embed_library(library, fused)
    cases = load_cases(library, fused.fingerprint, split="val")
    for task, name in ((text_to_image, "text_to_image"), (image_to_text, "image_to_text")):
        found = task(cases, shuffles=0).scores
        assert found["MRR"] == pytest.approx(fused.training["best"][f"{name}_MRR"], abs=1e-3)


@pytest.mark.slow
def test_heads_that_were_interrupted_end_in_the_same_model(
    library: CaseLibrary, fused: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medembed.training.trainer import Trainer

    class _PulledPlugError(Exception):
        pass

    ends, end = 0, Trainer._end_epoch

    def failing(self: Trainer, *args: object) -> None:
        nonlocal ends
        ends += 1
        if ends in (2, 7):
            raise _PulledPlugError
        end(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_end_epoch", failing)
    config = small_config(**{**FROZEN, "name": "again"}, heads=HEADS)
    for _ in range(2):
        with pytest.raises(_PulledPlugError):
            train(library, config)
    assert train(library, config).fingerprint == fused.fingerprint


def test_heads_over_a_trained_encoder_are_refused() -> None:
    with pytest.raises(ConfigError, match="frozen"):
        load_config("densenet121", ["heads=[{method: csa}]"])


def test_a_plan_is_json() -> None:
    plan = HeadPlan(image=0, text="words", dim=4, weight=0.5, linear=True)
    assert HeadPlan(**plan.model_dump(mode="json")) == plan


@pytest.mark.slow
def test_a_layer_is_chosen_by_its_likeness_to_the_texts(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    image = {**FROZEN["image"]}  # type: ignore[dict-item]
    other = {**image, "grid": 1}
    heads = [{"method": "csa", "candidates": [other, image]}]
    report = train(library, small_config(**{**FROZEN, "name": "layer"}, heads=heads))
    line = next(r for r in report.remarks if "mutual k-NN" in r)
    values = [float(v) for v in line.rpartition("k-NN ")[2].split(", ")]
    assert f"features {int(np.argmax(values)) + 1} " in line
