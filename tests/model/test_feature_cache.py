"""The cache of frozen features: derived, checked, bounded; the same vectors with and without."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import small_config, write_library

from medembed.model import DualEncoder, embed_library
from medembed.model.cached_vectors import CachedVectors
from medembed.model.feature_cache import FeatureCache, text_key
from medembed.training import train
from medembed.training.feature_feeders import ImageFeeder, TextFeeder


def features(n: int = 3, width: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_what_was_added_is_there_for_the_next_process(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "k").add({"a": features(3), "b": features(1, seed=1)})
    again = FeatureCache(tmp_path, "k")
    assert np.array_equal(again.get("a"), features(3))
    assert np.array_equal(again.get("b"), features(1, seed=1))
    assert "c" not in again
    assert "a" not in FeatureCache(tmp_path, "another encoder")


def test_files_are_private(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "k").add({"a": features()})
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}


@pytest.mark.parametrize("at", [0, 9, 40, -1])
def test_a_changed_byte_is_found_and_its_file_left_out(
    tmp_path: Path, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    FeatureCache(tmp_path, "k").add({"a": features()})
    (path,) = tmp_path.rglob("*.f32")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    cache = FeatureCache(tmp_path, "k")
    assert "a" not in cache
    assert "computed again" in caplog.text
    cache.add({"a": features()})
    assert "a" in FeatureCache(tmp_path, "k")


@pytest.mark.parametrize("size", [0, 7, 31, 50])
def test_a_truncated_file_is_left_out(tmp_path: Path, size: int) -> None:
    FeatureCache(tmp_path, "k").add({"a": features()})
    (path,) = tmp_path.rglob("*.f32")
    path.write_bytes(path.read_bytes()[:size])
    assert len(FeatureCache(tmp_path, "k")) == 0


def test_the_encoder_used_longest_ago_gives_way(tmp_path: Path) -> None:
    for number, key in enumerate(("old", "newer")):
        FeatureCache(tmp_path, key).add({"a": features(100)})
        for path in (tmp_path / f"features-{key}").iterdir():
            os.utime(path, (1000 + number, 1000 + number))
    room = FeatureCache(tmp_path, "now", max_bytes=5000)
    room.add({"a": features(100)})
    assert sorted(path.name for path in tmp_path.glob("features-*")) == [
        "features-newer",
        "features-now",
    ]
    room.add({"b": features(1000, seed=1)})  # does not fit: kept in memory only
    assert np.array_equal(room.get("b"), features(1000, seed=1))
    assert "b" not in FeatureCache(tmp_path, "now")


def test_many_small_files_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "k")
    for number in range(70):
        cache.add({str(number): features(1, seed=number)})
    again = FeatureCache(tmp_path, "k")
    assert len(list(tmp_path.rglob("*.f32"))) < 20
    assert all(np.array_equal(again.get(str(n)), features(1, seed=n)) for n in range(70))


def test_the_name_of_a_text_does_not_tell_it() -> None:
    assert "effusion" not in text_key("Right effusion.")
    assert text_key("a") != text_key("b")


@pytest.mark.slow
def test_a_second_training_encodes_nothing_and_gives_the_same_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path, n=24, images_per_case=2)
    frozen = {
        "image": {**small_config().image.model_dump(), "frozen": True},
        "text": {**small_config().text.model_dump(), "frozen": True},
        "epochs": 1,
        "validate_every": 1,
    }
    reports: list[tuple[int, int | None]] = []
    first = train(
        library, small_config(name="one", **frozen), encoding=lambda *at: reports.append(at)
    )
    assert reports[0][0] == 0  # said before the first batch
    assert any(done == total for done, total in reports)

    calls: list[int] = []
    for kind, method in ((ImageFeeder, "_encode"), (TextFeeder, "_encoded")):
        original = getattr(kind, method)

        def counted(self: object, *args: object, original: object = original) -> object:
            calls.append(1)
            return original(self, *args)  # type: ignore[operator]

        monkeypatch.setattr(kind, method, counted)
    second = train(library, small_config(name="two", **frozen))
    assert not calls
    assert second.fingerprint == first.fingerprint

    model = DualEncoder.load(first.folder)
    cached = CachedVectors(library, model)
    cases = list(library.cases())
    embed_library(library, model)
    for kind in ("image", "note"):
        ids, vectors = library.vectors(model.fingerprint, kind)
        found = cached.of(kind)(cases)
        assert set(found) >= set(library.split("train"))
        rows = {case_id: row for row, case_id in enumerate(ids)}
        for case_id, vector in found.items():
            assert np.allclose(vector[0], vectors[rows[case_id]], atol=1e-5)


@pytest.mark.slow
def test_deleted_features_are_built_again(tmp_path: Path) -> None:
    import shutil

    library = write_library(tmp_path, n=24)
    config = {
        "image": {**small_config().image.model_dump(), "frozen": True},
        "text": {**small_config().text.model_dump(), "frozen": True},
        "epochs": 1,
    }
    first = train(library, small_config(name="one", **config))
    for folder in (library.path / "cache").glob("features-*"):
        shutil.rmtree(folder)
    second = train(library, small_config(name="two", **config))
    assert second.fingerprint == first.fingerprint
    assert list((library.path / "cache").glob("features-*/*.f32"))
