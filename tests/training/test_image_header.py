"""What a header says stands beside the image, alike in training, embedding and search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pydicom
import pytest
import torch
from pydantic import ValidationError
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from support.small_pairs import PLACES, image_of, note_of, small_config, write_library
from torch import nn

from medembed.cases import Case, ScanRef
from medembed.encoders.study_images import ScanSource
from medembed.encoders.study_pooling import HeaderWords
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder, embed_library
from medembed.model.activation import activate
from medembed.model.model_files import fingerprint_of
from medembed.model.study_vectors import source_of
from medembed.model.towers import Towers
from medembed.notes import read_note
from medembed.scans import Scan, ScanReader, read_scan
from medembed.training import train
from medembed.training.choices import key_settings
from medembed.training.cohort import load_cohorts
from medembed.training.feature_feeders import ImageFeeder

pytestmark = pytest.mark.slow  # they train and export a model

FROZEN = {"encoder": "resnet10", "grid": 2, "frozen": True, "options": {"widths": [4, 4, 8, 8]}}
SIZES = {"width": 16, "heads": 2, "header": True}
EXAMS = (("CR", "PA", "CHEST"), ("MR", "LL", "CSPINE"), ("DX", "AP", "KNEE"))


def dicom_file(path: Path, pixels: np.ndarray, exam: tuple[str, str, str], study: str) -> Path:
    """Write a DICOM image whose header says which examination it is."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = f"{study}.1.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, f"{study}.1.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.Modality, ds.ViewPosition, ds.BodyPartExamined = exam
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pixels.tobytes()
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


def case_of(folder: Path, i: int) -> Case:
    label, side = list(PLACES)[i % len(PLACES)]
    exam = EXAMS[i % len(EXAMS)]
    path = dicom_file(folder / f"{i:03d}.dcm", image_of(label, side, i), exam, f"1.2.3.{i + 1}")
    modality, view, part = exam
    return Case(
        case_id=f"C-{i:03d}",
        patient_id=f"P-{i:03d}",
        scans=(
            ScanRef((str(path),), hashlib.sha256(path.read_bytes()).hexdigest(), modality, view),
        ),
        note=read_note(note_of(label, side, i)),
        split="val" if i % 6 == 5 else "test" if i % 6 == 4 else "train",
        attributes={"BodyPartExamined": part},
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseLibrary]:
    folder = tmp_path_factory.mktemp("image-header")
    (folder / "scans").mkdir()
    with CaseLibrary.create(folder / "library") as library:
        library.add([case_of(folder / "scans", i) for i in range(48)])
        yield library


@pytest.fixture(scope="module")
def model(library: CaseLibrary) -> DualEncoder:
    """Attention, trained with its encoder and exported."""
    config = small_config(name="exported", study={"kind": "attention", **SIZES})
    return DualEncoder.load(train(library, config).folder)


def queries(library: CaseLibrary, ids: list[str]) -> list[Scan]:
    return [read_scan(case.scans[0].files[0]) for case in library.select(ids)]


def vectors_of(library: CaseLibrary, model: DualEncoder) -> tuple[list[str], np.ndarray]:
    ids, vectors = library.vectors(model.fingerprint, "image")
    return list(ids), np.asarray(vectors)


@pytest.mark.usefixtures("bare_models")
@pytest.mark.parametrize("kind", ["mean", "attention", "resampler"])
def test_training_cached_features_embedding_and_image_queries_agree(
    library: CaseLibrary, kind: str
) -> None:
    config = small_config(name=kind, study={"kind": kind, **SIZES}, image=FROZEN)
    model = DualEncoder.load(train(library, config).folder)
    embed_library(library, model, cached=True)
    ids, cached = vectors_of(library, model)
    assert len(ids) == 48
    asked = model.encode_scans(queries(library, ids))
    np.testing.assert_allclose(cached, asked, atol=1e-5)
    cases = list(library.select(ids))
    pixels = [model.preprocess.pixels(scan) for scan in queries(library, ids)]
    sources = [source_of(case, case.scans[0]) for case in cases]
    np.testing.assert_allclose(cached, model.encode_pixels(pixels, sources=sources), atol=1e-5)
    cohort, _, _ = load_cohorts(library, config.preprocess, study=config.study, workers=1)
    towers = Towers(model.image_side(), model.text_side())
    feeder = ImageFeeder(cohort, towers, config, torch.device("cpu"))
    with torch.no_grad():
        rows = torch.cat([feeder.whole(at) for at in range(len(cohort))])
    of_training = nn.functional.normalize(rows, dim=-1).numpy()
    in_library = cached[[ids.index(name) for name in cohort.case_ids]]
    np.testing.assert_allclose(of_training, in_library, atol=1e-5)
    headerless = model.encode_scans([Scan(scan.pixels) for scan in queries(library, ids)])
    assert np.abs(headerless - cached).max(axis=1).min() > 1e-4


def test_the_exported_model_reads_headers_as_torch_does(
    library: CaseLibrary, model: DualEncoder
) -> None:
    assert model.provider("image") == model.provider("study") == "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(model.sides.onnx_file("study"))
    assert [given.name for given in session.get_inputs()][-1] == "header_codes"
    embed_library(library, model)
    ids, stored = vectors_of(library, model)
    asked = model.encode_scans(queries(library, ids))
    np.testing.assert_allclose(stored, asked, atol=1e-5)
    in_torch = DualEncoder.load(library.path / "models/exported")
    in_torch.sides._opened = lambda name: _torch_side(in_torch, name)  # type: ignore[method-assign,assignment]
    np.testing.assert_allclose(in_torch.encode_scans(queries(library, ids)), asked, atol=1e-5)


