"""A model comes into use when the library has its vectors; the one before serves until then."""

from __future__ import annotations

import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.small_pairs import write_library

from medembed.config import load_config
from medembed.errors import LibraryBusyError, ModelError
from medembed.library import CaseLibrary
from medembed.library.locks import writer_lock
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder, embed_library, find_model, toy_model
from medembed.model.activation import PENDING
from medembed.model.embed_engines import InProcess
from medembed.model.resolve import choose_model
from medembed.training import TrainingConfig, train

pytestmark = pytest.mark.usefixtures("bare_models")


@pytest.fixture
def library(tmp_path: Path) -> CaseLibrary:
    """Twenty-four cases, searched by the toy model."""
    library = write_library(tmp_path, n=24)
    model = toy_model()
    model.save(library.path / "models" / "toy")
    library.active_model = "toy"
    embed_library(library, model, workers=1)
    return library


def quick(seed: int = 0) -> TrainingConfig:
    """A training of one epoch of two projections."""
    return load_config("toy", ["name=small", "epochs=1", "workers=1", f"seed={seed}"])


def found(library: CaseLibrary) -> Sequence[str]:
    with CaseLookup(library) as lookup:
        return [hit.case_id for hit in lookup.search(text="left effusion", k=3).hits]


def test_the_old_model_serves_until_the_new_one_has_its_vectors(library: CaseLibrary) -> None:
    before = found(library)
    report = train(library, quick())
    assert (library.active_model, library.get_meta(PENDING)) == ("toy", "small")
    assert found(library) == before
    done = embed_library(library, DualEncoder.load(report.folder), workers=1)
    assert (done.active, done.activated, done.dropped) == (True, True, 0)
    assert (library.active_model, library.get_meta(PENDING)) == ("small", None)
    with CaseLookup(library) as lookup:
        assert lookup.fingerprint == report.fingerprint


