"""Training learns, stops and goes on exactly, and keeps what was best."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from support.small_pairs import small_config, write_library

from medembed.config import load_config
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library, find_model
from medembed.model.pixel_cache import PixelCache
from medembed.training import train
from medembed.training import trainer as trainer_module
from medembed.training.trainer import Trainer
from medembed.training.validation import PoolLabels, first_relevant_ranks, retrieval_summary


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return write_library(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def trained(library: CaseLibrary) -> str:
    return train(library, small_config()).fingerprint


class _PulledPlugError(Exception):
    """The machine went off."""


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_in_the_same_weights(
    library: CaseLibrary, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    step = Trainer._step

    def failing(self: Trainer, *args: object) -> float:
        nonlocal steps
        steps += 1
        if steps in (6, 13):
            raise _PulledPlugError
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_step", failing)
    config = small_config(name="stopped", checkpoint_seconds=1e-6)
    for _ in range(2):
        with pytest.raises(_PulledPlugError):
            train(library, config)
    assert train(library, config).fingerprint == trained
    assert steps == 2 + 4 * 4


def test_a_checkpoint_of_another_configuration_is_not_continued(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, object] | None] = []
    read = trainer_module.read_checkpoint

    def spy(path: Path, key: str) -> dict[str, object] | None:
        seen.append(read(path, key))
        raise _PulledPlugError

    first = small_config(name="two", epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_end_epoch", lambda *_: (_ for _ in ()).throw(_PulledPlugError))
        with pytest.raises(_PulledPlugError):
            train(library, small_config(name="two", epochs=1, checkpoint_seconds=1e-6))
    monkeypatch.setattr(trainer_module, "read_checkpoint", spy)
    for config in (first, small_config(name="two", epochs=1, seed=1)):
        with pytest.raises(_PulledPlugError):
            train(library, config)
    assert seen[0] is not None
    assert seen[1] is None


@pytest.mark.slow
def test_a_checkpoint_holds_what_training_changes(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen encoders are not written after each epoch, and a resumed training still has them."""
    small = small_config()
    frozen = {
        "image": {**small.image.model_dump(), "frozen": True},
        "text": {**small.text.model_dump(), "frozen": True},
    }
    whole = train(library, small_config(name="whole-pair", **frozen)).fingerprint
    written: list[dict[str, object]] = []
    write = trainer_module.write_checkpoint

    def then_stop(path: Path, state: dict[str, object]) -> None:
        write(path, state)
        written.append(state)
        if len(written) == 2:
            raise _PulledPlugError

    config = small_config(name="frozen-pair", **frozen)
    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, "write_checkpoint", then_stop)
        with pytest.raises(_PulledPlugError):
            train(library, config)
    for part in ("towers", "average", "best_state"):
        names = written[-1][part]
        assert isinstance(names, dict)
        assert names
        assert not [name for name in names if ".encoder." in name]
    assert train(library, config).fingerprint == whole


def test_what_has_been_trained_is_not_trained_again(library: CaseLibrary, trained: str) -> None:
    again = train(library, small_config())
    assert again.unchanged
    assert again.fingerprint == trained


def test_the_model_becomes_active_and_brings_its_curve(library: CaseLibrary, trained: str) -> None:
    train(library, small_config())
    folder = find_model(library)
    assert folder.name == "small"
    assert DualEncoder.load(folder).fingerprint == trained
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) == 4
    assert "text_to_image_R@10" in lines[1]
    assert "text_to_image_R@10" not in lines[0]
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_by_validation_is_kept(library: CaseLibrary, trained: str) -> None:
    report = train(library, small_config())
    scores = [entry["score"] for entry in report.history if "score" in entry]
    assert report.best["score"] == max(scores)


@pytest.mark.slow
def test_training_learns_which_side_a_finding_is_on(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=72)
    config = small_config(name="longer", epochs=8, validate_every=8)
    report = train(library, config)
    assert report.history[-1]["loss"] < 0.8 * report.history[0]["loss"]
    model = DualEncoder.load(report.folder)
    embed_library(library, model)
    ids, vectors = library.vectors(model.fingerprint, "image")
    queries = model.encode_notes(["right effusion", "left effusion", "right nodule", "left nodule"])
    test = set(library.split("test"))
    rows = [i for i, case_id in enumerate(ids) if case_id in test]
    kinds = np.array([int(ids[i].removeprefix("C-")) % 4 for i in rows])
    nearest = (vectors[rows] @ queries.T).argmax(axis=1)
    assert (nearest == kinds).mean() > 0.7  # chance 0.25


