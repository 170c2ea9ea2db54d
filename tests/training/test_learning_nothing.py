"""A training that cannot learn ends with one clear line and keeps nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.small_pairs import small_config, write_library
from typer.testing import CliRunner

from medembed.cases import Case, ScanRef
from medembed.cli import build
from medembed.errors import ConfigError, InputError, LibraryError
from medembed.library import CaseLibrary
from medembed.model import pixel_cache
from medembed.model.activation import PENDING
from medembed.notes import read_note
from medembed.training import objective, train
from medembed.training import trainer as trainer_module
from medembed.training.batches import patient_aware_batches
from medembed.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("bare_models")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return write_library(tmp_path_factory.mktemp("pairs"), n=24)


def changed(folder: Path, library: CaseLibrary, change: Callable[[Case], Case]) -> CaseLibrary:
    """The same cases, each changed, in a new library."""
    other = CaseLibrary.create(folder / "changed")
    assert other.add(change(case) for case in library.cases()).added == len(library)
    return other


def keeps_nothing(library: CaseLibrary, name: str = "small") -> bool:
    models = library.path / "models"
    left = {path.name for path in models.glob("*")} if models.is_dir() else set()
    return (
        left <= {f".{name}.lock"}
        and library.active_model is None
        and library.get_meta(PENDING) is None
    )


def in_training(case: Case, **values: object) -> Case:
    return replace(case, **values) if case.split == "train" else case


def one_patient(case: Case) -> Case:
    return in_training(case, patient_id="ONE")


def one_group(case: Case) -> Case:
    return in_training(case, group_id="SITE-A")


def one_note(case: Case) -> Case:
    return replace(case, note=read_note("IMPRESSION: No acute cardiopulmonary process."))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_patient, "the same patient"),
        (one_group, "the same group_id"),
        (one_note, "all 16 training cases have the same note"),
    ],
)
def test_cases_with_nothing_to_tell_apart_are_refused_before_any_is_decoded(
    tmp_path: Path,
    pairs: CaseLibrary,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Case], Case],
    said: str,
) -> None:
    monkeypatch.setattr(pixel_cache, "read_pixels", lambda *_: pytest.fail("decoded"))
    library = changed(tmp_path, pairs, change)
    with pytest.raises(LibraryError, match=said) as caught:
        train(library, small_config())
    assert "\n" not in str(caught.value)
    assert keeps_nothing(library)


def test_one_image_under_every_case_is_refused(tmp_path: Path, pairs: CaseLibrary) -> None:
    scan = next(pairs.cases()).scans[0]
    library = changed(tmp_path, pairs, lambda case: replace(case, scans=(scan,)))
    with pytest.raises(LibraryError, match="all 16 training cases have the same image"):
        train(library, small_config())
    assert keeps_nothing(library)


def test_images_that_preprocessing_makes_the_same_are_refused(
    tmp_path: Path, pairs: CaseLibrary
) -> None:
    def flat(case: Case) -> Case:
        path = tmp_path / f"{case.case_id}.png"
        Image.fromarray(np.full((40, 40), int(case.case_id[2:]) + 1, np.uint8)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return replace(case, scans=(ScanRef((str(path),), digest, "CR", "PA"),))

    library = changed(tmp_path, pairs, flat)
    with pytest.raises(LibraryError, match="all 16 training cases have the same image"):
        train(library, small_config())
    assert keeps_nothing(library)


def test_notes_that_differ_only_after_what_is_read_are_refused(
    tmp_path: Path, pairs: CaseLibrary
) -> None:
    start = "IMPRESSION: " + "Unchanged appearance of the chest. " * 20
    library = changed(
        tmp_path,
        pairs,
        lambda case: replace(case, note=read_note(f"{start} {case.case_id} {case.note.text}")),
    )
    with pytest.raises(LibraryError, match="all 16 notes are identical within the first"):
        train(library, small_config())
    assert not (library.path / "models" / "small").exists()
    assert library.get_meta(PENDING) is None


def test_all_scans_unreadable_are_refused(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    for file in (tmp_path / "scans").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(LibraryError, match="only 0 training cases have a readable scan"):
        train(library, small_config())
    assert keeps_nothing(library)


def test_a_batch_of_one_is_refused_by_the_configuration(pairs: CaseLibrary) -> None:
    done = CliRunner().invoke(
        build(), ["train", str(pairs.path), "--config", "toy", "batch_size=1"]
    )
    assert done.exit_code == 2
    assert "batch_size" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_balance_that_leaves_no_batch_is_refused(
    pairs: CaseLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_cache, "read_pixels", lambda *_: pytest.fail("decoded"))
    kin = {0: "g", 1: "g"}

    def change(case: Case) -> Case:
        n = int(case.case_id[2:])
        # two patients of one group, one of each sex: whichever two are drawn, they are related
        return in_training(
            case, patient_id=f"P-{n % 2}", group_id=kin[n % 2], sex="FM"[n % 2], race="ab"[n % 2]
        )

    library = changed(tmp_path, pairs, change)
    with pytest.raises((LibraryError, ConfigError)):
        train(library, small_config(balance={"attribute": "sex"}))
    assert keeps_nothing(library)


def test_few_patients_of_many_studies_still_make_batches() -> None:
    patients = [f"P{i % 10}" for i in range(200)]
    batches = patient_aware_batches(patients, [""] * 200, 64, seed=(0, 0))
    assert batches, "ten patients can never fill half of a batch of 64"
    assert all(len({patients[i] for i in batch}) == len(batch) >= 5 for batch in batches)


def test_no_weight_to_change_is_refused(pairs: CaseLibrary) -> None:
    from medembed.config import load_config

    config = load_config("toy", ["projection.kind=none", "projection.dim=4", "name=fixed"])
    with pytest.raises(ConfigError, match="no trainable weights"):
        train(pairs, config)
    assert not (pairs.path / "models" / "fixed").exists()


def test_a_learning_rate_too_high_is_one_line_and_keeps_nothing(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=24)
    config = small_config(optim={"lr": 1e30}, checkpoint_seconds=1e-6)
    with pytest.raises(ConfigError, match="diverged") as caught:
        train(library, config)
    assert caught.value.exit_code == 2
    assert "optim.lr" in str(caught.value)
    assert keeps_nothing(library)


@pytest.mark.parametrize("where", ["loss", "weights", "vectors"])
def test_nan_anywhere_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    library = write_library(tmp_path, n=24)
    if where == "loss":
        monkeypatch.setattr(objective, "clip_loss", lambda *_, **__: torch.tensor(torch.nan))
    elif where == "weights":
        step = Trainer._step

        def spoilt(self: Trainer, epoch: int, at: int, *said: object) -> float:
            loss = step(self, epoch, at, *said)  # type: ignore[arg-type]
            if epoch == 1:
                with torch.no_grad():
                    next(self.towers.parameters()).fill_(torch.nan)
                return 1.0
            return loss

        monkeypatch.setattr(Trainer, "_step", spoilt)
    else:
        monkeypatch.setattr(
            trainer_module.TextFeeder,
            "forward",
            lambda self, texts: torch.full((len(texts), 16), torch.nan),
        )
    config = small_config(optim={"lr": 1e-3}, loss={}, validate_every=1, checkpoint_seconds=1e-6)
    with pytest.raises(InputError, match="not finite"):
        train(library, config)
    assert keeps_nothing(library)


def test_a_loss_that_never_changes_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path, n=24)
    monkeypatch.setattr(
        objective,
        "clip_loss",
        lambda images, *_, **__: images.sum() * 0 + 2.0,
    )
    with pytest.raises(ConfigError, match="the loss did not change"):
        train(library, small_config(loss={}))
    assert keeps_nothing(library)


def test_an_earlier_model_stays_whole_and_active(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path, n=24)
    from medembed.model import DualEncoder, embed_library

    first = train(library, small_config(epochs=1))
    embed_library(library, DualEncoder.load(first.folder), workers=1)
    with pytest.raises(ConfigError):
        train(library, small_config(optim={"lr": 1e30}))
    assert library.active_model == "small"
    assert DualEncoder.load(library.path / "models" / "small").fingerprint == first.fingerprint
    assert library.get_meta(PENDING) is None


def test_without_validation_cases_the_last_epoch_is_kept_and_said(
    tmp_path: Path, pairs: CaseLibrary
) -> None:
    library = changed(tmp_path, pairs, lambda case: replace(case, split="train"))
    report = train(library, small_config(epochs=2, validate_every=1))
    assert report.n_val == 0
    assert report.best["epoch"] == 2
    assert any("no validation cases" in line for line in report.remarks)


def test_the_verb_leaves_with_2_and_one_line(tmp_path: Path, pairs: CaseLibrary) -> None:
    library = changed(tmp_path, pairs, one_patient)
    done = CliRunner().invoke(build(), ["train", str(library.path), "--config", "toy", "--json"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "ONE" not in done.stderr