def _torch_side(model: DualEncoder, name: str):
    from medembed.model.torch_side import TorchSide
    from medembed.model.towers import StudySide

    side = model.image_side()
    return TorchSide(StudySide(side).eval() if name == "study" else side)


def test_each_word_counts_and_no_header_is_as_without_the_setting(model: DualEncoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 1, 32, 32), dtype=np.uint8)

    def vector(source: ScanSource | None) -> np.ndarray:
        return model.encode_pixels([pixels], sources=source and [source])[0]

    known = ScanSource("PA", "CR", body_part="CHEST")
    assert np.array_equal(vector(known), vector(replace(known, modality="DX", body_part="thorax")))
    for other in ({"modality": "MR"}, {"view": "AP"}, {"body_part": "KNEE"}, {"body_part": ""}):
        assert not np.allclose(vector(known), vector(replace(known, **other)), atol=1e-4)
    assert np.array_equal(vector(None), vector(ScanSource("?", "OT", body_part="tail")))
    image = model.sides.run("image", model.preprocess.normalize(pixels))[0]
    # a single image's vector, pooled, is its own
    np.testing.assert_allclose(vector(None), image / np.linalg.norm(image), atol=1e-6)


def test_a_file_that_a_search_is_given_is_read_with_its_header(
    library: CaseLibrary, model: DualEncoder
) -> None:
    embed_library(library, model)
    activate(library, "exported")
    path = library.case("C-001").scans[0].files[0]
    expected = model.encode_scans([read_scan(path)])[0]
    ids, stored = vectors_of(library, model)
    with CaseLookup(library) as lookup:
        hits = lookup.search(image=path, k=5).hits
    assert hits
    for hit in hits:
        score = float(stored[ids.index(hit.case.case_id)] @ expected)
        assert hit.score == pytest.approx(score, abs=1e-4)
    plain = model.encode_scans([Scan(read_scan(path).pixels)])[0]
    assert np.abs(plain - expected).max() > 1e-3


def test_a_worker_returns_the_body_part_too(library: CaseLibrary) -> None:
    path = library.case("C-001").scans[0].files[0]
    with ScanReader(workers=1) as reader:
        assert reader.read(path).body_part == read_scan(path).body_part == "CSPINE"


def test_a_changed_header_changes_the_vector(library: CaseLibrary, model: DualEncoder) -> None:
    embed_library(library, model)
    ids, before = vectors_of(library, model)
    case = library.case("C-002")
    try:
        library.add([replace(case, attributes={"body_part": "hand"})], replace=True)
        assert library.missing_vectors(model.fingerprint, "image") == ["C-002"]
        embed_library(library, model)
        again, after = vectors_of(library, model)
        assert not np.allclose(before[ids.index("C-002")], after[again.index("C-002")], atol=1e-4)
    finally:
        library.add([case], replace=True)


def test_without_the_setting_trainings_keep_their_keys_and_cohorts_their_digests(
    library: CaseLibrary,
) -> None:
    plain, asked = small_config(study={}), small_config(study={"header": True})
    assert key_settings(plain)["study"] == {
        "kind": "mean", "depth": 2, "heads": 4, "width": 128, "dropout": 0.2, "priors": 0,
    }  # fmt: skip
    assert key_settings(asked)["study"]["header"] is True
    assert "study" not in key_settings(small_config())

    def digest(header: bool) -> str:
        study = (asked if header else plain).study
        return load_cohorts(library, plain.preprocess, study=study, workers=1)[0].digest

    before = [digest(False), digest(True)]
    case = library.case("C-000")
    try:
        library.add([replace(case, attributes={"body_part": "hand"})], replace=True)
        assert digest(False) == before[0]
        assert digest(True) != before[1]
    finally:
        library.add([case], replace=True)


def test_a_model_of_before_the_setting_is_read_as_it_was(library: CaseLibrary) -> None:
    """Its folder has no such key, and its ONNX file no such input."""
    report = train(library, small_config(name="before", study={**SIZES, "header": False}))
    model = DualEncoder.load(report.folder)
    session = onnxruntime.InferenceSession(model.sides.onnx_file("study"))
    assert [given.name for given in session.get_inputs()] == [
        "elements", "present", "view_codes", "places", "gap_days",
    ]  # fmt: skip
    scans = queries(library, ["C-000", "C-001"])
    expected = model.encode_scans(scans)
    settings = Path(report.folder) / "model.json"
    about = json.loads(settings.read_text())
    assert about["architecture"]["study"].pop("header") is False
    about["fingerprint"] = fingerprint_of(about, about["digests"])
    settings.write_text(json.dumps(about))
    older = DualEncoder.load(report.folder)
    assert np.array_equal(older.encode_scans(scans), expected)
    assert not isinstance(older.image_side().header, HeaderWords)
    older.sides._opened = lambda name: _torch_side(older, name)  # type: ignore[method-assign,assignment]
    older.sides._runners.clear()
    np.testing.assert_allclose(older.encode_scans(scans), expected, atol=1e-5)


def test_several_heads_are_refused_in_one_line() -> None:
    with pytest.raises(ValidationError, match=r"study pools for a single head; leave out heads"):
        small_config(
            study={"header": True},
            heads=[{"method": "csa"}],
            image=FROZEN,
            text={"encoder": "toy", "frozen": True},
        )


def test_headers_that_say_nothing_are_refused_in_one_line(tmp_path: Path) -> None:
    plain = write_library(tmp_path)
    ids = plain.find()
    bare = [
        replace(case, scans=tuple(replace(s, modality="OT", view="?") for s in case.scans))
        for case in plain.select(ids)
    ]
    plain.add(bare, replace=True)
    with pytest.raises(ConfigError, match="no training case has a known view") as caught:
        train(plain, small_config(study={"header": True}))
    assert "study.header" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((plain.path / "cache").glob("*"))  # refused before a scan is decoded