def test_frozen_encoders_stay_as_they_were(library: CaseLibrary) -> None:
    config = small_config(
        name="frozen",
        epochs=1,
        validate_every=1,
        image={**small_config().image.model_dump(), "frozen": True},
        text={**small_config().text.model_dump(), "frozen": True},
        optim={"lr": 1e-3},
    )
    started: dict[str, np.ndarray] = {}
    original = Trainer.run

    def run(self: Trainer, *args: object) -> object:
        started.update({k: v.clone().numpy() for k, v in self.towers.state_dict().items()})
        return original(self, *args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "run", run)
        folder = train(library, config).folder
    after = load_file(Path(folder) / "weights.safetensors")
    same = {name for name, value in after.items() if np.array_equal(value.numpy(), started[name])}
    assert {name for name in after if ".encoder." in name} <= same
    assert "image.projection.0.weight" not in same


def test_several_images_of_a_case_become_the_mean_of_their_unit_vectors(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24, images_per_case=2)
    report = train(library, load_config("toy", ["epochs=1", "workers=1"]))
    model = DualEncoder.load(report.folder)
    done = embed_library(library, model)
    assert (done.images, done.notes) == (24, 24)
    ids, vectors = library.vectors(model.fingerprint, "image")
    cache = PixelCache(library.path / "cache", model.preprocess)
    case = library.case(ids[0])
    spans = [cache.span(ref) for ref in case.scans]
    single = model.encode_pixels([cache.rows(slice(at, at + n)) for at, n in spans])
    mean = single.mean(axis=0)
    assert len(single) == 2
    assert np.allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_embedding_goes_on_where_it_stopped_and_counts_what_is_gone(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=12)
    (tmp_path / "scans" / "003-0.png").unlink()
    from medembed.model import toy_model

    model = toy_model()
    report = embed_library(library, model)
    assert (report.images, report.notes) == (11, 12)
    assert sum(report.refused.values()) == 1
    again = embed_library(library, model)
    assert (again.images, again.notes) == (0, 0)
    ids, vectors = library.vectors(model.fingerprint, "image")
    assert "C-003" not in ids
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_too_few_cases_are_said_in_one_line(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=6)
    with pytest.raises(LibraryError, match="training cases") as caught:
        train(library, small_config())
    assert "\n" not in str(caught.value)


def test_a_cache_cut_short_is_mended_and_gives_the_same_pixels(library: CaseLibrary) -> None:
    preprocess = small_config(preprocess={"size": 16}).preprocess
    cases = list(library.cases())[:10]
    folder = library.path / "cache"
    cache = PixelCache(folder, preprocess)
    cache.fill(library, cases, workers=1)
    wanted = [cache.rows(slice(*cache.span(c.scans[0]))) for c in cases[:1]]
    rows = next(folder.glob(f"pixels-{preprocess.fingerprint[:16]}.u8"))
    index = rows.with_suffix(".jsonl")
    whole = rows.read_bytes()
    rows.write_bytes(whole[: 3 * 256 + 17])
    index.write_bytes(index.read_bytes()[:-4])
    cut = PixelCache(folder, preprocess)
    assert sum(c.scans[0] in cut for c in cases) == 3
    cut.fill(library, cases, workers=1)
    assert rows.read_bytes() == whole
    assert np.array_equal(cut.rows(slice(*cut.span(cases[0].scans[0]))), wanted[0])


def test_ranks_count_ties_against_the_query() -> None:
    scores = np.array([[0.9, 0.5, 0.9], [0.1, 0.2, 0.3]], np.float32)
    relevant = np.array([[True, False, False], [True, True, False]])
    assert first_relevant_ranks(scores, relevant).tolist() == [2, 2]


def test_identical_notes_are_relevant_together() -> None:
    images = np.eye(3, dtype=np.float32)
    notes = images[[1, 0, 2]]
    each = np.arange(3)
    apart, alike = PoolLabels(each, each, each), PoolLabels(np.array([0, 0, 1]), each, each)
    assert retrieval_summary(images, notes, apart)["image_to_text_MRR"] < 1
    assert retrieval_summary(images, notes, alike)["image_to_text_MRR"] == 1