def test_an_interrupted_embedding_activates_nothing_and_is_resumed(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = train(library, quick())
    model = DualEncoder.load(report.folder)
    monkeypatch.setattr(InProcess, "cases", 5)

    def stop(done: int, total: int | None) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_library(library, model, stop, workers=1)
    assert library.active_model == "toy"
    assert 0 < len(library.vectors(model.fingerprint, "image")[0]) < 24
    done = embed_library(library, model, workers=1)
    assert (done.activated, done.images) == (True, 14)


def test_embedding_takes_the_waiting_model_and_searching_the_active_one(
    library: CaseLibrary,
) -> None:
    report = train(library, quick())
    assert choose_model(library).folder == library.path / "models" / "toy"
    assert find_model(library, newest=True) == Path(report.folder)
    assert find_model(library) == library.path / "models" / "toy"


def test_the_only_trained_model_is_found_before_it_has_vectors(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    report = train(library, quick())
    assert library.active_model is None
    assert find_model(library) == Path(report.folder)


def test_another_model_of_the_library_is_activated_only_when_told(library: CaseLibrary) -> None:
    report = train(library, quick())
    library.set_meta(PENDING, None)
    model = DualEncoder.load(report.folder)
    assert not embed_library(library, model, workers=1).active
    assert library.active_model == "toy"
    assert embed_library(library, model, make_active=True).activated
    assert library.active_model == "small"


def test_retraining_under_a_serving_name_leaves_the_serving_folder_alone(
    library: CaseLibrary,
) -> None:
    first = train(library, quick())
    embed_library(library, DualEncoder.load(first.folder), workers=1)
    chosen_before = choose_model(library)
    before = found(library)
    second = train(library, quick(1))
    assert second.fingerprint != first.fingerprint
    assert Path(second.folder).name == "small"
    assert library.get_meta(PENDING) == "small"
    assert choose_model(library).fingerprint == first.fingerprint
    assert found(library) == before
    assert chosen_before.load().fingerprint == first.fingerprint, "a search in flight goes on"
    assert choose_model(library, "small").fingerprint == second.fingerprint
    done = embed_library(library, DualEncoder.load(second.folder), workers=1)
    assert done.activated
    assert library.active_model == "small"
    assert choose_model(library).fingerprint == second.fingerprint
    assert chosen_before.load().fingerprint == first.fingerprint
    third = train(library, quick(2))
    kept = sorted(p.name for p in (library.path / "models").glob("small*"))
    older = sorted(f"small@{each.fingerprint[:12]}" for each in (first, second))
    assert kept == ["small", *older], "one that waits, one that serves, the one before it"
    assert third.fingerprint == choose_model(library, "small").fingerprint


def test_at_every_moment_of_a_retraining_a_search_answers_by_one_model(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Search between any two steps on the disk that retraining and embedding take."""
    first = train(library, quick())
    embed_library(library, DualEncoder.load(first.folder), workers=1)
    seen: list[str] = []

    def look() -> None:
        with CaseLookup(library) as lookup:
            assert lookup.search(text="left effusion", k=3).hits
            assert lookup.model.fingerprint == lookup.fingerprint
            seen.append(lookup.fingerprint)

    rename = Path.rename

    def looking(self: Path, target: Path) -> Path:
        look()
        moved = rename(self, target)
        look()
        return moved

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", looking)
        second = train(library, quick(1))
    assert len(seen) >= 4
    assert set(seen) == {first.fingerprint}
    embed_library(library, DualEncoder.load(second.folder), lambda *_: look(), workers=1)
    assert set(seen) == {first.fingerprint}
    look()
    assert seen[-1] == second.fingerprint


def test_retraining_a_model_that_has_its_vectors_activates_it_at_once(
    library: CaseLibrary,
) -> None:
    report = train(library, quick())
    embed_library(library, DualEncoder.load(report.folder), workers=1)
    library.active_model = "toy"
    again = train(library, quick())
    assert again.unchanged
    assert (library.active_model, library.get_meta(PENDING)) == ("small", None)


def test_repeating_the_active_training_leaves_nothing_waiting(
    library: CaseLibrary, tmp_path: Path
) -> None:
    (tmp_path / "scans" / "000-0.png").unlink()
    report = train(library, quick())
    embed_library(library, DualEncoder.load(report.folder), workers=1)
    assert library.active_model == "small"
    assert train(library, quick()).unchanged
    assert (library.active_model, library.get_meta(PENDING)) == ("small", None)


def test_a_scan_that_cannot_be_read_does_not_hold_a_model_back_but_an_archive_does(
    library: CaseLibrary, tmp_path: Path
) -> None:
    scans = sorted((tmp_path / "scans").iterdir())
    report = train(library, quick())
    model = DualEncoder.load(report.folder)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for file in scans:
        file.rename(hidden / file.name)
    cache = library.path / "cache"
    for file in cache.iterdir():
        file.unlink()
    done = embed_library(library, model, workers=1)
    assert (done.images, done.activated, done.dropped) == (0, False, 24)
    assert library.active_model == "toy"
    for file in scans[1:]:
        (hidden / file.name).rename(file)
    done = embed_library(library, model, workers=1)
    assert (done.images, done.activated, done.dropped) == (23, True, 1)


def test_a_case_changed_while_it_is_encoded_gets_no_vector_of_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    library = write_library(tmp_path, n=12)
    model = toy_model()
    first, other = (library.case(name) for name in ("C-000", "C-001"))
    encode = DualEncoder.encode_pixels
    calls = 0

    def slow(self: DualEncoder, *args: object, **named: object):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 1:
            changed = replace(first, scans=other.scans, split="")
            assert library.add([changed], replace=True).replaced == 1
        return encode(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(DualEncoder, "encode_pixels", slow)
    report = embed_library(library, model, workers=1)
    ids, vectors = library.vectors(model.fingerprint, "image")
    rows = dict(zip(ids, vectors.tolist(), strict=True))
    assert report.images == 12
    assert rows["C-000"] == rows["C-001"], "the vector is that of the new picture"


def test_a_second_training_of_a_name_says_who_holds_it(library: CaseLibrary) -> None:
    with (
        writer_lock(library.path / "models" / ".small.lock", "the training of model 'small'"),
        pytest.raises(LibraryBusyError, match="training of model 'small'") as caught,
    ):
        train(library, quick())
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_two_embeddings_at_once_write_each_vector_once(library: CaseLibrary) -> None:
    report = train(library, quick())
    reports, said = [], []

    def work() -> None:
        with CaseLibrary.open(library.path) as own:
            model = DualEncoder.load(report.folder)
            reports.append(embed_library(own, model, workers=1, waiting=said.append))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.images for r in reports) == [0, 24]
    assert library.active_model == "small"


def test_models_and_checkpoints_are_private_whatever_the_umask(tmp_path: Path) -> None:
    import os

    held = os.umask(0)
    try:
        library = write_library(tmp_path, n=24)
        train(library, quick())
    finally:
        os.umask(held)
    models = library.path / "models"
    for path in (models, *models.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


@pytest.mark.parametrize("what", ["checkpoint.pt", "weights.safetensors", "model.json"])
def test_a_full_disk_is_one_line_and_the_old_model_stays_whole(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    import errno
    import os

    first = train(library, quick())
    embed_library(library, DualEncoder.load(first.folder), workers=1)
    before = found(library)
    opened = os.open

    def full(path: object, *args: object, **named: object) -> int:
        if what in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *args, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(ModelError, match="No space left on device") as caught:
            train(library, quick(1))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert found(library) == before
    assert not list((library.path / "models").rglob("*.writing"))
    second = train(library, quick(1))
    assert DualEncoder.load(second.folder).fingerprint == second.fingerprint
