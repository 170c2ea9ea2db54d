"""Pooling of the images of a study, from training to search, with earlier studies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from support.small_pairs import PLACES, image_of, note_of, small_config

from medembed.cases import Case, Finding, ScanRef
from medembed.encoders.study_images import ScanSource
from medembed.errors import ModelError
from medembed.library import CaseLibrary
from medembed.library.priors import earlier_studies, with_earlier_studies
from medembed.model import DualEncoder, embed_library
from medembed.model.int8 import make_int8
from medembed.training import TrainReport, train

pytestmark = pytest.mark.slow  # they train and export a model

STUDY = {"kind": "resampler", "width": 16, "heads": 2, "priors": 1}
FROZEN = {"encoder": "resnet10", "grid": 2, "frozen": True, "options": {"widths": [4, 4, 8, 8]}}
START = date(2020, 1, 1)


def study_case(folder: Path, i: int, views: tuple[str, ...] = ("PA", "LL")) -> Case:
    """Make the study ``i`` of a patient who has two, a month apart."""
    label, side = list(PLACES)[i % len(PLACES)]
    refs = []
    for part, view in enumerate(views):
        path = folder / f"{i:03d}-{part}.png"
        Image.fromarray(image_of(label, side, 1000 * part + i)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        refs.append(ScanRef((str(path),), digest, "CR", view))
    patient = i // 2
    return Case(
        case_id=f"C-{i:03d}",
        patient_id=f"P-{patient:03d}",
        study_date=START + timedelta(days=30 * (i % 2) + patient),
        scans=tuple(refs),
        note=_note(label, side, i),
        findings=(Finding(label, side),),
        split="val" if patient % 6 == 5 else "test" if patient % 6 == 4 else "train",
    )


def _note(label: str, side: str, i: int):
    from medembed.notes import read_note

    return read_note(note_of(label, side, i))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseLibrary]:
    folder = tmp_path_factory.mktemp("studies")
    (folder / "scans").mkdir()
    with CaseLibrary.create(folder / "library") as library:
        views = [("PA", "LL"), ("PA",)]
        library.add([study_case(folder / "scans", i, views[i % 3 == 0]) for i in range(48)])
        yield library


@pytest.fixture(scope="module")
def report(library: CaseLibrary) -> TrainReport:
    return train(library, small_config(name="pooled", study=STUDY))


@pytest.fixture(scope="module")
def model(report: TrainReport) -> DualEncoder:
    return DualEncoder.load(report.folder)


def test_the_saved_model_pools_on_onnx_runtime_as_in_torch(model: DualEncoder) -> None:
    assert model.provider("image") == model.provider("study") == "CPUExecutionProvider"
    assert model.serving["study"]["max_difference"] <= 1e-4
    rng = np.random.default_rng(0)
    items = [rng.integers(0, 255, (m, 1, 32, 32), dtype=np.uint8) for m in (1, 1, 5, 1)]
    sources = [
        ScanSource("PA", "CR"), ScanSource("LL", "CR"), ScanSource("", "CT", 40), ScanSource("PA"),
    ]  # fmt: skip
    owners = ["a", "a", "b", "b"]
    found = model.encode_pixels(items, scans=owners, sources=sources)
    assert found.shape == (2, model.dim)
    again = DualEncoder.load(model_folder := _folder_of(model))
    again.sides._opened = lambda name: _in_torch(again, name)  # type: ignore[method-assign,assignment]
    assert model_folder.is_dir()
    np.testing.assert_allclose(
        again.encode_pixels(items, scans=owners, sources=sources), found, atol=1e-4
    )


def _folder_of(model: DualEncoder) -> Path:
    assert model._files is not None
    return Path(model._files._where)


def _in_torch(model: DualEncoder, name: str):
    from medembed.model.torch_side import TorchSide
    from medembed.model.towers import StudySide

    if name == "study":
        return TorchSide(StudySide(model.image_side()).eval())
    return TorchSide(model.image_side())


def test_a_case_has_the_same_vector_alone_and_among_others(model: DualEncoder) -> None:
    rng = np.random.default_rng(1)
    items = [rng.integers(0, 255, (1, 1, 32, 32), dtype=np.uint8) for _ in range(5)]
    sources = [ScanSource(v, "CR") for v in ("PA", "LL", "PA", "AP", "LL")]
    owners = ["a", "a", "b", "c", "a"]
    together = model.encode_pixels(items, scans=owners, sources=sources)
    alone = model.encode_pixels(
        [items[i] for i in (4, 1, 0)], sources=[sources[i] for i in (4, 1, 0)], scans=["a"] * 3
    )
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)


def test_the_view_counts_and_an_unknown_one_is_no_error(model: DualEncoder) -> None:
    rng = np.random.default_rng(2)
    items = [rng.integers(0, 255, (1, 1, 32, 32), dtype=np.uint8) for _ in range(2)]
    one_way, other_way, unknown = (
        model.encode_pixels(items, scans=["a", "a"], sources=sources)[0]
        for sources in (
            [ScanSource("PA"), ScanSource("LL")], [ScanSource("LL"), ScanSource("PA")], None,
        )
    )  # fmt: skip
    assert not np.allclose(one_way, other_way, atol=1e-6)
    assert np.isfinite(unknown).all()


@pytest.mark.parametrize("frozen", [False, True])
def test_embedding_reads_all_images_and_earlier_studies(
    library: CaseLibrary, model: DualEncoder, frozen: bool
) -> None:
    if frozen:
        made = train(library, small_config(name="frozen", study=STUDY, image=FROZEN))
        model = DualEncoder.load(made.folder)
    embed_library(library, model, cached=frozen)
    names, vectors = library.vectors(model.fingerprint, "image")
    assert len(names) == 48
    chosen = ["C-006", "C-007"]
    for name, studies in with_earlier_studies(library, chosen, 1).items():
        scans = [(case, at, days) for case, days in studies for at in range(len(case.scans))]
        assert len(studies) == (1 if name == "C-006" else 2)
        from medembed.model.pixel_cache import read_pixels

        pixels = list(
            read_pixels(library, [(case, at) for case, at, _ in scans], model.preprocess, 1)
        )
        sources = [ScanSource(c.scans[at].view, "CR", days) for c, at, days in scans]
        expected = model.encode_pixels(pixels, scans=[name] * len(pixels), sources=sources)[0]
        np.testing.assert_allclose(vectors[names.index(name)], expected, atol=1e-4)


def test_an_earlier_study_that_comes_later_renews_the_vector(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    cases = [study_case(tmp_path / "scans", i) for i in range(48)]
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add([case for i, case in enumerate(cases) if i != 6])
        made = train(library, small_config(study=STUDY, epochs=1))
        model = DualEncoder.load(made.folder)
        embed_library(library, model)
        before = dict(zip(*library.vectors(model.fingerprint, "image"), strict=True))
        library.add([cases[6]])
        missing = library.missing_vectors(model.fingerprint, "image")
        assert missing == ["C-007", "C-006"]  # in the library's order
        assert embed_library(library, model).images == 2
        after = dict(zip(*library.vectors(model.fingerprint, "image"), strict=True))
        assert not np.allclose(before["C-007"], after["C-007"], atol=1e-5)
        np.testing.assert_allclose(before["C-009"], after["C-009"])


def test_a_later_study_and_other_models_renew_nothing(
    library: CaseLibrary, toy: DualEncoder, tmp_path: Path
) -> None:
    embed_library(library, toy)
    patient = library.case("C-010")
    later = replace(
        study_case(tmp_path, 60), patient_id=patient.patient_id, split="",
        study_date=patient.study_date + timedelta(days=400),
    )  # fmt: skip
    library.add([later])
    assert library.missing_vectors(toy.fingerprint, "image") == ["C-060"]


@pytest.fixture(scope="module")
def toy() -> DualEncoder:
    from medembed.model import toy_model

    return toy_model()


def test_earlier_studies_are_those_before_the_day_of_the_case() -> None:
    scan = (ScanRef(("a.dcm",), "0" * 64),)

    def case(name: str, patient: str, day: int | None) -> Case:
        when = None if day is None else START + timedelta(days=day)
        return Case(case_id=name, patient_id=patient, scans=scan, study_date=when)

    cases = [
        case("a", "p", 0), case("b", "p", 10), case("c", "p", 10), case("d", "p", 40),
        case("e", "q", 5), case("f", "p", None),
    ]  # fmt: skip
    found = earlier_studies(cases, 2)
    assert found == {
        "a": [], "b": [("a", 10)], "c": [("a", 10)], "d": [("c", 30), ("b", 30)], "e": [], "f": [],
    }  # fmt: skip
    assert earlier_studies(cases, 0)["d"] == []


def test_a_stopped_training_of_pooling_ends_in_the_same_weights(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medembed.training.trainer import Trainer

    whole = train(library, small_config(name="whole", study=STUDY)).fingerprint
    step, steps = Trainer._step, 0

    def failing(self: Trainer, *args: object) -> float:
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_step", failing)
    config = small_config(name="again", study=STUDY, checkpoint_seconds=1e-6)
    with pytest.raises(KeyboardInterrupt):
        train(library, config)
    assert train(library, config).fingerprint == whole


def test_what_pooling_does_not_go_with_is_refused(library: CaseLibrary, model: DualEncoder) -> None:
    with pytest.raises(ValidationError, match="leave out heads"):
        small_config(
            study={},
            heads=[{"method": "csa"}],
            image=FROZEN,
            text={"encoder": "toy", "frozen": True},
        )
    with pytest.raises(ValidationError, match="one by one; leave out study"):
        small_config(study={}, rerank={})
    with pytest.raises(ModelError, match="pools studies has no int8 variant"):
        make_int8(library, model, "pooled")
